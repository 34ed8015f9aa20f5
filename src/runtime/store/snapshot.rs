//! Snapshots of the database: made once a day, seven kept, and put in the place of a damaged one. Those of the twin
//! lie beside them for a person to use; this node never takes them for its own.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::Connection;

use super::{
    Fault, Halt, Place, StoreError, connect_to_read, connect_to_read_older, io_told, pair, private_file, private_folder, rows,
};
use crate::{protocol::time::Time, runtime::clock};

const SNAPSHOTS_KEPT: usize = 7;
/// Of those that cannot be read (damaged, or of a newer version that was gone back from): the latest, for a person to look at.
const UNREADABLE_KEPT: usize = 2;
const TWINS_KEPT: usize = 2;
/// Room for some 500,000 leases. Nobody shall fill this disk by way of the link.
pub const TWINS_BYTES_MAX: u64 = 64 << 20;
/// A snapshot reads everything once: it shall not crowd out anything for that.
const PAGE_CACHE_KIB: u32 = 512;

/// The version of the tables that came with the pair.
const PAIR_SINCE: usize = 2;

/// A snapshot that was read through and found good.
#[derive(Debug)]
pub struct Good {
    path: PathBuf,
}

impl Good {
    /// How safe is this for a node alone? ARP finds a device that holds a forgotten lease only where it is
    /// switched on and on this link.
    pub fn notice(&self) -> String {
        format!(
            "The snapshot `{}` is in use instead: leases and settings newer than it are forgotten. Leave the ARP probe on, \
             and until the longest lease time has passed, look at devices that report a duplicate address.",
            self.path.display()
        )
    }
}

/// One at a time, whoever asks for it.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes a snapshot on a connection of its own, beside the writer. It takes its name only when it was read back.
pub fn make(place: &Place, halt: &Halt) -> Result<PathBuf, String> {
    let told = |fault: Fault| format!("The snapshot was not made: {}", fault.told(&place.snapshots));
    let io = |error: io::Error| told(Fault::Refused(io_told(&place.snapshots, &error)));
    let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    private_folder(&place.snapshots).map_err(io)?;
    let making = place.snapshots.join("making");
    let name = format!("{}.db", clock::wall_day_and_second().0);
    let made = fill(place, &making, halt).and_then(|()| check(&making)).map_err(told).and_then(|()| {
        File::open(&making).and_then(|file| file.sync_all()).map_err(io)?;
        let path = place.snapshots.join(name);
        fs::rename(&making, &path).and_then(|()| sync_folder(&place.snapshots)).map_err(io)?;
        Ok(path)
    });
    match &made {
        Ok(_) => prune(place),
        Err(_) => remove_quietly(&making),
    }
    made
}

fn fill(place: &Place, making: &Path, halt: &Halt) -> Result<(), Fault> {
    remove_quietly(making);
    let connection = connect_to_read(&place.database)?;
    halt.watch(&connection)?;
    connection.pragma_update(None, "cache_size", -i64::from(PAGE_CACHE_KIB))?;
    connection.execute("VACUUM INTO ?1", [making.to_string_lossy()])?;
    Ok(())
}

/// Reads every row as a start would. A snapshot from before an update is as good: a start brings its tables up to date.
fn check(path: &Path) -> Result<(), Fault> {
    let (connection, version) = connect_to_read_older(path)?;
    if version == 0 {
        return Err(Fault::Damage("it is empty".into()));
    }
    connection.pragma_update(None, "cache_size", -i64::from(PAGE_CACHE_KIB))?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Fault::Damage(verdict));
    }
    rows::load_stamp(&connection)?;
    rows::load_settings(&connection)?;
    let ages = rows::Ages::load(&connection)?;
    if version >= PAIR_SINCE {
        pair::load(&connection, &ages)?;
    }
    rows::each_binding(&connection, &ages, |_| {})
}

