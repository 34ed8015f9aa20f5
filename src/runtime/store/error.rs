//! Why a database cannot be used: the thing, what is wrong with it, what to do.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rusqlite::{ErrorCode, ffi};

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("The data folder `{0}` is a file. Name another folder, or move the file away.")]
    FolderIsFile(PathBuf),
    #[error("The database `{0}` is a folder. Move it away; twinlease makes its own file there.")]
    DatabaseIsFolder(PathBuf),
    #[error("The database `{0}` does not exist. Name the data folder of this server, or start the server once.")]
    Missing(PathBuf),
    #[error("The data folder `{folder}` is in use by another twinlease ({who}). Stop that one first, or name another folder.")]
    Locked { folder: PathBuf, who: String },
    #[error("`{path}` cannot be written ({reason}). Mount its disk read-write, and run twinlease as a user who may write there.")]
    ReadOnly { path: PathBuf, reason: String },
    #[error(
        "The database `{0}` belongs to another program. Nothing was changed. Name another data folder, or move the file away."
    )]
    Foreign(PathBuf),
    #[error(
        "The database `{path}` has version {found}, and this twinlease knows versions up to {known}. Nothing was changed. Install the newer twinlease again."
    )]
    Newer { path: PathBuf, found: i64, known: usize },
    #[error(
        "The database `{path}` is damaged ({reason}), and there is no good snapshot beside it. Nothing was changed. Put a backup in its place, or move it away to start with nothing."
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("The disk of `{0}` is full. Free some space, then try again.")]
    DiskFull(PathBuf),
    #[error("`{path}` cannot be used: {reason}. Look at the disk (`dmesg` says more) and at the rights of the folder.")]
    Other { path: PathBuf, reason: String },
}

/// What opening and reading run into, before it is told with its file's name.
#[derive(Debug)]
pub enum Fault {
    /// What is on the disk makes no sense.
    Damage(String),
    Refused(StoreError),
    Sql(rusqlite::Error),
}

impl Fault {
    pub fn damage(error: impl std::fmt::Display) -> Fault {
        Fault::Damage(error.to_string())
    }

    pub fn in_row(self, row: &str) -> Fault {
        match self {
            Fault::Damage(reason) => Fault::Damage(format!("{row}: {reason}")),
            Fault::Refused(_) | Fault::Sql(_) => self,
        }
    }

    pub fn told(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Fault::Refused(error) => error,
            Fault::Damage(reason) => StoreError::Damaged { path, reason },
            Fault::Sql(error) => match error.sqlite_error_code() {
                _ if is_disk_full(&error) => StoreError::DiskFull(path),
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                    StoreError::ReadOnly { path, reason: error.to_string() }
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
                    StoreError::Locked { folder, who: "or by a tool that has its database open".into() }
                }
                _ => StoreError::Other { path, reason: error.to_string() },
            },
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        use rusqlite::Error as E;
        match (&error, error.sqlite_error_code()) {
            // SQLITE_ERROR (`Unknown`): our own tables do not have our own columns.
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)) => Fault::damage(error),
            (E::FromSqlConversionFailure(..) | E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..), _) => {
                Fault::damage(error)
            }
            (E::Utf8Error(..), _) => Fault::damage(error),
            _ => Fault::Sql(error),
        }
    }
}

/// SQLite has a code of its own for shared memory that finds no room on the disk.
pub fn is_disk_full(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

pub fn io_told(path: &Path, error: &std::io::Error) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::DiskFull(path),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path, reason: error.to_string() },
        _ => StoreError::Other { path, reason: error.to_string() },
    }
}
