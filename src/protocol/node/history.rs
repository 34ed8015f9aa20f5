//! Who changed which setting, and what it was before: written with the change itself, and taken back by hand.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::Node;
use crate::{
    protocol::{Change, replica::Edited},
    settings::{Record, RecordKey, Settings, check, render, words::show_key},
};

/// One record of a change, as history has it. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noted {
    /// Later is larger.
    pub id: u64,
    /// What was changed at once has the number of its first.
    pub step: u64,
    /// At zero it was not known when.
    pub edited: Edited,
    /// It was made on the twin and came from there.
    pub on_twin: bool,
    pub key: RecordKey,
    /// `None`: it was not there.
    pub before: Option<Record>,
    pub after: Option<Record>,
}

/// A change that shall be taken back: only if the record is still as `after` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reversal {
    pub key: RecordKey,
    pub before: Option<Record>,
    pub after: Option<Record>,
}

/// Where the numbering stands.
#[derive(Debug, Default)]
pub(super) struct History {
    newest: u64,
    /// The step that was noted last, who made it, and whether on the twin.
    last: Option<(u64, Edited, bool)>,
}

impl Node {
    /// The highest number in the history on the disk.
    pub fn set_newest_change(&mut self, id: u64) {
        self.history.newest = id;
    }

    /// The notes of these changes, to be written in the same commit, and the number of their (last) step. `who`: edited the
    /// setting of a key, and whether on the twin.
    pub(super) fn notes(
        &mut self,
        before: &Settings,
        after: &Settings,
        changes: &[Change],
        who: impl Fn(&RecordKey) -> (Edited, bool),
    ) -> (Vec<Change>, Option<u64>) {
        // A kept address that moves is removed and put.
        let keys: BTreeSet<RecordKey> = changes.iter().filter_map(key_of).collect();
        let mut edits: Vec<_> = keys.into_iter().map(|key| (who(&key), key)).collect();
        edits.sort_by(|((a, _), _), ((b, _), _)| (a.wall_ms, &a.by).cmp(&(b.wall_ms, &b.by)));
        let pick = |settings: &Settings| -> HashMap<RecordKey, Record> {
            match &edits[..] {
                [(_, key)] => settings.record(key).map(|record| (key.clone(), record)).into_iter().collect(),
                _ => settings.records().into_iter().map(|record| (record.key(), record)).collect(),
            }
        };
        let (mut before, mut after) = (pick(before), pick(after));
        let history = &mut self.history;
        let mut is_first = true;
        let mut notes = Vec::with_capacity(edits.len());
        for ((edited, on_twin), key) in edits {
            history.newest += 1;
            // What the twin's admin changed at once comes from there piece by piece.
            let same =
                history.last.as_ref().filter(|(_, by, there)| (by, *there) == (&edited, on_twin) && (on_twin || !is_first));
            let step = same.map_or(history.newest, |(step, ..)| *step);
            history.last = Some((step, edited.clone(), on_twin));
            is_first = false;
            let [before, after] = [&mut before, &mut after].map(|records| records.remove(&key).map(Record::masked));
            notes.push(Change::Noted(Box::new(Noted { id: history.newest, step, edited, on_twin, key, before, after })));
        }
        let step = notes.last().and(history.last.as_ref()).map(|(step, ..)| *step);
        (notes, step)
    }
}

fn key_of(change: &Change) -> Option<RecordKey> {
    match change {
        Change::Put(record) => Some(record.key()),
        Change::Remove(key) => Some(key.clone()),
        Change::Bind(_) | Change::Setting(_) | Change::GiveUp(_) | Change::Pair(_) | Change::Noted(_) => None,
    }
}

/// The settings with all of these taken back, or why not, as sentences.
pub(super) fn reverted(settings: &Settings, reversals: Vec<Reversal>) -> Result<Settings, String> {
    let mut changed = settings.clone();
    for Reversal { key, before, after } in &reversals {
        let name = show_key(key);
        if *key == RecordKey::Access {
            return Err("Who may sign in cannot be taken back: history keeps no passwords and no tokens. Set it anew.".into());
        }
        let now = settings.record(key).map(Record::masked);
        if now == *before {
            return Err(if before == after {
                format!("Only secrets of {name} were changed, which history does not keep. Write them anew.")
            } else if reversals.len() > 1 {
                format!(
                    "{name} is as it was before that change already, so the {} that were changed at once are not taken back \
                     together. Take back the others one by one.",
                    reversals.len()
                )
            } else {
                format!("{name} is as it was before that change already. Nothing to take back.")
            });
        }
        if now != *after {
            return Err(format!(
                "{name} was changed again since, so that change is not taken back. It is now: {}. That change made it: {}.",
                in_short(now.as_ref()),
                in_short(after.as_ref()),
            ));
        }
        changed.remove(key);
    }
    for Reversal { key, before, .. } in reversals {
        let record = match before {
            Some(Record::Alerts(mut alerts)) => {
                if !alerts.unmask(&settings.alerts) {
                    return Err(format!("{} had a secret that history does not keep. Write it anew.", show_key(&key)));
                }
                Record::Alerts(alerts)
            }
            Some(record) => record,
            None => continue,
        };
        changed.put(record);
    }
    check::unless_worse(settings, changed)
        .map_err(|findings| findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>().join("\n"))
}

fn in_short(record: Option<&Record>) -> String {
    let Some(record) = record else { return "not there".into() };
    let text = render::record(record);
    let lines = text.lines().map(|line| line.split(" # ").next().unwrap_or(line).trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with(['[', '#'])).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
