//! What the map shows of one network: a cell for each address of one /24 of it, and the way to the others.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;

use crate::{
    protocol::{
        lease::{Binding, BindingState},
        time::Time,
    },
    settings::{
        AddressRange, Identifier, Reservation, Settings, Subnet,
        options::{OptionSet, OptionValue},
    },
    web::devices::id::DeviceId,
};

/// Addresses on one page.
const PART_PREFIX: u8 = 24;
/// Parts of a network that get a tab; of larger ones, those in use.
const TABS_MAX: usize = 16;
const ROUTER: u8 = 3;

/// What is known of the addresses beside settings and leases.
#[derive(Debug, Default)]
pub struct Seen {
    /// Used by somebody who has no lease here.
    pub strangers: HashSet<Ipv4Addr>,
    /// This node's own.
    pub own: HashSet<Ipv4Addr>,
    pub twin: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Free,
    Leased,
    Kept,
    /// Kept, and its device does not have it.
    Absent,
    /// In no pool.
    Outside,
    Excluded,
    /// Somebody uses it who has no lease here.
    Stranger,
    /// A device found it in use by another.
    Conflict,
    Router,
    Twin,
    /// The network's own, and the broadcast address.
    Special,
}

impl State {
    /// A class of the stylesheet.
    pub fn class(self) -> &'static str {
        match self {
            State::Free => "free",
            State::Leased => "leased",
            State::Kept => "kept",
            State::Absent => "absent",
            State::Outside => "outside",
            State::Excluded => "excluded",
            State::Stranger => "stranger",
            State::Conflict => "conflict",
            State::Router => "router",
            State::Twin => "twin",
            State::Special => "special",
        }
    }

    /// In the legend and for who cannot see it.
    pub fn words(self) -> &'static str {
        match self {
            State::Free => "free",
            State::Leased => "leased",
            State::Kept => "kept, in use",
            State::Absent => "kept, not in use",
            State::Outside => "in no pool",
            State::Excluded => "excluded",
            State::Stranger => "used by a stranger",
            State::Conflict => "conflict, resting",
            State::Router => "router",
            State::Twin => "twinlease",
            State::Special => "the network's own",
        }
    }

    /// A picture of the sprite; empty: the colour and the border say it.
    pub fn icon(self) -> &'static str {
        match self {
            State::Kept | State::Absent => "pin",
            State::Conflict => "x",
            State::Router => "router",
            State::Twin => "server",
            State::Excluded => "ban",
            State::Free | State::Leased | State::Outside | State::Stranger | State::Special => "",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Cell {
    pub address: Ipv4Addr,
    pub state: State,
    /// Whose it is.
    pub name: String,
    /// `None`: nothing to open.
    pub to: Option<String>,
}

impl Cell {
    pub fn last(&self) -> u8 {
        self.address.octets()[3]
    }

    pub fn label(&self) -> String {
        if self.name.is_empty() {
            format!("{} {}", self.address, self.state.words())
        } else {
            format!("{} {}: {}", self.address, self.state.words(), self.name)
        }
    }
}

/// A part of a larger network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    pub part: Ipv4Net,
    pub is_shown: bool,
}

#[derive(Debug)]
pub struct View {
    pub network: Ipv4Net,
    pub part: Ipv4Net,
    pub tabs: Vec<Tab>,
    /// How many parts there are in all.
    pub parts: u32,
    pub cells: Vec<Cell>,
    /// Columns that stay empty before the first cell, of sixteen.
    pub pools: Vec<AddressRange>,
    pub exclusions: Vec<AddressRange>,
}

impl View {
    pub fn parts_count(&self) -> usize {
        self.parts as usize
    }

    /// How many cells of this state; the legend leaves out what is not there.
    pub fn count(&self, state: &State) -> usize {
        self.cells.iter().filter(|cell| cell.state == *state).count()
    }

    pub fn legend(&self) -> Vec<(State, usize)> {
        let all = [
            State::Free,
            State::Leased,
            State::Kept,
            State::Absent,
            State::Outside,
            State::Excluded,
            State::Stranger,
            State::Conflict,
            State::Router,
            State::Twin,
        ];
        all.into_iter().map(|state| (state, self.count(&state))).filter(|(_, count)| *count > 0).collect()
    }
}

/// The part of the subnet that holds `near`, or its first pool.
pub fn part_of(subnet: &Subnet, near: Option<Ipv4Addr>) -> Ipv4Net {
    let network = subnet.network;
    let near = near.filter(|near| network.contains(near));
    let at = near.or(subnet.pools.first().map(|pool| pool.range.first)).unwrap_or(network.network());
    let prefix = network.prefix_len().max(PART_PREFIX);
    Ipv4Net::new(at, prefix).map_or(network, |part| part.trunc())
}

