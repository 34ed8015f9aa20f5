use std::io::Write;

use lzma_rust2::{XzOptions, XzWriter};

use super::*;
use crate::runtime::{partner::scratch::Scratch, update::manifest::tests::head};

/// In sectors: where the slot begins, and its size.
const START: u32 = 64;
pub const SLOT_SECTORS: u32 = 4096 + 6;

pub fn build(letter: char) -> String {
    format!("{:02x}", letter as u8).repeat(32)
}

/// A slot of a system that says of itself that it is this build, as `Card::in_folder` reads it.
pub fn slot(build: &str) -> Vec<u8> {
    let mut slot = format!("build={build}\n").into_bytes();
    // Neither zeros nor always the same.
    slot.extend((0..300_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()));
    slot.resize(SLOT_SECTORS as usize * 512, 0);
    slot
}

pub fn packed(plain: &[u8], dictionary: u32) -> Vec<u8> {
    let mut options = XzOptions::with_preset(1);
    options.lzma_options.dict_size = dictionary;
    let mut writer = XzWriter::new(Vec::new(), options).expect("a writer");
    writer.write_all(plain).expect("packed");
    writer.finish().expect("packed")
}

/// An image as the build script makes one: of this version, with this slot.
pub fn plain(version: &str, build: &str, slot: &[u8]) -> Vec<u8> {
    let mut sum = Context::new(&SHA256);
    sum.update(slot);
    let mut plain = head(version, build, &hex(sum), START, (slot.len() / 512) as u32).to_vec();
    plain.resize(START as usize * 512, 7);
    plain.extend_from_slice(slot);
    // The data partition.
    plain.resize(plain.len() + 100_000, 9);
    plain
}

/// Its path.
pub fn image(folder: &Path, version: &str, letter: char) -> std::path::PathBuf {
    let path = folder.join(format!("twinlease-{version}-rpi.img.xz"));
    std::fs::write(&path, packed(&plain(version, &build(letter), &slot(&build(letter))), 1 << 20)).expect("written");
    path
}

fn examined(folder: &Scratch, bytes: &[u8]) -> Result<Held, FileError> {
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).expect("written");
    examine(&path)
}

#[test]
fn an_image_is_read_as_a_stream_and_says_what_it_is() {
    let folder = Scratch::new("image");
    let path = image(folder.path(), "0.2.0", 'a');
    let held = examine(&path).expect("good");
    let (sha256, bytes) = sum(&path).expect("readable");
    assert_eq!(held, Held { version: "0.2.0".into(), build: build('a'), sha256, bytes });
    let mut copy = Vec::new();
    let taken = Image::open(&path).expect("good").each_block(|at, block| {
        assert_eq!(at, copy.len() as u64);
        copy.extend_from_slice(block);
        Ok::<(), FileError>(())
    });
    taken.expect("good");
    assert!(copy == slot(&build('a')));
}

#[test]
fn what_is_no_such_file_is_told_apart() {
    let folder = Scratch::new("no-image");
    let good = packed(&plain("0.2.0", &build('a'), &slot(&build('a'))), 1 << 20);
    for bytes in [&b""[..], b"hello", &[0; 100_000]] {
        assert!(matches!(examined(&folder, bytes), Err(FileError::NotXz)), "{} bytes", bytes.len());
    }
    let text = packed(&vec![b'x'; 200_000], 1 << 20);
    assert!(matches!(examined(&folder, &text), Err(FileError::Wrong(manifest::Wrong::NotOurs))), "somebody else's");
    assert!(matches!(examined(&folder, &packed(b"short", 4096)), Err(FileError::Wrong(manifest::Wrong::NotOurs))));
    for length in [good.len() / 3, good.len() / 2, good.len() * 9 / 10] {
        let told = examined(&folder, &good[..length]);
        assert!(matches!(told, Err(FileError::CutShort)), "{length} of {}: {told:?}", good.len());
    }
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let folder = Scratch::new("changed");
    let mut other = plain("0.2.0", &build('a'), &slot(&build('a')));
    let at = START as usize * 512 + 1_000_000;
    other[at] ^= 1;
    assert!(matches!(examined(&folder, &packed(&other, 1 << 20)), Err(FileError::OtherContent)), "unpacks well, and is not it");
    let good = packed(&plain("0.2.0", &build('a'), &slot(&build('a'))), 1 << 20);
    for part in 1..8 {
        let mut damaged = good.clone();
        damaged[good.len() * part / 10] ^= 0x10;
        assert!(examined(&folder, &damaged).is_err(), "{part} tenths");
    }
}

#[test]
fn a_file_that_unpacks_to_much_or_needs_much_memory_costs_little() {
    let folder = Scratch::new("bomb");
    let image = plain("0.2.0", &build('a'), &slot(&build('a')));
    assert!(matches!(examined(&folder, &packed(&image, 64 << 20)), Err(FileError::TooMuchMemory)));
    // A gigabyte of nothing behind a head that makes sense: read to the end of the slot at most, and not what it says.
    let digest = build('b');
    let mut bomb = head("0.2.0", &digest, &digest, START, 1 << 20).to_vec();
    bomb.resize(64 << 20, 0);
    assert!(matches!(examined(&folder, &packed(&bomb, 1 << 20)), Err(FileError::CutShort)));
}
