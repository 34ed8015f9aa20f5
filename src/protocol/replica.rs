//! Settings as both twins hold them: versioned records that merge without losing an edit (failover rule 14).
//!
//! An edit raises the counter of the node that makes it and has seen whatever the other counter says. So versions tell
//! which edits have seen each other (`merge`). What comes of all of them together is in `assemble`; what a person must
//! decide, in `reconcile`.

mod assemble;
mod merge;
mod reconcile;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};

use super::{
    Change,
    digest::Digest,
    failover::{
        Rank,
        loose::{Rule, is_loose},
    },
    lease::Version,
};
use crate::settings::{Identifier, LeaseTimes, Record, RecordKey, Server, Settings, Twin, access::Access, alerts::Alerts};
pub use assemble::{Assembled, SetAside};
pub use merge::Merged;
pub use reconcile::{Keep, ToReconcile};

/// One setting as both twins hold it. A removal is an entry too, so that nothing resurrects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "AnyEntry")]
pub struct Entry {
    pub key: RecordKey,
    pub version: Version,
    /// `None`: removed, or at its default.
    pub record: Option<Record>,
    /// Edits made apart that contradict: the one that is not in force, until somebody chooses. Then `record` is the
    /// first's edit, numbered `version.first`, and this one the second's, numbered `version.second`.
    pub other: Option<Other>,
    /// What waited beside `record` when the twin of then was replaced: whoever wrote it, the two of now number it as one edit with
    /// `record`, and each waits until somebody chooses.
    pub also: Vec<Option<Record>>,
    /// For history only; `None`: made by a version that had none, or at the pairing.
    pub edited: Option<Edited>,
}

/// Who made an edit, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Edited {
    /// `dashboard`, `command line`, the name of a token.
    pub by: String,
    /// By the wall clock of the node where it was made, since 1970. For people: nothing rests on it.
    pub wall_ms: i64,
}

/// Longer names of authors are cut.
const AUTHOR_BYTES_MAX: usize = 128;

impl Edited {
    pub fn new(by: &str, wall_ms: i64) -> Edited {
        let mut by: String = by.chars().filter(|c| !c.is_control()).collect();
        by.truncate(by.floor_char_boundary(AUTHOR_BYTES_MAX));
        Edited { by, wall_ms }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Other {
    pub record: Option<Record>,
    /// As that of the entry, beside this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Option<Record>>,
}

/// As it arrives: its records may be about another setting than its key.
#[derive(Deserialize)]
struct AnyEntry {
    key: RecordKey,
    version: Version,
    record: Option<Record>,
    other: Option<Other>,
    #[serde(default)]
    also: Vec<Option<Record>>,
    #[serde(default)]
    edited: Option<Edited>,
}

impl TryFrom<AnyEntry> for Entry {
    type Error = &'static str;

    fn try_from(AnyEntry { key, version, record, other, also, edited }: AnyEntry) -> Result<Entry, Self::Error> {
        let edited = edited.map(|edited| Edited::new(&edited.by, edited.wall_ms));
        let entry = Entry { key, version, record, other, also, edited };
        if entry.is_sound() { Ok(entry) } else { Err("a setting is about another one than it says") }
    }
}

impl Entry {
    /// Whether its records are those that its key names.
    pub fn is_sound(&self) -> bool {
        self.record.iter().chain(self.beside().flatten()).all(|record| record.key() == self.key)
    }

    /// All that stands beside what is in force, the twin's first.
    fn beside(&self) -> impl Iterator<Item = &Option<Record>> {
        let of_other = self.other.iter().flat_map(|other| std::iter::once(&other.record).chain(&other.also));
        of_other.chain(&self.also)
    }

    /// Edits that contradict what is in force, each once: nobody has chosen yet. The twin's comes first.
    pub fn waiting(&self) -> Vec<&Option<Record>> {
        let mut waiting: Vec<&Option<Record>> = Vec::new();
        for record in self.beside() {
            if *record != self.record && !waiting.contains(&record) {
                waiting.push(record);
            }
        }
        waiting
    }
}

/// All settings of a pair, as this node holds them. `merge`, `edit` and `settle` only say what an entry becomes: `put`
/// it when it goes to the disk, and put back what `put` returned if the disk refuses.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    entries: BTreeMap<RecordKey, Entry>,
    /// The sum of `digest_of` of all entries: every heartbeat tells it.
    digest: u64,
    /// What they come to, once somebody has asked since the last change.
    assembled: OnceLock<Arc<Assembled>>,
}

/// What follows from the entries does not count.
impl PartialEq for Replica {
    fn eq(&self, other: &Replica) -> bool {
        self.entries == other.entries
    }
}

impl Replica {
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Replica {
        let mut replica = Replica::default();
        for entry in entries {
            replica.put(entry);
        }
        replica
    }

    pub fn entries(&self) -> &BTreeMap<RecordKey, Entry> {
        &self.entries
    }

    /// The settings of a node that has been alone, as its own edits. `number`: its counter, which they raise.
    ///
    /// `joins`: who may sign in there gives way to whatever the other one says of it. That is one decision of whoever pairs the
    /// two, and not an edit: so it counts as one that the other made before all others, and merges like any.
    pub fn bootstrap(settings: &Settings, rank: Rank, number: &mut u64, joins: bool) -> Replica {
        let changes: Vec<Change> = settings.records().into_iter().map(Change::Put).collect();
        let mut entries = Replica::default().edit(&changes, rank, number);
        for entry in entries.iter_mut().filter(|entry| joins && entry.key == RecordKey::Access) {
            entry.version = match rank {
                Rank::First => Version { first: 0, second: 1 },
                Rank::Second => Version { first: 1, second: 0 },
            };
        }
        Replica::new(entries)
    }

