//! A card that lies on the desk: what its data partition holds, and what can happen to it.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    net::Ipv4Addr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    crafted::{Mac, program, run, said},
    pi::{Pi, text},
};

const SECTOR: u64 = 512;
/// Of the data partition in the card's table.
const ENTRY: u64 = 446 + 3 * 16;

/// A range of the card's bytes.
fn data_range(card: &File) -> (u64, u64) {
    let mut entry = [0; 16];
    card.read_exact_at(&mut entry, ENTRY).expect("a card has a table");
    let number = |at: usize| u64::from(u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]));
    (number(8) * SECTOR, number(12) * SECTOR)
}

fn open(pi: &Pi) -> File {
    OpenOptions::new().read(true).write(true).open(pi.card()).expect("a card")
}

/// Each piece of the partition is what `fill` makes of it.
pub fn overwrite(pi: &Pi, mut fill: impl FnMut(&mut [u8])) {
    let card = open(pi);
    let (start, length) = data_range(&card);
    let mut piece = vec![0; 1 << 20];
    for at in (start..start + length).step_by(piece.len()) {
        fill(&mut piece);
        card.write_all_at(&piece, at).expect("it fits");
    }
}

/// Each piece of the partition is as `is` has it.
pub fn all(pi: &Pi, is: impl Fn(&[u8]) -> bool) -> bool {
    let card = open(pi);
    let (start, length) = data_range(&card);
    let mut piece = vec![0; 1 << 20];
    (start..start + length).step_by(piece.len()).all(|at| {
        card.read_exact_at(&mut piece, at).expect("it is there");
        is(&piece)
    })
}

/// The table forgets the partition.
pub fn take_away(pi: &Pi) {
    open(pi).write_all_at(&[0; 16], ENTRY).expect("a card has a table");
}

/// A data partition, taken off the card of a box that is off; its journal is played back as at the next start.
pub struct Data {
    card: PathBuf,
    part: PathBuf,
}

impl Data {
    /// Panics when anything is left to be repaired after that.
    pub fn of(pi: &Pi) -> Data {
        let data = Data { card: pi.card(), part: pi.folder().join("data.img") };
        let (start, length) = data_range(&open(pi));
        data.copy(&data.card, &data.part, &format!("skip={} count={}", start >> 20, length >> 20));
        let played_back = data.tool("e2fsck", &["-p", text(&data.part)]);
        assert!(matches!(played_back.status.code(), Some(0 | 1)), "{}", said(&played_back));
        let checked = data.tool("e2fsck", &["-f", "-n", text(&data.part)]);
        assert!(checked.status.success(), "the file system is damaged:\n{}", said(&checked));
        data
    }

    /// The file system as mke2fs makes it with these words, in place of the one on the card. It begins where the partition does.
    pub fn make_anew(pi: &Pi, words: &[&str]) {
        let data = Data { card: pi.card(), part: pi.folder().join("data.img") };
        let _ = fs::remove_file(&data.part);
        let made =
            data.tool("mke2fs", &[&["-q", "-t", "ext4", "-E", "root_owner=0:0"], words, &[text(&data.part), "64M"]].concat());
        assert!(made.status.success(), "{}", said(&made));
        let start = data_range(&open(pi)).0;
        data.copy(&data.part, &data.card, &format!("seek={}", start >> 20));
    }

    /// Of the file system, and of the partition it lies in.
    pub fn sizes(&self) -> (u64, u64) {
        let told = self.tool("dumpe2fs", &["-h", text(&self.part)]);
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let number = |name: &str| {
            let found = told.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
            found.unwrap_or_else(|| panic!("no {name} in:\n{told}"))
        };
        (number("Block count:") * number("Block size:"), data_range(&File::open(&self.card).expect("a card")).1)
    }

    /// Its files, in a folder of ours.
    pub fn files(&self) -> PathBuf {
        let folder = self.part.with_extension("files");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        let copied = self.tool("debugfs", &["-R", &format!("rdump / {}", text(&folder)), text(&self.part)]);
        assert!(copied.status.success(), "{}", said(&copied));
        folder
    }

    /// As the program reads it, and no page of it is damaged. `None`: there is no database yet.
    pub fn leases(&self) -> Option<HashMap<Ipv4Addr, Mac>> {
        let folder = self.files();
        let database = folder.join("twinlease.db");
        if !database.exists() {
            return None;
        }
        let rows = run(&program(), &folder, &["leases", "--all", "--json"]);
        let rows: Vec<serde_json::Value> =
            serde_json::from_slice(&rows.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&rows)));
        let sound: String = rusqlite::Connection::open(&database)
            .and_then(|open| open.query_row("PRAGMA integrity_check", [], |row| row.get(0)))
            .expect("a database");
        assert_eq!(sound, "ok");
        let leased = rows.iter().filter(|row| row["state"] == "leased");
        Some(leased.filter_map(|row| Some((row["address"].as_str()?.parse().ok()?, mac_of(row["mac"].as_str()?)?))).collect())
    }

    /// Another database of this name, on the card, without a log of what was not taken into it.
    pub fn replace(&self, name: &str, by: &Path) {
        let orders = self.part.with_extension("orders");
        fs::write(&orders, format!("rm /{name}-wal\nrm /{name}-shm\nrm /{name}\nwrite {} /{name}\n", text(by))).expect("written");
        let done = self.tool("debugfs", &["-w", "-f", text(&orders), text(&self.part)]);
        assert!(done.status.success(), "{}", said(&done));
        let start = data_range(&File::open(&self.card).expect("a card")).0;
        self.copy(&self.part, &self.card, &format!("seek={}", start >> 20));
    }

    fn copy(&self, from: &Path, to: &Path, which: &str) {
        let (from, to) = (format!("if={}", text(from)), format!("of={}", text(to)));
        let words = [from.as_str(), to.as_str(), "bs=1M", "status=none"].into_iter().chain(which.split(' '));
        // Where something is there already, what is zero counts, too.
        let way = if which.starts_with("skip") { "conv=sparse" } else { "conv=notrunc" };
        let copied = self.tool("dd", &words.chain([way]).collect::<Vec<_>>());
        assert!(copied.status.success(), "{}", said(&copied));
    }

    fn tool(&self, name: &str, words: &[&str]) -> Output {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        Command::new(name).args(words).env("PATH", path).output().unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

pub fn mac_of(text: &str) -> Option<Mac> {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    bytes.try_into().ok()
}
