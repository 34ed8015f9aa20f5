//! What holds between the records of the settings. The file is judged with it, and every change before it is made.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use super::{
    AddressRange, Identifier, LeaseOverrides, LeaseTimes, Pool, Record, RecordKey, Reservation, Settings, Subnet,
    check_values::{host_name_trouble, option_trouble, wire_time_trouble},
    dictionary,
    options::{OptionSet, OptionValue, show_code},
    words::{show_duration, show_identifier},
};

/// What options can take in an answer at most: an Ethernet frame less IP and UDP (28), the fixed part and the
/// cookie (240) and what the server itself must say (40); `sname` and `file` can be filled too.
const MOST_OPTION_BYTES: usize = 1500 - 28 - 240 - 40 + 64 + 128;
/// Clients ask anew after about 4 s; a probe must leave time to answer.
const LONGEST_PROBE: Duration = Duration::from_secs(2);
const LONGEST_NOTE_BYTES: usize = 1000;
/// Linux's IFNAMSIZ, less the NUL.
const LONGEST_INTERFACE_BYTES: usize = 15;
const ROUTER: u8 = 3;

/// Something that cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    /// The thing, what is wrong, what to do.
    pub text: String,
}

/// Where in the settings. Numbers are positions in the lists of `Settings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Server,
    Lease,
    CustomOption(usize),
    Option(Scope, u8),
    Subnet(usize),
    SubnetLease(usize),
    Pool(usize, usize),
    Exclusion(usize, usize),
    Reservation(usize),
}

/// Whose options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    General,
    Subnet(usize),
    Pool(usize, usize),
    Reservation(usize),
}

/// Everything that is wrong, in the order of the file. Empty: the settings can be served.
pub fn check(settings: &Settings) -> Vec<Finding> {
    check_knowing(settings, true)
}

/// `all_subnets` is false where a subnet could not be read: then no address is said to be in none.
pub(super) fn check_knowing(settings: &Settings, all_subnets: bool) -> Vec<Finding> {
    let mut checker = Checker { settings, findings: Vec::new() };
    checker.server();
    checker.lease_times(Place::Lease, &settings.lease, "[lease]");
    checker.custom_options();
    checker.options(Scope::General, &settings.options);
    for (i, subnet) in settings.subnets.iter().enumerate() {
        checker.subnet(i, subnet);
    }
    checker.overlaps();
    checker.reservations(all_subnets);
    checker.findings
}

/// The settings with this record added or replaced, or what speaks against it. Trouble that was there before does not.
pub fn after_put(settings: &Settings, record: Record) -> Result<Settings, Vec<Finding>> {
    let mut changed = settings.clone();
    changed.put(record);
    unless_worse(settings, changed)
}

/// As `after_put`, but the record must be new: a reservation or subnet that is there is not replaced.
pub fn after_add(settings: &Settings, record: Record) -> Result<Settings, Vec<Finding>> {
    let mut changed = settings.clone();
    match record {
        Record::Subnet(subnet) => changed.subnets.push(subnet),
        Record::Reservation(reservation) => changed.reservations.push(reservation),
        once @ (Record::Server(_) | Record::Lease(_) | Record::Options(_) | Record::CustomOptions(_)) => changed.put(once),
    }
    let mut changed = unless_worse(settings, changed)?;
    changed.subnets.sort_by_key(|subnet| subnet.network);
    changed.reservations.sort_by_key(|reservation| reservation.address);
    Ok(changed)
}

/// The settings without this record, or what speaks against that (a reservation would be in no subnet).
pub fn after_remove(settings: &Settings, key: &RecordKey) -> Result<Settings, Vec<Finding>> {
    let mut changed = settings.clone();
    changed.remove(key);
    unless_worse(settings, changed)
}

fn unless_worse(before: &Settings, changed: Settings) -> Result<Settings, Vec<Finding>> {
    let known: HashSet<String> = check(before).into_iter().map(|finding| finding.text).collect();
    let fresh: Vec<Finding> = check(&changed).into_iter().filter(|finding| !known.contains(&finding.text)).collect();
    if fresh.is_empty() { Ok(changed) } else { Err(fresh) }
}

/// The nearest address of the same subnet that may be kept for a device: first upwards, then downwards.
/// `is_leased` tells what the settings do not know.
pub fn free_address_near(settings: &Settings, address: Ipv4Addr, is_leased: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    let kept: HashSet<Ipv4Addr> = settings.reservations.iter().map(|reservation| reservation.address).collect();
    free_near(settings, &kept, address, is_leased)
}

