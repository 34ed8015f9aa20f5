//! The settings that all entries come to. What cannot be served beside the rest, though each edit was sound where it
//! was made, is left out in as small a piece as possible, and told; it comes into force when the clash is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use super::Replica;
use crate::settings::{
    Record, RecordKey, Settings,
    access::LOCKED,
    check::{self, Finding, Place, Scope},
};

const ROUTER: u8 = 3;

/// What the entries come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// Nothing speaks against them (`check`).
    pub settings: Settings,
    /// Ordered by key.
    pub set_aside: Vec<SetAside>,
}

/// A record that is not in force as it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetAside {
    pub key: RecordKey,
    /// As it was written.
    pub record: Record,
    /// What speaks against it, and what to do, as sentences.
    pub why: String,
    /// What is in force of it; `None`: nothing.
    pub in_force: Option<Record>,
}

impl Replica {
    /// The same on both nodes, once they hold the same entries. Found once after each change.
    pub fn assemble(&self) -> &Assembled {
        self.assembled.get_or_init(|| Arc::new(self.assemble_anew()))
    }

    pub(super) fn assemble_anew(&self) -> Assembled {
        let mut settings = self.all();
        let mut reasons: BTreeMap<RecordKey, Vec<String>> = BTreeMap::new();
        loop {
            let findings = check::check(&settings);
            let Some(first) = findings.first() else { break };
            // One at a time, because what is left out may be all that speaks against the next. Reservations come last
            // and nothing rests on them: all at once, and there can be thousands.
            let at_once = match first.place {
                Place::Reservation(_) => findings,
                _ => findings.into_iter().take(1).collect(),
            };
            for (key, why) in leave_out(&mut settings, at_once) {
                reasons.entry(key).or_default().push(why);
            }
        }
        let set_aside = reasons.into_iter().filter_map(|(key, why)| {
            let record = self.entries.get(&key)?.record.clone()?;
            Some(SetAside { in_force: settings.record(&key), why: why.join(" "), key, record })
        });
        let set_aside = set_aside.collect();
        Assembled { settings, set_aside }
    }

    /// Every record. Of two reservations of one address, the one that the first node knew comes first: there it stays in
    /// force, as with contradicting edits.
    fn all(&self) -> Settings {
        let mut settings = Settings::default();
        let mut kept = Vec::new();
        for entry in self.entries.values() {
            match &entry.record {
                Some(Record::Reservation(reservation)) => kept.push((entry.version, reservation)),
                // In the order of their networks, as the keys are: no `put`, which looks through all.
                Some(Record::Subnet(subnet)) => settings.subnets.push(subnet.clone()),
                Some(once) => settings.put(once.clone()),
                None => {}
            }
        }
        kept.sort_by_key(|(version, kept)| (kept.address, version.second, version.first));
        settings.reservations = kept.into_iter().map(|(_, kept)| kept.clone()).collect();
        settings
    }
}

/// Takes out what the findings point at. The key of each piece, and what spoke against it.
fn leave_out(settings: &mut Settings, findings: Vec<Finding>) -> Vec<(RecordKey, String)> {
    let mut left_out = Vec::new();
    let mut gone = BTreeSet::new();
    for Finding { place, text } in findings {
        let key = match place {
            Place::Reservation(i) => {
                gone.insert(i);
                RecordKey::Reservation(settings.reservations[i].identifier.clone())
            }
            other => leave_out_one(settings, other),
        };
        left_out.push((key, text));
    }
    let mut nth = 0;
    settings.reservations.retain(|_| {
        nth += 1;
        !gone.contains(&(nth - 1))
    });
    left_out
}

fn leave_out_one(settings: &mut Settings, place: Place) -> RecordKey {
    match place {
        Place::Server => reset(settings, RecordKey::Server),
        Place::Lease => reset(settings, RecordKey::Lease),
        Place::Twin => reset(settings, RecordKey::Twin),
        // Never to none at all: then anybody could claim the device.
        Place::Access => {
            settings.access.password = Some(LOCKED.into());
            RecordKey::Access
        }
        Place::Token(i) => {
            settings.access.tokens.remove(i);
            RecordKey::Access
        }
        Place::Alerts => reset(settings, RecordKey::Alerts),
        Place::CustomOption(i) => {
            settings.custom_options.remove(i);
            RecordKey::CustomOptions
        }
        Place::Option(scope, code) => {
            let (options, key) = match scope {
                Scope::General => (&mut settings.options, RecordKey::Options),
                Scope::Subnet(i) => {
                    let subnet = &mut settings.subnets[i];
                    (&mut subnet.options, RecordKey::Subnet(subnet.network))
                }
                Scope::Pool(i, j) => {
                    let subnet = &mut settings.subnets[i];
                    (&mut subnet.pools[j].options, RecordKey::Subnet(subnet.network))
                }
                Scope::Reservation(i) => {
                    let kept = &mut settings.reservations[i];
                    (&mut kept.options, RecordKey::Reservation(kept.identifier.clone()))
                }
            };
            options.remove(&code);
            key
        }
        Place::Subnet(i) => RecordKey::Subnet(settings.subnets.remove(i).network),
        Place::SubnetLease(i) => {
            settings.subnets[i].lease = Default::default();
            RecordKey::Subnet(settings.subnets[i].network)
        }
        Place::Pool(i, j) => {
            let subnet = &mut settings.subnets[i];
            let has_own = [&subnet.options, &subnet.pools[j].options].iter().any(|options| options.contains_key(&ROUTER));
            // A pool that covers a router which another record names: without the pool nobody there would be served.
            if !has_own && settings.options.remove(&ROUTER).is_some() {
                return RecordKey::Options;
            }
            subnet.pools.remove(j);
            RecordKey::Subnet(subnet.network)
        }
        Place::Exclusion(i, j) => {
            settings.subnets[i].exclusions.remove(j);
            RecordKey::Subnet(settings.subnets[i].network)
        }
        Place::Reservation(i) => RecordKey::Reservation(settings.reservations.remove(i).identifier),
    }
}

fn reset(settings: &mut Settings, key: RecordKey) -> RecordKey {
    settings.remove(&key);
    key
}
