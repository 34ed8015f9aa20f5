//! Whether a single value is possible: an option's value, a host name, a domain. What holds between records is in `check`.

use std::net::Ipv4Addr;

use crate::settings::{
    dictionary,
    options::{OptionDefinition, OptionKind, OptionValue},
    words::show_duration,
};

/// RFC 2132: text that one option can carry.
const LONGEST_TEXT_BYTES: usize = 255;
/// RFC 1035 §3.1, without the length byte of the first label and the root.
const LONGEST_DOMAIN_BYTES: usize = 253;

/// What is wrong with the value of this option, as the end of a sentence that begins with the option's name.
pub fn option_trouble(code: u8, value: &OptionValue, definitions: &[OptionDefinition]) -> Option<String> {
    if let Some(governed) = dictionary::governed(code) {
        return Some(format!("is set by the server alone. {}", governed.reason));
    }
    let definition = definitions.iter().find(|definition| definition.code == code);
    let expected = dictionary::kind_of(code).or(definition.map(|definition| definition.kind));
    if let Some(expected) = expected
        && value.kind() != expected
        && value.kind() != OptionKind::Hex
    {
        return Some(format!("has type {}, but {expected} is needed. Write it as {}.", value.kind(), example(expected)));
    }
    value_trouble(value).or_else(|| special_trouble(code, value))
}

/// What holds for a kind, whatever the code.
fn value_trouble(value: &OptionValue) -> Option<String> {
    let empty = || Some("is empty. Give at least one value, or remove the line.".to_string());
    match value {
        OptionValue::Ip(address) => address_trouble(*address),
        OptionValue::IpList(list) if list.is_empty() => empty(),
        OptionValue::IpList(list) => list.iter().find_map(|address| address_trouble(*address)),
        OptionValue::Text(text) if text.is_empty() => empty(),
        OptionValue::Text(text) => text_trouble(text),
        OptionValue::U16List(list) if list.is_empty() => empty(),
        OptionValue::DomainList(names) if names.is_empty() => empty(),
        OptionValue::DomainList(names) => names.iter().find_map(|name| domain_trouble(name)),
        OptionValue::Routes(routes) if routes.is_empty() => empty(),
        OptionValue::Routes(routes) => routes.iter().find(|route| route.destination.trunc() != route.destination).map(|route| {
            format!(
                "leads to `{}`, an address inside {1}, not a network. Write {1}.",
                route.destination,
                route.destination.trunc()
            )
        }),
        OptionValue::IpPairs(pairs) if pairs.is_empty() => empty(),
        OptionValue::SubOptions(sub_options) if sub_options.is_empty() => empty(),
        OptionValue::SubOptions(sub_options) => sub_options.iter().find_map(|(code, value)| sub_option_trouble(*code, value)),
        OptionValue::U8(_)
        | OptionValue::U16(_)
        | OptionValue::U32(_)
        | OptionValue::I32(_)
        | OptionValue::U16List(_)
        | OptionValue::Bool(_)
        | OptionValue::Hex(_)
        | OptionValue::IpPairs(_) => None,
    }
}

/// What holds for one code only.
fn special_trouble(code: u8, value: &OptionValue) -> Option<String> {
    let least = dictionary::least(code);
    let too_small = |number: u32| (number < least).then(|| format!("is {number}; the smallest possible is {least}. Raise it."));
    match (code, value) {
        (46, OptionValue::U8(number)) if ![1, 2, 4, 8].contains(number) => Some(format!(
            "is {number}, which is no node type. Choose 1 (broadcast), 2 (WINS only), 4 (broadcast first) or 8 (WINS first)."
        )),
        (_, OptionValue::U8(number)) => too_small(u32::from(*number)),
        (_, OptionValue::U16(number)) => too_small(u32::from(*number)),
        (_, OptionValue::U16List(list)) => list.iter().find_map(|number| too_small(u32::from(*number))),
        (124 | 125, OptionValue::Hex(bytes)) if !is_by_enterprise(code, bytes) => Some(
            "is not made of enterprises: for each its number (4 bytes), a length (1 byte) and so many bytes, like 00:00:11:8b:02:01:00 (RFC 3925). \
             Correct the lengths."
                .to_string(),
        ),
        (15, OptionValue::Text(name)) => domain_trouble(name),
        (114, OptionValue::Text(uri)) if !is_uri(uri) => {
            Some(format!("is `{uri}`, which is no address of a page. Write it like https://portal.example/api."))
        }
        (33, OptionValue::IpPairs(pairs)) => pairs
            .iter()
            .any(|(destination, _)| destination.is_unspecified())
            .then(|| "holds a default route, which it must not (RFC 2132 §5.8). Use `router`, or `routes`.".to_string()),
        _ => None,
    }
}