fn free_near(
    settings: &Settings,
    kept: &HashSet<Ipv4Addr>,
    near: Ipv4Addr,
    is_leased: impl Fn(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let subnet = settings.subnet_of(near)?;
    let routers = routers(settings, subnet, &[]);
    let hosts = hosts(subnet);
    let is_free = |candidate: &Ipv4Addr| {
        !kept.contains(candidate)
            && !routers.contains(candidate)
            && !subnet.exclusions.iter().any(|range| range.contains(*candidate))
            && !is_leased(*candidate)
    };
    let upwards = (u32::from(near)..=u32::from(hosts.last)).skip(1);
    let downwards = (u32::from(hosts.first)..u32::from(near)).rev();
    upwards.chain(downwards).map(Ipv4Addr::from).find(is_free)
}

/// All that devices can have: without the network's own address and the broadcast address.
fn hosts(subnet: &Subnet) -> AddressRange {
    AddressRange {
        first: Ipv4Addr::from(u32::from(subnet.network.network()).saturating_add(1)),
        last: Ipv4Addr::from(u32::from(subnet.network.broadcast()).saturating_sub(1)),
    }
}

/// The routers that a client is told, from the strongest source that has any.
fn routers<'a>(settings: &'a Settings, subnet: &'a Subnet, stronger: &[&'a OptionSet]) -> &'a [Ipv4Addr] {
    let sources = stronger.iter().copied().chain([&subnet.options, &settings.options]);
    match sources.into_iter().find_map(|options| options.get(&ROUTER)) {
        Some(OptionValue::IpList(addresses)) => addresses,
        _ => &[],
    }
}

fn shown(reservation: &Reservation) -> String {
    match &reservation.name {
        Some(name) => format!("*{name}*"),
        None => show_identifier(&reservation.identifier),
    }
}

/// `.32` beside an address of the same /24, else in full.
fn shown_beside(address: Ipv4Addr, other: Ipv4Addr) -> String {
    if address.octets()[..3] == other.octets()[..3] { format!(".{}", address.octets()[3]) } else { address.to_string() }
}

