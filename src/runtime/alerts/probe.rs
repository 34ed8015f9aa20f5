//! Who else answers DHCP here? The twin is no rival: it is known by the address of its link, and by the hardware
//! address that goes with it, which its other networks share where they are VLANs of one port.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, time::Duration};

use super::SeenRival;
use crate::{
    protocol::{Interface, lease::HwAddr},
    runtime::{
        control::twin::TwinLink,
        links,
        rivals::{self, Rival},
    },
};

/// On those of `names` that are up; none: on every Ethernet that is up and has an address.
pub async fn look(names: &[String], link: Option<&dyn TwinLink>, wait: Duration) -> Result<Vec<SeenRival>, String> {
    let interfaces = links::list().map_err(|error| format!("The interfaces cannot be listed ({error})."))?;
    let mut own: Vec<Ipv4Addr> = interfaces.iter().flat_map(|interface| &interface.addresses).map(|net| net.addr()).collect();
    let twin = link.and_then(|link| twin_address(&link.facts()));
    own.extend(twin);
    let is_meant = |interface: &&Interface| {
        let is_named = names.is_empty() || names.contains(&interface.name);
        is_named && interface.up && interface.mac.is_some() && !interface.addresses.is_empty()
    };
    let meant: Vec<&Interface> = interfaces.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err("No Ethernet interface is up and has an address, so nobody can be asked.".into());
    }
    let looks = meant.iter().map(|interface| rivals::find_rivals(interface, &own, wait));
    let outcomes = futures_util::future::join_all(looks).await;
    let (mut found, mut trouble) = (Vec::new(), None);
    for (interface, outcome) in meant.iter().zip(outcomes) {
        match outcome {
            Ok(rivals) => found.extend(strangers(rivals, twin).into_iter().map(|rival| (interface.name.clone(), rival))),
            Err(error) => trouble = Some(error.to_string()),
        }
    }
    if let (true, Some(trouble)) = (found.is_empty(), trouble) {
        return Err(trouble);
    }
    Ok(found
        .into_iter()
        .map(|(interface, rival)| SeenRival {
            interface,
            server: rival.server_id.unwrap_or(rival.source),
            mac: HwAddr::ethernet(rival.mac).to_string(),
            offered: rival.offered,
            routers: rival.routers,
            dns: rival.dns,
        })
        .collect())
}

/// Without the twin, whose link is at this address.
pub fn strangers(rivals: Vec<Rival>, twin: Option<Ipv4Addr>) -> Vec<Rival> {
    let twins = twin.map(macs_of).unwrap_or_default();
    rivals.into_iter().filter(|rival| !twins.contains(&HwAddr::ethernet(rival.mac).to_string())).collect()
}

/// Where the twin's link is; `facts` as the link tells them.
pub fn twin_address(facts: &serde_json::Value) -> Option<Ipv4Addr> {
    let address = facts.get("twin")?.get("address")?.as_str()?;
    let (host, _) = address.rsplit_once(':')?;
    host.parse().ok()
}

/// As the kernel has heard by ARP.
fn macs_of(address: Ipv4Addr) -> BTreeSet<String> {
    in_arp_table(&fs::read_to_string("/proc/net/arp").unwrap_or_default(), address)
}

fn in_arp_table(table: &str, address: Ipv4Addr) -> BTreeSet<String> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let its = rows.filter(|row| row.first().is_some_and(|first| first.parse() == Ok(address)));
    let macs = its.filter_map(|row| row.get(3).map(|mac| (*mac).to_owned()));
    macs.filter(|mac| mac != "00:00:00:00:00:00").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twin_is_known_by_the_address_of_its_link_and_what_arp_says_of_it() {
        let facts = serde_json::json!({ "twin": { "address": "192.0.2.3:8067" } });
        assert_eq!(twin_address(&facts), Some(Ipv4Addr::new(192, 0, 2, 3)));
        assert_eq!(twin_address(&serde_json::json!({ "twin": null })), None);
        assert_eq!(twin_address(&serde_json::json!({ "twin": { "address": null } })), None);
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.0.2.3        0x1         0x2         02:00:00:00:00:03     *        eth0\n\
                     192.0.2.4        0x1         0x2         02:00:00:00:00:04     *        eth0\n\
                     192.0.2.3        0x1         0x0         00:00:00:00:00:00     *        eth1\n";
        assert_eq!(in_arp_table(table, Ipv4Addr::new(192, 0, 2, 3)), ["02:00:00:00:00:03".to_owned()].into());
    }
}
