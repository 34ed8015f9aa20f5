//! The last lines of the log, to be read in the dashboard. They are kept in memory; where a file is named, also in that: it
//! is meant for a folder in memory (`/run`), so that a program that crashed and was started again can tell what it said
//! last, and no card is worn out.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::Level;

/// Some two thousand lines.
const BYTES_MAX: usize = 256 << 10;
/// More of one line is cut off.
const LINE_BYTES_MAX: usize = 2 << 10;
/// Two files are kept, the older one as `NAME.1`: together no more than the memory holds.
const FILE_BYTES_MAX: usize = BYTES_MAX / 2;

static KEPT: Mutex<Kept> = Mutex::new(Kept::new());

#[derive(Debug)]
pub(super) struct Kept {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    /// How many stood before the first of `lines`.
    forgotten: usize,
    /// The number of the first line that this run said.
    own: usize,
}

impl Kept {
    pub(super) const fn new() -> Kept {
        Kept { lines: VecDeque::new(), bytes: 0, forgotten: 0, own: 0 }
    }

    /// Lines of earlier lives, before all others. Each of those gets another number: for when nobody has looked yet.
    pub(super) fn precede(&mut self, earlier: &[String]) {
        for line in earlier.iter().rev() {
            self.bytes += line.len();
            self.lines.push_front(line.as_str().into());
        }
        self.own += earlier.len();
    }

    /// The number of the next line that is said.
    pub(super) fn end(&self) -> usize {
        self.forgotten + self.lines.len()
    }

    pub(super) fn own(&self) -> usize {
        self.own
    }

    pub(super) fn since(&self, number: usize) -> Vec<(usize, Box<str>)> {
        let known = number.saturating_sub(self.forgotten).min(self.lines.len());
        (self.forgotten + known..).zip(self.lines.range(known..).cloned()).collect()
    }

    pub(super) fn keep(&mut self, line: &str) {
        let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
        self.bytes += line.len();
        self.lines.push_back(line.into());
        while self.bytes > BYTES_MAX {
            self.bytes -= self.lines.pop_front().map_or(self.bytes, |first| first.len());
            self.forgotten += 1;
        }
    }
}

/// For whoever follows it.
pub(super) fn ring() -> &'static Mutex<Kept> {
    &KEPT
}

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Oldest first, each with its number, which stays.
pub fn lines() -> Vec<(usize, Box<str>)> {
    let kept = kept();
    (kept.forgotten..).zip(kept.lines.iter().cloned()).collect()
}

/// Those from this number on.
pub fn since(number: usize) -> Vec<(usize, Box<str>)> {
    kept().since(number)
}

/// Of a line: it stands behind the date.
pub fn level(line: &str) -> Option<Level> {
    // Numbers are levels, too, and words of other lines.
    line.split_whitespace().nth(1).filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase()))?.parse().ok()
}

/// Puts what an earlier life has left in a file before what is here. Returns the number of the first line that is not in the file. To be
/// called before anybody looks at numbers.
pub fn join(earlier: &[String]) -> usize {
    let mut kept = kept();
    // What a program said that crashed since the box was switched on may be in both.
    let (before, in_both) = overlap(earlier, &kept.lines);
    kept.precede(&earlier[..before]);
    kept.forgotten + before + in_both
}

/// How many of `earlier` come before all of `here`, and how many of `here` are the end of `earlier`.
fn overlap(earlier: &[String], here: &VecDeque<Box<str>>) -> (usize, usize) {
    let last_in_both = |last: &String| here.iter().rposition(|line| **line == **last);
    let in_both = earlier.last().and_then(last_in_both).map_or(0, |at| at + 1);
    if in_both == 0 {
        return (earlier.len(), 0);
    }
    (earlier.iter().position(|line| **line == *here[0]).unwrap_or(0), in_both)
}

/// Writes to `out`, and keeps what it writes.
pub struct Tee<W> {
    out: W,
    file: Option<TwoFiles>,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
}

impl<W: Write> Tee<W> {
    /// What an earlier run has left in `file` comes first.
    pub fn new(out: W, file: Option<&Path>) -> Tee<W> {
        let file = file.map(|path| {
            for line in TwoFiles::read(path) {
                kept().keep(&line);
            }
            let mut kept = kept();
            kept.own = kept.end();
            TwoFiles::new(path, FILE_BYTES_MAX)
        });
        Tee { out, file, begun: Vec::new() }
    }

