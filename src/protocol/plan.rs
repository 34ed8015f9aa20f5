//! Settings in the form that answering a packet needs: look-ups by identifier and address, options ready to send.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use super::{
    Map,
    dhcp::{Message, code},
};
use crate::settings::{AddressRange, Identifier, LeaseTimes, Reservation, Settings, Subnet, options::OptionSet};

/// Where an option's value comes from; a later one beats an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Follows from the subnet itself (mask, broadcast address).
    Network,
    Global,
    Subnet,
    Pool,
    Reservation,
}

/// Options for one kind of client, by code, as they go on the wire.
pub type OptionTable = BTreeMap<u8, (Source, Arc<[u8]>)>;

/// Settings, and what is derived from them. Rebuilt whole at each change.
#[derive(Debug)]
pub struct Plan {
    pub settings: Settings,
    by_identifier: Map<Identifier, usize>,
    by_address: Map<Ipv4Addr, usize>,
    subnets: Vec<SubnetPlan>,
}

/// A subnet, ready to answer from.
#[derive(Debug)]
pub struct SubnetPlan {
    pub subnet: Subnet,
    pub lease: LeaseTimes,
    /// Without a pool's own options (addresses outside the pools).
    general: Tables,
    /// One for each pool.
    pools: Vec<Tables>,
    /// Addresses that can be given to anybody: pools less exclusions, the network's own addresses and reservations.
    pub pool_size: u64,
}

/// The options of one part of a subnet.
#[derive(Debug)]
struct Tables {
    /// As set.
    plain: OptionTable,
    /// With the default route in 121 too.
    routed: OptionTable,
}

impl Tables {
    fn of(plain: OptionTable) -> Tables {
        let mut routed = plain.clone();
        add_default_route(&mut routed);
        Tables { plain, routed }
    }
}

impl Plan {
    pub fn new(settings: Settings) -> Plan {
        let by_identifier = settings.reservations.iter().enumerate().map(|(i, kept)| (kept.identifier.clone(), i)).collect();
        let by_address = settings.reservations.iter().enumerate().map(|(i, kept)| (kept.address, i)).collect();
        let subnets = settings.subnets.iter().map(|subnet| SubnetPlan::new(&settings, subnet)).collect();
        Plan { settings, by_identifier, by_address, subnets }
    }

    pub fn subnets(&self) -> &[SubnetPlan] {
        &self.subnets
    }

    /// The index of the subnet that the address belongs to.
    pub fn subnet_of(&self, address: Ipv4Addr) -> Option<usize> {
        let at = self.subnets.partition_point(|plan| plan.subnet.network.network() <= address);
        let candidate = at.checked_sub(1)?;
        self.subnets[candidate].subnet.network.contains(&address).then_some(candidate)
    }

    /// The reservation that this device has, by client-id, hardware address (whatever client-id it sends,
    /// RFC 4361 §6.3) or relay port.
    pub fn reservation_for(&self, request: &Message) -> Option<&Reservation> {
        if self.by_identifier.is_empty() {
            return None;
        }
        let by = |identifier| self.by_identifier.get(&identifier).map(|&i| &self.settings.reservations[i]);
        let given = request.options.get(code::CLIENT_ID).and_then(|id| by(Identifier::ClientId(id.to_vec())));
        let circuit = || request.relay_option(code::RELAY_CIRCUIT_ID).and_then(|id| by(Identifier::CircuitId(id.to_vec())));
        given.or_else(|| by(Identifier::Mac(request.hw))).or_else(circuit)
    }

    /// Each once, in no particular order.
    pub fn kept_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.by_address.keys().copied()
    }

    pub fn reservation_at(&self, address: Ipv4Addr) -> Option<&Reservation> {
        self.by_address.get(&address).map(|&i| &self.settings.reservations[i])
    }
}