/// RFC 3925 §3 and §4: number, length, data, and again; in 125 the data are sub-options.
fn is_by_enterprise(code: u8, mut bytes: &[u8]) -> bool {
    const NUMBER: usize = 4;
    let mut some = false;
    while !bytes.is_empty() {
        let Some((&length, rest)) = bytes.get(NUMBER..).and_then(<[u8]>::split_first) else { return false };
        let Some(data) = rest.get(..usize::from(length)) else { return false };
        if code == 125 && !is_sub_options(data) {
            return false;
        }
        (some, bytes) = (true, &rest[data.len()..]);
    }
    some
}

fn is_sub_options(mut bytes: &[u8]) -> bool {
    while let [_, length, rest @ ..] = bytes {
        let Some(rest) = rest.get(usize::from(*length)..) else { return false };
        bytes = rest;
    }
    bytes.is_empty()
}

fn sub_option_trouble(code: u8, value: &OptionValue) -> Option<String> {
    if matches!(code, 0 | 255) {
        return Some(format!("has a sub-option {code}. Use 1 to 254."));
    }
    if value.kind() == OptionKind::SubOptions {
        return Some(format!("has sub-options inside sub-option {code}. Write the inner ones as type hex."));
    }
    if let Some(trouble) = value_trouble(value) {
        return Some(format!("has a sub-option {code} that {trouble}"));
    }
    let length = value.payload().len();
    (length > 255).then(|| format!("has a sub-option {code} of {length} bytes; 255 are possible. Shorten it."))
}

fn address_trouble(address: Ipv4Addr) -> Option<String> {
    address.is_unspecified().then(|| "holds 0.0.0.0, which is nobody's address. Write the address itself.".to_string())
}

fn text_trouble(text: &str) -> Option<String> {
    if text.contains('\0') {
        return Some("holds a NUL character. Remove it; a device that wants one behind the text gets it with type hex.".into());
    }
    let length = text.len();
    (length > LONGEST_TEXT_BYTES).then(|| format!("has {length} bytes; {LONGEST_TEXT_BYTES} are possible. Shorten it."))
}

fn is_uri(text: &str) -> bool {
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What is wrong with a domain of option 15 or 119; `_` is allowed, as Windows domains have it.
pub fn domain_trouble(name: &str) -> Option<String> {
    labels_trouble(name, true).map(|trouble| format!("holds the domain `{name}`: {trouble}"))
}

/// What is wrong with the name of a reservation.
pub fn host_name_trouble(name: &str) -> Option<String> {
    labels_trouble(name, false).map(|trouble| format!("The name `{name}` cannot be sent to a device: {trouble}"))
}

/// RFC 952, RFC 1123 §2.1.
fn labels_trouble(name: &str, underscore: bool) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty. Give at least one letter, or remove the line.".into());
    }
    if name.len() > LONGEST_DOMAIN_BYTES {
        return Some(format!("it has {} bytes; {LONGEST_DOMAIN_BYTES} are possible. Shorten it.", name.len()));
    }
    let possible = |c: char| c.is_ascii_alphanumeric() || c == '-' || (c == '_' && underscore);
    if let Some(odd) = name.chars().find(|c| *c != '.' && !possible(*c)) {
        return Some(format!("it holds `{}`. Use letters a-z, digits, `-` and `.` only.", odd.escape_debug()));
    }
    name.split('.').find_map(|label| match label.len() {
        0 => Some("two dots stand together, or one at an end. Remove one.".to_string()),
        1..=63 if label.starts_with('-') || label.ends_with('-') => {
            Some(format!("`{label}` begins or ends with `-`. Remove it there."))
        }
        1..=63 => None,
        length => Some(format!("a part has {length} letters; 63 are possible between two dots. Shorten it.")),
    })
}

/// How a value of this kind looks in the settings file.
pub fn example(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::Ip => "\"192.0.2.1\"",
        OptionKind::IpList => "[\"192.0.2.1\", \"192.0.2.2\"]",
        OptionKind::Text => "a text in quotes",
        OptionKind::U8 => "a whole number from 0 to 255",
        OptionKind::U16 => "a whole number from 0 to 65535",
        OptionKind::U32 => "a whole number from 0 to 4294967295",
        OptionKind::I32 => "a whole number from -2147483648 to 2147483647",
        OptionKind::U16List => "[1, 2] with numbers from 0 to 65535",
        OptionKind::Bool => "true or false",
        OptionKind::Hex => "\"01:04:c0\"",
        OptionKind::DomainList => "[\"home.arpa\", \"lab.example\"]",
        OptionKind::Routes => "[{ to = \"10.8.0.0/24\", via = \"192.0.2.9\" }]",
        OptionKind::IpPairs => "[[\"203.0.113.7\", \"192.0.2.9\"]]",
        OptionKind::SubOptions => "{ \"1\" = { type = \"ip\", value = \"192.0.2.9\" } }",
    }
}

