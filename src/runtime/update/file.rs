//! An image as it is flashed, compressed with xz: read as a stream with little memory, up to the end of its slot and no further.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use lzma_rust2::XzReader;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::manifest::{self, HEAD_BYTES, Manifest};

/// The largest that is taken: images have some 31 MB.
pub const FILE_BYTES_MAX: u64 = 192 << 20;
/// Ours need 8 MiB (scripts/build-image); a small Pi has 512 MB for everything.
const MEMORY_KIB_MAX: u32 = 20 << 10;
/// What is handed on at one time.
pub const BLOCK_BYTES: usize = 1 << 20;

/// A file that was read to the end and found good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub version: String,
    pub build: String,
    /// Of the file.
    pub sha256: String,
    pub bytes: u64,
}

/// Why a file cannot be an update: each a sentence with its remedy.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(
        "The file is not compressed with xz. Choose the file twinlease-VERSION-rpi.img.xz, as it is flashed onto cards, and do not unpack it."
    )]
    NotXz,
    #[error("The file ends in the middle: it did not arrive whole. Load it again, and compare its length.")]
    CutShort,
    #[error("The file is damaged ({0}). Load it again.")]
    Damaged(String),
    #[error("The file needs more memory to unpack than a box has. Choose the file as scripts/build-image writes it.")]
    TooMuchMemory,
    #[error(transparent)]
    Wrong(#[from] manifest::Wrong),
    #[error(
        "The slot in the file is not what the file says of it: it was changed or damaged. Load it again, from where you trust it."
    )]
    OtherContent,
    /// Not the file's fault.
    #[error("{0}")]
    Io(io::Error),
}

/// Remembers the system's own errors, so that they are not taken for the file's.
struct Source<R> {
    inner: R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            kind.into()
        })
    }
}

/// An image, read up to where its slot begins.
pub struct Image {
    pub manifest: Manifest,
    stream: XzReader<Source<BufReader<File>>>,
}

impl Image {
    pub fn open(path: &Path) -> Result<Image, FileError> {
        let inner = BufReader::with_capacity(64 << 10, File::open(path).map_err(FileError::Io)?);
        let mut stream = XzReader::new_mem_limit(Source { inner, failed: None }, false, MEMORY_KIB_MAX);
        let mut head = [0; HEAD_BYTES];
        let filled = fill(&mut stream, &mut head, true)?;
        if filled < HEAD_BYTES {
            return Err(manifest::Wrong::NotOurs.into());
        }
        Ok(Image { manifest: manifest::read(&head)?, stream })
    }

    /// Hands on the slot, block by block, and then says whether it was what the manifest promises.
    pub fn each_block<E: From<FileError>>(mut self, mut take: impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut before = self.manifest.slot_start - HEAD_BYTES as u64;
        while before > 0 {
            let length = before.min(BLOCK_BYTES as u64) as usize;
            whole(&mut self.stream, &mut block[..length])?;
            before -= length as u64;
        }
        let (mut sum, mut done) = (Context::new(&SHA256), 0);
        while done < self.manifest.slot_bytes {
            let length = (self.manifest.slot_bytes - done).min(BLOCK_BYTES as u64) as usize;
            whole(&mut self.stream, &mut block[..length])?;
            sum.update(&block[..length]);
            take(done, &block[..length])?;
            done += length as u64;
        }
        if hex(sum) == self.manifest.slot_sha256 { Ok(()) } else { Err(FileError::OtherContent.into()) }
    }
}

/// Reads the whole file. Takes some seconds, and the memory of one decoder.
pub fn examine(path: &Path) -> Result<Held, FileError> {
    let image = Image::open(path)?;
    let Manifest { version, build, .. } = image.manifest.clone();
    image.each_block(|_, _| Ok::<(), FileError>(()))?;
    let (sha256, bytes) = sum(path).map_err(FileError::Io)?;
    Ok(Held { version: version.to_string(), build, sha256, bytes })
}

/// Of a file: SHA-256 and length.
pub fn sum(path: &Path) -> io::Result<(String, u64)> {
    let (mut file, mut sum, mut bytes) = (File::open(path)?, Context::new(&SHA256), 0);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok((hex(sum), bytes));
        }
        sum.update(&block[..length]);
        bytes += length as u64;
    }
}

pub fn hex(sum: Context) -> String {
    data_encoding::HEXLOWER.encode(sum.finish().as_ref())
}

fn whole(stream: &mut XzReader<Source<BufReader<File>>>, block: &mut [u8]) -> Result<(), FileError> {
    if fill(stream, block, false)? < block.len() { Err(FileError::CutShort) } else { Ok(()) }
}

/// As much as there is.
fn fill(stream: &mut XzReader<Source<BufReader<File>>>, block: &mut [u8], is_first: bool) -> Result<usize, FileError> {
    let mut filled = 0;
    while filled < block.len() {
        match stream.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(match (stream.inner_mut().failed.take(), error.kind()) {
                    (Some(error), _) => FileError::Io(error),
                    (None, io::ErrorKind::OutOfMemory) => FileError::TooMuchMemory,
                    // Without its first bytes it is no such file; without its last ones it is one that was cut.
                    (None, _) if is_first && filled == 0 => FileError::NotXz,
                    (None, io::ErrorKind::UnexpectedEof) => FileError::CutShort,
                    (None, _) => FileError::Damaged(error.to_string()),
                });
            }
        }
    }
    Ok(filled)
}

#[cfg(test)]
pub mod tests;
