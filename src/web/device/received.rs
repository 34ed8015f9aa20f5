//! Which options a device is told, and where each of them comes from.

use std::{net::Ipv4Addr, time::Duration};

use crate::{
    protocol::{
        Node,
        explain::spell,
        plan::{OptionTable, Source},
    },
    settings::{
        Reservation, Settings,
        options::{OptionValue, Route, show_code},
        words::show_hex,
    },
};

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub name: String,
    pub value: String,
    pub source: String,
}

/// What the node would send, as it would send it. Empty: nobody gets this address from here.
pub fn table(node: &Node, address: Ipv4Addr) -> OptionTable {
    let plan = node.plan();
    let Some(subnet) = plan.subnet_of(address) else { return OptionTable::new() };
    let subnet = &plan.subnets()[subnet];
    match plan.reservation_at(address).filter(|kept| !kept.options.is_empty()) {
        Some(kept) => subnet.options_with(address, &kept.options),
        None => subnet.options_at(address).clone(),
    }
}

pub fn received(settings: &Settings, table: &OptionTable, address: Ipv4Addr, kept: Option<&Reservation>) -> Vec<Received> {
    let Some(subnet) = settings.subnet_of(address) else { return Vec::new() };
    let pool = subnet.pools.iter().find(|pool| pool.range.contains(address));
    let mut list = Vec::new();
    let times = subnet.lease.over(&settings.lease);
    let own_time = subnet.lease.default.is_some();
    list.push(Received {
        name: "lease time".into(),
        value: format!("{}, where it asks for no other", told(times.default)),
        source: if own_time { format!("subnet {}", subnet.network) } else { "all devices".into() },
    });
    if let Some(name) = kept.and_then(|kept| kept.name.clone()) {
        list.push(Received { name: "host-name".into(), value: name, source: "this device".into() });
    }
    for (code, (source, bytes)) in table {
        let set = match source {
            Source::Network => None,
            Source::Global => settings.options.get(code),
            Source::Subnet => subnet.options.get(code),
            Source::Pool => pool.and_then(|pool| pool.options.get(code)),
            Source::Reservation => kept.and_then(|kept| kept.options.get(code)),
        };
        let name = match *code {
            1 => "subnet-mask".into(),
            code => show_code(code, &settings.custom_options),
        };
        let value = match set {
            Some(value) => plain(value),
            None => as_address(bytes).map_or_else(|| show_hex(bytes), |address| address.to_string()),
        };
        let source = match source {
            Source::Network => "follows from the network".into(),
            Source::Global => "all devices".into(),
            Source::Subnet => format!("subnet {}", subnet.network),
            Source::Pool => pool.map_or_else(|| "pool".into(), |pool| format!("pool {}", pool.range)),
            Source::Reservation => "this device".into(),
        };
        list.push(Received { name, value, source });
    }
    list
}

fn told(time: Duration) -> String {
    spell(time.as_secs())
}

fn as_address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

/// For reading, not for a file.
pub fn plain(value: &OptionValue) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        OptionValue::Ip(address) => address.to_string(),
        OptionValue::IpList(list) => joined(list.iter().map(Ipv4Addr::to_string).collect()),
        OptionValue::Text(text) => text.clone(),
        OptionValue::U8(number) => number.to_string(),
        OptionValue::U16(number) => number.to_string(),
        OptionValue::U32(number) => number.to_string(),
        OptionValue::I32(number) => number.to_string(),
        OptionValue::U16List(list) => joined(list.iter().map(u16::to_string).collect()),
        OptionValue::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        OptionValue::Hex(bytes) => show_hex(bytes),
        OptionValue::DomainList(names) => names.join(", "),
        OptionValue::Routes(routes) => {
            joined(routes.iter().map(|Route { destination, gateway }| format!("{destination} via {gateway}")).collect())
        }
        OptionValue::IpPairs(pairs) => joined(pairs.iter().map(|(a, b)| format!("{a} {b}")).collect()),
        OptionValue::SubOptions(parts) => joined(parts.iter().map(|(code, value)| format!("{code}: {}", plain(value))).collect()),
    }
}
