//! Values of options as one line of text: how forms show them and how other servers' files write them.

use super::{
    options::{OptionKind, OptionValue, Route},
    words::{read_address, read_hex, read_network, show_hex},
};

/// Raw bytes, whatever the kind.
const RAW: &str = "hex:";

/// Lists are separated by commas or blanks; routes are `network via gateway`; what has no simple form is `hex:…`.
pub fn read_value(kind: OptionKind, text: &str) -> Result<OptionValue, String> {
    let given = text.trim();
    if given.is_empty() {
        return Err("It is empty. Write its value, or remove the option.".into());
    }
    if let Some(hex) = given.strip_prefix(RAW) {
        return read_hex(hex).map(OptionValue::Hex);
    }
    Ok(match kind {
        OptionKind::Ip => OptionValue::Ip(read_address(given)?),
        OptionKind::IpList => OptionValue::IpList(items(given).map(read_address).collect::<Result<_, _>>()?),
        OptionKind::Text => OptionValue::Text(given.into()),
        OptionKind::U8 => OptionValue::U8(number(given, "0 to 255")?),
        OptionKind::U16 => OptionValue::U16(number(given, "0 to 65535")?),
        OptionKind::U32 => OptionValue::U32(number(given, "0 to 4294967295")?),
        OptionKind::I32 => OptionValue::I32(number(given, "-2147483648 to 2147483647")?),
        OptionKind::U16List => {
            OptionValue::U16List(items(given).map(|item| number(item, "0 to 65535")).collect::<Result<_, _>>()?)
        }
        OptionKind::Bool => OptionValue::Bool(match given.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => return Err(format!("`{given}` is neither. Write true or false.")),
        }),
        OptionKind::Hex => OptionValue::Hex(read_hex(given)?),
        OptionKind::DomainList => OptionValue::DomainList(items(given).map(|name| name.trim_matches('"').to_string()).collect()),
        OptionKind::Routes => OptionValue::Routes(routes(given)?),
        OptionKind::IpPairs => {
            let addresses: Vec<_> = items(given).map(read_address).collect::<Result<_, _>>()?;
            let (pairs, rest) = addresses.as_chunks::<2>();
            if !rest.is_empty() {
                return Err("An address is left alone. Write pairs, like 203.0.113.7 192.0.2.9.".into());
            }
            OptionValue::IpPairs(pairs.iter().map(|[first, second]| (*first, *second)).collect())
        }
        OptionKind::SubOptions => {
            return Err(format!("It has sub-options. Write their bytes (code, length, value), like {RAW}01:04:c0:00:02:09."));
        }
    })
}

/// What `read_value` reads back; of sub-options, their bytes.
pub fn show_value(value: &OptionValue) -> String {
    fn joined<T: ToString>(list: &[T]) -> String {
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
    match value {
        OptionValue::Ip(address) => address.to_string(),
        OptionValue::IpList(list) => joined(list),
        OptionValue::Text(text) => text.clone(),
        OptionValue::U8(number) => number.to_string(),
        OptionValue::U16(number) => number.to_string(),
        OptionValue::U32(number) => number.to_string(),
        OptionValue::I32(number) => number.to_string(),
        OptionValue::U16List(list) => joined(list),
        OptionValue::Bool(yes) => yes.to_string(),
        OptionValue::Hex(bytes) => format!("{RAW}{}", show_hex(bytes)),
        OptionValue::DomainList(names) => joined(names),
        OptionValue::Routes(routes) => {
            let routes: Vec<_> =
                routes.iter().map(|Route { destination, gateway }| format!("{destination} via {gateway}")).collect();
            routes.join(", ")
        }
        OptionValue::IpPairs(pairs) => {
            pairs.iter().map(|(first, second)| format!("{first} {second}")).collect::<Vec<_>>().join(", ")
        }
        OptionValue::SubOptions(_) => format!("{RAW}{}", show_hex(&value.payload())),
    }
}

/// How a value of this kind is written, for the hint beside a field.
pub fn example(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::Ip => "192.0.2.9",
        OptionKind::IpList => "192.0.2.9, 192.0.2.10",
        OptionKind::Text => "some text",
        OptionKind::U8 | OptionKind::U16 | OptionKind::U32 => "64",
        OptionKind::I32 => "-3600",
        OptionKind::U16List => "576, 1500",
        OptionKind::Bool => "true or false",
        OptionKind::Hex => "01:a4:cf",
        OptionKind::DomainList => "lan.example.org, example.org",
        OptionKind::Routes => "198.51.100.0/24 via 192.0.2.9",
        OptionKind::IpPairs => "203.0.113.7 192.0.2.9",
        OptionKind::SubOptions => "hex:01:04:c0:00:02:09",
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n', '\r']).filter(|item| !item.is_empty())
}

fn number<T: std::str::FromStr>(text: &str, range: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no whole number from {range}. Correct it."))
}

/// `network via gateway`, or as other servers write them: network and gateway in turn.
fn routes(text: &str) -> Result<Vec<Route>, String> {
    let words: Vec<&str> =
        text.split([',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty() && *word != "via" && *word != "-").collect();
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("A route has no gateway. Write each like 198.51.100.0/24 via 192.0.2.9.".into());
    }
    pairs
        .iter()
        .map(|[network, gateway]| Ok(Route { destination: read_network(network)?, gateway: read_address(gateway)? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for (kind, text) in [
            (OptionKind::Ip, "192.0.2.9"),
            (OptionKind::IpList, "192.0.2.9, 192.0.2.10"),
            (OptionKind::Text, "pxelinux.0, or so"),
            (OptionKind::I32, "-3600"),
            (OptionKind::U16List, "576, 1500"),
            (OptionKind::Bool, "true"),
            (OptionKind::DomainList, "lan.example.org, example.org"),
            (OptionKind::Routes, "198.51.100.0/24 via 192.0.2.9, 0.0.0.0/0 via 192.0.2.1"),
            (OptionKind::IpPairs, "203.0.113.7 192.0.2.9"),
            (OptionKind::SubOptions, "hex:01:04:c0:00:02:09"),
        ] {
            assert_eq!(show_value(&read_value(kind, text).unwrap()), text);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (kind, text) in [
            (OptionKind::Ip, "dns"),
            (OptionKind::U8, "256"),
            (OptionKind::Bool, "maybe"),
            (OptionKind::Routes, "198.51.100.0/24"),
            (OptionKind::IpPairs, "192.0.2.1"),
            (OptionKind::SubOptions, "x"),
            (OptionKind::Text, "  "),
        ] {
            let sentence = read_value(kind, text).unwrap_err();
            assert!(sentence.contains("Write") || sentence.contains("Correct"), "{sentence}");
        }
    }
}
