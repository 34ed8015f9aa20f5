//! What the twins' admins must decide: edits made apart that contradict, and what was set aside.

use serde::{Deserialize, Serialize};

use super::{Assembled, Entry, Replica, next};
use crate::{
    protocol::failover::Rank,
    settings::{Record, RecordKey, words::show_key},
};

/// One thing to decide.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToReconcile {
    pub key: RecordKey,
    /// The key as the command line has it.
    pub name: String,
    /// `None`: removed, or at its default; or nothing of it is in force.
    pub in_force: Option<Record>,
    /// `None`: somebody removed it, or set it to its default.
    pub waiting: Option<Record>,
    /// Whose edit waits, where both have edited the same setting; `None`: it clashes with other settings.
    pub waiting_from: Option<Rank>,
    /// What is wrong and what to do, as sentences.
    pub text: String,
}

/// Which of two stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    InForce,
    Waiting,
}

impl Replica {
    /// Ordered by key. `assembled`: of these entries as they are.
    pub fn to_reconcile(&self, assembled: &Assembled) -> Vec<ToReconcile> {
        let contradictions = self.entries.values().filter_map(|entry| {
            let waiting = entry.waiting();
            let waits: &Option<Record> = waiting.first()?;
            // One choice at a time.
            let and_more = match waiting.len() - 1 {
                0 => String::new(),
                more => format!(" After that, {more} more of what was changed waits to be chosen from."),
            };
            let name = show_key(&entry.key);
            let said = |record: &Option<Record>, who: &str| match record {
                Some(_) => format!("what the {who} one says"),
                None => format!("that the {who} one removed it"),
            };
            let is_of_second = entry.other.as_ref().is_some_and(|other| other.record == *waits);
            let text = match is_of_second {
                true => format!(
                    "{name} was changed on both twins while they were apart. In force is {}; {} waits. \
                     Choose with `twinlease twin reconcile \"{name}\" --keep ours`, or `theirs`.{and_more}",
                    said(&entry.record, "first"),
                    said(waits, "second"),
                ),
                false => format!(
                    "{name} was changed on both twins of then while they were apart, and one of them was replaced since. One edit \
                     is in force, another waits. Choose with `twinlease twin reconcile \"{name}\" --keep in-force`, or `waiting`.{and_more}"
                ),
            };
            Some(ToReconcile {
                key: entry.key.clone(),
                name,
                in_force: entry.record.clone(),
                waiting: waits.clone(),
                waiting_from: Some(Rank::Second),
                text,
            })
        });
        let set_aside = assembled.set_aside.iter().map(|aside| {
            let name = show_key(&aside.key);
            let how_much = if aside.in_force.is_some() { "is in force in part only" } else { "is not in force" };
            let text = format!(
                "{name} {how_much}: {} It comes into force when nothing speaks against it any more; \
                 `twinlease twin reconcile \"{name}\" --keep in-force` drops it.",
                aside.why
            );
            ToReconcile {
                key: aside.key.clone(),
                name,
                in_force: aside.in_force.clone(),
                waiting: Some(aside.record.clone()),
                waiting_from: None,
                text,
            }
        });
        let mut all: Vec<ToReconcile> = contradictions.chain(set_aside).collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// What an admin's choice makes of an entry, or why not.
    pub fn settle(
        &self,
        key: &RecordKey,
        keep: Keep,
        assembled: &Assembled,
        rank: Rank,
        number: &mut u64,
    ) -> Result<Entry, String> {
        let entry = self.entries.get(key);
        let set_aside = assembled.set_aside.iter().find(|aside| aside.key == *key);
        // Between the first two: what else waits goes on waiting.
        let mut waiting = entry.map(Entry::waiting).unwrap_or_default().into_iter();
        let record = match (entry.zip(waiting.next()), set_aside, keep) {
            (Some((entry, _)), _, Keep::InForce) => entry.record.clone(),
            (Some((_, other)), _, Keep::Waiting) => other.clone(),
            (None, Some(aside), Keep::InForce) => aside.in_force.clone().filter(|record| !super::is_default(record)),
            (None, Some(aside), Keep::Waiting) => {
                return Err(format!("{} {} It comes into force when that is done.", show_key(key), aside.why));
            }
            (None, None, _) => {
                return Err(format!("{} needs no decision. `twinlease twin reconcile` shows what does.", show_key(key)));
            }
        };
        let also = waiting.cloned().collect();
        Ok(Entry { also, ..next(key.clone(), entry.map(|entry| entry.version), record, rank, number) })
    }
}
