//! The disk: one SQLite database in the data folder, opened here, written by `writer`. The only SQL is below
//! this module.
//!
//! Opening never overwrites what it cannot read: a damaged database is set aside and the newest good snapshot
//! takes its place; a database that is not ours, or newer, or in use, is refused with a sentence.

mod archive;
mod aside;
mod backups;
mod diary;
mod error;
mod history;
mod log;
mod nightly;
mod pair;
mod place;
mod rows;
mod snapshot;
mod suspect;
mod writer;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ffi};

use crate::{
    protocol::{
        Change, StoreTrouble,
        failover::{GivenUp, Memory},
        lease::{Binding, Version},
        replica::Entry,
        time::Epoch,
    },
    runtime::{
        alive::Alive,
        clock::{Clock, Reading, Sleep, Slept, WallTrust},
    },
    settings::Settings,
};
pub use archive::{Archive, Step};
use aside::Halt;
pub use backups::{Backup, Contents, back_up_now, backups, look_into};
use diary::Diary;
pub use error::StoreError;
use error::{Fault, io_told};
use pair::PairRows;
use place::Place;
pub use place::{private_file, private_folder};
use rows::Ages;
pub use snapshot::{TWINS_BYTES_MAX, keep_twins, leave_newer, newest, newest_made};
pub use suspect::is_marked as is_damaged;
pub use writer::{Report, StoreHandle};

/// "twLs", in the database's header.
const APPLICATION_ID: i32 = 0x7477_4c73;
/// What leads from version n to n+1, by n. Append only.
const MIGRATIONS: [&str; 4] =
    [include_str!("schema.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql"), include_str!("schema_4.sql")];
/// Small pages: leases come in no order, so that each one written costs a page in the write-ahead log.
const PAGE_BYTES: u32 = 2048;
const PAGE_CACHE_KIB: u32 = 8 * 1024;
/// The log is copied into the database when it has this many pages (16 MiB): rarely, because each copy syncs the
/// disk twice, and a page that changed often meanwhile is written once. Its file is cut back to twice that.
const LOG_PAGES: u32 = 8 * 1024;
/// Where the thread that copies it does not keep up, the writer stops and copies it itself.
const LOG_PAGES_MAX: u32 = 2 * LOG_PAGES;
/// How long to wait for a reader that is in the way (recovery after a crash).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the disk knew at the start.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    /// Ordered by address. Their times stand as of now: sleep that is known is taken off.
    pub bindings: Vec<Binding>,
    /// Settings as both twins hold them, ordered by key; `settings` has what they come to. None without a twin.
    pub entries: Vec<Entry>,
    /// Ordered by address. Without a twin none.
    pub given_up: Vec<GivenUp>,
    /// What the node knew of its pair; `None`: it has no twin. Its time stands as of now, as those of the bindings.
    pub memory: Option<Memory>,
    /// The highest of each counter among the bindings and the entries.
    pub newest_version: Version,
    pub clock: Clock,
    /// The highest number in the history of changes.
    pub newest_change: u64,
    /// Already taken off the bindings' times.
    pub slept: Slept,
    /// What the admin must be told, as sentences.
    pub notices: Vec<String>,
    /// This database was made from a snapshot: the node may have forgotten promises (failover rule 12). It stays so
    /// until a `Change::Pair` says that nothing is forgotten.
    pub restored: bool,
    /// Made just now: nothing was on the disk.
    pub is_new: bool,
    /// Reading went well but nothing can be written: the store refuses commits until it reports `Recovered`.
    pub trouble: Option<StoreTrouble>,
}

/// An open database, nobody else's until it is dropped.
#[derive(Debug)]
pub struct Store {
    place: Place,
    connection: Connection,
    /// Held for its lock.
    lock: File,
    clock: Clock,
    ages: Ages,
    /// Facts of this boot that wait to be written: they go first in the next transaction. Here: the row of
    /// this epoch, and why it is not written yet.
    epoch_unwritten: Option<StoreTrouble>,
    sleeps: BTreeMap<Epoch, Sleep>,
    /// Taken along by the next transaction.
    diary: Diary,
    /// The thread's, once it is started.
    alive: Alive,
    is_closing: bool,
}

