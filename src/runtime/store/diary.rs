//! The journal and presence, to rows and back. Written beside the commits, and never at the cost of one.

use rusqlite::{Connection, ErrorCode, params};

use super::{
    Fault,
    rows::{hw_of_blob, hw_to_blob, signed},
};
use crate::runtime::{
    journal::{Journal, Kind, Note},
    presence::{DAYS_KEPT, DEVICES_MAX, Day, Known, Presence, Unwritten},
};

/// Notes kept; the oldest go first.
pub const NOTES_KEPT: u32 = 5000;
/// A failed sign-in like an earlier one is counted there if it is among so many and not older than an hour.
const FOLDED_AMONG: u32 = 20;
const FOLDED_WITHIN_MS: i64 = 3_600_000;

/// What waits to be written beside the commits.
#[derive(Debug, Default)]
pub struct Diary {
    pub journal: Journal,
    pub presence: Presence,
    /// The day at which old presence was removed last.
    pruned: Option<u32>,
}

/// What a transaction took along.
#[derive(Debug, Default)]
pub struct Batch {
    notes: Vec<Note>,
    unwritten: Unwritten,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.unwritten.days.is_empty()
    }
}

impl Diary {
    pub fn new(known: Vec<Known>) -> Diary {
        Diary { journal: Journal::default(), presence: Presence::load(known), pruned: None }
    }

    /// `closing`: presence that is not due yet too.
    pub fn take(&self, closing: bool) -> Batch {
        let unwritten = if closing || self.presence.is_due() { self.presence.take() } else { Unwritten::default() };
        Batch { notes: self.journal.take(), unwritten }
    }

    pub fn put_back(&self, batch: Batch) {
        self.journal.put_back(batch.notes);
        self.presence.put_back(batch.unwritten);
    }

    /// Within a transaction. An error: nothing at all can be written with it. Rows that the schema refuses are a defect, and left out.
    pub fn write(&mut self, connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        connection.execute_batch("SAVEPOINT diary")?;
        let written = write_notes(connection, &batch.notes).and_then(|()| self.write_presence(connection, &batch.unwritten));
        match written {
            Ok(()) => connection.execute_batch("RELEASE diary"),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                tracing::error!("a note was not written: {error}");
                connection.execute_batch("ROLLBACK TO diary; RELEASE diary")
            }
            Err(error) => Err(error),
        }
    }

    fn write_presence(&mut self, connection: &Connection, Unwritten { known, days }: &Unwritten) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO device VALUES (?1,?2,?3) ON CONFLICT (hw) DO UPDATE SET
             first_wall_ms = min(first_wall_ms, excluded.first_wall_ms), last_wall_ms = excluded.last_wall_ms",
        )?;
        for Known { hw, first_wall_ms, last_wall_ms } in known {
            insert.execute(params![hw_to_blob(hw), first_wall_ms, last_wall_ms])?;
        }
        let mut insert = connection.prepare_cached(
            "INSERT INTO presence VALUES (?1,?2,?3) ON CONFLICT (hw, day) DO UPDATE SET hours = hours | excluded.hours",
        )?;
        for (hw, Day { day, hours }) in days {
            insert.execute(params![hw_to_blob(hw), day, hours])?;
        }
        let newest = days.iter().map(|(_, day)| day.day).max();
        if newest.is_some() && newest != self.pruned {
            self.pruned = newest;
            prune(connection)?;
        }
        Ok(())
    }
}

fn write_notes(connection: &Connection, notes: &[Note]) -> rusqlite::Result<()> {
    for Note { kind, text, first_wall_ms, last_wall_ms, times } in notes {
        let among = if kind.is_folded_over_others() { FOLDED_AMONG } else { 1 };
        let mut fold = connection.prepare_cached(
            "UPDATE journal SET times = times + ?3, last_wall_ms = ?4 WHERE id = (SELECT id FROM
             (SELECT * FROM journal ORDER BY id DESC LIMIT ?5) WHERE kind = ?1 AND text = ?2 AND last_wall_ms >= ?6)",
        )?;
        let folded =
            fold.execute(params![kind.word(), text, times, last_wall_ms, among, last_wall_ms.saturating_sub(FOLDED_WITHIN_MS)])?;
        if folded == 0 {
            let mut insert = connection
                .prepare_cached("INSERT INTO journal (kind, text, first_wall_ms, last_wall_ms, times) VALUES (?1,?2,?3,?4,?5)")?;
            insert.execute(params![kind.word(), text, first_wall_ms, last_wall_ms, times])?;
        }
    }
    if !notes.is_empty() {
        let sql = "DELETE FROM journal WHERE id <= (SELECT max(id) FROM journal) - ?1";
        connection.prepare_cached(sql)?.execute([NOTES_KEPT])?;
    }
    Ok(())
}

/// By the days that there are, not by the day that it is: a clock that was wrong for an hour must not empty the table.
fn prune(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM presence WHERE day < (SELECT min(day) FROM (SELECT DISTINCT day FROM presence ORDER BY day DESC LIMIT ?1))",
        [DAYS_KEPT],
    )?;
    connection.execute(
        "DELETE FROM device WHERE hw IN (SELECT hw FROM device ORDER BY last_wall_ms DESC LIMIT -1 OFFSET ?1)",
        [signed(DEVICES_MAX as u64)],
    )?;
    connection.execute("DELETE FROM presence WHERE hw NOT IN (SELECT hw FROM device)", [])?;
    Ok(())
}

/// The latest heard first.
pub fn known(connection: &Connection) -> Result<Vec<Known>, Fault> {
    let mut statement = connection.prepare("SELECT hw, first_wall_ms, last_wall_ms FROM device ORDER BY last_wall_ms DESC")?;
    let mut rows = statement.query([])?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        let hw = hw_of_blob(row.get_ref(0)?.as_blob().map_err(Fault::damage)?).map_err(|fault| fault.in_row("a device"))?;
        known.push(Known { hw, first_wall_ms: row.get(1)?, last_wall_ms: row.get(2)? });
    }
    Ok(known)
}

/// In the order of the days.
pub fn days(connection: &Connection, hw: &crate::protocol::lease::HwAddr) -> Result<Vec<Day>, Fault> {
    let mut statement = connection.prepare("SELECT day, hours FROM presence WHERE hw = ?1 ORDER BY day")?;
    let days = statement.query_map([hw_to_blob(hw)], |row| Ok(Day { day: row.get(0)?, hours: row.get(1)? }))?;
    Ok(days.collect::<rusqlite::Result<_>>()?)
}

/// Newest first, with their numbers.
pub fn notes(
    connection: &Connection,
    limit: usize,
    before: Option<u64>,
    matches: impl Fn(&Note) -> bool,
) -> Result<Vec<(u64, Note)>, Fault> {
    let mut statement = connection.prepare("SELECT * FROM journal WHERE id < ?1 ORDER BY id DESC")?;
    let mut rows = statement.query([signed(before.unwrap_or(u64::MAX))])?;
    let mut notes = Vec::new();
    while let Some(row) = rows.next()?
        && notes.len() < limit
    {
        let note = Note {
            kind: Kind::of_word(row.get_ref(1)?.as_str().map_err(Fault::damage)?),
            text: row.get(2)?,
            first_wall_ms: row.get(3)?,
            last_wall_ms: row.get(4)?,
            times: row.get(5)?,
        };
        if matches(&note) {
            notes.push((super::rows::unsigned(row, 0)?, note));
        }
    }
    Ok(notes)
}
