//! What holds between the records of the settings. The file is judged with it, and every change before it is made.

mod alerts;
mod reservations;
mod subnets;
pub mod values;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use super::{
    AddressRange, LeaseTimes, Record, RecordKey, Reservation, Settings, Subnet, Twin, access, dictionary,
    options::{OptionSet, OptionValue, show_code},
    words::{show_duration, show_identifier},
};
use values::{option_trouble, wire_time_trouble};

/// What options can take in an answer at most: an Ethernet frame less IP and UDP (28), the fixed part and the
/// cookie (240) and what the server itself must say (40); `sname` and `file` can be filled too.
const MOST_OPTION_BYTES: usize = 1500 - 28 - 240 - 40 + 64 + 128;
/// Clients ask anew after about 4 s; a probe must leave time to answer.
const LONGEST_PROBE: Duration = Duration::from_secs(2);
/// Shorter, and devices that meet one node alone would ask again every half minute; longer, and a wiped twin waits
/// for days before it answers.
const MCLTS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// A network answers within the first; clients ask anew after the second.
const ACK_DEADLINES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
/// A restart with an update takes less than the first.
const ASSUMPTIONS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 24 * 3600));
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
    Twin,
    /// The password.
    Access,
    Token(usize),
    Alerts,
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
    checker.twin();
    checker.access();
    checker.alerts();
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
    after_put_all(settings, vec![record])
}

/// All of them, or what speaks against any.
pub fn after_put_all(settings: &Settings, records: Vec<Record>) -> Result<Settings, Vec<Finding>> {
    let mut changed = settings.clone();
    records.into_iter().for_each(|record| changed.put(record));
    unless_worse(settings, changed)
}

/// As `after_put`, but the record must be new: a reservation or subnet that is there is not replaced.
pub fn after_add(settings: &Settings, record: Record) -> Result<Settings, Vec<Finding>> {
    after_add_all(settings, vec![record])
}

/// All of them, or what speaks against any.
pub fn after_add_all(settings: &Settings, records: Vec<Record>) -> Result<Settings, Vec<Finding>> {
    let mut changed = settings.clone();
    for record in records {
        match record {
            Record::Subnet(subnet) => changed.subnets.push(subnet),
            Record::Reservation(reservation) => changed.reservations.push(reservation),
            once @ (Record::Server(_)
            | Record::Lease(_)
            | Record::Twin(_)
            | Record::Access(_)
            | Record::Alerts(_)
            | Record::Options(_)
            | Record::CustomOptions(_)) => changed.put(once),
        }
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

/// `changed`, or what speaks against it that did not speak against `before`.
pub fn unless_worse(before: &Settings, changed: Settings) -> Result<Settings, Vec<Finding>> {
    // Counted, not only known: a second trouble that reads the same is fresh.
    let mut known: HashMap<String, usize> = HashMap::new();
    for finding in check(before) {
        *known.entry(finding.text).or_default() += 1;
    }
    let mut is_known = |finding: &Finding| match known.get_mut(&finding.text) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        Some(_) | None => false,
    };
    let fresh: Vec<Finding> = check(&changed).into_iter().filter(|finding| !is_known(finding)).collect();
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

    fn twin(&mut self) {
        let Twin { mclt, ack_deadline, assume_partner_down_after, .. } = self.settings.twin;
        let times = [
            ("mclt", Some(mclt), MCLTS),
            ("ack-deadline", Some(ack_deadline), ACK_DEADLINES),
            ("assume-partner-down-after", assume_partner_down_after, ASSUMPTIONS),
        ];
        for (name, time, (shortest, longest)) in times {
            let Some(time) = time else { continue };
            let [shown, least, most] = [time, shortest, longest].map(show_duration);
            if time < shortest || time > longest {
                self.find(Place::Twin, format!("`{name}` in [twin] is {shown}. Choose {least} to {most}."));
            } else if time.subsec_nanos() % 1_000_000 != 0 {
                self.find(Place::Twin, format!("`{name}` in [twin] is finer than a millisecond. Round it to {shown}."));
            }
        }
    }

    fn access(&mut self) {
        for (token, text) in access::troubles(&self.settings.access) {
            self.find(token.map_or(Place::Access, Place::Token), text);
        }
    }

    fn alerts(&mut self) {
        for text in alerts::troubles(&self.settings.alerts) {
            self.find(Place::Alerts, text);
        }
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
}

/// What the layers come to in a packet, the later over the earlier: split by RFC 3396, each piece with code and length.
fn option_bytes(layers: &[&OptionSet]) -> usize {
    let merged: BTreeMap<&u8, &OptionValue> = layers.iter().flat_map(|options| options.iter()).collect();
    merged.values().map(|value| value.payload().len()).map(|length| length + 2 * length.div_ceil(255).max(1)).sum()
}

#[cfg(test)]
mod tests;
