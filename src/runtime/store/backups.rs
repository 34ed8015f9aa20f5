//! Snapshots as backups: which there are, what is in one, and one more now.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Fault, Halt, Place, connect_to_read_older, rows, snapshot};
use crate::{protocol::lease::BindingState, settings::Settings};

/// A snapshot that lies in the data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Of its file; those of the twin are numbers.
    pub name: String,
    pub is_twins: bool,
    pub path: PathBuf,
    pub bytes: u64,
    pub made: SystemTime,
}

/// Newest first: this node's, then the twin's.
pub fn backups(folder: &Path) -> Vec<Backup> {
    let own = Place::new(folder).snapshots;
    [(own.clone(), false), (own.join("twin"), true)]
        .into_iter()
        .flat_map(|(folder, is_twins)| of_folder(&folder, is_twins))
        .collect()
}

fn of_folder(folder: &Path, is_twins: bool) -> Vec<Backup> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let found = entries.filter_map(Result::ok).filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?.to_string();
        let data = entry.metadata().ok().filter(|data| data.is_file() && name.ends_with(".db"))?;
        Some(Backup { name, is_twins, path, bytes: data.len(), made: data.modified().ok()? })
    });
    let mut found: Vec<Backup> = found.collect();
    found.sort_by(|one, other| (other.made, &other.name).cmp(&(one.made, &one.name)));
    found
}

/// What is in a backup.
#[derive(Debug)]
pub struct Contents {
    pub settings: Settings,
    /// Addresses that some device had.
    pub leases: usize,
}

/// Reads all of it, as a start would. The error is a sentence.
pub fn look_into(path: &Path) -> Result<Contents, String> {
    let look = || -> Result<Contents, Fault> {
        let (connection, version) = connect_to_read_older(path)?;
        if version == 0 {
            return Err(Fault::Damage("it is empty".into()));
        }
        // It may come from anybody: nothing in it is run.
        connection.pragma_update(None, "trusted_schema", false)?;
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Fault::Damage(verdict));
        }
        let settings = rows::load_settings(&connection)?;
        let ages = rows::Ages::load(&connection)?;
        let mut leases = 0;
        rows::each_binding(&connection, &ages, |binding| leases += usize::from(binding.state == BindingState::Leased))?;
        Ok(Contents { settings, leases })
    };
    look().map_err(|fault| match fault {
        Fault::Damage(_) => "This is no whole backup: the file is cut off or damaged. Choose another, or send it again.".into(),
        Fault::Refused(super::StoreError::Foreign(_)) => {
            "This file belongs to another program. Choose a backup of twinlease.".into()
        }
        Fault::Refused(super::StoreError::Newer { .. }) => {
            "This backup was made by a newer twinlease. Update this one first.".to_string()
        }
        Fault::Refused(error) => error.to_string(),
        Fault::Sql(error) if !super::error::is_disk_full(&error) => {
            "This is no backup of twinlease, or it is cut off. Choose another, or send it again.".into()
        }
        Fault::Sql(_) => "This machine's disk is full. Free some space, then try again.".into(),
    })
}

/// A snapshot beside the nightly one of today, which it replaces.
pub fn back_up_now(folder: &Path) -> Result<PathBuf, String> {
    snapshot::make(&Place::new(folder), &Halt::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::Change,
        runtime::{clock::WallTrust, store::open},
        settings::{Record, Server},
    };

    #[test]
    fn a_backup_is_made_listed_and_read_and_a_part_of_it_is_told() {
        let folder = std::env::temp_dir().join(format!("twinlease-backups-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        super::super::make_folder(&folder).unwrap();
        let (mut store, _) = open(&folder, WallTrust::Always).unwrap();
        store.commit_now(&[Change::Put(Record::Server(Server { bootp: true, ..Server::default() }))]).unwrap();
        let path = back_up_now(&folder).unwrap();
        let listed = backups(&folder);
        assert_eq!(listed.iter().map(|backup| &backup.path).collect::<Vec<_>>(), [&path]);
        let contents = look_into(&path).unwrap();
        assert!(contents.settings.server.bootp && contents.leases == 0);
        let whole = fs::read(&path).unwrap();
        for bytes in [&whole[..whole.len() / 2], &whole[..100], b"", b"PK\x03\x04 no database at all"] {
            let cut = folder.join("cut");
            fs::write(&cut, bytes).unwrap();
            let sentence = look_into(&cut).unwrap_err();
            assert!(sentence.ends_with('.') && sentence.contains("Choose"), "{sentence}");
        }
        drop(store);
        fs::remove_dir_all(&folder).unwrap();
    }
}
