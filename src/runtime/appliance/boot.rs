//! The boot partition, which every computer can read: setup.txt, RESET.TXT, STATUS.TXT. Writable only while something is written, so
//! that a power cut at any other moment finds nothing half done.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What a card writes as one. Each file begins with a whole one.
pub const SECTOR: usize = 512;
/// More is no file that a person has put there for this.
const BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Clone)]
pub struct Boot {
    folder: PathBuf,
    /// Who writes makes it writable, and nobody else meanwhile makes it read-only again.
    writing: Arc<Mutex<()>>,
}

impl Boot {
    pub fn new(folder: PathBuf) -> Boot {
        Boot { folder, writing: Arc::default() }
    }

    /// False: there is no card, or its boot partition cannot be read.
    pub fn is_mounted(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        device(&self.folder).is_some() && device(&self.folder) != device(&self.folder.join(".."))
    }

    /// `None`: there is no such file.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {} MB", BYTES_MAX >> 20)));
        }
        Ok(Some(bytes))
    }

    /// All of it, or what was there before.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.change(|folder| {
            let making = folder.join("WRITING.TMP");
            let made = File::create(&making).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()?;
                fs::rename(&making, folder.join(name))
            });
            if made.is_err() {
                // On a full card it would take the room that the next one needs.
                let _ = fs::remove_file(&making);
            }
            made
        })
    }

    /// Within one sector and without another length: the card has the old bytes or the new ones, and no table of the file system changes.
    pub fn overwrite(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|folder| {
            let file = OpenOptions::new().write(true).open(folder.join(name))?;
            file.write_all_at(bytes, at)?;
            file.sync_all()
        })
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|folder| fs::remove_file(folder.join(name)))
    }

    fn change(&self, change: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_mounted() {
            return change(&self.folder);
        }
        remount(&self.folder, 0)?;
        let changed = change(&self.folder);
        // What was written is on the card when this returns.
        let closed = remount(&self.folder, libc::MS_RDONLY);
        changed.and(closed)
    }
}

fn remount(folder: &Path, access: libc::c_ulong) -> io::Result<()> {
    let target = CString::new(folder.as_os_str().as_bytes())?;
    let flags = libc::MS_REMOUNT | libc::MS_NOATIME | access;
    // SAFETY: the path lives until the call returns; a remount needs no source, kind or data.
    match unsafe { libc::mount(std::ptr::null(), target.as_ptr(), std::ptr::null(), flags, std::ptr::null()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_whole_and_removed() {
        let folder = std::env::temp_dir().join(format!("twinlease-boot-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let boot = Boot::new(folder.clone());
        assert!(!boot.is_mounted());
        assert_eq!(boot.read("STATUS.TXT").expect("readable"), None);
        boot.write("STATUS.TXT", b"one").expect("written");
        boot.write("STATUS.TXT", b"two").expect("written again");
        assert_eq!(boot.read("STATUS.TXT").expect("readable").as_deref(), Some(&b"two"[..]));
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1, "nothing is left beside it");
        fs::create_dir(folder.join("taken")).expect("a folder");
        assert!(boot.write("taken", b"three").is_err(), "a folder is there");
        assert!(!folder.join("WRITING.TMP").exists(), "what could not be finished is gone");
        boot.remove("STATUS.TXT").expect("removed");
        fs::write(folder.join("large"), vec![0; (BYTES_MAX + 1) as usize]).expect("written");
        assert!(boot.read("large").is_err());
        fs::remove_dir_all(&folder).expect("removed");
    }
}
