//! What was, for those who show it: changes of settings, read beside the running server. Nothing is written here.
//!
//! Each look opens the database and closes it again: a reader that stays would keep the log from being copied.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Fault, StoreError, connect_to_read, history, place::Place, rows};
use crate::protocol::node::{Noted, Reversal};

/// Records of one step that a list shows; `Step::total` counts all.
pub const LISTED_MAX: usize = 50;

/// The way to what is on the disk. Looks take a few milliseconds, more on a card: use `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Archive {
    database: PathBuf,
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
    pub fn new(folder: &Path) -> Archive {
        Archive { database: Place::new(folder).database }
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
