//! Every line of the log, on to a syslog server, for as long as the settings say so: from each box itself, as it was said.
//!
//! What waits is what the ring in memory still has, and nothing is held beside it: a server that is away for long, or a storm, costs the
//! oldest lines, and how many those were is sent in their place. All on a thread of its own: a DNS that hangs costs a line, never a packet.

mod way;

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tracing::Level;
use way::Way;

use super::kept::{self, Kept};
use crate::{
    runtime::{handle::Handle, syslog, twin::host_name},
    settings::alerts::Syslog,
};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// At one look. Where more wait, the next one comes after `BREATH`: 500 lines a second, in pieces that a receiver's buffer holds.
const LINES_PER_LOOK: usize = 50;
const BREATH: Duration = Duration::from_millis(100);
/// A loop that is busy for longer is asked for the settings next time.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// What has gone well for so long is well: neither is an outage over before, nor one that begins after it the same.
const SETTLED: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A receiver that hangs holds up no end for longer.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Sends the last words when it is dropped.
pub struct Forwarding {
    ask: Option<Sender<()>>,
    done: Receiver<()>,
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        drop(self.ask.take());
        // Its thread is gone, or hangs with the receiver: either way nothing is left to be done.
        let _ = self.done.recv_timeout(END_PATIENCE);
    }
}

/// What was said from the start of this program on, not what earlier runs have left in the ring.
pub fn start(handle: Handle) -> io::Result<Forwarding> {
    start_with(handle, kept::ring())
}

fn start_with(handle: Handle, ring: &'static Mutex<Kept>) -> io::Result<Forwarding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (ask, asked) = mpsc::channel();
    let (say, done) = mpsc::channel();
    std::thread::Builder::new().name("log-forward".into()).spawn(move || {
        let mut forwarder = Forwarder::new(ring);
        // Nothing is known of the settings.
        let mut wanted: Option<Option<Syslog>> = None;
        let mut wait = Duration::ZERO;
        while asked.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            let read = handle.read(|node, _| node.settings().alerts.syslog.clone().filter(|syslog| syslog.log));
            // A server that stops says its last words meanwhile: they go where all went before.
            if let Ok(Ok(now)) = runtime.block_on(async { timeout(READ_PATIENCE, read).await }) {
                wanted = Some(now);
            }
            wait = wanted.as_ref().map_or(LOOK_INTERVAL, |wanted| forwarder.look(Instant::now(), wanted.as_ref()));
        }
        if let Some(wanted) = wanted {
            while forwarder.look(Instant::now(), wanted.as_ref()) == BREATH {}
        }
        // Whoever asked may not wait any more.
        let _ = say.send(());
    })?;
    Ok(Forwarding { ask: Some(ask), done })
}

struct Forwarder<'r> {
    ring: &'r Mutex<Kept>,
    to: Option<Syslog>,
    /// `None`: opened when there is something to send.
    way: Option<Way>,
    /// The number of the next line to be sent.
    next: usize,
    health: Health,
}