/// The newest snapshot in the data folder. It is never written again, so it can be read while the server runs.
pub fn newest(folder: &Path) -> Option<PathBuf> {
    by_age(&Place::new(folder)).into_iter().next().map(|(_, path)| path)
}

/// When it was made, on the node's timeline.
pub fn newest_made(folder: &Path) -> Option<Time> {
    newest_ms(&Place::new(folder)).map(|ms| Time(ms.unsigned_abs()))
}

/// Keeps a snapshot that the twin sent, and gives the path. The newest two stay; the same one again is kept once. It
/// takes its name only when it was read through, except where the twin's version is newer than this one.
pub fn keep_twins(folder: &Path, snapshot: impl Read) -> Result<PathBuf, String> {
    let twins = Place::new(folder).snapshots.join("twin");
    let told = |fault: Fault| format!("The twin's snapshot was not kept: {}", fault.told(&twins));
    let io = |error: io::Error| told(Fault::Refused(io_told(&twins, &error)));
    private_folder(&twins).map_err(io)?;
    let making = twins.join("making");
    remove_quietly(&making);
    let kept = receive(&making, snapshot).map_err(io).and_then(|bytes| {
        if bytes > TWINS_BYTES_MAX {
            let most = TWINS_BYTES_MAX >> 20;
            return Err(format!("The twin's snapshot was not kept: it has more than {most} MiB. Free old leases there."));
        }
        match check(&making) {
            Ok(()) | Err(Fault::Refused(StoreError::Newer { .. })) => {}
            Err(fault) => return Err(told(fault)),
        }
        let numbered = numbered(&twins);
        if let Some((_, newest)) = numbered.first()
            && is_same(newest, &making).map_err(io)?
        {
            return Ok(newest.clone());
        }
        // Numbers, because the twin's own timeline begins anew when its card is replaced.
        let path = twins.join(format!("{:06}.db", numbered.first().map_or(0, |(number, _)| *number) + 1));
        fs::rename(&making, &path).and_then(|()| sync_folder(&twins)).map_err(io)?;
        for (_, old) in numbered.iter().skip(TWINS_KEPT - 1) {
            remove_quietly(old);
        }
        Ok(path)
    });
    remove_quietly(&making);
    kept
}

/// At most one byte more than is allowed. How many there were.
fn receive(making: &Path, snapshot: impl Read) -> io::Result<u64> {
    let mut file = private_file(making)?;
    let bytes = io::copy(&mut snapshot.take(TWINS_BYTES_MAX + 1), &mut file)?;
    file.sync_all()?;
    Ok(bytes)
}

/// The twin's, highest number first.
fn numbered(twins: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(twins) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".db")?.parse().ok();
    let mut numbered: Vec<(u32, PathBuf)> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
    numbered.sort_by(|a, b| b.cmp(a));
    numbered
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let length = one.read(&mut a)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact(&mut b[..length])?;
        if a[..length] != b[..length] {
            return Ok(false);
        }
    }
}

/// Node time at which the newest snapshot was made. `None`: there is none.
pub fn newest_ms(place: &Place) -> Option<i64> {
    by_age(place).first().map(|(node_ms, _)| *node_ms)
}

pub fn newest_good(place: &Place) -> Option<Good> {
    by_age(place).into_iter().find_map(|(_, path)| match check(&path) {
        Ok(()) => Some(Good { path }),
        Err(fault) => {
            tracing::warn!("a snapshot is no good: {}", fault.told(&path));
            None
        }
    })
}

/// Newest first, by node time: a node without a clock gives every snapshot a wrong day.
fn by_age(place: &Place) -> Vec<(i64, PathBuf)> {
    let mut stamped: Vec<(i64, PathBuf)> = all(place).into_iter().filter_map(|path| Some((made_ms(&path)?, path))).collect();
    stamped.sort_by(|a, b| b.cmp(a));
    stamped
}

fn all(place: &Place) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(&place.snapshots) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect()
}

