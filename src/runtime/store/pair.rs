//! What a node must know of its pair, to rows and back: the pair itself, what was given up, settings as both hold them.

use std::net::Ipv4Addr;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Fault,
    rows::{Ages, json, parse, signed, unsigned},
};
use crate::protocol::{
    failover::{GivenUp, Memory},
    lease::Version,
    replica::Entry,
    time::{Epoch, Time},
};

/// All of it, as the tables have it.
#[derive(Debug, Default)]
pub struct PairRows {
    /// `None`: no twin.
    pub memory: Option<Memory>,
    /// Ordered by address.
    pub given_up: Vec<GivenUp>,
    /// Ordered by key.
    pub entries: Vec<Entry>,
}

/// `None`: there is no pair any more, and nothing of it is left.
pub fn put_pair(connection: &Connection, memory: Option<&Memory>, ages: &Ages) -> rusqlite::Result<()> {
    let Some(memory) = memory else {
        return connection.execute_batch("DELETE FROM pair; DELETE FROM given_up; DELETE FROM entry");
    };
    let stored = |(since, epoch)| (ages.stored(since, epoch).unwrap_or(i64::MAX), epoch);
    let down = memory.partner_down.map(stored).map(|(since_ms, epoch)| (since_ms, epoch.0));
    let one_forgot = memory.one_forgot.map(stored).map(|(since_ms, epoch)| (Time(since_ms.unsigned_abs()), epoch));
    let body = json(&Memory { partner_down: None, one_forgot, ..memory.clone() });
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO pair VALUES (1,?1,?2,?3)")?;
    statement.execute(params![body, down.map(|(since_ms, _)| since_ms), down.map(|(_, epoch)| epoch)])?;
    // Whoever remembers that it forgot says so in `memory`; the mark of the restore has done its work.
    if memory.forgot.is_none() {
        connection.prepare_cached("DELETE FROM meta WHERE name = 'restored'")?.execute([])?;
    }
    Ok(())
}

pub fn put_given_up(connection: &Connection, given_up: &GivenUp) -> rusqlite::Result<()> {
    let GivenUp { address, generation, version } = given_up;
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO given_up VALUES (?1,?2,?3,?4)")?;
    statement.execute(params![u32::from(*address), generation, signed(version.first), signed(version.second)])?;
    Ok(())
}

pub fn put_entry(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let Entry { key, version, record, other, also, edited } = entry;
    connection.prepare_cached("INSERT OR REPLACE INTO entry VALUES (?1,?2,?3,?4,?5,?6,?7)")?.execute(params![
        json(key),
        signed(version.first),
        signed(version.second),
        record.as_ref().map(json),
        other.as_ref().map(json),
        edited.as_ref().map(json),
        Some(also).filter(|also| !also.is_empty()).map(json),
    ])?;
    Ok(())
}

pub fn load(connection: &Connection, ages: &Ages) -> Result<PairRows, Fault> {
    let memory = load_memory(connection, ages).map_err(|fault| fault.in_row("what is known of the twin"))?;
    let mut statement = connection.prepare("SELECT * FROM given_up ORDER BY address")?;
    let mut rows = statement.query([])?;
    let mut given_up = Vec::new();
    while let Some(row) = rows.next()? {
        let address = Ipv4Addr::from(row.get::<_, u32>(0)?);
        let version = Version { first: unsigned(row, 2)?, second: unsigned(row, 3)? };
        given_up.push(GivenUp { address, generation: row.get(1)?, version });
    }
    Ok(PairRows { memory, given_up, entries: load_entries(connection)? })
}

fn load_memory(connection: &Connection, ages: &Ages) -> Result<Option<Memory>, Fault> {
    let row = connection.query_row("SELECT memory, partner_down_ms, partner_down_epoch FROM pair", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<u32>>(2)?))
    });
    let Some((body, since_ms, epoch)) = row.optional()? else { return Ok(None) };
    let mut memory: Memory = parse(&body)?;
    memory.partner_down = match (since_ms, epoch.map(Epoch)) {
        (Some(since_ms), Some(epoch)) => Some((ages.effective(u64::try_from(since_ms).map_err(Fault::damage)?, epoch), epoch)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(Fault::Damage("a time has no boot".into())),
    };
    memory.one_forgot = memory.one_forgot.map(|(since, epoch)| (ages.effective(since.0, epoch), epoch));
    Ok(Some(memory))
}

fn load_entries(connection: &Connection) -> Result<Vec<Entry>, Fault> {
    let mut statement = connection.prepare("SELECT * FROM entry")?;
    let mut rows = statement.query([])?;
    let mut entries: Vec<Entry> = Vec::new();
    while let Some(row) = rows.next()? {
        let key = row.get::<_, String>(0)?;
        let read = || -> Result<Entry, Fault> {
            let optional = |column| Ok::<_, Fault>(row.get::<_, Option<String>>(column)?);
            let entry = Entry {
                key: parse(&key)?,
                version: Version { first: unsigned(row, 1)?, second: unsigned(row, 2)? },
                record: optional(3)?.map(|body| parse(&body)).transpose()?,
                other: optional(4)?.map(|other| parse(&other)).transpose()?,
                edited: optional(5)?.map(|edited| parse(&edited)).transpose()?,
                also: optional(6)?.map(|also| parse(&also)).transpose()?.unwrap_or_default(),
            };
            if entry.is_sound() { Ok(entry) } else { Err(Fault::Damage("it is about another setting".into())) }
        };
        entries.push(read().map_err(|fault| fault.in_row(&format!("the shared setting {key}")))?);
    }
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(entries)
}