impl<'r> Forwarder<'r> {
    fn new(ring: &'r Mutex<Kept>) -> Forwarder<'r> {
        let next = locked(ring).own();
        Forwarder { ring, to: None, way: None, next, health: Health::new() }
    }

    /// Sends what is new. Returns how long to wait until the next look.
    fn look(&mut self, now: Instant, wanted: Option<&Syslog>) -> Duration {
        if self.to.as_ref() != wanted {
            self.close();
            self.health = Health::new();
            self.to = wanted.cloned();
        }
        let Some(to) = self.to.clone() else {
            // From where it is switched on.
            self.next = locked(self.ring).end();
            return LOOK_INTERVAL;
        };
        if !self.health.is_due(now) {
            return LOOK_INTERVAL;
        }
        match self.send(now, &to) {
            Ok(wait) => {
                if self.way.is_some() && self.health.goes_well(now) {
                    tracing::info!("the log reaches the syslog server {} again", to.host);
                }
                wait
            }
            Err(trouble) => {
                // A receiver that starts anew, or that closes what was idle for long, is no outage.
                let has_held = self.close().is_some_and(|opened| now - opened >= SETTLED);
                // Once, or each try would be one more line to be sent.
                if !has_held && self.health.fails(now) {
                    tracing::warn!("the log is not sent on: {trouble} What is still kept in memory is sent when it works again.");
                }
                LOOK_INTERVAL
            }
        }
    }

    fn send(&mut self, now: Instant, to: &Syslog) -> Result<Duration, String> {
        if let Some(way) = &mut self.way {
            way.check().map_err(|error| syslog::unreached(to, &error))?;
            if way.is_stale(now) {
                self.close();
            }
        }
        let lines = locked(self.ring).since(self.next);
        let Some((first, following)) = lines.first() else { return Ok(LOOK_INTERVAL) };
        let way = match &mut self.way {
            Some(way) => way,
            none => none.insert(Way::open(to, now)?),
        };
        let node = host_name();
        if *first > self.next {
            let lost = lost(&node, *first - self.next, following);
            way.send(self.next, &lost).map_err(|error| syslog::unreached(to, &error))?;
            self.next = *first;
        }
        for (number, line) in lines.iter().take(LINES_PER_LOOK) {
            way.send(*number, &of_line(&node, line)).map_err(|error| syslog::unreached(to, &error))?;
            self.next = number + 1;
        }
        Ok(if lines.len() > LINES_PER_LOOK { BREATH } else { LOOK_INTERVAL })
    }

    /// What has not arrived is sent once more. Returns since when it was open.
    fn close(&mut self) -> Option<Instant> {
        let way = self.way.take()?;
        let opened = way.opened;
        self.next = way.take_back().unwrap_or(self.next);
        Some(opened)
    }
}

fn locked(ring: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `DATE  LEVEL words`, as the log has it. What has no date is the rest of a line before it.
fn of_line(node: &str, line: &str) -> String {
    let level = kept::level(line);
    let severity = match level {
        Some(Level::ERROR) => 3,
        Some(Level::WARN) => 4,
        Some(Level::INFO) | None => 6,
        Some(_) => 7,
    };
    let Some((date, rest)) = dated(line) else { return syslog::line(severity, "-", node, "log", line) };
    let words = match level {
        Some(_) => rest.split_once(char::is_whitespace).map_or("", |(_, words)| words),
        None => rest,
    };
    syslog::line(severity, &date, node, "log", words.trim_start())
}

/// The date at the beginning, with no more digits than a receiver takes, and what stands behind it.
fn dated(line: &str) -> Option<(String, &str)> {
    let (word, rest) = line.split_once(' ')?;
    // Years before the first would be written with a sign.
    let date = word.parse::<jiff::Timestamp>().ok().filter(|_| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some((format!("{date:.6}"), rest.trim_start()))
}

/// In the place of lines that the ring has forgotten, with the date of the one that follows.
fn lost(node: &str, count: usize, following: &str) -> String {
    let date = dated(following).map_or("-".into(), |(date, _)| date);
    let lines = if count == 1 { "line" } else { "lines" };
    syslog::line(
        4,
        &date,
        node,
        "log",
        &format!("{count} {lines} of the log before this could not be sent in time, and are lost here"),
    )
}

/// Whether lines arrive, and when it is tried again where they do not.
struct Health {
    /// In a row, with nothing between them that held.
    failures: u32,
    next_try: Option<Instant>,
    well_since: Option<Instant>,
}

impl Health {
    fn new() -> Health {
        Health { failures: 0, next_try: None, well_since: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next_try.is_none_or(|next| next <= now)
    }

    /// Whether an outage begins.
    fn fails(&mut self, now: Instant) -> bool {
        let pause = Duration::from_secs(1 << self.failures.min(6)).min(PAUSE_MAX);
        self.failures += 1;
        (self.next_try, self.well_since) = (Some(now + pause), None);
        self.failures == 1
    }

    /// Whether an outage is over.
    fn goes_well(&mut self, now: Instant) -> bool {
        let since = *self.well_since.get_or_insert(now);
        let is_over = self.failures > 0 && now - since >= SETTLED;
        if is_over {
            *self = Health::new();
        }
        is_over
    }
}

#[cfg(test)]
mod tests;