    /// What an admin's changes make of the entries: a new version each, which has seen all that is here, a
    /// contradiction included. What changes nothing gets none.
    pub fn edit(&self, changes: &[Change], rank: Rank, number: &mut u64) -> Vec<Entry> {
        let mut edited: BTreeMap<RecordKey, Entry> = BTreeMap::new();
        for change in changes {
            let (key, record) = match change {
                Change::Put(record) => (record.key(), Some(record.clone()).filter(|record| !is_default(record))),
                Change::Remove(key) => (key.clone(), None),
                Change::Bind(_) | Change::Setting(_) | Change::GiveUp(_) | Change::Pair(_) | Change::Noted(_) => continue,
            };
            let before = edited.get(&key).or_else(|| self.entries.get(&key));
            let is_so_already = match before {
                Some(before) => before.record == record && before.waiting().is_empty(),
                None => record.is_none(),
            };
            if !is_so_already {
                let entry = next(key.clone(), before.map(|before| before.version), record, rank, number);
                edited.insert(key, entry);
            }
        }
        edited.into_values().collect()
    }

    /// All of these as this node's own edits of now: another takes the twin's place, and what that one numbers has seen
    /// nothing that its predecessor numbered. What contradicts goes on waiting, in one edit with what is in force: else what the
    /// new one brings would take its place.
    pub fn renumbered(&self, rank: Rank, number: &mut u64) -> Vec<Entry> {
        let entries = self.entries.values().filter(|entry| entry.other.is_none() || !is_loose(Rule::W49));
        let renumbered = entries.map(|entry| Entry {
            edited: entry.edited.clone(),
            also: entry.waiting().into_iter().cloned().collect(),
            ..next(entry.key.clone(), None, entry.record.clone(), rank, number)
        });
        renumbered.collect()
    }

    /// Takes the entry in. The one before it comes back.
    pub fn put(&mut self, entry: Entry) -> Option<Entry> {
        self.assembled = OnceLock::new();
        self.digest = self.digest.wrapping_add(digest_of(&entry));
        let before = self.entries.insert(entry.key.clone(), entry);
        self.digest = self.digest.wrapping_sub(before.as_ref().map_or(0, digest_of));
        before
    }

    /// Undoes a `put`: the entry is as it was before.
    pub fn put_back(&mut self, key: &RecordKey, before: Option<Entry>) {
        match before {
            Some(before) => drop(self.put(before)),
            None => {
                self.assembled = OnceLock::new();
                let removed = self.entries.remove(key);
                self.digest = self.digest.wrapping_sub(removed.as_ref().map_or(0, digest_of));
            }
        }
    }

    /// Equal where both hold the same versions of the same settings. The same on every machine and in every build, in
    /// whatever order, and for settings of which another version of the program knows more.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// The next version of a setting, by this node.
fn next(key: RecordKey, before: Option<Version>, record: Option<Record>, rank: Rank, number: &mut u64) -> Entry {
    *number += 1;
    let before = before.unwrap_or_default();
    let version = match rank {
        Rank::First => Version { first: *number, ..before },
        Rank::Second => Version { second: *number, ..before },
    };
    Entry { key, version, record, other: None, also: Vec::new(), edited: None }
}

/// Whether it says no more than its absence would.
fn is_default(record: &Record) -> bool {
    match record {
        Record::Server(server) => *server == Server::default(),
        Record::Lease(lease) => *lease == LeaseTimes::default(),
        Record::Twin(twin) => *twin == Twin::default(),
        Record::Access(access) => *access == Access::default(),
        Record::Alerts(alerts) => *alerts == Alerts::default(),
        Record::Options(options) => options.is_empty(),
        Record::CustomOptions(definitions) => definitions.is_empty(),
        Record::Subnet(_) | Record::Reservation(_) => false,
    }
}

fn digest_of(entry: &Entry) -> u64 {
    // The version says what the rest is.
    let Entry { key, version, record: _, other: _, also: _, edited: _ } = entry;
    let mut hash = Digest::default();
    match key {
        RecordKey::Server => hash.bytes(0, &[]),
        RecordKey::Lease => hash.bytes(1, &[]),
        RecordKey::Twin => hash.bytes(2, &[]),
        RecordKey::Options => hash.bytes(3, &[]),
        RecordKey::CustomOptions => hash.bytes(4, &[]),
        RecordKey::Subnet(network) => {
            hash.bytes(5, &network.addr().octets());
            hash.bytes(network.prefix_len(), &[]);
        }
        RecordKey::Reservation(Identifier::Mac(hw)) => {
            hash.bytes(6, &[hw.htype()]);
            hash.bytes(hw.htype(), hw.bytes());
        }
        RecordKey::Reservation(Identifier::ClientId(id)) => hash.bytes(7, id),
        RecordKey::Reservation(Identifier::CircuitId(id)) => hash.bytes(8, id),
        RecordKey::Access => hash.bytes(9, &[]),
        RecordKey::Alerts => hash.bytes(10, &[]),
    }
    hash.bytes(0, &version.first.to_be_bytes());
    hash.bytes(0, &version.second.to_be_bytes());
    hash.mixed()
}
