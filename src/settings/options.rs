//! DHCP options as an admin writes them: kinds, typed values, and the bytes that go on the wire.
//! Names and codes are in `dictionary`.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr};

use dhcproto::{Encodable, Name, v4::DhcpOption};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::dictionary;

/// Options by code. A value has the kind of its code (from the dictionary, or the custom definition), or is
/// `Hex`: raw bytes are possible everywhere. A code with neither may hold a value of any kind.
pub type OptionSet = BTreeMap<u8, OptionValue>;

/// How an option's value is written and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionKind {
    Ip,
    IpList,
    /// Sent without a NUL.
    Text,
    U8,
    U16,
    U32,
    I32,
    U16List,
    Bool,
    Hex,
    /// Names in DNS form, compressed (RFC 3397).
    DomainList,
    /// Classless static routes (RFC 3442).
    Routes,
    /// Pairs of addresses (options 21, 33).
    IpPairs,
    /// Sub-options by code (option 43).
    SubOptions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionValue {
    Ip(Ipv4Addr),
    IpList(Vec<Ipv4Addr>),
    Text(String),
    U8(u8),
    U16(u16),
    U32(u32),
    I32(i32),
    U16List(Vec<u16>),
    Bool(bool),
    Hex(Vec<u8>),
    DomainList(Vec<String>),
    Routes(Vec<Route>),
    IpPairs(Vec<(Ipv4Addr, Ipv4Addr)>),
    SubOptions(BTreeMap<u8, OptionValue>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: Ipv4Net,
    pub gateway: Ipv4Addr,
}

/// An option that this program has no name for, named by the admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionDefinition {
    pub code: u8,
    pub name: String,
    pub kind: OptionKind,
}

impl OptionKind {
    pub const ALL: [OptionKind; 14] = [
        OptionKind::Ip,
        OptionKind::IpList,
        OptionKind::Text,
        OptionKind::U8,
        OptionKind::U16,
        OptionKind::U32,
        OptionKind::I32,
        OptionKind::U16List,
        OptionKind::Bool,
        OptionKind::Hex,
        OptionKind::DomainList,
        OptionKind::Routes,
        OptionKind::IpPairs,
        OptionKind::SubOptions,
    ];

