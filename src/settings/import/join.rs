//! What a file gave, laid over the settings that are there: what is there stays, and what clashes with it is told.

use std::collections::{HashMap, HashSet};

use super::{Remark, Taken};
use crate::settings::{
    Identifier, LeaseTimes, Settings,
    check::{Finding, Place, Scope, check},
    options::show_code,
    words::show_identifier,
};

/// One thing that clashes is taken out at a time; more rounds than this, and the rest is told as it is.
const ROUNDS_MAX: usize = 50;

/// What would be.
#[derive(Debug)]
pub struct Joined {
    pub settings: Settings,
    /// Left out, because it contradicts what is there or cannot be served.
    pub clashes: Vec<Remark>,
    /// Was there before.
    pub same: usize,
    /// What speaks against the whole, if anything is left; then nothing can be applied.
    pub against: Vec<String>,
}

pub fn join(before: &Settings, taken: &Taken) -> Joined {
    let mut joined = Joined { settings: before.clone(), clashes: Vec::new(), same: 0, against: Vec::new() };
    joined.general(before, taken);
    joined.subnets(taken);
    joined.reservations(taken);
    joined.prune(before, taken);
    joined
}

impl Joined {
    fn clash(&mut self, line: Option<usize>, what: String, why: String) {
        self.clashes.push(Remark { line, what, why });
    }

    fn general(&mut self, before: &Settings, taken: &Taken) {
        let server = &mut self.settings.server;
        server.authoritative = taken.authoritative.unwrap_or(server.authoritative);
        server.rapid_commit = taken.rapid_commit.unwrap_or(server.rapid_commit);
        self.settings.lease = widened(taken.lease.over(&before.lease), taken);
        for definition in &taken.custom_options {
            if !before.custom_options.iter().any(|own| own.code == definition.code || own.name == definition.name) {
                self.settings.custom_options.push(definition.clone());
            }
        }
        for (code, value) in &taken.options {
            match self.settings.options.get(code) {
                None => drop(self.settings.options.insert(*code, value.clone())),
                Some(own) if own == value => self.same += 1,
                Some(_) => self.clash(
                    None,
                    format!("option {}", show_code(*code, &before.custom_options)),
                    "It is set for everybody already, to something else. That stays.".into(),
                ),
            }
        }
    }

    fn subnets(&mut self, taken: &Taken) {
        for subnet in taken.subnets.values() {
            let network = subnet.network;
            let Some(own) = self.settings.subnets.iter_mut().find(|own| own.network == network) else {
                let other =
                    self.settings.subnets.iter().find(|own| own.network.contains(&network) || network.contains(&own.network));
                match other.map(|other| other.network) {
                    Some(other) => self.clash(
                        None,
                        format!("subnet {network}"),
                        format!("It overlaps the subnet {other} that is there. Its pools and options are left out."),
                    ),
                    None => {
                        let mut subnet = subnet.clone();
                        if subnet.lease != Default::default() {
                            let times = widened(subnet.lease.over(&self.settings.lease), taken);
                            (subnet.lease.min, subnet.lease.max) = (Some(times.min), Some(times.max));
                        }
                        self.settings.subnets.push(subnet);
                    }
                }
                continue;
            };
            let mut clashes = Vec::new();
            for pool in &subnet.pools {
                let meets = own.pools.iter().find(|own| own.range.first <= pool.range.last && pool.range.first <= own.range.last);
                match meets.map(|own| own.range) {
                    Some(range) if range == pool.range => self.same += 1,
                    Some(range) => {
                        clashes.push((format!("pool {}", pool.range), format!("It overlaps the pool {range} that is there.")))
                    }
                    None => own.pools.push(pool.clone()),
                }
            }
            own.pools.sort_by_key(|pool| pool.range);
            for (code, value) in &subnet.options {
                match own.options.get(code) {
                    None => drop(own.options.insert(*code, value.clone())),
                    Some(set) if set == value => self.same += 1,
                    Some(_) => clashes.push((
                        format!("option {} of {network}", show_code(*code, &taken.custom_options)),
                        "It is set there already, to something else. That stays.".into(),
                    )),
                }
            }
            for (what, why) in clashes {
                self.clash(None, what, why);
            }
        }
        self.settings.subnets.sort_by_key(|subnet| subnet.network);
    }

    fn reservations(&mut self, taken: &Taken) {
        let mut addresses: HashMap<_, _> =
            self.settings.reservations.iter().map(|kept| (kept.address, kept.identifier.clone())).collect();
        let mut devices: HashMap<_, _> =
            self.settings.reservations.iter().map(|kept| (kept.identifier.clone(), kept.address)).collect();
        for (line, kept) in &taken.reservations {
            let device = show_identifier(&kept.identifier);
            let what = kept.name.as_ref().map_or_else(|| device.clone(), |name| format!("{name} ({device})"));
            match (devices.get(&kept.identifier), addresses.get(&kept.address)) {
                (Some(address), _) if *address == kept.address => self.same += 1,
                (Some(address), _) => {
                    let why = format!("{address} is kept for it already; the file says {}.", kept.address);
                    self.clash(*line, what, why);
                }
                (None, Some(other)) => {
                    let why = format!("{} is kept for {} already.", kept.address, show_identifier(other));
                    self.clash(*line, what, why);
                }
                (None, None) => {
                    addresses.insert(kept.address, kept.identifier.clone());
                    devices.insert(kept.identifier.clone(), kept.address);
                    self.settings.reservations.push(kept.clone());
                }
            }
        }
        self.settings.reservations.sort_by_key(|kept| kept.address);
    }