/// Makes the data folder where there is none, for its owner alone.
pub fn make_folder(folder: &Path) -> Result<(), StoreError> {
    Place::new(folder).make_folder()
}

/// Opens the database for writing and reads all of it. Makes folder and database where there are none.
pub fn open(folder: &Path, trust: WallTrust) -> Result<(Store, Loaded), StoreError> {
    open_at(folder, trust, &Reading::take(trust))
}

fn open_at(folder: &Path, trust: WallTrust, reading: &Reading) -> Result<(Store, Loaded), StoreError> {
    let place = Place::new(folder);
    place.make_folder()?;
    let lock = place.lock()?;
    let mut notices = Vec::new();
    if place.database_is_missing()
        && let Some(good) = snapshot::newest_good(&place)
    {
        // An empty file, or a log without its database, may be of use to somebody.
        snapshot::set_aside(&place, "damaged")?;
        snapshot::restore(&place, &good)?;
        notices.push(format!("The database `{}` is gone. {}", place.database.display(), good.notice()));
    }
    suspect::look_again(&place, &mut notices)?;
    let (connection, is_new) = match connect(&place) {
        Ok(connected) => connected,
        Err(Fault::Damage(reason)) => (replace_damaged(&place, reason, &mut notices)?, false),
        Err(fault) => return Err(fault.told(&place.database)),
    };
    let attempt = Store::load(place, connection, lock, trust, reading);
    let (mut store, mut loaded) = match attempt {
        Ok(loaded) => loaded,
        Err((place, lock, Fault::Damage(reason))) => {
            let connection = replace_damaged(&place, reason, &mut notices)?;
            let again = Store::load(place, connection, lock, trust, reading);
            again.map_err(|(place, _, fault)| fault.told(&place.database))?
        }
        Err((place, _, fault)) => return Err(fault.told(&place.database)),
    };
    // On a full disk this fails, and what was promised before is still served from memory.
    if let Err(trouble) = store.write(&[]) {
        store.epoch_unwritten = Some(trouble.clone());
        loaded.trouble = Some(trouble);
    }
    loaded.notices = notices;
    loaded.is_new = is_new;
    Ok((store, loaded))
}

/// What is damaged in the database of a folder; `None`: nothing. Reads all of it, beside a running server too.
pub fn damage(folder: &Path) -> Result<Option<String>, StoreError> {
    let place = Place::new(folder);
    suspect::damage(&place.database, &Halt::default()).map_err(|fault| fault.told(&place.database))
}

/// Reads all of a database, beside a running server too. Nothing is changed. Bindings as `Loaded` has them.
pub fn view(folder: &Path, trust: WallTrust) -> Result<Loaded, StoreError> {
    let place = Place::new(folder);
    if let Err(error) = fs::metadata(&place.database)
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        return Err(io_told(&place.database, &error));
    }
    if place.database_is_missing() {
        return Err(StoreError::Missing(place.database));
    }
    let told = |fault: Fault| fault.told(&place.database);
    let connection = connect_to_read(&place.database).map_err(told)?;
    let snapshot = connection.unchecked_transaction().map_err(|e| told(e.into()))?;
    let (loaded, _) = read_all(&snapshot, trust, &Reading::take(trust)).map_err(told)?;
    Ok(loaded)
}

impl Store {
    /// For those who show it, and who note what happens.
    pub fn archive(&self) -> Archive {
        Archive::new(&self.place.folder, self.diary.journal.clone(), self.diary.presence.clone(), self.alive.clone())
    }

    /// Makes the changes durable, together or not at all, before it returns: for work without a running server.
    pub fn commit_now(&mut self, changes: &[Change]) -> Result<(), StoreTrouble> {
        self.write(&[changes])
    }

