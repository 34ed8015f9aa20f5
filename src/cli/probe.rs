//! `probe`: who else answers DHCP on the network?

use std::{net::Ipv4Addr, time::Duration};

use anyhow::bail;
use serde_json::Value;
use twinlease::{
    protocol::{Interface, explain::spell},
    runtime::{links, rivals},
};

use super::{DONE, FOUND, Place, door::Door};

pub fn run(place: &Place, names: &[String], wait: Duration, json: bool) -> anyhow::Result<u8> {
    let interfaces = links::list()?;
    if let Some(missing) = names.iter().find(|name| !interfaces.iter().any(|interface| interface.name == **name)) {
        let known: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        bail!("There is no interface `{missing}`. There are: {}.", known.join(", "));
    }
    let mut own: Vec<Ipv4Addr> = interfaces.iter().flat_map(|interface| &interface.addresses).map(|net| net.addr()).collect();
    // Whoever may not ask the server, or has none here, still learns who answers.
    let twin = match Door::open(place) {
        Ok(Door::Running(server)) => server.get::<Value>("/twin").ok().and_then(|report| rivals::twin_address(&report["link"])),
        Ok(Door::Stopped) | Err(_) => None,
    };
    own.extend(twin);
    let is_meant = |interface: &&Interface| match names {
        [] => interface.up && interface.mac.is_some() && !interface.addresses.is_empty(),
        names => names.contains(&interface.name),
    };
    let meant: Vec<&Interface> = interfaces.iter().filter(is_meant).collect();
    if meant.is_empty() {
        bail!("No Ethernet interface is up and has an address. Name one with --interface.");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for interface in meant {
        match runtime.block_on(rivals::find_rivals(interface, &own, wait)) {
            Ok(answered) => {
                found.extend(rivals::strangers(answered, twin).into_iter().map(|rival| (interface.name.clone(), rival)))
            }
            // What the others found is worth telling all the same.
            Err(error) => failures.push(error),
        }
    }
    if json {
        let rows = found.iter().map(|(interface, rival)| {
            serde_json::json!({
                "interface": interface, "server": rival.server_id, "source": rival.source, "mac": mac(rival.mac),
                "offered": rival.offered, "routers": rival.routers, "dns": rival.dns, "lease_secs": rival.lease_secs,
            })
        });
        println!("{}", serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?);
    } else if found.is_empty() && failures.is_empty() {
        println!("No other DHCP server answered within {} s.", wait.as_secs_f32());
    }
    for (interface, rival) in found.iter().filter(|_| !json) {
        let server = rival.server_id.map_or_else(|| "without a name".into(), |id| id.to_string());
        let secs = rival.lease_secs.map_or_else(|| "an unknown time".into(), |secs| spell(secs.into()));
        let list = |addresses: &[Ipv4Addr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        println!(
            "{interface}: DHCP server {server} ({}, from {}) offers {} for {secs}, router {}, DNS {}. Switch it off, or its clients and yours will collide.",
            mac(rival.mac),
            rival.source,
            rival.offered,
            list(&rival.routers),
            list(&rival.dns),
        );
    }
    match failures.pop() {
        Some(error) if found.is_empty() => Err(error.into()),
        Some(error) => {
            eprintln!("{error}");
            Ok(FOUND)
        }
        None => Ok(if found.is_empty() { DONE } else { FOUND }),
    }
}

fn mac(bytes: [u8; 6]) -> String {
    twinlease::protocol::lease::HwAddr::ethernet(bytes).to_string()
}