    /// Takes out what cannot be served, by the same sentences as everywhere.
    fn prune(&mut self, before: &Settings, taken: &Taken) {
        let known: HashSet<String> = check(before).into_iter().map(|finding| finding.text).collect();
        let own: HashSet<&Identifier> = before.reservations.iter().map(|kept| &kept.identifier).collect();
        let lines: HashMap<&Identifier, Option<usize>> =
            taken.reservations.iter().map(|(line, kept)| (&kept.identifier, *line)).collect();
        for _ in 0..ROUNDS_MAX {
            let findings: Vec<Finding> = check(&self.settings).into_iter().filter(|found| !known.contains(&found.text)).collect();
            if findings.is_empty() {
                return;
            }
            // All kept addresses at once, as there may be thousands; the rest one by one, for one often causes another.
            let mut out: HashMap<usize, String> = HashMap::new();
            for Finding { place, text } in &findings {
                if let Place::Reservation(i) = place {
                    out.entry(*i).or_insert_with(|| text.clone());
                }
            }
            let mut at = 0;
            let mut gone = Vec::new();
            self.settings.reservations.retain(|kept| {
                let why = out.get(&at).filter(|_| !own.contains(&kept.identifier));
                at += 1;
                if let Some(why) = why {
                    gone.push((lines.get(&kept.identifier).copied().flatten(), show_identifier(&kept.identifier), why.clone()));
                }
                why.is_none()
            });
            let had_gone = !gone.is_empty();
            for (line, what, why) in gone {
                self.clash(line, what, why);
            }
            if had_gone {
                continue;
            }
            let taken_out =
                findings.iter().find_map(|finding| Some((self.take_out(before, finding.place)?, finding.text.clone())));
            let Some((what, why)) = taken_out else { break };
            self.clash(None, what, why);
        }
        self.against = check(&self.settings).into_iter().map(|found| found.text).filter(|text| !known.contains(text)).collect();
    }

    /// What was taken out; `None`: it was there before, or cannot be.
    fn take_out(&mut self, before: &Settings, place: Place) -> Option<String> {
        let settings = &mut self.settings;
        match place {
            Place::Lease => {
                let changed = settings.lease != before.lease;
                settings.lease = before.lease.clone();
                changed.then(|| "lease times".into())
            }
            Place::Option(Scope::General, code) if !before.options.contains_key(&code) => {
                settings.options.remove(&code).map(|_| format!("option {}", show_code(code, &before.custom_options)))
            }
            Place::Option(Scope::Subnet(i), code) => {
                let subnet = settings.subnets.get_mut(i)?;
                let is_new = before.subnets.iter().all(|own| own.network != subnet.network || !own.options.contains_key(&code));
                is_new.then(|| subnet.options.remove(&code))?;
                Some(format!("option {} of {}", show_code(code, &before.custom_options), subnet.network))
            }
            Place::Option(Scope::Pool(i, j), code) => {
                settings.subnets.get_mut(i)?.pools.get_mut(j)?.options.remove(&code).map(|_| format!("option {code} of a pool"))
            }
            Place::Option(Scope::Reservation(i), code) => {
                let kept = settings.reservations.get_mut(i)?;
                kept.options.remove(&code).map(|_| format!("option {code} of {}", kept.address))
            }
            Place::Pool(i, j) => {
                let subnet = settings.subnets.get_mut(i)?;
                let range = subnet.pools.get(j)?.range;
                let is_own = before.subnets.iter().any(|own| own.pools.iter().any(|pool| pool.range == range));
                (!is_own).then(|| subnet.pools.remove(j))?;
                Some(format!("pool {range}"))
            }
            Place::Exclusion(i, j) => {
                let subnet = settings.subnets.get_mut(i)?;
                subnet.exclusions.get(j)?;
                Some(format!("exclusion {}", subnet.exclusions.remove(j)))
            }
            Place::SubnetLease(i) => {
                let subnet = settings.subnets.get_mut(i)?;
                subnet.lease = Default::default();
                Some(format!("lease times of {}", subnet.network))
            }
            Place::Subnet(i) => {
                let network = settings.subnets.get(i)?.network;
                let is_own = before.subnets.iter().any(|own| own.network == network);
                (!is_own).then(|| settings.subnets.remove(i))?;
                Some(format!("subnet {network}"))
            }
            Place::CustomOption(i) => {
                settings.custom_options.get(i)?;
                let definition = settings.custom_options.remove(i);
                Some(format!("custom option {}", definition.name))
            }
            Place::Option(Scope::General, _)
            | Place::Reservation(_)
            | Place::Server
            | Place::Twin
            | Place::Access
            | Place::Token(_)
            | Place::Alerts => None,
        }
    }
}

/// Other servers have no shortest or longest time: what they give by default is within ours.
fn widened(times: LeaseTimes, taken: &Taken) -> LeaseTimes {
    let min = if taken.lease.min.is_none() { times.min.min(times.default) } else { times.min };
    let max = if taken.lease.max.is_none() { times.max.max(times.default) } else { times.max };
    LeaseTimes { min, max, ..times }
}
