//! What an image says of itself before its first partition, and where its first slot lies: as scripts/build-image writes it.

use crate::protocol::update::Version;

/// The partition table, and the manifest behind it.
pub const HEAD_BYTES: usize = 16 * SECTOR as usize;
const SECTOR: u64 = 512;
const AT: usize = 8 * SECTOR as usize;
/// Of the second entry of the table: slot A.
const ENTRY: usize = 446 + 16;
const FIRST_LINE: &str = "twinlease-image 1";
/// More is no slot of ours, and nobody shall unpack it for hours.
const REACH_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub version: Version,
    /// What the system in it says of itself when it runs (`/etc/image`).
    pub build: String,
    pub slot_sha256: String,
    /// In bytes, within the image.
    pub slot_start: u64,
    pub slot_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error(
        "It is no image of a card with twinlease. Choose the file twinlease-VERSION-rpi.img.xz, as it is flashed onto cards."
    )]
    NotOurs,
    #[error(
        "It is an image of twinlease of a form that this version does not know. Update to a version in between first, or flash the card anew."
    )]
    OtherForm,
    #[error("What the image says of itself makes no sense ({0}). Load the file again, from where you have it.")]
    Nonsense(&'static str),
}

pub fn read(head: &[u8; HEAD_BYTES]) -> Result<Manifest, Wrong> {
    if head[510..512] != [0x55, 0xaa] {
        return Err(Wrong::NotOurs);
    }
    let text = head[AT..].split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| Wrong::NotOurs)?;
    let mut lines = text.lines();
    match lines.next() {
        Some(FIRST_LINE) => {}
        Some(line) if line.starts_with("twinlease-image ") => return Err(Wrong::OtherForm),
        Some(_) | None => return Err(Wrong::NotOurs),
    }
    let lines: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('=')).collect();
    let value = |name: &str| lines.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let digest = |name: &str| value(name).filter(|text| is_sha256(text)).map(ToOwned::to_owned);
    let number = |at: usize| u64::from(u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let (slot_start, slot_bytes) = (number(ENTRY + 8) * SECTOR, number(ENTRY + 12) * SECTOR);
    let version = value("version").and_then(|text| text.parse().ok()).ok_or(Wrong::Nonsense("no version"))?;
    let build = digest("build").ok_or(Wrong::Nonsense("no build"))?;
    let slot_sha256 = digest("slot-sha256").ok_or(Wrong::Nonsense("no sum of the slot"))?;
    if value("slot-bytes").and_then(|text| text.parse().ok()) != Some(slot_bytes) {
        return Err(Wrong::Nonsense("the slot has two sizes"));
    }
    if slot_bytes == 0 || slot_start < HEAD_BYTES as u64 || slot_start + slot_bytes > REACH_BYTES_MAX {
        return Err(Wrong::Nonsense("the slot lies where none can be"));
    }
    Ok(Manifest { version, build, slot_sha256, slot_start, slot_bytes })
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The beginning of an image whose slot has these properties.
    pub fn head(version: &str, build: &str, slot_sha256: &str, start: u32, sectors: u32) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        head[ENTRY + 8..ENTRY + 12].copy_from_slice(&start.to_le_bytes());
        head[ENTRY + 12..ENTRY + 16].copy_from_slice(&sectors.to_le_bytes());
        let bytes = u64::from(sectors) * SECTOR;
        let text = format!("{FIRST_LINE}\nversion={version}\nbuild={build}\nslot-sha256={slot_sha256}\nslot-bytes={bytes}\n");
        head[AT..AT + text.len()].copy_from_slice(text.as_bytes());
        head
    }

    fn edited(from: &str, to: &str) -> [u8; HEAD_BYTES] {
        let digest = "ab".repeat(32);
        let mut head = head("0.2.0", &digest, &digest, 64, 128);
        let text = String::from_utf8(head[AT..].to_vec()).expect("text").replace(from, to);
        head[AT..].copy_from_slice(&text.as_bytes()[..HEAD_BYTES - AT]);
        head
    }

    #[test]
    fn what_the_build_script_writes_is_read() {
        let manifest = read(&edited("", "")).expect("read");
        assert_eq!((manifest.version.to_string().as_str(), manifest.slot_start, manifest.slot_bytes), ("0.2.0", 32_768, 65_536));
    }

    #[test]
    fn every_other_head_is_told_apart() {
        assert_eq!(read(&[0; HEAD_BYTES]), Err(Wrong::NotOurs));
        let mut other = edited("", "");
        other[AT..].fill(0);
        assert_eq!(read(&other), Err(Wrong::NotOurs), "somebody else's card");
        other[AT..].fill(0xff);
        assert_eq!(read(&other), Err(Wrong::NotOurs));
        assert_eq!(read(&edited("image 1", "image 2")), Err(Wrong::OtherForm));
        for (from, to) in [
            ("0.2.0", "0.2.x"),
            ("build=ab", "build=xy"),
            ("slot-sha256=ab", "slot-sha256=AB"),
            ("slot-bytes=65536", "slot-bytes=65535"),
            ("version=", "virsion="),
        ] {
            assert!(matches!(read(&edited(from, to)), Err(Wrong::Nonsense(_))), "{from} → {to}");
        }
        let digest = "ab".repeat(32);
        for (start, sectors) in [(64, 0), (8, 128), (64, u32::MAX), (u32::MAX, 1)] {
            let head = head("0.2.0", &digest, &digest, start, sectors);
            assert!(matches!(read(&head), Err(Wrong::Nonsense(_))), "{start} {sectors}");
        }
    }
}