struct Checker<'a> {
    settings: &'a Settings,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn find(&mut self, place: Place, text: String) {
        self.findings.push(Finding { place, text });
    }

    fn server(&mut self) {
        let server = &self.settings.server;
        for interface in &server.interfaces {
            self.interface(Place::Server, interface);
        }
        if let Some(probe) = server.probe {
            if probe.is_zero() {
                self.find(
                    Place::Server,
                    "`probe` in [server] waits not at all. Write `probe = false`, or a time like \"200ms\".".into(),
                );
            } else if probe > LONGEST_PROBE || probe.subsec_nanos() % 1_000_000 != 0 {
                let text =
                    format!("`probe` in [server] is {}: clients do not wait that long. Choose 1ms to 2s.", show_duration(probe));
                self.find(Place::Server, text);
            }
        }
        let times = [("decline-quarantine", Some(server.decline_quarantine)), ("private-mac-lease", server.private_mac_lease)];
        for (name, time) in times {
            if let Some(trouble) = time.and_then(|time| wire_time_trouble(name, time)) {
                self.find(Place::Server, format!("In [server], {trouble}"));
            }
        }
    }

    fn interface(&mut self, place: Place, name: &str) {
        let possible =
            !name.is_empty() && name.len() <= LONGEST_INTERFACE_BYTES && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if !possible {
            self.find(
                place,
                format!("Interface `{}` cannot exist by that name. Look up the name with `ip link`.", name.escape_debug()),
            );
        }
    }

    fn lease_times(&mut self, place: Place, times: &LeaseTimes, of: &str) {
        let mut texts = Vec::new();
        let [min, default, max] = [times.min, times.default, times.max].map(show_duration);
        for (name, time) in [("default", times.default), ("min", times.min), ("max", times.max)] {
            texts.extend(wire_time_trouble(name, time).map(|trouble| format!("In {of}, {trouble}")));
        }
        if times.min > times.max {
            texts.push(format!("In {of}, `min` ({min}) is longer than `max` ({max}). Exchange the two."));
        } else if times.default < times.min {
            texts.push(format!("In {of}, `default` ({default}) is shorter than `min` ({min}). Choose {min} to {max}."));
        } else if times.default > times.max {
            texts.push(format!("In {of}, `default` ({default}) is longer than `max` ({max}). Choose {min} to {max}."));
        }
        let (t1, t2) = (times.t1_permille, times.t2_permille);
        if t1 == 0 || t2 == 0 || t1 >= 1000 || t2 >= 1000 {
            texts.push(format!("In {of}, `t1` and `t2` are parts of the lease. Choose them between 0.001 and 0.999, like t1 = 0.5 and t2 = 0.875."));
        } else if t1 >= t2 {
            let (t1, t2) = (f64::from(t1) / 1000.0, f64::from(t2) / 1000.0);
            texts.push(format!("In {of}, `t1` ({t1}) must come before `t2` ({t2}). Choose for example t1 = 0.5 and t2 = 0.875."));
        }
        self.findings.extend(texts.into_iter().map(|text| Finding { place, text }));
    }

    fn custom_options(&mut self) {
        let (mut codes, mut names) = (HashSet::new(), HashSet::new());
        for (i, definition) in self.settings.custom_options.iter().enumerate() {
            let (code, name) = (definition.code, &definition.name);
            let place = Place::CustomOption(i);
            if let Some(governed) = dictionary::governed(code) {
                self.find(place, format!("Custom option `{name}`: code {code} is set by the server alone. {}", governed.reason));
            } else if let Some(known) = dictionary::name_of(code) {
                self.find(
                    place,
                    format!(
                        "Custom option `{name}`: code {code} is `{known}` already. Use that name, and remove this definition."
                    ),
                );
            } else if !codes.insert(code) {
                self.find(
                    place,
                    format!("Custom option `{name}`: code {code} is defined twice. Remove one, or choose another code."),
                );
            }
            let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !well_formed {
                let shown = name.escape_debug();
                self.find(
                    place,
                    format!(
                        "Custom option `{shown}`: the name must be small letters, digits and `-`, a letter first. Rename it."
                    ),
                );
            } else if dictionary::code_of(name).is_some() || dictionary::governed_named(name).is_some() {
                self.find(
                    place,
                    format!("Custom option `{name}`: the name is taken by another option. Rename it, for example my-{name}."),
                );
            } else if !names.insert(name) {
                self.find(place, format!("Custom option `{name}` is defined twice. Remove one, or rename it."));
            }
        }
    }

    /// Each value for itself, then whether all that a client of this scope gets can fit.
    fn options(&mut self, scope: Scope, options: &OptionSet) {
        for (code, value) in options {
            if let Some(trouble) = option_trouble(*code, value, &self.settings.custom_options) {
                let text = format!("`{}` {} {trouble}", show_code(*code, &self.settings.custom_options), self.of_scope(scope));
                self.find(Place::Option(scope, *code), text);
            }
        }
        let mut layers = self.weaker(scope);
        let weaker_total = option_bytes(&layers);
        layers.push(options);
        let total = option_bytes(&layers);
        if total > MOST_OPTION_BYTES && weaker_total <= MOST_OPTION_BYTES {
            let largest = options.iter().max_by_key(|(_, value)| value.payload().len()).map_or(0, |(code, _)| *code);
            let name = show_code(largest, &self.settings.custom_options);
            let text = format!(
                "The options {} come to {total} bytes; an answer has room for {MOST_OPTION_BYTES}. Shorten the longest, `{name}`.",
                self.of_scope(scope)
            );
            self.find(Place::Option(scope, largest), text);
        }
    }

    /// The option sets that this scope's are laid over, weakest first.
    fn weaker(&self, scope: Scope) -> Vec<&OptionSet> {
        let general = &self.settings.options;
        match scope {
            Scope::General => vec![],
            Scope::Subnet(_) => vec![general],
            Scope::Pool(i, _) => vec![general, &self.settings.subnets[i].options],
            Scope::Reservation(i) => {
                let subnet = self.settings.subnet_of(self.settings.reservations[i].address);
                [general].into_iter().chain(subnet.map(|subnet| &subnet.options)).collect()
            }
        }
    }

    fn of_scope(&self, scope: Scope) -> String {
        match scope {
            Scope::General => "in [options]".into(),
            Scope::Subnet(i) => format!("of subnet {}", self.settings.subnets[i].network),
            Scope::Pool(i, j) => format!("of pool {}", self.settings.subnets[i].pools[j].range),
            Scope::Reservation(i) => format!("of {}", shown(&self.settings.reservations[i])),
        }
    }

    fn subnet(&mut self, i: usize, subnet: &Subnet) {
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

    fn routers(&mut self, scope: Scope, subnet: &Subnet, options: &OptionSet) {
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
    fn overlaps(&mut self) {
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

    fn reservations(&mut self, all_subnets: bool) {
        let settings = self.settings;
        let kept: HashSet<Ipv4Addr> = settings.reservations.iter().map(|reservation| reservation.address).collect();
        let mut by_address: HashMap<Ipv4Addr, usize> = HashMap::new();
        let mut by_identifier: HashMap<&Identifier, usize> = HashMap::new();
        for (i, reservation) in settings.reservations.iter().enumerate() {
            let (place, address) = (Place::Reservation(i), reservation.address);
            if let Some(trouble) = identifier_trouble(&reservation.identifier) {
                self.find(place, trouble);
            }
            if let Some(other) = by_identifier.insert(&reservation.identifier, i) {
                let text = format!(
                    "{} has the kept address {} already. A device has one: change that one, or remove it.",
                    show_identifier(&reservation.identifier),
                    settings.reservations[other].address
                );
                self.find(place, text);
            }
            self.reserved_address(place, reservation, all_subnets, &kept);
            if let Some(other) = by_address.insert(address, i) {
                let other = shown(&settings.reservations[other]);
                let choice = match free_near(settings, &kept, address, |_| false) {
                    Some(free) => format!("Choose {} (free), or change {other}.", shown_beside(free, address)),
                    None => format!("No other address is free: change {other}."),
                };
                self.find(place, format!("{address} is already kept for {other}. {choice}"));
            }
            if let Some(trouble) = reservation.name.as_deref().and_then(host_name_trouble) {
                self.find(place, trouble);
            }
            if let Some(note) = reservation.note.as_deref().filter(|note| note.len() > LONGEST_NOTE_BYTES) {
                let text = format!(
                    "The note of {} has {} bytes; {LONGEST_NOTE_BYTES} are possible. Shorten it.",
                    shown(reservation),
                    note.len()
                );
                self.find(place, text);
            }
            if !reservation.options.is_empty() {
                self.options(Scope::Reservation(i), &reservation.options);
                if let Some(subnet) = settings.subnet_of(address) {
                    self.routers(Scope::Reservation(i), subnet, &reservation.options);
                }
            }
        }
    }

    fn reserved_address(&mut self, place: Place, reservation: &Reservation, all_subnets: bool, kept: &HashSet<Ipv4Addr>) {
        let (address, device) = (reservation.address, shown(reservation));
        let Some(subnet) = self.settings.subnet_of(address) else {
            if all_subnets {
                let text = format!(
                    "{address} for {device} lies in no subnet. Choose an address inside one, or add a [[subnet]] that holds it."
                );
                self.find(place, text);
            }
            return;
        };
        let trouble = if !hosts(subnet).contains(address) {
            format!("{address} for {device} is the network's own or its broadcast address, which no device can have.")
        } else if routers(self.settings, subnet, &[&reservation.options]).contains(&address) {
            format!("{address} for {device} is the router's address.")
        } else {
            return;
        };
        let choice = match free_near(self.settings, kept, address, |_| false) {
            Some(free) => format!("Choose another, for example {} (free).", shown_beside(free, address)),
            None => "Choose another.".into(),
        };
        self.find(place, format!("{trouble} {choice}"));
    }
}

fn identifier_trouble(identifier: &Identifier) -> Option<String> {
    match identifier {
        Identifier::Mac(hw) if hw.htype() == crate::protocol::lease::HwAddr::ETHERNET => match hw.mac() {
            Some(mac) if mac[0] & 1 == 0 => None,
            Some(_) => Some(format!(
                "MAC `{hw}` is a multicast address, which no device can have. Look for the address on the device's label."
            )),
            None => Some(format!("MAC `{hw}` has {} bytes. Use 6 pairs, like a4:cf:12:9b:00:1e.", hw.bytes().len())),
        },
        Identifier::Mac(hw) => {
            hw.bytes().is_empty().then(|| format!("Hardware address `{hw}` has no bytes. Write them behind the `/`."))
        }
        Identifier::ClientId(id) | Identifier::CircuitId(id) => (id.is_empty() || id.len() > 255)
            .then(|| format!("{} has {} bytes; 1 to 255 are possible. Correct it.", show_identifier(identifier), id.len())),
    }
}

/// What the layers come to in a packet, the later over the earlier: split by RFC 3396, each piece with code and length.
fn option_bytes(layers: &[&OptionSet]) -> usize {
    let merged: BTreeMap<&u8, &OptionValue> = layers.iter().flat_map(|options| options.iter()).collect();
    merged.values().map(|value| value.payload().len()).map(|length| length + 2 * length.div_ceil(255).max(1)).sum()
}

#[cfg(test)]
mod tests;
