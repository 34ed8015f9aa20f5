//! The two slots of a card: one runs, the other is written; which one starts next is one digit on the boot partition.
//!
//! ```text
//!  write the other slot ► read it back ► TRIAL.TXT: slot, back, tries=0 ► autoboot.txt: the other digit ► start anew
//! ```
//!
//! A power cut before the last step starts what ran before; after it, the new slot, on trial. `image/trial` counts the starts of a trial
//! and goes back. What runs from the slot of before and finds TRIAL.TXT knows that the trial has failed. That may also be a program that was
//! started again while the box waited to start anew: the other slot is chosen then, and was never started, so the choice is taken back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Duration,
};

use ring::digest::{Context, SHA256};

use super::file::{self, BLOCK_BYTES, FileError, Image};
use crate::{protocol::update::Plan, runtime::appliance::boot::Boot};

const AUTOBOOT: &str = "autoboot.txt";
const TRIAL: &str = "TRIAL.TXT";
const CHOICE: &str = "boot_partition=";
/// The partitions that are slots.
const SLOTS: [u8; 2] = [2, 3];
/// Where the firmware says from which partition it has started: four bytes, the highest first.
const STARTED_FROM: &str = "/proc/device-tree/chosen/bootloader/partition";
/// Of the system that runs, as scripts/build-image numbers it.
const BUILD: &str = "/etc/image";
/// So long all must be well until a slot on trial is good; in a folder that stands for a card shorter, for tests.
const PROOF: Duration = Duration::from_secs(60);
const PROOF_IN_FOLDER: Duration = Duration::from_secs(4);
/// Written before the card is waited for: the database is on the same one.
const SYNC_BYTES: usize = 4 * BLOCK_BYTES;

/// A slot that must prove itself, as TRIAL.TXT names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    pub slot: u8,
    pub back: u8,
    pub version: String,
    pub build: String,
    /// How often it was started.
    pub tries: u8,
}

/// How far an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// So many percent of the slot.
    Writing(u8),
    Checking,
    /// All is on the card; from here on it is not broken off.
    Marking,
    Choosing,
}

#[derive(Debug, thiserror::Error)]
pub enum CardError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("The file is not the one that was approved. Send it again.")]
    OtherFile,
    #[error(
        "The other slot has {has} bytes, and the one in the file {needs}: this card was flashed with another layout. Flash it anew."
    )]
    OtherLayout { has: u64, needs: u64 },
    #[error("`{AUTOBOOT}` on the boot partition does not say which slot starts, so nothing was changed. Flash the card anew.")]
    NoChoice,
    #[error("A slot is on trial here already. Wait until it is good, or the box has gone back.")]
    OnTrial,
    #[error("The card did not keep what was written to it: what it gives back is something else. It is worn out; replace it.")]
    NotKept,
    #[error("The update was stopped before anything was changed but the slot that is not in use.")]
    BrokenOff,
    #[error("The card cannot be written ({0}). Look whether it is locked or worn out; the box goes on as it was.")]
    Io(#[from] io::Error),
}

#[derive(Debug, Clone)]
pub struct Card {
    boot: Boot,
    slots: [PathBuf; 2],
    running: u8,
    build: Option<String>,
    pub proof: Duration,
}

impl Card {
    /// `device`: as /dev/mmcblk0. `None`: its boot partition cannot be read, so nothing can be chosen there.
    pub fn on_device(boot: Boot, device: &Path) -> Option<Card> {
        if !boot.is_mounted() {
            return None;
        }
        let name = device.to_str()?;
        let between = if name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        let slots = SLOTS.map(|slot| PathBuf::from(format!("{name}{between}{slot}")));
        let build = fs::read_to_string(BUILD).ok().map(|text| text.trim().to_owned());
        let running = slot_that_runs(&boot, Path::new(STARTED_FROM), build.as_deref())?;
        Some(Card { boot, slots, running, build, proof: PROOF })
    }

    /// A folder that stands for a card, for tests: `boot/autoboot.txt`, and files `slot2` and `slot3` whose first line says which build
    /// runs when that one was started. `partition`, where it is there, is what the firmware says.
    pub fn in_folder(folder: &Path) -> Option<Card> {
        let boot = Boot::new(folder.join("boot"));
        let slots = SLOTS.map(|slot| folder.join(format!("slot{slot}")));
        let running = slot_that_runs(&boot, &folder.join("partition"), None)?;
        let mut line = Vec::new();
        File::open(&slots[usize::from(running) - 2]).ok()?.take(80).read_to_end(&mut line).ok()?;
        let line = String::from_utf8_lossy(&line);
        let build = line.lines().next()?.strip_prefix("build=").map(ToOwned::to_owned);
        Some(Card { boot, slots, running, build, proof: PROOF_IN_FOLDER })
    }

    /// Of the system that runs.
    pub fn build(&self) -> Option<&str> {
        self.build.as_deref()
    }

    pub fn running(&self) -> u8 {
        self.running
    }

    fn other(&self) -> u8 {
        SLOTS[usize::from(self.running == SLOTS[0])]
    }

    /// A trial has failed or never began, and this is what ran before it.
    pub fn has_gone_back(&self) -> bool {
        self.trial().is_some_and(|trial| trial.slot != self.running)
    }

    pub fn trial(&self) -> Option<Trial> {
        marked(&self.boot)
    }

