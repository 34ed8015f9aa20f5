//! What happens to this node: starts, the pair, the disk, who signs in. Noted from anywhere at the price of a lock, written
//! by the store in batches: with the next commit, or within a few minutes. Cards wear out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::clock;

/// Notes that wait to be written; beyond it the oldest is forgotten.
const WAITING_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 500;
/// How long a note may wait for a commit that takes it along.
const PATIENCE_MS: i64 = 5 * 60_000;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Start and stop.
    Run,
    Pair,
    Disk,
    Interface,
    /// Another DHCP server.
    Rival,
    SignIn,
    SignInFailed,
    Backup,
    Clock,
    Alert,
    /// Of the program.
    Update,
    /// Anything else that a person should know; and what a newer version wrote.
    Other,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Run,
        Kind::Pair,
        Kind::Disk,
        Kind::Interface,
        Kind::Rival,
        Kind::SignIn,
        Kind::SignInFailed,
        Kind::Backup,
        Kind::Clock,
        Kind::Alert,
        Kind::Update,
        Kind::Other,
    ];

    /// As the database and addresses of pages have it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Run => "run",
            Kind::Pair => "pair",
            Kind::Disk => "disk",
            Kind::Interface => "interface",
            Kind::Rival => "rival",
            Kind::SignIn => "sign-in",
            Kind::SignInFailed => "sign-in-failed",
            Kind::Backup => "backup",
            Kind::Clock => "clock",
            Kind::Alert => "alert",
            Kind::Update => "update",
            Kind::Other => "other",
        }
    }

    pub fn of_word(word: &str) -> Kind {
        Kind::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or(Kind::Other)
    }

    /// Whether the same again counts as one even where something else happened between.
    pub fn is_folded_over_others(self) -> bool {
        self == Kind::SignInFailed
    }
}

/// Something that happened, and how often in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub kind: Kind,
    /// One or two sentences.
    pub text: String,
    /// By the wall clock, since 1970.
    pub first_wall_ms: i64,
    pub last_wall_ms: i64,
    pub times: u32,
}

/// Where notes are handed in. Clones are of the same journal.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    waiting: Arc<Mutex<VecDeque<Note>>>,
}

impl Journal {
    /// Takes a sentence. Never waits for the disk.
    pub fn note(&self, kind: Kind, text: impl Into<String>) {
        self.note_at(kind, text.into(), clock::wall_ms());
    }

    fn note_at(&self, kind: Kind, mut text: String, wall_ms: i64) {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        let mut waiting = self.lock();
        let last = waiting.len().saturating_sub(1);
        let same = waiting
            .iter_mut()
            .enumerate()
            .rev()
            .find(|(nth, note)| note.kind == kind && note.text == text && (*nth == last || kind.is_folded_over_others()));
        if let Some((_, note)) = same {
            note.times = note.times.saturating_add(1);
            note.last_wall_ms = wall_ms;
            return;
        }
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Note { kind, text, first_wall_ms: wall_ms, last_wall_ms: wall_ms, times: 1 });
    }

    /// What is not on the disk yet, oldest first.
    pub fn waiting(&self) -> Vec<Note> {
        self.lock().iter().cloned().collect()
    }

    /// Something has waited long enough.
    pub(super) fn is_due(&self) -> bool {
        // A wall clock that was set back makes it due too.
        self.lock().front().is_some_and(|note| !(0..PATIENCE_MS).contains(&(clock::wall_ms() - note.first_wall_ms)))
    }

    /// To be written now.
    pub(super) fn take(&self) -> Vec<Note> {
        self.lock().drain(..).collect()
    }

    /// They could not be written.
    pub(super) fn put_back(&self, notes: Vec<Note>) {
        let mut waiting = self.lock();
        for note in notes.into_iter().rev() {
            if waiting.len() < WAITING_MAX {
                waiting.push_front(note);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Note>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_counted_and_what_comes_between_is_kept_apart() {
        let journal = Journal::default();
        for (at, kind, text) in [
            (1, Kind::Pair, "apart"),
            (2, Kind::Pair, "apart"),
            (3, Kind::SignInFailed, "from 192.0.2.9"),
            (4, Kind::Pair, "apart"),
            (5, Kind::SignInFailed, "from 192.0.2.9"),
        ] {
            journal.note_at(kind, text.into(), at);
        }
        let told: Vec<_> = journal.waiting().iter().map(|note| (note.kind, note.times, note.last_wall_ms)).collect();
        assert_eq!(told, [(Kind::Pair, 2, 2), (Kind::SignInFailed, 2, 5), (Kind::Pair, 1, 4)]);
    }

    #[test]
    fn a_flood_is_bounded_in_number_and_length() {
        let journal = Journal::default();
        for nth in 0..1000 {
            journal.note_at(Kind::Other, format!("{nth}{}", "ü".repeat(600)), nth);
        }
        let waiting = journal.waiting();
        assert_eq!((waiting.len(), waiting[0].first_wall_ms), (WAITING_MAX, 1000 - WAITING_MAX as i64));
        assert!(waiting.iter().all(|note| note.text.len() <= TEXT_BYTES_MAX));
        let taken = journal.take();
        journal.note_at(Kind::Other, "new".into(), 1);
        journal.put_back(taken);
        assert_eq!(journal.waiting().len(), WAITING_MAX);
        assert_eq!(journal.waiting().last().map(|note| note.text.clone()), Some("new".into()));
    }

    #[test]
    fn kinds_are_read_back_and_unknown_ones_are_others() {
        assert!(Kind::ALL.iter().all(|kind| Kind::of_word(kind.word()) == *kind));
        assert_eq!(Kind::of_word("from the future"), Kind::Other);
    }
}