/// What is wrong with a time that goes on the wire as seconds in 32 bits, all ones meaning "for ever".
pub fn wire_time_trouble(name: &str, time: std::time::Duration) -> Option<String> {
    let longest_secs = u64::from(u32::MAX) - 1;
    if time.subsec_nanos() != 0 {
        Some(format!("`{name}` is {}, not whole seconds. Round it.", show_duration(time)))
    } else if time.is_zero() {
        Some(format!("`{name}` is 0. Write a time, for example \"12h\"."))
    } else if time.as_secs() > longest_secs {
        Some(format!(
            "`{name}` is {}, longer than a packet can say. Write at most \"{longest_secs}s\" (136 years).",
            show_duration(time)
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn trouble(code: u8, value: OptionValue) -> String {
        option_trouble(code, &value, &[]).unwrap_or_default()
    }

    #[test]
    fn text_over_255_bytes_or_with_nul_is_refused() {
        assert_eq!(trouble(67, OptionValue::Text("x".repeat(255))), "");
        assert_eq!(trouble(67, OptionValue::Text("x".repeat(256))), "has 256 bytes; 255 are possible. Shorten it.");
        assert!(trouble(67, OptionValue::Text("a\0".into())).contains("NUL"));
        assert!(trouble(67, OptionValue::Text(String::new())).contains("empty"));
    }

    #[test]
    fn the_kind_of_a_known_code_is_kept_but_hex_is_always_possible() {
        assert!(trouble(6, OptionValue::Text("192.0.2.1".into())).contains("has type text, but ip-list is needed"));
        assert_eq!(trouble(6, OptionValue::Hex(vec![1])), "");
        assert_eq!(trouble(224, OptionValue::Bool(true)), "");
        let definitions = [OptionDefinition { code: 224, name: "thing".into(), kind: OptionKind::U8 }];
        assert!(option_trouble(224, &OptionValue::Bool(true), &definitions).unwrap().contains("u8 is needed"));
    }

    #[test]
    fn a_governed_code_says_why() {
        assert!(trouble(51, OptionValue::U32(1)).contains("Set `default`, `min` and `max` in [lease]"));
    }

    #[test]
    fn numbers_have_the_lower_bounds_of_the_rfc() {
        assert!(trouble(26, OptionValue::U16(67)).contains("68"));
        assert_eq!(trouble(26, OptionValue::U16(68)), "");
        assert!(trouble(46, OptionValue::U8(3)).contains("node type"));
        assert!(trouble(25, OptionValue::U16List(vec![1500, 1])).contains("68"));
    }

    #[test]
    fn domains_and_host_names_are_what_dns_can_hold() {
        assert_eq!(domain_trouble("home.arpa"), None);
        assert_eq!(domain_trouble("a_b.example"), None);
        assert!(domain_trouble(&"x".repeat(64)).unwrap().contains("63"));
        assert!(domain_trouble(&"x.".repeat(127)).is_some());
        assert!(domain_trouble("a..b").is_some());
        assert_eq!(host_name_trouble("printer-2"), None);
        assert!(host_name_trouble("living room").unwrap().contains("holds ` `"));
        assert!(host_name_trouble("-tv").unwrap().contains("begins or ends"));
        assert!(host_name_trouble("tv_1").is_some());
    }

    #[test]
    fn captive_portal_is_a_uri() {
        assert_eq!(trouble(114, OptionValue::Text("https://portal.example/api".into())), "");
        assert!(trouble(114, OptionValue::Text("portal".into())).contains("https://"));
        assert!(trouble(114, OptionValue::Text("https://a b".into())).contains("https://"));
    }

    #[test]
    fn sub_options_fit_their_length_byte_and_do_not_nest() {
        let vendor = |code, value| trouble(43, OptionValue::SubOptions(BTreeMap::from([(code, value)])));
        assert_eq!(vendor(1, OptionValue::Hex(vec![0; 255])), "");
        assert!(vendor(1, OptionValue::Hex(vec![0; 256])).contains("256 bytes"));
        assert!(vendor(255, OptionValue::U8(1)).contains("1 to 254"));
        assert!(vendor(1, OptionValue::SubOptions(BTreeMap::new())).contains("type hex"));
        assert!(vendor(1, OptionValue::Text(String::new())).contains("sub-option 1 that is empty"));
    }
}
