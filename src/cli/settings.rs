//! `export` and `import`: all settings as one readable file.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use twinlease::{
    protocol::{Change, Command, failover::GivenUp, lease::Binding, node::differences},
    runtime::store::{self, StoreError},
    settings::{
        Record, RecordKey, Settings,
        import::{self, Source},
        parse, render,
        words::show_identifier,
    },
};

use super::{DONE, FOUND, Place, door, show};

/// The inner error: every problem in the file.
pub fn read(path: &Path) -> anyhow::Result<Result<Settings, Vec<parse::Problem>>> {
    let bytes = fs::read(path).with_context(|| format!("The settings file `{}` cannot be read", path.display()))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => parse::parse(&text),
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
            let text = "The file is not UTF-8 text. Save it as UTF-8.".into();
            Err(vec![parse::Problem { line: Some(line), text }])
        }
    })
}

pub fn export(place: &Place, file: Option<&Path>, json: bool) -> anyhow::Result<u8> {
    let settings = door::settings(place)?.for_file();
    let text = if json { serde_json::to_string_pretty(&settings)? + "\n" } else { render::render(&settings) };
    match file {
        None => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("The settings could not be written")?;
        }
        Some(path) => write(path, text.as_bytes()).with_context(|| {
            format!("`{}` cannot be written. Name another file, or look at its disk and rights", path.display())
        })?,
    }
    Ok(DONE)
}

/// All of it or nothing: a full disk must not cost an earlier export.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    // Through a symbolic link to the file itself; a device or a pipe is written into, not replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if path.exists() && !path.is_file() {
        return fs::write(path, text);
    }
    let making = path.with_added_extension("making");
    let _ = fs::remove_file(&making);
    // It may hold passwords: for its owner alone, unless it was there and is for others too.
    let rights = fs::metadata(path).ok().map(|there| there.permissions());
    let written = store::private_file(&making)
        .and_then(|mut file| {
            rights.map_or(Ok(()), |rights| file.set_permissions(rights))?;
            file.write_all(text).and_then(|()| file.sync_all())
        })
        .and_then(|()| fs::rename(&making, path));
    if written.is_err() {
        // Not there, or of no use.
        let _ = fs::remove_file(&making);
    }
    written
}

pub fn import(place: &Place, file: &Path, from: Option<&str>, dry_run: bool) -> anyhow::Result<u8> {
    let before = || match door::settings(place) {
        // A first import makes the database.
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Missing(_))) => Ok(Settings::default()),
        looked => looked,
    };
    let (before, mut settings) = match from.and_then(Source::named) {
        Some(source) => {
            let before = before()?;
            let text = fs::read(file).with_context(|| format!("`{}` cannot be read", file.display()))?;
            let taken = import::read(source, &String::from_utf8_lossy(&text));
            let import::Joined { settings, clashes, against, .. } = import::join(&before, &taken);
            for (why, remarks) in
                [("not taken over", &taken.skipped), ("taken over differently", &taken.assumed), ("left out", &clashes)]
            {
                for import::Remark { line, what, why: sentence } in remarks {
                    let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                    eprintln!("{why}: {line}{what}: {sentence}");
                }
            }
            if !against.is_empty() {
                against.iter().for_each(|sentence| eprintln!("{sentence}"));
                return Ok(FOUND);
            }
            (before, settings)
        }
        None => match read(file)? {
            Ok(settings) => (before()?, settings),
            Err(problems) => {
                show::problems(file, &problems);
                return Ok(FOUND);
            }
        },
    };
    // Which of the two answers, and how far a promise may run ahead, is the pair's own: a file from before it knows nothing of that.
    if settings.twin != before.twin && !fs::read_to_string(file).is_ok_and(|text| parse::names_twin(&text)) {
        settings.twin = before.twin;
        println!("keep   [twin] as it is: the file does not name it");
    }
    let changes = differences(&before.for_file(), &settings);
    for change in &changes {
        println!("{}", describe(change, &before));
    }
    if changes.is_empty() {
        println!("Nothing to change: the server has these settings already.");
        return Ok(DONE);
    }
    if dry_run {
        println!("Nothing was changed (--dry-run).");
        return Ok(DONE);
    }
    match door::submit(place, Command::Replace(Box::new(settings)))? {
        Ok(()) => {
            println!("Saved.");
            Ok(DONE)
        }
        Err(refusal) => {
            eprintln!("{refusal}");
            Ok(FOUND)
        }
    }
}

fn describe(change: &Change, before: &Settings) -> String {
    let is_there = |key: &RecordKey| before.records().iter().any(|record| record.key() == *key);
    match change {
        Change::Put(record) => {
            let verb = if is_there(&record.key()) { "change" } else { "add   " };
            match record {
                Record::Server(_) => "change [server]".into(),
                Record::Lease(_) => "change [lease]".into(),
                Record::Twin(_) => "change [twin]".into(),
                Record::Access(_) => "change who may sign in".into(),
                Record::Alerts(_) => "change [alerts]".into(),
                Record::Options(_) => "change [options]".into(),
                Record::CustomOptions(_) => "change the custom options".into(),
                Record::Subnet(subnet) => format!("{verb} subnet {}", subnet.network),
                Record::Reservation(kept) => {
                    let name = kept.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
                    format!("{verb} kept address {} for {}{name}", kept.address, show_identifier(&kept.identifier))
                }
            }
        }
        Change::Remove(key) => match key {
            RecordKey::Subnet(network) => format!("remove subnet {network}"),
            RecordKey::Reservation(identifier) => format!("remove kept address for {}", show_identifier(identifier)),
            RecordKey::Server => "reset [server]".into(),
            RecordKey::Lease => "reset [lease]".into(),
            RecordKey::Twin => "reset [twin]".into(),
            RecordKey::Access => "reset who may sign in".into(),
            RecordKey::Alerts => "reset [alerts]".into(),
            RecordKey::Options => "reset [options]".into(),
            RecordKey::CustomOptions => "reset the custom options".into(),
        },
        Change::Bind(Binding { address, .. }) | Change::GiveUp(GivenUp { address, .. }) => {
            format!("change the lease of {address}")
        }
        Change::Setting(_) | Change::Pair(_) | Change::Noted(_) => "change what the twin is told".into(),
    }
}