fn made_ms(path: &Path) -> Option<i64> {
    let (connection, _) = connect_to_read_older(path).ok()?;
    Some(rows::load_stamp(&connection).ok()??.node_ms)
}

fn prune(place: &Place) {
    for (_, path) in by_age(place).into_iter().skip(SNAPSHOTS_KEPT) {
        remove_quietly(&path);
    }
    // They say no time of their own.
    let written = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let mut unreadable: Vec<PathBuf> = all(place).into_iter().filter(|path| made_ms(path).is_none()).collect();
    unreadable.sort_by_key(|path| std::cmp::Reverse(written(path)));
    for path in unreadable.iter().skip(UNREADABLE_KEPT) {
        remove_quietly(path);
    }
}

/// For one that has gone back to an older version: the newer one may have brought the database up to date, so that it cannot be read
/// here any more. It is set aside where there is a snapshot from before, which the next opening takes. A sentence where it was.
pub fn leave_newer(folder: &Path) -> Result<Option<String>, StoreError> {
    let place = Place::new(folder);
    let Err(Fault::Refused(StoreError::Newer { .. })) = connect_to_read(&place.database) else { return Ok(None) };
    if newest_good(&place).is_none() {
        return Ok(None);
    }
    let aside = set_aside(&place, "newer")?;
    Ok(Some(format!("The newer version has changed the database's form, so it was set aside as `{}`.", aside.display())))
}

/// Renames the database and its companions. Gives its new name.
pub fn set_aside(place: &Place, why: &str) -> Result<PathBuf, StoreError> {
    let mut name = place.database.clone().into_os_string();
    name.push(format!(".{why}-{}", clock::wall_day_and_second().1));
    let aside = PathBuf::from(name);
    for (from, to) in Place::companions(&place.database).iter().zip(Place::companions(&aside)) {
        if from.exists() {
            fs::rename(from, to).map_err(|error| io_told(from, &error))?;
        }
    }
    Ok(aside)
}

/// Sets the damaged database aside and puts the newest good snapshot in its place. A sentence that says so; `None`: there is no good
/// one, and nothing was touched.
pub fn replace_damaged(place: &Place, reason: &str) -> Result<Option<String>, StoreError> {
    let Some(good) = newest_good(place) else { return Ok(None) };
    let aside = set_aside(place, "damaged")?;
    restore(place, &good)?;
    let (path, aside) = (place.database.display(), aside.display());
    Ok(Some(format!("The database `{path}` was damaged ({reason}) and was set aside as `{aside}`. {}", good.notice())))
}

/// Puts a copy of the snapshot where the database was before it was set aside, marked as restored. The
/// database's own name appears last.
pub fn restore(place: &Place, good: &Good) -> Result<(), StoreError> {
    let copy = making(place);
    let told = |error: io::Error| io_told(&copy, &error);
    // Not `fs::copy`, which would give the database the rights of the snapshot.
    let mut copied = private_file(&copy).map_err(told)?;
    File::open(&good.path).and_then(|mut from| io::copy(&mut from, &mut copied)).map_err(told)?;
    mark_restored(&copy).map_err(|error| Fault::from(error).told(&copy))?;
    File::open(&copy).and_then(|file| file.sync_all()).map_err(told)?;
    put_in_place(place, &copy)
}

/// Where a database is made that is to take the place of one that was set aside. Nothing is there.
pub fn making(place: &Place) -> PathBuf {
    let copy = place.folder.join("twinlease.db.restoring");
    remove_quietly(&copy);
    copy
}

/// Its name is the last thing that a new database gets.
pub fn put_in_place(place: &Place, copy: &Path) -> Result<(), StoreError> {
    let renamed = fs::rename(copy, &place.database).and_then(|()| sync_folder(&place.folder));
    renamed.map_err(|error| io_told(copy, &error))
}

fn mark_restored(path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    let second = clock::wall_day_and_second().1;
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('restored', ?1)", [second])?;
    Ok(())
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove_quietly(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("`{}` cannot be removed: {error}", path.display()),
    }
}
