//! Where things lie in the data folder, whose they are, and the lock on it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{StoreError, io_told};

/// A program that was just started has all open files of the one that starts it, and so its locks, for a moment.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Where things lie in the data folder.
#[derive(Debug, Clone)]
pub struct Place {
    pub folder: PathBuf,
    pub database: PathBuf,
    pub snapshots: PathBuf,
}

impl Place {
    pub fn new(folder: &Path) -> Place {
        Place { folder: folder.into(), database: folder.join("twinlease.db"), snapshots: folder.join("snapshots") }
    }

    pub fn make_folder(&self) -> Result<(), StoreError> {
        if self.folder.is_file() {
            return Err(StoreError::FolderIsFile(self.folder.clone()));
        }
        private_folder(&self.folder).map_err(|error| io_told(&self.folder, &error))?;
        if self.database.is_dir() {
            return Err(StoreError::DatabaseIsFolder(self.database.clone()));
        }
        Ok(())
    }

    /// SQLite's own locks let a second writer in between two transactions; this one keeps it out for good, and
    /// readers are free to look. The system drops it when the process ends, however it ends.
    pub fn lock(&self) -> Result<File, StoreError> {
        let path = self.folder.join("twinlease.lock");
        let mut file = private_file(&path).map_err(|error| io_told(&path, &error))?;
        let mut locked = file.try_lock();
        for _ in 0..LOCK_TRIES {
            let Err(TryLockError::WouldBlock) = locked else { break };
            std::thread::sleep(LOCK_PAUSE);
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let who = if known { format!("process {}", pid.trim()) } else { "its process is not known".into() };
                return Err(StoreError::Locked { folder: self.folder.clone(), who });
            }
            Err(TryLockError::Error(error)) => return Err(io_told(&path, &error)),
        }
        // The number only helps to find the process: a full disk is no reason to stop here.
        let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = noted {
            tracing::warn!("`{}` cannot be written: {error}", path.display());
        }
        Ok(file)
    }

    /// No file, or an empty one: what a power cut leaves of a file that was being made.
    pub fn database_is_missing(&self) -> bool {
        fs::metadata(&self.database).map_or(true, |metadata| metadata.is_file() && metadata.len() == 0)
    }

    /// A name beside the database, with SQLite's two companions: what is renamed must be renamed with them.
    pub fn companions(path: &Path) -> [PathBuf; 3] {
        ["", "-wal", "-shm"].map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            name.into()
        })
    }
}

/// Who has which device and when it was here is nobody else's business. A folder that is there keeps its rights.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opened for writing, and made where it is not there, for the owner alone.
pub fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
