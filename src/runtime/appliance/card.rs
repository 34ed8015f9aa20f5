//! The card: its data partition grows to what the card has, once, while it is in use.
//!
//! First the table, then the kernel's idea of it, then the file system: a power cut between any two leaves a file system that is
//! smaller than its place, and the next start goes on from there. So does one whose partition was large already when it was made anew.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
};

const SECTOR: u64 = 512;
/// More is of no use here and makes the check after a power cut longer.
const DATA_BYTES_MAX: u64 = 2 << 30;
/// Of the fourth entry of the table.
const ENTRY: usize = 446 + 3 * 16;
const ALIGN_SECTORS: u64 = 8192;
/// Of the file system's superblock, in its partition.
const SUPERBLOCK: u64 = 1024;

/// A partition, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    start: u64,
    size: u64,
}

/// The table with a larger fourth partition; `None`: it is large enough, or there is no room.
fn grown(table: &[u8; 512], card_sectors: u64) -> Result<Option<([u8; 512], Extent)>, String> {
    if table[510..] != [0x55, 0xaa] {
        return Err("The card has no partition table that is known here. Flash it anew.".into());
    }
    let number = |at: usize| u64::from(u32::from_le_bytes([table[at], table[at + 1], table[at + 2], table[at + 3]]));
    let now = Extent { start: number(ENTRY + 8), size: number(ENTRY + 12) };
    if table[ENTRY + 4] != 0x83 || now.size == 0 {
        return Err("The card has no data partition. Flash it anew.".into());
    }
    let room = card_sectors.min(1 << 32).saturating_sub(now.start) / ALIGN_SECTORS * ALIGN_SECTORS;
    let size = room.min(DATA_BYTES_MAX / SECTOR);
    if size <= now.size {
        return Ok(None);
    }
    let mut table = *table;
    table[ENTRY + 12..ENTRY + 16].copy_from_slice(&(size as u32).to_le_bytes());
    Ok(Some((table, Extent { start: now.start, size })))
}

/// What the file system says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileSystem {
    blocks: u64,
    block_size: u64,
}

impl FileSystem {
    /// `None`: this is no ext4.
    fn of(superblock: &[u8; 1024]) -> Option<FileSystem> {
        /// 1 KiB, doubled so often; Linux knows no larger ones than 64 KiB.
        const DOUBLED_MAX: u32 = 6;
        let number = |at: usize| u32::from_le_bytes([superblock[at], superblock[at + 1], superblock[at + 2], superblock[at + 3]]);
        let doubled = number(0x18);
        if superblock[0x38..0x3A] != [0x53, 0xEF] || doubled > DOUBLED_MAX {
            return None;
        }
        // The higher half of the number of blocks stands elsewhere, and is 0 below 4 TiB.
        Some(FileSystem { blocks: u64::from(number(4)), block_size: 1024 << doubled })
    }

    /// In its own blocks, which may be small ones: as many as its partition has; `None`: it has them all.
    fn larger(self, partition_bytes: u64) -> Option<u64> {
        let blocks = partition_bytes.min(DATA_BYTES_MAX) / self.block_size;
        (blocks > self.blocks).then_some(blocks)
    }
}

/// As the kernel calls it: a number needs something between it and the next one.
fn fourth_of(card: &str) -> String {
    format!("{card}{}4", if card.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" })
}

/// `card`: as /dev/mmcblk0; `data`: where its fourth partition is mounted. Returns the new size in MiB where it has grown.
pub fn grow(card: &Path, data: &Path) -> Result<Option<u64>, String> {
    let told = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("The data partition keeps its size: {what} ({error}).")
    };
    let name = card.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let part = fourth_of(name);
    let device = OpenOptions::new().read(true).write(true).open(card).map_err(told("the card cannot be opened"))?;
    let mut table = [0; 512];
    device.read_exact_at(&mut table, 0).map_err(told("its table cannot be read"))?;
    if let Some((table, extent)) = grown(&table, sectors(name).map_err(told("the card's size is not known"))?)? {
        device.write_all_at(&table, 0).and_then(|()| device.sync_all()).map_err(told("its table cannot be written"))?;
        tell_kernel(&device, extent).map_err(told("the kernel keeps its idea of it until the next start"))?;
    }
    let size = sectors(&part).map_err(told("the partition's size is not known"))? * SECTOR;
    // By the partition's own device: that is what the mounted file system writes to, and the card's knows its state of before.
    let mut superblock = [0; 1024];
    File::open(card.with_file_name(&part))
        .and_then(|part| part.read_exact_at(&mut superblock, SUPERBLOCK))
        .map_err(told("the file system cannot be read"))?;
    let Some(blocks) = FileSystem::of(&superblock).and_then(|now| now.larger(size)) else { return Ok(None) };
    resize(data, blocks).map_err(told("the file system does not grow"))?;
    Ok(Some(size.min(DATA_BYTES_MAX) >> 20))
}

/// Of a card or a partition, as the kernel sees it.
fn sectors(name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/sys/class/block/{name}/size"))?;
    text.trim().parse().map_err(io::Error::other)
}