    /// What runs has proven itself, or it is known what has become of the trial.
    pub fn end_trial(&self) -> io::Result<()> {
        match self.boot.remove(TRIAL) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// What was written is not started after all.
    pub fn take_back(&self) -> Result<(), CardError> {
        self.choose_running()?;
        Ok(self.end_trial()?)
    }

    /// Always before the trial ends: a slot that is chosen and on no trial would start one day, and nothing would lead back from it.
    pub fn choose_running(&self) -> Result<(), CardError> {
        match choice(&self.boot)? {
            (_, slot) if slot == self.running => Ok(()),
            (at, _) => Ok(self.boot.overwrite(AUTOBOOT, at, &[b'0' + self.running])?),
        }
    }

    /// Writes the slot that does not run, and chooses it for the next start. `at`: called before each stage, and breaks it off by an error.
    pub fn install(&self, path: &Path, plan: &Plan, mut at: impl FnMut(Stage) -> Result<(), CardError>) -> Result<(), CardError> {
        if self.trial().is_some() {
            return Err(CardError::OnTrial);
        }
        let digit_at = choice(&self.boot)?.0;
        let image = Image::open(path)?;
        let (bytes, slot_sha256) = (image.manifest.slot_bytes, image.manifest.slot_sha256.clone());
        if image.manifest.build != plan.build {
            return Err(CardError::OtherFile);
        }
        let slot = self.other();
        let mut device = OpenOptions::new().read(true).write(true).open(&self.slots[usize::from(slot) - 2])?;
        let has = device.seek(SeekFrom::End(0))?;
        if has != bytes {
            return Err(CardError::OtherLayout { has, needs: bytes });
        }
        let (mut before, mut unsynced) = (vec![0; BLOCK_BYTES], 0);
        image.each_block(|from, block| {
            at(Stage::Writing((from * 100 / bytes) as u8))?;
            let before = &mut before[..block.len()];
            // Most of a slot is empty, or as it was: what is read costs the card nothing.
            if device.read_exact_at(before, from).is_err() || before != block {
                device.write_all_at(block, from)?;
                unsynced += block.len();
            }
            if unsynced >= SYNC_BYTES {
                unsynced = 0;
                device.sync_data()?;
            }
            Ok::<(), CardError>(())
        })?;
        at(Stage::Checking)?;
        device.sync_all()?;
        if read_back(&device, bytes)? != slot_sha256 {
            return Err(CardError::NotKept);
        }
        at(Stage::Marking)?;
        let Plan { version, build, .. } = plan;
        let marked = format!("slot={slot}\r\nback={}\r\ntries=0\r\nversion={version}\r\nbuild={build}\r\n", self.running);
        self.boot.write(TRIAL, marked.as_bytes())?;
        at(Stage::Choosing)?;
        self.boot.overwrite(AUTOBOOT, digit_at, &[b'0' + slot])?;
        Ok(())
    }
}

/// From the card, not from memory.
fn read_back(device: &File, bytes: u64) -> io::Result<String> {
    // SAFETY: an advice about an open file; where it is not followed, memory is read.
    unsafe { libc::posix_fadvise(device.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let (mut sum, mut block, mut done) = (Context::new(&SHA256), vec![0; BLOCK_BYTES], 0);
    while done < bytes {
        let length = (bytes - done).min(BLOCK_BYTES as u64) as usize;
        device.read_exact_at(&mut block[..length], done)?;
        sum.update(&block[..length]);
        done += length as u64;
    }
    Ok(file::hex(sum))
}

/// `started_from`: where the firmware says it. Where it says nothing, what is chosen was started; only while an installation waits, the
/// other slot is chosen already, and TRIAL.TXT names another build than the one that runs.
fn slot_that_runs(boot: &Boot, started_from: &Path, build: Option<&str>) -> Option<u8> {
    let is_slot = |number: &u8| SLOTS.contains(number);
    let told = fs::read(started_from).ok().and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    let told = told.and_then(|number| u8::try_from(number).ok()).filter(is_slot);
    let before = || {
        let trial = marked(boot).filter(|trial| !trial.build.is_empty() && trial.build != *build.unwrap_or(&trial.build))?;
        Some(trial.back).filter(is_slot)
    };
    told.or_else(before).or_else(|| Some(choice(boot).ok()?.1))
}

fn marked(boot: &Boot) -> Option<Trial> {
    let bytes = boot.read(TRIAL).ok()??;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let value = |name: &str| {
        text.lines().filter_map(|line| line.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let word = |name: &str| value(name).unwrap_or_default().to_owned();
    let digit = |name: &str| value(name).and_then(|value| value.parse().ok());
    let (slot, back) = (digit("slot")?, digit("back")?);
    Some(Trial { slot, back, version: word("version"), build: word("build"), tries: digit("tries").unwrap_or(0) })
}

/// Where the digit stands in autoboot.txt, and which it is.
fn choice(boot: &Boot) -> Result<(u64, u8), CardError> {
    let bytes = boot.read(AUTOBOOT)?.ok_or(CardError::NoChoice)?;
    let (mut from, mut found) = (0, Vec::new());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Some(value) = line.strip_prefix(CHOICE.as_bytes()) {
            found.push((from + CHOICE.len() as u64, value.trim_ascii_end()));
        }
        from += line.len() as u64;
    }
    match found.as_slice() {
        [(at, [digit])] if SLOTS.contains(&digit.wrapping_sub(b'0')) => Ok((*at, digit - b'0')),
        _ => Err(CardError::NoChoice),
    }
}

#[cfg(test)]
pub mod tests;
