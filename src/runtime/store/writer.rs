//! The store's thread: makes commits durable, all that wait in one transaction, in their order.
//!
//! ```text
//!             a write fails                    a probing write succeeds
//!  Serving ───────────────────▶ Refusing ─────────────────────────────▶ Healed
//!     ▲     Report::Failed          │  every commit: Report::Failed       │ Report::Recovered
//!     └─────────────────────────────┴───────────── resume() ◀─────────────┘ (commits still refused)
//! ```
//!
//! A commit that follows a failed one may build on it. So nothing is written any more until whoever sends the
//! commits has seen `Recovered` and said `resume`: the queue is in order, hence every commit sent before that is refused.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use rusqlite::ErrorCode;

use super::{
    Fault, Store,
    aside::{Aside, Halt},
    log::LogCopier,
    nightly::Nightly,
    snapshot, suspect,
};
use crate::{
    protocol::{Change, Commit, CommitId, StoreTrouble, time::Time},
    runtime::clock::{Clock, Sleep},
};

/// Beyond this many waiting changes (a few MiB), commits are refused.
const QUEUED_CHANGES_MAX: usize = 16_384;
/// Changes in one transaction, give or take one commit. Bounds how long the first of them waits.
const BATCH_CHANGES_MAX: usize = 4096;
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Wakes so often with nothing to do, so that one that hangs shows. Nothing is written for it.
const ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How much uptime may be forgotten when nothing else is written. Longer spares the card.
const STAMP_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// What the store tells, from its own thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Every commit up to this one is durable, those reported as failed excepted.
    Committed {
        up_to: CommitId,
    },
    /// These are not durable, and the store refuses all others until `StoreHandle::resume`. (A crash right
    /// now may still find them on the disk: they were never promised, so that is harmless.)
    Failed {
        ids: RangeInclusive<CommitId>,
        trouble: StoreTrouble,
    },
    /// Writing works again. Call `StoreHandle::resume` before the next commit.
    Recovered,
    SnapshotMade(PathBuf),
    /// As a sentence. Tried again in an hour.
    SnapshotFailed(String),
    /// The check in the background, once after the start, found the database damaged: a sentence.
    Damaged(String),
}

/// The way to the store's thread. Dropped or closed, it ends the thread once all that waits is written.
#[derive(Debug)]
pub struct StoreHandle {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Starts the thread. `report` is called on it and should only pass the report on.
    pub fn start(self, report: impl FnMut(Report) + Send + 'static) -> std::io::Result<StoreHandle> {
        let queue = Arc::new(Queue::default());
        let now = self.clock.now();
        let nightly = Nightly::new(snapshot::newest_ms(&self.place).map(|made_ms| Time(made_ms.unsigned_abs())), now);
        let mode = self.epoch_unwritten.clone().map_or(Mode::Serving, Mode::Refusing);
        let for_log = queue.clone();
        let log = LogCopier::start(&self.place.database, move || for_log.push(Message::LogCopied));
        let writer = Writer {
            store: self,
            log,
            queue: queue.clone(),
            report,
            mode,
            probe_due: now + PROBE_INTERVAL,
            stamp_due: now + STAMP_INTERVAL,
            nightly,
            aside: Aside::default(),
        };
        let thread = Builder::new().name("store".into()).spawn(move || writer.run())?;
        Ok(StoreHandle { queue, thread: Some(thread) })
    }
}