impl SubnetPlan {
    fn new(settings: &Settings, subnet: &Subnet) -> SubnetPlan {
        let mut general = OptionTable::new();
        let network = &subnet.network;
        general.insert(code::SUBNET_MASK, (Source::Network, network.netmask().octets().as_slice().into()));
        general.insert(code::BROADCAST, (Source::Network, network.broadcast().octets().as_slice().into()));
        lay_over(&mut general, &settings.options, Source::Global);
        lay_over(&mut general, &subnet.options, Source::Subnet);
        let pools = subnet.pools.iter().map(|pool| {
            let mut table = general.clone();
            lay_over(&mut table, &pool.options, Source::Pool);
            Tables::of(table)
        });
        let (pools, lease) = (pools.collect(), subnet.lease.over(&settings.lease));
        let mut plan = SubnetPlan { lease, pools, general: Tables::of(general), pool_size: 0, subnet: subnet.clone() };
        let kept = settings.reservations.iter().filter(|kept| plan.is_dynamic(kept.address)).count() as u64;
        plan.pool_size = plan.count_pool().saturating_sub(kept);
        plan
    }

    /// May be given to anybody, as far as pools and exclusions say.
    pub fn is_dynamic(&self, address: Ipv4Addr) -> bool {
        self.pool_of(address).is_some() && !self.is_excluded(address) && !self.is_special(address)
    }

    /// The network's and the broadcast address.
    pub fn is_special(&self, address: Ipv4Addr) -> bool {
        address == self.subnet.network.network() || address == self.subnet.network.broadcast()
    }

    fn is_excluded(&self, address: Ipv4Addr) -> bool {
        in_ranges(self.subnet.exclusions.iter(), address)
    }

    fn pool_of(&self, address: Ipv4Addr) -> Option<usize> {
        self.subnet.pools.iter().position(|pool| pool.range.contains(address))
    }

    /// The options of whoever has this address, reservation not counted.
    pub fn options_at(&self, address: Ipv4Addr) -> &OptionTable {
        &self.tables_at(address).routed
    }

    /// The same with a reservation's own options on top.
    pub fn options_with(&self, address: Ipv4Addr, own: &OptionSet) -> OptionTable {
        let mut table = self.tables_at(address).plain.clone();
        lay_over(&mut table, own, Source::Reservation);
        add_default_route(&mut table);
        table
    }

    fn tables_at(&self, address: Ipv4Addr) -> &Tables {
        self.pool_of(address).map_or(&self.general, |pool| &self.pools[pool])
    }

    fn count_pool(&self) -> u64 {
        let inside: u64 = self.subnet.pools.iter().map(|pool| pool.range.size()).sum();
        let mut outside = 0;
        for pool in &self.subnet.pools {
            for excluded in &self.subnet.exclusions {
                let first = pool.range.first.max(excluded.first);
                let last = pool.range.last.min(excluded.last);
                if first <= last {
                    outside += AddressRange { first, last }.size();
                }
            }
        }
        inside.saturating_sub(outside)
    }
}

/// Options of a stronger source take the place of those of a weaker one, code by code.
fn lay_over(table: &mut OptionTable, options: &OptionSet, source: Source) {
    for (&code, value) in options {
        table.insert(code, (source, value.payload().into()));
    }
}

/// A client that takes 121 ignores 3 (RFC 3442), so the default route stands in 121 too.
fn add_default_route(table: &mut OptionTable) {
    let Some((_, router)) = table.get(&code::ROUTER) else { return };
    let Some(gateway) = router.get(..4).map(<[u8]>::to_vec) else { return };
    let Some((_, routes)) = table.get_mut(&code::ROUTES) else { return };
    if !has_default_route(routes) {
        *routes = [&[0], &gateway[..], routes].concat().into();
    }
}

fn has_default_route(mut routes: &[u8]) -> bool {
    while let [prefix_len, rest @ ..] = routes {
        if *prefix_len == 0 {
            return true;
        }
        routes = rest.get(usize::from(*prefix_len).div_ceil(8) + 4..).unwrap_or_default();
    }
    false
}

fn in_ranges<'a>(mut ranges: impl Iterator<Item = &'a AddressRange>, address: Ipv4Addr) -> bool {
    ranges.any(|range| range.contains(address))
}