    #[expect(clippy::result_large_err, reason = "what was lent comes back, once, at the start")]
    fn load(
        place: Place,
        connection: Connection,
        lock: File,
        trust: WallTrust,
        reading: &Reading,
    ) -> Result<(Store, Loaded), (Place, File, Fault)> {
        let (loaded, ages) = match read_all(&connection, trust, reading) {
            Ok(read) => read,
            Err(fault) => return Err((place, lock, fault)),
        };
        let sleeps = match loaded.slept {
            Slept::Known(sleep) => BTreeMap::from([(sleep.before, sleep)]),
            Slept::SameBoot | Slept::Unknown => BTreeMap::new(),
        };
        let clock = loaded.clock.clone();
        let diary = match diary::known(&connection) {
            Ok(known) => Diary::new(known),
            // No reason to give up what devices hold.
            Err(Fault::Damage(reason)) => {
                suspect::mark(&place, &reason);
                Diary::new(Vec::new())
            }
            Err(fault) => return Err((place, lock, fault)),
        };
        let epoch_unwritten = Some(StoreTrouble::Other("Nothing was written yet.".into()));
        let store = Store {
            place,
            connection,
            lock,
            clock,
            ages,
            epoch_unwritten,
            sleeps,
            diary,
            alive: Alive::default(),
            is_closing: false,
        };
        Ok((store, loaded))
    }

    /// One transaction for all of the groups of changes.
    fn write(&mut self, groups: &[&[Change]]) -> Result<(), StoreTrouble> {
        self.write_groups(groups).map_err(|(_, error)| self.trouble(&error))
    }

    /// As `write`; on failure tells which group could not be written (their count: the commit itself).
    fn write_groups(&mut self, groups: &[&[Change]]) -> Result<(), (usize, rusqlite::Error)> {
        let batch = self.diary.take(self.is_closing);
        let mut written = self.try_write(groups, &batch);
        if let Err((_, error)) = &written {
            let is_damaged = error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt);
            self.roll_back();
            if is_damaged && !batch.is_empty() {
                // It may be the history that is damaged: no reason to keep a lease from anybody.
                suspect::mark(&self.place, &error.to_string());
                written = self.try_write(groups, &diary::Batch::default());
                if written.is_err() {
                    self.roll_back();
                }
            } else {
                self.diary.put_back(batch);
            }
        }
        if written.is_ok() {
            self.epoch_unwritten = None;
            self.sleeps.clear();
        }
        written
    }

    /// SQLite has done so by itself after some errors, not after others.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!("the store cannot roll back: {error}");
        }
    }

    fn try_write(&mut self, groups: &[&[Change]], batch: &diary::Batch) -> Result<(), (usize, rusqlite::Error)> {
        let connection = &self.connection;
        let first = |error| (0, error);
        connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(first)?;
        let stamp = self.clock.stamp();
        if self.epoch_unwritten.is_some() {
            rows::write_epoch(connection, stamp.epoch, &stamp.boot_id).map_err(first)?;
        }
        for sleep in self.sleeps.values() {
            rows::write_sleep(connection, *sleep).map_err(first)?;
        }
        for (nth, changes) in groups.iter().enumerate() {
            rows::write_changes(connection, changes, &self.ages).map_err(|error| (nth, error))?;
        }
        let last = |error| (groups.len(), error);
        self.diary.write(connection, batch).map_err(last)?;
        rows::write_stamp(connection, &stamp).map_err(last)?;
        connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(last)?;
        Ok(())
    }

    fn trouble(&self, error: &rusqlite::Error) -> StoreTrouble {
        if error::is_disk_full(error) {
            return StoreTrouble::DiskFull;
        }
        let path = self.place.database.display();
        StoreTrouble::Other(match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!(
                    "The database `{path}` is held by another program. Close the tool that has it open; this goes on by itself then."
                )
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                suspect::mark(&self.place, &error.to_string());
                format!(
                    "The database `{path}` is damaged ({error}). Start the server again: it mends it, or takes the newest good snapshot. Then look at the disk; \
                     `dmesg` says more."
                )
            }
            _ => format!("The database `{path}` cannot be written: {error}. Look at the disk; `dmesg` says more."),
        })
    }
}