    /// As `type` is written in a settings file.
    pub fn name(self) -> &'static str {
        match self {
            OptionKind::Ip => "ip",
            OptionKind::IpList => "ip-list",
            OptionKind::Text => "text",
            OptionKind::U8 => "u8",
            OptionKind::U16 => "u16",
            OptionKind::U32 => "u32",
            OptionKind::I32 => "i32",
            OptionKind::U16List => "u16-list",
            OptionKind::Bool => "bool",
            OptionKind::Hex => "hex",
            OptionKind::DomainList => "domain-list",
            OptionKind::Routes => "routes",
            OptionKind::IpPairs => "ip-pairs",
            OptionKind::SubOptions => "sub-options",
        }
    }

    pub fn named(name: &str) -> Option<OptionKind> {
        OptionKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for OptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl OptionValue {
    pub fn kind(&self) -> OptionKind {
        match self {
            OptionValue::Ip(_) => OptionKind::Ip,
            OptionValue::IpList(_) => OptionKind::IpList,
            OptionValue::Text(_) => OptionKind::Text,
            OptionValue::U8(_) => OptionKind::U8,
            OptionValue::U16(_) => OptionKind::U16,
            OptionValue::U32(_) => OptionKind::U32,
            OptionValue::I32(_) => OptionKind::I32,
            OptionValue::U16List(_) => OptionKind::U16List,
            OptionValue::Bool(_) => OptionKind::Bool,
            OptionValue::Hex(_) => OptionKind::Hex,
            OptionValue::DomainList(_) => OptionKind::DomainList,
            OptionValue::Routes(_) => OptionKind::Routes,
            OptionValue::IpPairs(_) => OptionKind::IpPairs,
            OptionValue::SubOptions(_) => OptionKind::SubOptions,
        }
    }

    /// The bytes on the wire, without code and length. More than 255 are split by the encoder (RFC 3396).
    pub fn payload(&self) -> Vec<u8> {
        match self {
            OptionValue::Ip(address) => address.octets().to_vec(),
            OptionValue::IpList(list) => list.iter().flat_map(|address| address.octets()).collect(),
            OptionValue::Text(text) => text.clone().into_bytes(),
            OptionValue::U8(number) => vec![*number],
            OptionValue::U16(number) => number.to_be_bytes().to_vec(),
            OptionValue::U32(number) => number.to_be_bytes().to_vec(),
            OptionValue::I32(number) => number.to_be_bytes().to_vec(),
            OptionValue::U16List(list) => list.iter().flat_map(|number| number.to_be_bytes()).collect(),
            OptionValue::Bool(yes) => vec![u8::from(*yes)],
            OptionValue::Hex(bytes) => bytes.clone(),
            OptionValue::DomainList(names) => domain_list(names),
            OptionValue::Routes(routes) => routes.iter().flat_map(route).collect(),
            OptionValue::IpPairs(pairs) => pairs.iter().flat_map(|(a, b)| [a.octets(), b.octets()]).flatten().collect(),
            OptionValue::SubOptions(sub_options) => {
                sub_options.iter().flat_map(|(code, value)| sub_option(*code, value)).collect()
            }
        }
    }
}

/// Names in DNS form, a repeated ending written once (RFC 1035 §4.1.4). A name that DNS cannot hold, which `check` refuses, is left out.
fn domain_list(names: &[String]) -> Vec<u8> {
    let names = names.iter().filter_map(|name| Name::from_ascii(name).ok()).collect();
    let encoded = DhcpOption::DomainSearch(names).to_vec().unwrap_or_default();
    // dhcproto splits by RFC 3396 and puts code and length before each piece; pointers count from the joined text.
    let mut payload = Vec::new();
    let mut rest = encoded.as_slice();
    while let [_code, length, tail @ ..] = rest {
        let (piece, next) = tail.split_at(usize::from(*length).min(tail.len()));
        payload.extend_from_slice(piece);
        rest = next;
    }
    payload
}

/// RFC 3442: the length of the prefix, as many bytes of the destination as it touches, the gateway.
fn route(route: &Route) -> Vec<u8> {
    let prefix = route.destination.prefix_len();
    let significant = usize::from(prefix.div_ceil(8));
    let mut bytes = vec![prefix];
    bytes.extend_from_slice(&route.destination.network().octets()[..significant]);
    bytes.extend_from_slice(&route.gateway.octets());
    bytes
}

/// RFC 2132 §8.4. A value longer than its length byte can tell, which `check` refuses, is cut.
fn sub_option(code: u8, value: &OptionValue) -> Vec<u8> {
    let mut payload = value.payload();
    payload.truncate(255);
    let mut bytes = vec![code, payload.len() as u8];
    bytes.append(&mut payload);
    bytes
}

/// What an option is called here: its name, that of its definition, or its number.
pub fn show_code(code: u8, definitions: &[OptionDefinition]) -> String {
    let defined = || definitions.iter().find(|definition| definition.code == code).map(|definition| definition.name.as_str());
    match dictionary::name_of(code).or_else(defined) {
        Some(name) => name.into(),
        None => code.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_and_addresses_are_big_endian() {
        assert_eq!(OptionValue::IpList(vec![ip("192.0.2.1"), ip("192.0.2.2")]).payload(), [192, 0, 2, 1, 192, 0, 2, 2]);
        assert_eq!(OptionValue::U16(1500).payload(), [5, 220]);
        assert_eq!(OptionValue::U32(1800).payload(), [0, 0, 7, 8]);
        assert_eq!(OptionValue::I32(-3600).payload(), [0xff, 0xff, 0xf1, 0xf0]);
        assert_eq!(OptionValue::U16List(vec![6, 41]).payload(), [0, 6, 0, 41]);
        assert_eq!(OptionValue::Bool(true).payload(), [1]);
        assert_eq!(OptionValue::IpPairs(vec![(ip("203.0.113.7"), ip("192.0.2.9"))]).payload(), [203, 0, 113, 7, 192, 0, 2, 9]);
    }

    #[test]
    fn text_has_no_nul_behind_it() {
        assert_eq!(OptionValue::Text("pxe.0".into()).payload(), b"pxe.0");
    }

    #[test]
    fn rfc_3397_names_share_their_ending() {
        let names = OptionValue::DomainList(vec!["eng.example.org".into(), "sales.example.org".into()]);
        assert_eq!(names.payload(), b"\x03eng\x07example\x03org\x00\x05sales\xc0\x04");
    }

    #[test]
    fn a_long_domain_list_stays_one_text_with_valid_pointers() {
        let names: Vec<String> = (0..40).map(|i| format!("a-rather-long-label-{i}.example.org")).collect();
        let payload = OptionValue::DomainList(names).payload();
        assert!(payload.len() > 510);
        let first_label = 1 + "a-rather-long-label-0".len();
        let last = payload.len() - 2;
        assert_eq!(payload[last..], [0xc0, first_label as u8]);
        // No code and length of a split piece are left inside: every label starts where the one before ends.
        let mut at = first_label + "\x07example\x03org\x00".len();
        for i in 1..40 {
            let label = format!("a-rather-long-label-{i}");
            assert_eq!(usize::from(payload[at]), label.len());
            assert_eq!(&payload[at + 1..at + 1 + label.len()], label.as_bytes());
            at += 1 + label.len() + 2;
        }
        assert_eq!(at, payload.len());
    }

    #[test]
    fn rfc_3442_routes_carry_significant_bytes_only() {
        let route = |to: &str| Route { destination: to.parse().unwrap(), gateway: ip("192.0.2.9") };
        let routes =
            OptionValue::Routes(vec![route("10.8.0.0/24"), route("10.0.0.0/8"), route("10.17.0.0/17"), route("0.0.0.0/0")]);
        let via = [192, 0, 2, 9];
        let expected = [&[24, 10, 8, 0][..], &via, &[8, 10], &via, &[17, 10, 17, 0], &via, &[0], &via].concat();
        assert_eq!(routes.payload(), expected);
    }

    #[test]
    fn vendor_sub_options_are_code_length_value() {
        let sub_options = BTreeMap::from([(1, OptionValue::Ip(ip("192.0.2.9"))), (2, OptionValue::Text("ap".into()))]);
        assert_eq!(OptionValue::SubOptions(sub_options).payload(), [1, 4, 192, 0, 2, 9, 2, 2, b'a', b'p']);
    }

    #[test]
    fn kinds_are_found_by_their_names() {
        for kind in OptionKind::ALL {
            assert_eq!(OptionKind::named(kind.name()), Some(kind));
            let by_serde = serde_json::to_string(&kind).unwrap();
            assert!(kind.name().replace('-', "").eq(&by_serde.replace(['-', '"'], "")), "{by_serde}");
        }
    }
}