impl StoreHandle {
    /// Hands over commits, together, so that one write takes them all; `Report` tells what became of them. Never waits. An error:
    /// too much waits already. These commits and all later ones are then refused here until `resume`; `Recovered` tells when.
    pub fn commit(&self, commits: impl IntoIterator<Item = Commit>) -> Result<(), (RangeInclusive<CommitId>, StoreTrouble)> {
        let mut refused: Option<RangeInclusive<CommitId>> = None;
        let mut state = self.queue.lock();
        let is_asleep = state.messages.is_empty();
        for commit in commits {
            if state.is_overflowed || state.changes >= QUEUED_CHANGES_MAX {
                state.is_overflowed = true;
                refused = Some(refused.map_or(commit.id, |ids| *ids.start())..=commit.id);
                continue;
            }
            state.changes += commit.changes.len();
            state.messages.push_back(Message::Commit(commit));
        }
        drop(state);
        // Whoever finds something in the queue does not wait: the kernel need not be asked to wake it.
        if is_asleep {
            self.queue.ready.notify_one();
        }
        let why = "The disk is slower than the changes that arrive: it may be failing, or the server is flooded.";
        refused.map_or(Ok(()), |ids| Err((ids, StoreTrouble::Other(why.into()))))
    }

    /// After `Report::Recovered` (and every `Failed` before it) was dealt with: commits sent from now on count again.
    pub fn resume(&self) {
        self.queue.lock().is_overflowed = false;
        self.queue.push(Message::Resume);
    }

    /// A sleep became known. Call it before any commit whose bindings are aged by it, with the clock that told it.
    pub fn set_slept(&self, sleep: Sleep, clock: Clock) {
        self.queue.push(Message::Slept(sleep, clock));
    }

    /// Asks for what waits beside the commits to be written now.
    pub fn flush(&self) {
        self.queue.push(Message::Flush);
    }

    /// Asks for a snapshot now; `Report` tells the outcome.
    pub fn snapshot_now(&self) {
        self.queue.push(Message::Snapshot);
    }

    /// Changes that are not durable yet.
    pub fn backlog(&self) -> usize {
        self.queue.lock().changes
    }

    /// Asks for what waits to be written and the database to be closed. What becomes of it is still reported; when
    /// the thread has ended, `report` is dropped.
    pub fn begin_close(&self) {
        self.queue.push(Message::Close);
    }

    /// Leaves the thread behind with what it has not written: a disk that hangs gives no way to end it.
    pub fn abandon(mut self) {
        self.thread = None;
    }

    /// Writes what waits, and returns when the database is closed.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.begin_close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread ended by a defect");
        }
    }
}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

#[derive(Debug)]
enum Message {
    Commit(Commit),
    Resume,
    Slept(Sleep, Clock),
    Flush,
    Snapshot,
    /// What the thread aside has done.
    SnapshotDone(Result<PathBuf, String>),
    Checked(Option<String>),
    LogCopied,
    Close,
}

/// In order of arrival. Commits are bounded; the other messages are rare and never refused.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    messages: VecDeque<Message>,
    /// Those in `messages` and those being written.
    changes: usize,
    is_overflowed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().expect("nobody panics while holding it")
    }

    fn push(&self, message: Message) {
        self.lock().messages.push_back(message);
        self.ready.notify_one();
    }

    /// What waits, at most a batch; empty when nothing came in time.
    fn take(&self, wait: Duration) -> Vec<Message> {
        let state = self.lock();
        let waited = self.ready.wait_timeout_while(state, wait, |state| state.messages.is_empty());
        let (mut state, _) = waited.expect("nobody panics while holding it");
        let mut changes = 0;
        let batch_len = state.messages.iter().take_while(|message| {
            let room = changes < BATCH_CHANGES_MAX;
            changes += message.changes();
            room
        });
        let batch_len = batch_len.count();
        state.messages.drain(..batch_len).collect()
    }
}