/// Opens for writing, makes the tables where there are none, and brings older ones up to date. True: made new.
fn connect(place: &Place) -> Result<(Connection, bool), Fault> {
    // SQLite gives its companions the rights of the database, and would give that those of the umask.
    if !place.database.exists() {
        private_file(&place.database).map_err(|error| Fault::Refused(io_told(&place.database, &error)))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&place.database, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version = version_of(&connection, &place.database)?;
    // SQLite falls back to reading without a word.
    if connection.is_readonly("main")? {
        let reason = "the file is read-only".into();
        return Err(Fault::Refused(StoreError::ReadOnly { path: place.database.clone(), reason }));
    }
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let reason = format!("the file system allows no write-ahead log, only `{mode}`");
        return Err(Fault::Refused(StoreError::Other { path: place.database.clone(), reason }));
    }
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{PAGE_CACHE_KIB}; PRAGMA wal_autocheckpoint = {LOG_PAGES_MAX};
         PRAGMA journal_size_limit = {}",
        2 * LOG_PAGES * PAGE_BYTES
    ))?;
    keep_log_file(&connection)?;
    for (from, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let step = connection.transaction()?;
        step.execute_batch(sql)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", from as i64 + 1)?;
        step.commit()?;
    }
    Ok((connection, version == 0))
}

/// SQLite removes its log and its shared memory when the last connection closes. Kept, they let a server start on
/// a full disk, and serve from memory what was durable before.
fn keep_log_file(connection: &Connection) -> rusqlite::Result<()> {
    let mut keep: std::ffi::c_int = 1;
    // SAFETY: the handle is open, and SQLITE_FCNTL_PERSIST_WAL reads and writes one int through the pointer.
    let code = unsafe {
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_PERSIST_WAL, (&raw mut keep).cast())
    };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)) }
}

/// Opens for reading only, and refuses what `connect` refuses.
fn connect_to_read(path: &Path) -> Result<Connection, Fault> {
    let (connection, version) = connect_to_read_older(path)?;
    if version < MIGRATIONS.len() {
        let reason = "it has the tables of an older version; start the server once to bring it up to date".into();
        return Err(Fault::Refused(StoreError::Other { path: path.into(), reason }));
    }
    Ok(connection)
}

/// As `connect_to_read`, but older tables will do (a snapshot from before an update). With their version.
fn connect_to_read_older(path: &Path) -> Result<(Connection, usize), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version = version_of(&connection, path)?;
    Ok((connection, version))
}

/// How many migrations the database has seen; zero: it is empty.
fn version_of(connection: &Connection, path: &Path) -> Result<usize, Fault> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(Fault::Refused(StoreError::Foreign(path.into())));
    }
    match usize::try_from(version) {
        Ok(known) if known <= MIGRATIONS.len() => Ok(known),
        _ => Err(Fault::Refused(StoreError::Newer { path: path.into(), found: version, known: MIGRATIONS.len() })),
    }
}

fn read_all(connection: &Connection, trust: WallTrust, reading: &Reading) -> Result<(Loaded, Ages), Fault> {
    let (clock, slept) = Clock::resume(rows::load_stamp(connection)?, reading, trust);
    let mut ages = Ages::load(connection)?;
    if let Slept::Known(sleep) = slept {
        ages.put(sleep);
    }
    let mut bindings = Vec::new();
    let mut newest_version = Version::default();
    rows::each_binding(connection, &ages, |binding| {
        newest_version.first = newest_version.first.max(binding.version.first);
        newest_version.second = newest_version.second.max(binding.version.second);
        bindings.push(binding);
    })?;
    let settings = rows::load_settings(connection)?;
    let PairRows { memory, given_up, entries } = pair::load(connection, &ages)?;
    for Entry { version, .. } in &entries {
        newest_version.first = newest_version.first.max(version.first);
        newest_version.second = newest_version.second.max(version.second);
    }
    let mark = connection.query_row("SELECT 1 FROM meta WHERE name = 'restored'", [], |_| Ok(())).optional()?;
    let restored = mark.is_some();
    let loaded = Loaded {
        settings,
        bindings,
        entries,
        given_up,
        memory,
        newest_version,
        clock,
        newest_change: history::newest(connection)?,
        slept,
        notices: Vec::new(),
        restored,
        is_new: false,
        trouble: None,
    };
    Ok((loaded, ages))
}

/// Opens the newest good snapshot in the place of a damaged database.
fn replace_damaged(place: &Place, reason: String, notices: &mut Vec<String>) -> Result<Connection, StoreError> {
    let Some(notice) = snapshot::replace_damaged(place, &reason)? else {
        return Err(StoreError::Damaged { path: place.database.clone(), reason });
    };
    notices.push(notice);
    let (connection, _) = connect(place).map_err(|fault| fault.told(&place.database))?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