    fn keep(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend(part);
            if part.ends_with(b"\n") || self.begun.len() > LINE_BYTES_MAX {
                let line = std::mem::take(&mut self.begun);
                self.keep_line(&without_colours(String::from_utf8_lossy(&line).trim_end()));
            }
        }
    }

    fn keep_line(&mut self, line: &str) {
        kept().keep(line);
        if let Some(file) = &mut self.file
            && let Err(error) = file.append(&format!("{line}\n"))
        {
            kept().keep(&format!("The log is kept in memory only: `{}` cannot be written ({error}).", file.path.display()));
            self.file = None;
        }
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keep(bytes);
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(super) struct TwoFiles {
    path: PathBuf,
    file: Option<File>,
    bytes: usize,
    bytes_max: usize,
}

impl TwoFiles {
    /// Each of so many bytes at most.
    pub(super) fn new(path: &Path, bytes_max: usize) -> TwoFiles {
        TwoFiles { path: path.into(), file: None, bytes: 0, bytes_max }
    }

    fn older(path: &Path) -> PathBuf {
        path.with_added_extension("1")
    }

    pub(super) fn read(path: &Path) -> Vec<String> {
        let both = [TwoFiles::older(path), path.to_owned()].map(|path| fs::read(path).unwrap_or_default()).concat();
        String::from_utf8_lossy(&both).lines().map(ToOwned::to_owned).collect()
    }

    /// Whole lines.
    pub(super) fn append(&mut self, text: &str) -> io::Result<()> {
        if self.file.is_none() {
            self.open()?;
        }
        if self.bytes > 0 && self.bytes + text.len() > self.bytes_max {
            fs::rename(&self.path, TwoFiles::older(&self.path))?;
            self.open()?;
        }
        self.bytes += text.len();
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()))
    }

    fn open(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.bytes = file.metadata()?.len() as usize;
        self.file = Some(file);
        Ok(())
    }

    /// From here on the power may go.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

/// What a terminal is told of colours stays there.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go_first_and_a_long_one_is_cut() {
        let mut kept = Kept::new();
        for number in 0..100_000 {
            kept.keep(&format!("line {number}"));
        }
        assert!(kept.bytes <= BYTES_MAX && kept.bytes > BYTES_MAX - 100, "{}", kept.bytes);
        assert_eq!(kept.lines.back().map(|line| &**line), Some("line 99999"));
        assert_eq!(*kept.lines[0], *format!("line {}", kept.forgotten), "each keeps its number");
        kept.keep(&"ü".repeat(LINE_BYTES_MAX));
        assert_eq!(kept.lines.back().map(|line| line.len()), Some(LINE_BYTES_MAX));
        assert_eq!(kept.bytes, kept.lines.iter().map(|line| line.len()).sum::<usize>());
    }

    #[test]
    fn what_was_said_last_is_there_after_another_start() {
        let folder = std::env::temp_dir().join(format!("twinlease-log-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("log");
        let mut out = Vec::new();
        let mut tee = Tee::new(&mut out, Some(&path));
        let long = "x".repeat(1000);
        for number in 0..1000 {
            writeln!(tee, "\x1b[32m INFO\x1b[0m {number} {long}").expect("memory takes it");
        }
        // It crashed here.
        drop(tee);
        assert!(String::from_utf8_lossy(&out).contains("\x1b[32m INFO"), "the terminal has its colours");
        let left = TwoFiles::read(&path);
        assert!(left.last().is_some_and(|line| line.starts_with(" INFO 999 ")), "{:?}", left.last());
        assert!((120..=265).contains(&left.len()), "{} lines", left.len());
        let sizes = [path.clone(), TwoFiles::older(&path)].map(|path| fs::metadata(path).expect("is there").len());
        assert!(sizes.iter().all(|size| *size <= FILE_BYTES_MAX as u64 + 1100), "{sizes:?}");
        Tee::new(io::sink(), Some(&path));
        assert!(lines().iter().any(|(_, line)| line.starts_with(" INFO 999 ")));
        let _ = fs::remove_dir_all(&folder);
    }

    #[test]
    fn what_this_run_said_is_told_from_what_earlier_ones_left() {
        let mut kept = Kept::new();
        kept.keep("first");
        kept.keep("second");
        assert_eq!(kept.since(kept.own()).len(), 2);
        kept.precede(&["of before".into()]);
        let own = kept.since(kept.own());
        assert_eq!(own.first().map(|(number, line)| (*number, &**line)), Some((1, "first")));
        assert_eq!((own.len(), kept.end()), (2, 3));
    }

    #[test]
    fn a_level_is_read_where_one_stands() {
        assert_eq!(level("2026-11-22T17:32:16.1Z  WARN the disk is full"), Some(Level::WARN));
        assert_eq!(level("2026-11-22T17:32:16.1Z ERROR the store hangs"), Some(Level::ERROR));
        for other in ["", "alone", "thread 1 panicked", "and then WARNING", "note: error"] {
            assert_eq!(level(other), None, "{other}");
        }
    }

    #[test]
    fn what_two_lives_have_in_common_is_told_once() {
        let lines = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect::<Vec<String>>();
        let here = |text: &str| lines(text).into_iter().map(String::into_boxed_str).collect::<VecDeque<_>>();
        assert_eq!(overlap(&lines("a b c"), &here("d e")), (3, 0), "after a reset");
        assert_eq!(overlap(&lines("a b c d"), &here("c d e")), (2, 2), "after a crash of the program");
        assert_eq!(overlap(&lines("c d"), &here("b c d e")), (0, 3), "the memory has more than the card");
        assert_eq!(overlap(&lines(""), &here("b c")), (0, 0));
        assert_eq!(overlap(&lines("a"), &here("")), (1, 0));
    }

    #[test]
    fn where_no_file_can_be_written_the_log_goes_on() {
        let mut out = Vec::new();
        let mut tee = Tee::new(&mut out, Some(Path::new("/nonexistent/log")));
        writeln!(tee, "first").expect("memory takes it");
        writeln!(tee, "second").expect("memory takes it");
        assert_eq!(String::from_utf8_lossy(&out), "first\nsecond\n");
        assert!(lines().iter().any(|(_, line)| line.contains("/nonexistent/log")));
    }
}