impl Message {
    fn changes(&self) -> usize {
        if let Message::Commit(commit) = self { commit.changes.len() } else { 0 }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Mode {
    Serving,
    Refusing(StoreTrouble),
    /// Writing works, `Recovered` was told, `resume` is awaited.
    Healed(StoreTrouble),
}

struct Writer<F> {
    store: Store,
    log: LogCopier,
    queue: Arc<Queue>,
    report: F,
    mode: Mode,
    probe_due: Time,
    stamp_due: Time,
    nightly: Nightly,
    /// A snapshot, or the check.
    aside: Aside,
}

impl<F: FnMut(Report)> Writer<F> {
    fn run(mut self) {
        self.check_aside();
        loop {
            self.store.alive.beat();
            let batch = self.queue.take(self.wait());
            let changes: usize = batch.iter().map(Message::changes).sum();
            let closing = self.handle(batch);
            let overflowed = {
                let mut state = self.queue.lock();
                state.changes -= changes;
                state.is_overflowed && state.changes == 0
            };
            // What was refused at the door is reported as recovered when the queue has run dry.
            if overflowed && self.mode == Mode::Serving {
                let trouble = StoreTrouble::Other("The disk was slower than the changes that arrived.".into());
                self.mode = Mode::Healed(trouble);
                (self.report)(Report::Recovered);
            }
            if closing {
                break;
            }
            self.do_what_is_due();
        }
        self.close();
    }

    fn wait(&self) -> Duration {
        let due = match self.mode {
            Mode::Refusing(_) => self.probe_due,
            Mode::Serving | Mode::Healed(_) if self.aside.is_busy() => self.stamp_due,
            Mode::Serving | Mode::Healed(_) => self.stamp_due.min(self.nightly.due()),
        };
        self.store.clock.now().until(due).min(ALIVE_INTERVAL)
    }

    /// True: close.
    fn handle(&mut self, batch: Vec<Message>) -> bool {
        let mut commits = Vec::new();
        let mut closing = false;
        for message in batch {
            if let Message::Commit(commit) = message {
                commits.push(commit);
                continue;
            }
            self.commit(&std::mem::take(&mut commits));
            match message {
                Message::Commit(_) => {}
                Message::Resume => {
                    if matches!(self.mode, Mode::Healed(_)) {
                        self.mode = Mode::Serving;
                    }
                }
                Message::Slept(sleep, clock) => {
                    self.store.ages.put(sleep);
                    self.store.sleeps.insert(sleep.before, sleep);
                    self.store.clock = clock;
                    if self.mode == Mode::Serving {
                        self.write_stamp();
                    }
                }
                Message::Flush => {
                    if self.mode == Mode::Serving {
                        self.write_stamp();
                    }
                }
                // While something runs aside, it starts when that is done.
                Message::Snapshot => self.nightly.ask_now(),
                Message::SnapshotDone(outcome) => {
                    self.aside.done();
                    self.nightly.done(self.store.clock.now(), outcome.is_ok());
                    (self.report)(match outcome {
                        Ok(path) => Report::SnapshotMade(path),
                        Err(sentence) => Report::SnapshotFailed(sentence),
                    });
                }
                Message::Checked(damage) => {
                    self.aside.done();
                    if let Some(sentence) = damage {
                        (self.report)(Report::Damaged(sentence));
                    }
                }
                Message::LogCopied => self.log.finish(&self.store.connection),
                Message::Close => closing = true,
            }
        }
        self.commit(&commits);
        closing
    }

    fn commit(&mut self, commits: &[Commit]) {
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else { return };
        if let Mode::Refusing(trouble) | Mode::Healed(trouble) = &self.mode {
            let trouble = trouble.clone();
            (self.report)(Report::Failed { ids: first.id..=last.id, trouble });
            return;
        }
        match self.store.write_groups(&changes_of(commits)) {
            Ok(()) => self.committed(last.id),
            Err((nth, error)) => {
                let trouble = self.store.trouble(&error);
                // A record that the schema refuses is a defect of one commit: those before it are sound.
                let sound = if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) { nth } else { 0 };
                let sound = sound.min(commits.len() - 1);
                let failed_from = match commits[..sound].last() {
                    Some(last_sound) if self.store.write_groups(&changes_of(&commits[..sound])).is_ok() => {
                        self.committed(last_sound.id);
                        sound
                    }
                    Some(_) | None => 0,
                };
                tracing::error!("the store cannot write: {error}");
                self.mode = Mode::Refusing(trouble.clone());
                self.probe_due = self.store.clock.now() + PROBE_INTERVAL;
                (self.report)(Report::Failed { ids: commits[failed_from].id..=last.id, trouble });
            }
        }
    }

    fn committed(&mut self, up_to: CommitId) {
        self.stamp_due = self.store.clock.now() + STAMP_INTERVAL;
        (self.report)(Report::Committed { up_to });
        self.log.committed(&self.store.connection);
    }

    fn do_what_is_due(&mut self) {
        let now = self.store.clock.now();
        if matches!(self.mode, Mode::Refusing(_)) && self.probe_due <= now {
            self.probe();
        }
        if self.mode == Mode::Serving && self.stamp_due <= now {
            self.write_stamp();
        }
        if self.nightly.due() <= now && !self.aside.is_busy() {
            self.snapshot_aside();
        }
    }

    fn probe(&mut self) {
        match self.store.write(&[]) {
            Ok(()) => {
                if let Mode::Refusing(trouble) = &self.mode {
                    self.mode = Mode::Healed(trouble.clone());
                }
                (self.report)(Report::Recovered);
            }
            Err(trouble) => {
                self.mode = Mode::Refusing(trouble);
                self.probe_due = self.store.clock.now() + PROBE_INTERVAL;
            }
        }
    }

    /// Nobody waits for it: where it fails, the next commit finds and tells the trouble.
    fn write_stamp(&mut self) {
        if let Err(trouble) = self.store.write(&[]) {
            tracing::warn!("the clock's stamp cannot be written: {trouble}");
        }
        self.stamp_due = self.store.clock.now() + STAMP_INTERVAL;
    }

    fn snapshot_aside(&mut self) {
        let place = self.store.place.clone();
        self.nightly.begun(self.store.clock.now());
        self.start_aside(move |halt| Message::SnapshotDone(snapshot::make(&place, halt)));
    }

    /// A start reads every row; this reads what no query touched, without keeping the start waiting.
    fn check_aside(&mut self) {
        let place = self.store.place.clone();
        self.start_aside(move |halt| {
            let damage = match suspect::damage(&place.database, halt) {
                Ok(damage) => damage,
                Err(Fault::Damage(reason)) => Some(reason),
                Err(_) if halt.is_over() => None,
                // Too many open files, say: that proves nothing about the database.
                Err(fault) => {
                    tracing::warn!("the database was not checked: {}", fault.told(&place.database));
                    None
                }
            };
            if let Some(reason) = &damage {
                suspect::mark(&place, reason);
            }
            let path = place.database.display();
            Message::Checked(damage.map(|reason| {
                format!("The database `{path}` is damaged ({reason}). Devices are answered from memory. Start the server again: it mends the database, or takes the newest good snapshot. Then look at the disk.")
            }))
        });
    }

    fn start_aside(&mut self, work: impl FnOnce(&Halt) -> Message + Send + 'static) {
        let queue = self.queue.clone();
        self.aside.start(move |halt| {
            // Whatever happens here, the writer must hear of the end, or no snapshot is ever made again.
            let message = panic::catch_unwind(AssertUnwindSafe(|| work(halt)));
            queue.push(message.unwrap_or_else(|_| Message::SnapshotDone(Err("the work aside the store has panicked".into()))));
        });
    }

    fn close(mut self) {
        self.store.is_closing = true;
        if self.mode == Mode::Serving {
            self.write_stamp();
        }
        self.log.stop();
        self.aside.end();
        let Store { connection, lock, .. } = self.store;
        // The last connection copies the write-ahead log into the database as it closes.
        if let Err((_, error)) = connection.close() {
            tracing::warn!("the database did not close: {error}");
        }
        drop(lock);
    }
}

fn changes_of(commits: &[Commit]) -> Vec<&[Change]> {
    commits.iter().map(|commit| commit.changes.as_slice()).collect()
}
