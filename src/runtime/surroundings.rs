//! What a machine knows of its network before anybody has said anything: its addresses, the way out, the DNS servers.

use std::{fs, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::links;
use crate::protocol::Interface;

/// An interface that could be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surrounding {
    pub interface: Interface,
    /// The address of this machine, with its network.
    pub address: Ipv4Net,
    pub router: Option<Ipv4Addr>,
}

/// The ones with a way out first.
pub fn surroundings() -> Vec<Surrounding> {
    let routes = default_routes(&fs::read_to_string("/proc/net/route").unwrap_or_default());
    let mut found: Vec<Surrounding> = links::list()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| interface.up && interface.mac.is_some())
        .filter_map(|interface| {
            let own = interface.addresses.iter().filter(|net| (8..=30).contains(&net.prefix_len()));
            // What a box has given itself, while nobody else has, is no network to serve where there is another.
            let address = *own.min_by_key(|net| net.addr().is_link_local())?;
            let router = routes.iter().find(|(name, router)| *name == interface.name && address.contains(router));
            Some(Surrounding { address, router: router.map(|(_, router)| *router), interface })
        })
        .collect();
    found.sort_by_key(|found| (found.router.is_none(), found.interface.index));
    found
}

/// As the resolver has them: IPv4, and none of this machine's own.
pub fn dns_servers() -> Vec<Ipv4Addr> {
    name_servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn name_servers(text: &str) -> Vec<Ipv4Addr> {
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let servers = words.filter_map(|word| word.trim().parse::<Ipv4Addr>().ok());
    servers.filter(|server| !server.is_loopback() && !server.is_unspecified()).take(3).collect()
}

/// Name and gateway of each default route, as /proc/net/route has them (in the machine's own byte order).
fn default_routes(text: &str) -> Vec<(String, Ipv4Addr)> {
    let route = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, destination, gateway) = (words.next()?, words.next()?, words.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        (destination == "00000000").then(|| (name.to_string(), Ipv4Addr::from(gateway.to_ne_bytes())))
    };
    text.lines().filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_read_and_other_routes_are_not() {
        let gateway = u32::from_ne_bytes([192, 0, 2, 1]);
        let text = format!(
            "Iface\tDestination\tGateway \tFlags\neth0\t00000000\t{gateway:08X}\t0003\nwlan0\t00000000\t00000000\t1\neth0\t000200C0\t00000000\t1\nx\n"
        );
        assert_eq!(default_routes(&text), [("eth0".to_string(), Ipv4Addr::new(192, 0, 2, 1))]);
    }

    #[test]
    fn name_servers_of_others_only() {
        let text = "# made\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver 2001:db8::1\nnameserver\nsearch lan\n";
        assert_eq!(name_servers(text), [Ipv4Addr::new(192, 0, 2, 53)]);
    }
}
