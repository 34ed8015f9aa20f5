//! Changes of settings, to rows and back.

use rusqlite::{Connection, Row, params};

use super::{
    Fault,
    rows::{json, parse, signed, unsigned},
};
use crate::{
    protocol::{node::Noted, replica::Edited},
    runtime::clock,
};

/// Records of changes kept; the oldest go first.
pub const CHANGES_KEPT: u64 = 5000;

pub fn put(connection: &Connection, noted: &Noted) -> rusqlite::Result<()> {
    let Noted { id, step, edited, on_twin, key, before, after } = noted;
    // Where nobody knows when it was made, it counts from its arrival here.
    let wall_ms = if edited.wall_ms == 0 { clock::wall_ms() } else { edited.wall_ms };
    connection.prepare_cached("INSERT INTO change VALUES (?1,?2,?3,?4,?5,?6,?7,?8)")?.execute(params![
        signed(*id),
        signed(*step),
        wall_ms,
        edited.by,
        on_twin,
        json(key),
        before.as_ref().map(json),
        after.as_ref().map(json),
    ])?;
    Ok(())
}

pub fn prune(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "DELETE FROM change WHERE id <= (SELECT max(id) FROM change) - ?1";
    connection.prepare_cached(sql)?.execute([signed(CHANGES_KEPT)])?;
    Ok(())
}

/// Zero: none yet.
pub fn newest(connection: &Connection) -> Result<u64, Fault> {
    let mut statement = connection.prepare("SELECT coalesce(max(id), 0) FROM change")?;
    statement.query_row([], |row| Ok(unsigned(row, 0)))?
}

/// Of a row with all columns.
pub fn noted_of(row: &Row<'_>) -> Result<Noted, Fault> {
    let read = || -> Result<Noted, Fault> {
        let optional = |column| Ok::<_, Fault>(row.get::<_, Option<String>>(column)?);
        Ok(Noted {
            id: unsigned(row, 0)?,
            step: unsigned(row, 1)?,
            edited: Edited { by: row.get(3)?, wall_ms: row.get(2)? },
            on_twin: row.get(4)?,
            key: parse(&row.get::<_, String>(5)?)?,
            before: optional(6)?.map(|body| parse(&body)).transpose()?,
            after: optional(7)?.map(|body| parse(&body)).transpose()?,
        })
    };
    read().map_err(|fault| fault.in_row("a change in the history"))
}