/// `BLKPG` with `BLKPG_RESIZE_PARTITION`, of linux/blkpg.h.
fn tell_kernel(device: &File, extent: Extent) -> io::Result<()> {
    #[repr(C)]
    struct Partition {
        start: libc::c_longlong,
        length: libc::c_longlong,
        number: libc::c_int,
        names: [u8; 128],
    }
    #[repr(C)]
    struct Request {
        op: libc::c_int,
        flags: libc::c_int,
        length: libc::c_int,
        data: *mut Partition,
    }
    const BLKPG: libc::Ioctl = 0x1269;
    const RESIZE_PARTITION: libc::c_int = 3;
    let bytes = |sectors: u64| libc::c_longlong::try_from(sectors * SECTOR).unwrap_or(libc::c_longlong::MAX);
    let mut partition = Partition { start: bytes(extent.start), length: bytes(extent.size), number: 4, names: [0; 128] };
    let mut request =
        Request { op: RESIZE_PARTITION, flags: 0, length: size_of::<Partition>() as libc::c_int, data: &raw mut partition };
    // SAFETY: both structures have the kernel's layout and live until the call returns.
    match unsafe { libc::ioctl(device.as_raw_fd(), BLKPG, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `EXT4_IOC_RESIZE_FS`, on the mounted file system.
fn resize(data: &Path, blocks: u64) -> io::Result<()> {
    const RESIZE_FS: libc::Ioctl = 0x4008_6610_u32 as libc::Ioctl;
    let folder = File::open(data)?;
    let mut blocks = blocks;
    // SAFETY: the request takes a pointer to a 64-bit number, which lives until the call returns.
    match unsafe { libc::ioctl(folder.as_raw_fd(), RESIZE_FS, &raw mut blocks) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As scripts/build-image writes it.
    fn table() -> [u8; 512] {
        let mut table = [0; 512];
        table[510..].copy_from_slice(&[0x55, 0xaa]);
        table[ENTRY + 4] = 0x83;
        table[ENTRY + 8..ENTRY + 12].copy_from_slice(&1_187_840_u32.to_le_bytes());
        table[ENTRY + 12..ENTRY + 16].copy_from_slice(&131_072_u32.to_le_bytes());
        table
    }

    #[test]
    fn it_grows_to_the_card_and_no_further_than_two_gigabytes() {
        let (small, extent) = grown(&table(), 2_097_152).expect("a good table").expect("room");
        assert_eq!(extent, Extent { start: 1_187_840, size: 909_312 });
        assert_eq!(grown(&small, 2_097_152), Ok(None), "once");
        let (_, extent) = grown(&table(), 62_333_952).expect("a good table").expect("room");
        assert_eq!(extent.size * SECTOR, DATA_BYTES_MAX);
    }

    #[test]
    fn the_other_partitions_stay_as_they_are() {
        let (after, _) = grown(&table(), 62_333_952).expect("a good table").expect("room");
        let differ: Vec<usize> = (0..512).filter(|&at| after[at] != table()[at]).collect();
        assert!(differ.iter().all(|at| (ENTRY + 12..ENTRY + 16).contains(at)), "{differ:?}");
    }

    /// As mke2fs writes it for `scripts/build-image`: 64 MiB.
    fn superblock(block_size: u32) -> [u8; 1024] {
        let mut superblock = [0; 1024];
        superblock[4..8].copy_from_slice(&((64 << 20) / block_size).to_le_bytes());
        superblock[0x18..0x1C].copy_from_slice(&(block_size / 1024).ilog2().to_le_bytes());
        superblock[0x38..0x3A].copy_from_slice(&0xEF53_u16.to_le_bytes());
        superblock
    }

    #[test]
    fn a_file_system_fills_its_partition_whatever_its_blocks_are() {
        for block_size in [1024, 4096] {
            let now = FileSystem::of(&superblock(block_size)).expect("ext4");
            assert_eq!(now.blocks * now.block_size, 64 << 20);
            assert_eq!(now.larger(64 << 20), None, "it fills it");
            assert_eq!(now.larger(444 << 20).map(|blocks| blocks * u64::from(block_size)), Some(444 << 20));
            assert_eq!(now.larger(32 << 30).map(|blocks| blocks * u64::from(block_size)), Some(DATA_BYTES_MAX));
            let after = FileSystem { blocks: now.larger(444 << 20).expect("room"), ..now };
            assert_eq!(after.larger(444 << 20), None, "once");
            assert_eq!(after.larger(64 << 20), None, "it never shrinks");
        }
    }

    #[test]
    fn what_is_no_file_system_does_not_grow() {
        assert_eq!(FileSystem::of(&[0; 1024]), None);
        let mut huge = superblock(4096);
        huge[0x18] = 63;
        assert_eq!(FileSystem::of(&huge), None);
    }

    #[test]
    fn partitions_are_called_as_the_kernel_calls_them() {
        assert_eq!(["mmcblk0", "vda"].map(fourth_of), ["mmcblk0p4", "vda4"]);
    }

    #[test]
    fn a_card_that_is_not_ours_is_left_alone() {
        assert!(grown(&[0; 512], 62_333_952).is_err());
        let mut other = table();
        other[ENTRY + 4] = 0x0c;
        assert!(grown(&other, 62_333_952).is_err());
        assert_eq!(grown(&table(), 1_187_840), Ok(None), "smaller than its table");
    }
}
