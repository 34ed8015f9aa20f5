//! A database in which damage was found while it was in use. A start reads the tables that decide, and no more, so it could go on with such
//! a one for ever: it is marked, and looked through at the next start. Where only the history is hurt, all else is copied into a new database;
//! where more is, the newest good snapshot takes its place.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    APPLICATION_ID, Fault, Halt, MIGRATIONS, PAGE_BYTES, Place, StoreError, connect_to_read_older, io_told, private_file,
    snapshot,
};

/// Nothing rests on them: for people alone.
const LOSABLE: [&str; 4] = ["journal", "presence", "device", "change"];

fn mark_of(folder: &Path) -> PathBuf {
    folder.join("twinlease.db.suspect")
}

/// Whether damage was found in the database of this folder, and it is in use all the same.
pub fn is_marked(folder: &Path) -> bool {
    mark_of(folder).exists()
}

/// On a disk that takes nothing, the check of the next start finds the damage again.
pub fn mark(place: &Place, reason: &str) {
    if let Err(error) = fs::write(mark_of(&place.folder), format!("{reason}\n")) {
        tracing::warn!("`{}` cannot be written: {error}", mark_of(&place.folder).display());
    }
}

/// What is damaged; `None`: nothing. Reads everything.
pub fn damage(path: &Path, halt: &Halt) -> Result<Option<String>, Fault> {
    let (connection, _) = connect_to_read_older(path)?;
    halt.watch(&connection)?;
    damage_in(&connection, None)
}

fn damage_in(connection: &Connection, table: Option<&str>) -> Result<Option<String>, Fault> {
    let check = match table {
        Some(table) => format!("PRAGMA quick_check('{table}')"),
        None => "PRAGMA quick_check(1)".into(),
    };
    match connection.query_row(&check, [], |row| row.get::<_, String>(0)).map_err(Fault::from) {
        Ok(verdict) if verdict == "ok" => Ok(None),
        Ok(verdict) | Err(Fault::Damage(verdict)) => Ok(Some(verdict)),
        Err(fault) => Err(fault),
    }
}

/// Before a marked database is opened. What cannot be mended stays as it is, marked, and is said again.
pub fn look_again(place: &Place, notices: &mut Vec<String>) -> Result<(), StoreError> {
    if !is_marked(&place.folder) || place.database_is_missing() {
        return Ok(());
    }
    let reason = match damage(&place.database, &Halt::default()) {
        Ok(None) => {
            unmark(place);
            return Ok(());
        }
        Ok(Some(reason)) | Err(Fault::Damage(reason)) => reason,
        Err(fault) => return Err(fault.told(&place.database)),
    };
    let path = place.database.display().to_string();
    match copy_what_counts(place) {
        Ok(copy) => {
            let aside = snapshot::set_aside(place, "damaged")?;
            snapshot::put_in_place(place, &copy)?;
            notices.push(format!(
                "The history in the database `{path}` was damaged ({reason}). Leases and settings were not, and go on in a new one; the old one was \
                 set aside as `{}`. Look at the disk: it may be failing.",
                aside.display()
            ));
        }
        Err(Fault::Damage(_)) => {
            let Some(notice) = snapshot::replace_damaged(place, &reason)? else {
                notices.push(format!(
                    "The database `{path}` is damaged ({reason}), and there is no good snapshot beside it. It is used as far as it can be read: \
                     export the settings, and replace the disk."
                ));
                return Ok(());
            };
            notices.push(notice);
        }
        // A full disk, say: no reason not to serve.
        Err(fault) => {
            notices.push(format!(
                "The database `{path}` is damaged ({reason}), and could not be mended: {}",
                fault.told(&place.database)
            ));
            return Ok(());
        }
    }
    unmark(place);
    Ok(())
}

fn unmark(place: &Place) {
    if let Err(error) = fs::remove_file(mark_of(&place.folder)) {
        tracing::warn!("`{}` cannot be removed: {error}", mark_of(&place.folder).display());
    }
}

/// Into a new file beside it. `Damage`: what counts is damaged, too.
fn copy_what_counts(place: &Place) -> Result<PathBuf, Fault> {
    let (old, version) = connect_to_read_older(&place.database)?;
    let mut names = old.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let tables: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut whole = Vec::new();
    for table in tables {
        match damage_in(&old, Some(&table))? {
            None => whole.push(table),
            Some(reason) if LOSABLE.contains(&table.as_str()) => tracing::warn!("the table {table} is lost: {reason}"),
            Some(reason) => return Err(Fault::Damage(format!("{table}: {reason}"))),
        }
    }
    let copy = snapshot::making(place);
    private_file(&copy).map_err(|error| Fault::Refused(io_told(&copy, &error)))?;
    let new = Connection::open(&copy)?;
    new.pragma_update(None, "page_size", PAGE_BYTES)?;
    new.pragma_update(None, "foreign_keys", false)?;
    for sql in &MIGRATIONS[..version] {
        new.execute_batch(sql)?;
    }
    new.pragma_update(None, "application_id", APPLICATION_ID)?;
    new.pragma_update(None, "user_version", version as i64)?;
    new.execute("ATTACH ?1 AS old", [place.database.to_string_lossy()])?;
    new.execute_batch("BEGIN")?;
    for table in &whole {
        new.execute(&format!("INSERT INTO main.\"{table}\" SELECT * FROM old.\"{table}\""), [])?;
    }
    new.execute_batch("COMMIT; DETACH old")?;
    new.close().map_err(|(_, error)| error)?;
    File::open(&copy).and_then(|file| file.sync_all()).map_err(|error| Fault::Refused(io_told(&copy, &error)))?;
    Ok(copy)
}