/// `bindings` ordered by address.
pub fn view(settings: &Settings, bindings: &[Binding], now: Time, subnet: &Subnet, part: Ipv4Net, seen: &Seen) -> View {
    let network = subnet.network;
    let begin = bindings.partition_point(|binding| binding.address < part.network());
    let end = bindings.partition_point(|binding| binding.address <= part.broadcast());
    let leases: HashMap<Ipv4Addr, &Binding> = bindings[begin..end].iter().map(|binding| (binding.address, binding)).collect();
    let begin = settings.reservations.partition_point(|kept| kept.address < part.network());
    let end = settings.reservations.partition_point(|kept| kept.address <= part.broadcast());
    let kept: HashMap<Ipv4Addr, &Reservation> =
        settings.reservations[begin..end].iter().map(|kept| (kept.address, kept)).collect();
    let routers = routers(settings, subnet);
    let cells = (u32::from(part.network())..=u32::from(part.broadcast())).map(|number| {
        let address = Ipv4Addr::from(number);
        let lease = leases.get(&address).copied().filter(|lease| lease.is_held(now));
        let kept = kept.get(&address).copied();
        cell(subnet, address, lease, kept, &routers, seen)
    });
    let (tabs, parts) = tabs(settings, bindings, subnet, part);
    View {
        network,
        part,
        tabs,
        parts,
        cells: cells.collect(),
        pools: subnet.pools.iter().map(|pool| pool.range).collect(),
        exclusions: subnet.exclusions.clone(),
    }
}

fn cell(
    subnet: &Subnet,
    address: Ipv4Addr,
    lease: Option<&Binding>,
    kept: Option<&Reservation>,
    routers: &[Ipv4Addr],
    seen: &Seen,
) -> Cell {
    let network = subnet.network;
    let is_excluded = subnet.exclusions.iter().any(|range| range.contains(address));
    let is_pooled = subnet.pools.iter().any(|pool| pool.range.contains(address));
    let state = match (lease, kept) {
        _ if address == network.network() || address == network.broadcast() => State::Special,
        (Some(lease), _) if lease.state == BindingState::Declined => State::Conflict,
        _ if seen.own.contains(&address) || seen.twin == Some(address) => State::Twin,
        (Some(lease), Some(kept)) if lease.is_of(&kept.identifier) => State::Kept,
        (_, Some(_)) if seen.strangers.contains(&address) => State::Stranger,
        (None, Some(_)) => State::Absent,
        (Some(_), _) => State::Leased,
        (None, None) if routers.contains(&address) => State::Router,
        (None, None) if seen.strangers.contains(&address) => State::Stranger,
        (None, None) if is_excluded => State::Excluded,
        (None, None) if is_pooled => State::Free,
        (None, None) => State::Outside,
    };
    let leased_name = lease.map(|lease| lease.host_name.as_deref().map_or_else(|| lease.hw.to_string(), ToString::to_string));
    let kept_name = kept.and_then(|kept| kept.name.clone());
    let name = match state {
        State::Twin if seen.twin == Some(address) => "the twin".into(),
        State::Twin => "this one".into(),
        State::Free
        | State::Leased
        | State::Kept
        | State::Absent
        | State::Outside
        | State::Excluded
        | State::Stranger
        | State::Conflict
        | State::Router
        | State::Special => kept_name.or(leased_name).unwrap_or_default(),
    };
    let to = match (state, kept, lease) {
        (State::Special | State::Router, _, _) => None,
        (State::Twin, _, _) => Some("/twins".into()),
        (_, Some(kept), _) => Some(device(&kept.identifier)),
        (_, None, Some(lease)) => Some(device(&Identifier::Mac(lease.hw))),
        (_, None, None) => Some(format!("/devices/new?address={address}")),
    };
    Cell { address, state, name, to }
}

/// The page of the device.
fn device(identifier: &Identifier) -> String {
    format!("/devices/{}", DeviceId::of(identifier))
}

pub fn routers(settings: &Settings, subnet: &Subnet) -> Vec<Ipv4Addr> {
    let of = |options: &OptionSet| match options.get(&ROUTER) {
        Some(OptionValue::IpList(list)) => list.clone(),
        Some(_) | None => Vec::new(),
    };
    let own = of(&subnet.options);
    if own.is_empty() { of(&settings.options) } else { own }
}

