//! Subnets, their pools, exclusions and routers: inside one another where they must be, apart where they must not meet.

use std::net::Ipv4Addr;

use super::{Checker, Place, ROUTER, Scope, hosts, routers};
use crate::settings::{
    AddressRange, LeaseOverrides, Pool, Subnet,
    options::{OptionSet, OptionValue},
};

impl Checker<'_> {
    pub(super) fn subnet(&mut self, i: usize, subnet: &Subnet) {
        let (network, place) = (subnet.network, Place::Subnet(i));
        if network.trunc() != network {
            self.find(place, format!("Subnet {network} is an address, not a network. Write {}.", network.trunc()));
        }
        if !(8..=30).contains(&network.prefix_len()) {
            let text = format!(
                "Subnet {network}: prefix lengths from /8 to /30 can be served. Choose one of them; /24 suits 254 devices."
            );
            self.find(place, text);
            return;
        }
        let first = network.network();
        if first.octets()[0] == 0 || first.is_loopback() || first.octets()[0] >= 224 {
            self.find(
                place,
                format!("Subnet {network} holds addresses that no device can have. Choose a network like 192.168.1.0/24."),
            );
        }
        if let Some(interface) = &subnet.interface {
            self.interface(place, interface);
        }
        if subnet.lease != LeaseOverrides::default() {
            self.lease_times(
                Place::SubnetLease(i),
                &subnet.lease.over(&self.settings.lease),
                &format!("the lease times of subnet {network}"),
            );
        }
        self.options(Scope::Subnet(i), &subnet.options);
        self.routers(Scope::Subnet(i), subnet, &subnet.options);
        if !subnet.options.contains_key(&ROUTER) {
            self.general_router(subnet);
        }
        for (j, range) in subnet.exclusions.iter().enumerate() {
            let place = Place::Exclusion(i, j);
            if self.backwards(place, "Exclusion", *range) {
                continue;
            }
            if !network.contains(&range.first) || !network.contains(&range.last) {
                self.find(
                    place,
                    format!("Exclusion {range} is not inside subnet {network}. Correct it, or move it to its subnet."),
                );
            }
        }
        for (j, pool) in subnet.pools.iter().enumerate() {
            self.pool(i, j, subnet, pool);
        }
        self.overlapping_pools(i, subnet);
    }

    fn backwards(&mut self, place: Place, what: &str, range: AddressRange) -> bool {
        let backwards = range.last < range.first;
        if backwards {
            self.find(place, format!("{what} {range} ends before it begins. Write {}-{}.", range.last, range.first));
        }
        backwards
    }

    pub(super) fn routers(&mut self, scope: Scope, subnet: &Subnet, options: &OptionSet) {
        let Some(OptionValue::IpList(addresses)) = options.get(&ROUTER) else { return };
        let hosts = hosts(subnet);
        for address in addresses.iter().filter(|address| !hosts.contains(**address) && !address.is_unspecified()) {
            let text = format!(
                "`router` {} is {address}, which is no address for a device of {}: nobody could reach it. Choose one from {} to {}.",
                self.of_scope(scope),
                subnet.network,
                hosts.first,
                hosts.last
            );
            self.find(Place::Option(scope, ROUTER), text);
        }
    }

    fn general_router(&mut self, subnet: &Subnet) {
        let Some(OptionValue::IpList(addresses)) = self.settings.options.get(&ROUTER) else { return };
        if let Some(address) = addresses.iter().find(|address| !hosts(subnet).contains(**address) && !address.is_unspecified()) {
            let text = format!(
                "`router` in [options] is {address}, which devices of {} cannot reach. Set `router` in [subnet.options] of each subnet instead.",
                subnet.network
            );
            self.find(Place::Option(Scope::General, ROUTER), text);
        }
    }

    fn pool(&mut self, i: usize, j: usize, subnet: &Subnet, pool: &Pool) {
        let (range, place, hosts) = (pool.range, Place::Pool(i, j), hosts(subnet));
        if self.backwards(place, "Pool", range) {
            return;
        }
        let network = subnet.network;
        if !network.contains(&range.first) || !network.contains(&range.last) {
            self.find(
                place,
                format!("Pool {range} is not inside subnet {network}. Choose addresses from {} to {}.", hosts.first, hosts.last),
            );
        } else if !hosts.contains(range.first) || !hosts.contains(range.last) {
            let proposal = AddressRange { first: range.first.max(hosts.first), last: range.last.min(hosts.last) };
            let what = match (hosts.contains(range.first), hosts.contains(range.last)) {
                (false, true) => format!("the address of the network itself, {}", network.network()),
                (true, false) => format!("the broadcast address {}", network.broadcast()),
                _ => format!("the address of the network itself or its broadcast address, {}", network.broadcast()),
            };
            let remedy = if proposal.first <= proposal.last { proposal } else { hosts };
            self.find(place, format!("Pool {range} covers {what}, which no device can have. Write {remedy}."));
        }
        self.options(Scope::Pool(i, j), &pool.options);
        self.routers(Scope::Pool(i, j), subnet, &pool.options);
        let given =
            |address: &Ipv4Addr| range.contains(*address) && !subnet.exclusions.iter().any(|range| range.contains(*address));
        if let Some(router) = routers(self.settings, subnet, &[&pool.options]).iter().copied().find(given) {
            let text = format!(
                "Pool {range} covers the router {router}, which would be given to a device. End the pool before it, start behind it, \
                 or write exclude = [\"{router}\"]."
            );
            self.find(place, text);
        }
    }

    fn overlapping_pools(&mut self, i: usize, subnet: &Subnet) {
        let mut order: Vec<usize> =
            (0..subnet.pools.len()).filter(|j| subnet.pools[*j].range.first <= subnet.pools[*j].range.last).collect();
        order.sort_by_key(|j| subnet.pools[*j].range);
        let mut reaching_furthest: Option<AddressRange> = None;
        for j in order {
            let range = subnet.pools[j].range;
            match reaching_furthest {
                Some(before) if range.first <= before.last => {
                    let text = format!("Pool {range} overlaps pool {before}. Join the two, or separate them.");
                    self.find(Place::Pool(i, j), text);
                    if range.last > before.last {
                        reaching_furthest = Some(range);
                    }
                }
                Some(_) | None => reaching_furthest = Some(range),
            }
        }
    }

    /// Networks either lie apart, or one holds the other.
    pub(super) fn overlaps(&mut self) {
        let subnets = &self.settings.subnets;
        let mut order: Vec<usize> = (0..subnets.len()).collect();
        order.sort_by_key(|i| subnets[*i].network);
        let mut outer: Option<usize> = None;
        for i in order {
            let network = subnets[i].network;
            match outer.map(|outer| subnets[outer].network) {
                Some(before) if before == network => {
                    self.find(
                        Place::Subnet(i),
                        format!("Subnet {network} is already there. Write all of it into one [[subnet]]."),
                    );
                }
                Some(before) if before.contains(&network.network()) => {
                    let text =
                        format!("Subnet {network} lies inside subnet {before}. Make {before} smaller, or remove one of the two.");
                    self.find(Place::Subnet(i), text);
                }
                Some(_) | None => outer = Some(i),
            }
        }
    }
}
