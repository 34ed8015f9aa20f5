//! How the disk under the data folder is doing: room, and what a memory card says of its own age.

use std::{fs, path::Path};

use nix::sys::statvfs::statvfs;

use crate::{protocol::alerts::DiskFacts, runtime::store};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub free_bytes: u64,
    pub size_bytes: u64,
}

/// Of the file system that holds `folder`; `None`: the system does not say.
#[allow(clippy::unnecessary_cast, reason = "the fields are 32 bits wide on some machines")]
pub fn room(folder: &Path) -> Option<Room> {
    let stat = statvfs(folder).ok()?;
    let unit = stat.fragment_size() as u64;
    Some(Room { free_bytes: stat.blocks_available() as u64 * unit, size_bytes: stat.blocks() as u64 * unit })
}

/// A memory card or eMMC, as it tells of itself (JEDEC 84-B51 §7.4.92). Most SD cards say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// `mmcblk0`
    pub name: String,
    /// The more worn of its two kinds of memory, in tens, rounded up; `None`: not said.
    pub worn_percent: Option<u8>,
    /// 1: enough spare blocks; 2: 80 % of them are used; 3: 90 %. `None`: not said.
    pub end_of_life: Option<u8>,
}

/// `sys`: `/sys`.
pub fn cards(sys: &Path) -> Vec<Card> {
    let Ok(entries) = fs::read_dir(sys.join("block")) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut cards: Vec<Card> = names.filter(|name| name.starts_with("mmcblk")).map(|name| card(sys, name)).collect();
    cards.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    cards
}

fn card(sys: &Path, name: String) -> Card {
    let device = sys.join("block").join(&name).join("device");
    let numbers = |file: &str| -> Vec<u8> {
        let text = fs::read_to_string(device.join(file)).unwrap_or_default();
        let words = text.split_whitespace().take(2);
        words.filter_map(|word| u8::from_str_radix(word.trim_start_matches("0x"), 16).ok()).collect()
    };
    // 1: up to 10 % used … 11: beyond what it was made for; 0: not said.
    let worn = numbers("life_time").into_iter().filter(|tens| (1..=11).contains(tens)).max();
    let end_of_life = numbers("pre_eol_info").first().copied().filter(|state| (1..=3).contains(state));
    Card { name, worn_percent: worn.map(|tens| tens * 10), end_of_life }
}

/// For the alert: the worst of all cards.
pub fn facts(folder: &Path) -> DiskFacts {
    let cards = cards(Path::new("/sys"));
    DiskFacts {
        free_bytes: room(folder).map(|room| room.free_bytes),
        worn_percent: cards.iter().filter_map(|card| card.worn_percent).max(),
        is_near_its_end: cards.iter().any(|card| card.end_of_life == Some(3)),
        is_damaged: store::is_damaged(folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_speaks_is_understood_and_one_that_does_not_is_no_trouble() {
        let sys = std::env::temp_dir().join(format!("twinlease-sys-{}", std::process::id()));
        for (name, life, end) in
            [("mmcblk0", "0x02 0x0a\n", "0x03\n"), ("mmcblk1", "0x00 0x00\n", "junk"), ("sda", "0x01", "0x01")]
        {
            let device = sys.join("block").join(name).join("device");
            fs::create_dir_all(&device).expect("a folder for the test");
            fs::write(device.join("life_time"), life).expect("a file for the test");
            fs::write(device.join("pre_eol_info"), end).expect("a file for the test");
        }
        fs::create_dir_all(sys.join("block/mmcblk2")).expect("a folder for the test");
        let found = cards(&sys);
        fs::remove_dir_all(&sys).expect("it was made above");
        let expected = [("mmcblk0", Some(100), Some(3)), ("mmcblk1", None, None), ("mmcblk2", None, None)];
        let expected = expected.map(|(name, worn_percent, end_of_life)| Card { name: name.into(), worn_percent, end_of_life });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_room_of_a_folder_is_known() {
        let room = room(Path::new("/")).expect("every Linux says so");
        assert!(room.size_bytes >= room.free_bytes && room.size_bytes > 1 << 20);
        assert_eq!(super::room(Path::new("/no/such/folder")), None);
    }
}
