//! The last part of the log on the card: what is in memory does not outlive a reset of the box.
//!
//! Each write wears the card, so lines are gathered: all that was said is written every ten minutes and at the end, what is trouble within
//! a second, and then of much trouble only the first writes come so early.

use std::{
    io,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use tracing::Level;

use super::kept::{self, TwoFiles};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(600);
/// Early writes, until the next one that is not.
const EARLY_MAX: u32 = 6;
/// So many of them are kept for errors: after a hang is said, the watchdog resets the box within seconds.
const EARLY_FOR_ERRORS: u32 = 2;
/// Of each of two files.
const FILE_BYTES_MAX: usize = 64 << 10;
/// A card that stalls holds up no end for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes the rest when it is dropped.
pub struct OnCard {
    ask: Option<Sender<()>>,
    done: Receiver<()>,
}

impl Drop for OnCard {
    fn drop(&mut self) {
        drop(self.ask.take());
        // Its thread is gone, or hangs with the card: either way nothing is left to be done.
        let _ = self.done.recv_timeout(PATIENCE);
    }
}

/// From now on on a thread of its own; what the file holds of earlier lives comes before what was said in this one.
pub fn start(path: &Path) -> io::Result<OnCard> {
    let written = kept::join(&TwoFiles::read(path));
    let writer = Writer {
        written,
        looked: written,
        file: TwoFiles::new(path, FILE_BYTES_MAX),
        is_broken: false,
        due: Due::new(Instant::now()),
    };
    let (ask, asked) = mpsc::channel();
    let (say, done) = mpsc::channel();
    std::thread::Builder::new().name("log-on-card".into()).spawn(move || writer.run(&asked, &say))?;
    Ok(OnCard { ask: Some(ask), done })
}

struct Writer {
    file: TwoFiles,
    /// The number of the next line to be written, and to be looked at.
    written: usize,
    looked: usize,
    is_broken: bool,
    due: Due,
}

impl Writer {
    fn run(mut self, asked: &Receiver<()>, say: &Sender<()>) {
        while asked.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            for (number, line) in kept::since(self.looked) {
                self.looked = number + 1;
                self.due.heard(kept::level(&line));
            }
            if self.looked > self.written && self.due.is_due(Instant::now()) {
                self.write();
            }
        }
        self.write();
        // Whoever asked may not wait any more.
        let _ = say.send(());
    }

    fn write(&mut self) {
        let lines = kept::since(self.written);
        let Some((last, _)) = lines.last() else { return };
        self.written = last + 1;
        // Of more than there is room for, the beginning is forgotten.
        let mut bytes = 0;
        let fits = |(_, line): &&(usize, Box<str>)| {
            bytes += line.len() + 1;
            bytes <= FILE_BYTES_MAX
        };
        let first = lines.len() - lines.iter().rev().take_while(fits).count();
        let text: String = lines[first..].iter().flat_map(|(_, line)| [line, "\n"]).collect();
        match self.file.append(&text).and_then(|()| self.file.sync()) {
            Ok(()) => self.is_broken = false,
            // Once, or there would be a new line for each that cannot be written.
            Err(error) if !self.is_broken => {
                self.is_broken = true;
                tracing::warn!(
                    "the last part of the log cannot be written to the card ({error}): a reset of this box will lose it"
                );
            }
            Err(_) => {}
        }
    }
}

/// When the card is written.
struct Due {
    regular: Instant,
    early_left: u32,
    worst: Option<Level>,
}

impl Due {
    fn new(now: Instant) -> Due {
        Due { regular: now + INTERVAL, early_left: EARLY_MAX, worst: None }
    }

    fn heard(&mut self, level: Option<Level>) {
        // Of two levels, the graver one is the lesser.
        self.worst = [self.worst, level].into_iter().flatten().min();
    }

    /// There are lines to be written: shall it be now? Where it says so, that counts as done.
    fn is_due(&mut self, now: Instant) -> bool {
        if now >= self.regular {
            *self = Due::new(now);
            return true;
        }
        let kept_back = match self.worst {
            Some(Level::ERROR) => 0,
            Some(Level::WARN) => EARLY_FOR_ERRORS,
            Some(_) | None => return false,
        };
        let is_due = self.early_left > kept_back;
        if is_due {
            self.early_left -= 1;
            self.worst = None;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("twinlease-on-card-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn an_ordinary_line_waits_and_trouble_does_not() {
        let start = Instant::now();
        let mut due = Due::new(start);
        let at = |secs| start + Duration::from_secs(secs);
        due.heard(Some(Level::INFO));
        assert!(!due.is_due(at(599)));
        assert!(due.is_due(at(600)));
        assert!(!due.is_due(at(601)), "nothing was said since");
        due.heard(Some(Level::WARN));
        due.heard(Some(Level::INFO));
        assert!(due.is_due(at(602)));
        assert!(!due.is_due(at(603)), "it is written");
    }

    #[test]
    fn a_storm_of_trouble_does_not_wear_the_card_and_an_error_is_written_all_the_same() {
        let start = Instant::now();
        let mut due = Due::new(start);
        let mut writes = |from: u64, to: u64, level| {
            (from..to)
                .filter(|secs| {
                    due.heard(Some(level));
                    due.is_due(start + Duration::from_secs(*secs))
                })
                .count()
        };
        assert_eq!(writes(0, 500, Level::WARN), 4);
        assert_eq!(writes(500, 599, Level::ERROR), 2);
        assert_eq!(writes(600, 86_400, Level::ERROR), 143 * 7, "of a day");
    }

    #[test]
    fn the_newest_lines_are_on_the_card_at_the_end_and_no_more_than_fit() {
        let folder = folder("end");
        let path = folder.join("log");
        let mut out = kept::Tee::new(io::sink(), None);
        let mut say = |text: String| io::Write::write_all(&mut out, text.as_bytes()).expect("memory takes it");
        let on_card = start(&path).expect("a thread");
        say(format!(" {}\n", "x".repeat(1000)).repeat(200));
        say("2026-11-22 ERROR the last words\n".into());
        drop(on_card);
        let left = TwoFiles::read(&path);
        assert!(left.iter().any(|line| line.ends_with("ERROR the last words")), "{:?}", left.last());
        let sizes: u64 =
            fs::read_dir(&folder).expect("a folder").flatten().map(|one| one.metadata().expect("a file").len()).sum();
        assert!(sizes <= 2 * FILE_BYTES_MAX as u64, "{sizes}");
        let _ = fs::remove_dir_all(&folder);
    }

    #[test]
    fn a_card_that_cannot_be_written_is_said_once_and_stops_nobody() {
        let on_card = start(Path::new("/nonexistent/log")).expect("a thread");
        drop(on_card);
    }
}
