//! What was, for those who show it: changes of settings, the journal, presence. Read beside the running server; nothing is
//! written here.
//!
//! Each look opens the database and closes it again: a reader that stays would keep the log from being copied.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Fault, StoreError, connect_to_read, diary, history, place::Place, rows};
use crate::{
    protocol::{
        lease::HwAddr,
        node::{Noted, Reversal},
    },
    runtime::{
        alive::Alive,
        journal::{Journal, Kind, Note},
        presence::{DAYS_KEPT, Day, Presence},
    },
};

/// Records of one step that a list shows; `Step::total` counts all.
pub const LISTED_MAX: usize = 50;

/// The way to what is on the disk. Looks take a few milliseconds, more on a card: use `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Archive {
    database: PathBuf,
    /// What happens is noted here.
    pub journal: Journal,
    pub presence: Presence,
    /// Moves while the thread that writes goes on.
    pub alive: Alive,
}

/// What was changed at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: u64,
    /// By the wall clock, since 1970.
    pub wall_ms: i64,
    /// Empty: not known.
    pub by: String,
    pub on_twin: bool,
    /// The first of them, in a list; all, where one step was asked for.
    pub records: Vec<Noted>,
    pub total: usize,
}

impl Step {
    pub fn reversals(self) -> Vec<Reversal> {
        let records = self.records.into_iter();
        records.map(|Noted { key, before, after, .. }| Reversal { key, before, after }).collect()
    }
}

impl Archive {
    /// `journal`, `presence`: with what the disk does not have yet.
    pub fn new(folder: &Path, journal: Journal, presence: Presence, alive: Alive) -> Archive {
        Archive { database: Place::new(folder).database, journal, presence, alive }
    }

    /// Newest first, from before the step `before` on. `text`: only steps by this author or about records that have it in
    /// them, whatever the case.
    pub fn changes(&self, limit: usize, before: Option<u64>, text: &str) -> Result<Vec<Step>, StoreError> {
        self.look(|connection| changes(connection, limit, before, text))
    }

    /// All of one step; `None`: it is gone, or never was.
    pub fn step(&self, id: u64) -> Result<Option<Step>, StoreError> {
        self.look(|connection| {
            let mut statement = connection.prepare("SELECT * FROM change WHERE id >= ?1 AND step = ?1 ORDER BY id")?;
            let mut rows = statement.query([rows::signed(id)])?;
            let mut step: Option<Step> = None;
            while let Some(row) = rows.next()? {
                let noted = history::noted_of(row)?;
                let step = step.get_or_insert_with(|| Step::of(&noted));
                step.records.push(noted);
                step.total += 1;
            }
            Ok(step)
        })
    }

    /// Newest first, from before the note `before` on. What is not on the disk yet comes first, without a number.
    pub fn notes(
        &self,
        limit: usize,
        before: Option<u64>,
        kind: Option<Kind>,
        text: &str,
    ) -> Result<Vec<(Option<u64>, Note)>, StoreError> {
        let wanted = text.trim().to_lowercase();
        let matches = |note: &Note| {
            kind.is_none_or(|kind| note.kind == kind) && (wanted.is_empty() || note.text.to_lowercase().contains(&wanted))
        };
        let waiting = if before.is_none() { self.journal.waiting() } else { Vec::new() };
        let mut notes: Vec<_> = waiting.into_iter().rev().filter(&matches).map(|note| (None, note)).take(limit).collect();
        let room = limit - notes.len();
        let written = self.look(|connection| diary::notes(connection, room, before, matches))?;
        notes.extend(written.into_iter().map(|(id, note)| (Some(id), note)));
        Ok(notes)
    }

    /// The hours of each day in which the device was heard, in the order of the days; at most `DAYS_KEPT` of them.
    pub fn presence_of(&self, hw: HwAddr) -> Result<Vec<Day>, StoreError> {
        let mut days = self.look(|connection| diary::days(connection, &hw))?;
        for Day { day, hours } in self.presence.unwritten(hw) {
            match days.binary_search_by_key(&day, |known| known.day) {
                Ok(at) => days[at].hours |= hours,
                Err(at) => days.insert(at, Day { day, hours }),
            }
        }
        let surplus = days.len().saturating_sub(DAYS_KEPT as usize);
        Ok(days.split_off(surplus))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let seen = connect_to_read(&self.database).and_then(|connection| look(&connection));
        seen.map_err(|fault| fault.told(&self.database))
    }
}

impl Step {
    fn of(noted: &Noted) -> Step {
        let Noted { step, edited, on_twin, .. } = noted;
        Step { id: *step, wall_ms: edited.wall_ms, by: edited.by.clone(), on_twin: *on_twin, records: Vec::new(), total: 0 }
    }
}

fn changes(connection: &Connection, limit: usize, before: Option<u64>, text: &str) -> Result<Vec<Step>, Fault> {
    let wanted = text.trim().to_lowercase();
    // The records of a step have numbers in a row.
    let mut statement = connection.prepare("SELECT * FROM change WHERE step < ?1 ORDER BY id DESC")?;
    let mut rows = statement.query([rows::signed(before.unwrap_or(u64::MAX))])?;
    let mut steps: Vec<Step> = Vec::new();
    let mut matches = wanted.is_empty();
    while let Some(row) = rows.next()? {
        let id = rows::unsigned(row, 1)?;
        if steps.last().is_none_or(|step| step.id != id) {
            if !matches {
                steps.pop();
            }
            if steps.len() == limit {
                return Ok(finished(steps));
            }
            steps.push(Step::of(&history::noted_of(row)?));
            matches = wanted.is_empty();
        }
        if !matches {
            matches = [3, 5, 6, 7].into_iter().any(|column| {
                row.get_ref(column)
                    .ok()
                    .and_then(|text| text.as_str().ok())
                    .is_some_and(|text| text.to_lowercase().contains(&wanted))
            });
        }
        if let Some(step) = steps.last_mut() {
            step.total += 1;
            step.records.push(history::noted_of(row)?);
            // Those with the lowest numbers are shown.
            if step.records.len() > 2 * LISTED_MAX {
                step.records.drain(..LISTED_MAX);
            }
        }
    }
    if !matches {
        steps.pop();
    }
    Ok(finished(steps))
}

/// In the order in which they were made.
fn finished(mut steps: Vec<Step>) -> Vec<Step> {
    for step in &mut steps {
        step.records.reverse();
        step.records.truncate(LISTED_MAX);
    }
    steps
}