/// All parts where they are few; of many, those around the one shown and those in use, the busiest of the order first.
fn tabs(settings: &Settings, bindings: &[Binding], subnet: &Subnet, shown: Ipv4Net) -> (Vec<Tab>, u32) {
    let network = subnet.network;
    if network.prefix_len() >= PART_PREFIX {
        return (Vec::new(), 1);
    }
    let parts = 1_u32 << (PART_PREFIX - network.prefix_len());
    let number = |address: Ipv4Addr| (u32::from(address) - u32::from(network.network())) >> (32 - PART_PREFIX);
    let mut numbers: BTreeSet<u32> = BTreeSet::new();
    if parts as usize <= TABS_MAX {
        numbers.extend(0..parts);
    } else {
        let here = number(shown.network());
        numbers.extend([here, here.saturating_sub(1), (here + 1).min(parts - 1), 0, parts - 1]);
        let pools = subnet.pools.iter().flat_map(|pool| [pool.range.first, pool.range.last]);
        let kept = settings.reservations.iter().map(|kept| kept.address);
        let leased = bindings.iter().map(|binding| binding.address);
        for address in pools.chain(kept).chain(leased).filter(|address| network.contains(address)) {
            if numbers.len() >= TABS_MAX {
                break;
            }
            numbers.insert(number(address));
        }
    }
    let tabs = numbers.into_iter().filter_map(|number| {
        let address = Ipv4Addr::from(u32::from(network.network()) + (number << (32 - PART_PREFIX)));
        let part = Ipv4Net::new(address, PART_PREFIX).ok()?;
        Some(Tab { part, is_shown: part == shown })
    });
    (tabs.collect(), parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::lease::{ClientId, HwAddr, Version},
        protocol::time::Epoch,
        settings::parse::parse,
    };

    const NOW: Time = Time(1000);

    fn binding(last: u8, state: BindingState) -> Binding {
        let hw = HwAddr::ethernet([2, 0, 0, 0, 0, last]);
        Binding {
            address: Ipv4Addr::new(192, 0, 2, last),
            client: ClientId::Hardware(hw),
            hw,
            state,
            since: Time(0),
            expiry: Time(2000),
            epoch: Epoch(1),
            generation: 1,
            version: Version::default(),
            host_name: Some("tv".into()),
        }
    }

    fn settings(network: &str) -> Settings {
        let text = format!(
            "[[subnet]]\nnetwork = \"{network}\"\npools = [\"192.0.2.10-192.0.2.20\"]\nexclude = [\"192.0.2.12\"]\n\
             [subnet.options]\nrouter = [\"192.0.2.1\"]\n\
             [[reservation]]\nmac = \"02:00:00:00:00:0d\"\naddress = \"192.0.2.13\"\nname = \"printer\"\n\
             [[reservation]]\nmac = \"02:00:00:00:00:1e\"\naddress = \"192.0.2.30\"\n"
        );
        parse(&text).unwrap()
    }

    fn shown(network: &str, bindings: &[Binding], near: Option<Ipv4Addr>) -> View {
        let settings = settings(network);
        let subnet = &settings.subnets[0];
        let seen = Seen {
            strangers: HashSet::from([Ipv4Addr::new(192, 0, 2, 15)]),
            own: HashSet::from([Ipv4Addr::new(192, 0, 2, 2)]),
            twin: Some(Ipv4Addr::new(192, 0, 2, 3)),
        };
        view(&settings, bindings, NOW, subnet, part_of(subnet, near), &seen)
    }

    #[test]
    fn each_address_has_one_state_and_a_way_to_it() {
        let bindings = [
            binding(10, BindingState::Leased),
            binding(11, BindingState::Declined),
            binding(13, BindingState::Leased),
            binding(14, BindingState::Released),
        ];
        let view = shown("192.0.2.0/24", &bindings, None);
        assert_eq!(view.cells.len(), 256);
        for (last, state, to) in [
            (0, State::Special, None),
            (1, State::Router, None),
            (2, State::Twin, Some("/twins")),
            (3, State::Twin, Some("/twins")),
            (9, State::Outside, Some("/devices/new?address=192.0.2.9")),
            (10, State::Leased, Some("/devices/02-00-00-00-00-0a")),
            (11, State::Conflict, Some("/devices/02-00-00-00-00-0b")),
            (12, State::Excluded, Some("/devices/new?address=192.0.2.12")),
            (13, State::Kept, Some("/devices/02-00-00-00-00-0d")),
            (14, State::Free, Some("/devices/new?address=192.0.2.14")),
            (15, State::Stranger, Some("/devices/new?address=192.0.2.15")),
            (30, State::Absent, Some("/devices/02-00-00-00-00-1e")),
            (255, State::Special, None),
        ] {
            let cell = &view.cells[last];
            assert_eq!((cell.state, cell.to.as_deref()), (state, to), ".{last}");
        }
        assert_eq!(view.cells[13].label(), "192.0.2.13 kept, in use: printer");
        assert_eq!(view.count(&State::Free), 6);
    }

    #[test]
    fn a_lease_that_is_over_is_free() {
        let mut over = binding(10, BindingState::Leased);
        over.expiry = Time(999);
        assert_eq!(shown("192.0.2.0/24", &[over], None).cells[10].state, State::Free);
    }

    #[test]
    fn small_networks_are_cut_and_large_ones_are_bounded() {
        assert_eq!(shown("192.0.2.0/26", &[], None).cells.len(), 64);
        let wide = shown("192.0.0.0/22", &[], None);
        assert_eq!((wide.tabs.len(), wide.cells.len(), wide.part.to_string().as_str()), (4, 256, "192.0.2.0/24"));
        let huge = shown("192.0.0.0/8", &[], Some(Ipv4Addr::new(192, 200, 7, 9)));
        assert_eq!((huge.parts, huge.cells.len()), (65_536, 256));
        assert!(huge.tabs.len() <= TABS_MAX && huge.tabs.iter().any(|tab| tab.is_shown));
        assert_eq!(huge.part.to_string(), "192.200.7.0/24");
    }
}
