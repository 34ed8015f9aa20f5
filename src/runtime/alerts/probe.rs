//! Who else answers DHCP here, on all interfaces at once?

use std::{net::Ipv4Addr, time::Duration};

use super::SeenRival;
use crate::{
    protocol::{Interface, lease::HwAddr},
    runtime::{control::twin::TwinLink, links, rivals},
};

/// On those of `names` that are up; none: on every Ethernet that is up and has an address.
pub async fn look(names: &[String], link: Option<&dyn TwinLink>, wait: Duration) -> Result<Vec<SeenRival>, String> {
    let interfaces = links::list().map_err(|error| format!("The interfaces cannot be listed ({error})."))?;
    let mut own: Vec<Ipv4Addr> = interfaces.iter().flat_map(|interface| &interface.addresses).map(|net| net.addr()).collect();
    let twin = link.and_then(|link| rivals::twin_address(&link.facts()));
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
            Ok(answered) => {
                found.extend(rivals::strangers(answered, twin).into_iter().map(|rival| (interface.name.clone(), rival)))
            }
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
