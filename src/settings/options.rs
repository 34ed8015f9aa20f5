//! DHCP options as an admin writes them: names, kinds and typed values.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Options by code. A value always has the kind of its code (`kind_of`, or the custom definition).
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
