//! Two entries of one setting become one, the same on both nodes whichever merges (rules 7 and 14).
//!
//! An edit knows all that its node knew, and a node's knowledge only grows. Hence, where neither version covers the
//! other, the one with the higher first counter holds an edit of the first node that the other has not seen, and the
//! other one an edit of the second; whatever else they hold was overwritten by somebody who had seen it.

use super::{Entry, Other, Replica, next};
use crate::{
    protocol::{failover::Rank, lease::Version},
    settings::Record,
};

/// What an entry from the twin makes of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    pub entry: Entry,
    /// Ours was another one: `entry` must go to the disk.
    pub changed: bool,
    /// The twin's was another one: `entry` must go to the twin.
    pub theirs_is_older: bool,
}

impl Replica {
    pub fn merge(&self, incoming: &Entry) -> Merged {
        let ours = self.entries.get(&incoming.key);
        let entry = ours.map_or_else(|| incoming.clone(), |ours| merged(ours, incoming));
        Merged {
            changed: ours.is_none_or(|ours| ours.version != entry.version),
            theirs_is_older: incoming.version != entry.version,
            entry,
        }
    }

    /// As `merge`, where ours may have a number that was spent before, on a disk that is lost: what the twin has stays in force, and ours
    /// waits for a choice, in a new edit. What nobody set here, but a settings file of before, gives way.
    pub fn rejoin(&self, incoming: &Entry, rank: Rank, number: &mut u64) -> Merged {
        let mut also: Vec<Option<Record>> = incoming.waiting().into_iter().cloned().collect();
        let known = also.len();
        let was_set = |ours: &&Entry| ours.edited.is_some() || !ours.waiting().is_empty();
        let ours = self.entries.get(&incoming.key).filter(was_set);
        for record in ours.iter().flat_map(|ours| std::iter::once(&ours.record).chain(ours.waiting())) {
            if *record != incoming.record && !also.contains(record) {
                also.push(record.clone());
            }
        }
        if also.len() == known {
            return Merged { entry: incoming.clone(), changed: true, theirs_is_older: false };
        }
        let next = next(incoming.key.clone(), Some(incoming.version), incoming.record.clone(), rank, number);
        Merged { entry: Entry { also, edited: incoming.edited.clone(), ..next }, changed: true, theirs_is_older: true }
    }
}

/// Commutative, associative, idempotent. The same version means the same content: nothing to do.
pub(super) fn merged(ours: &Entry, theirs: &Entry) -> Entry {
    let (a, b) = (ours.version, theirs.version);
    if a.first >= b.first && a.second >= b.second {
        return ours.clone();
    }
    if b.first >= a.first && b.second >= a.second {
        return theirs.clone();
    }
    let (of_first, of_second) = if a.first > b.first { (ours, theirs) } else { (theirs, ours) };
    let (record, also) = (of_first.record.clone(), of_first.also.clone());
    let other = match &of_second.other {
        Some(other) => other.clone(),
        None => Other { record: of_second.record.clone(), also: of_second.also.clone() },
    };
    Entry {
        key: ours.key.clone(),
        version: Version { first: of_first.version.first, second: of_second.version.second },
        // Both said the same: no contradiction.
        other: Some(other).filter(|other| other.record != record || other.also != also),
        record,
        also,
        edited: of_first.edited.clone(),
    }
}
