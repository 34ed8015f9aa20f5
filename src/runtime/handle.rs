//! The way into a running server: submit a command, read a snapshot. All that the web and the command line may hold.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    alerts::Board,
    clock::Clock,
    drill::Drills,
    led::{Around, Phase},
    live::{Beat, Pulse},
    locate::Locator,
    metrics::Metrics,
    update::Updates,
    who_has::Answer,
};
use crate::protocol::{Command, Node};

/// Messages that wait for the loop; further senders wait.
pub const INBOX: usize = 64;
/// A device that sleeps may miss a broadcast: it is asked so often, so far apart.
const ARP_TRIES: usize = 3;
const ARP_PATIENCE: Duration = Duration::from_millis(400);

pub(super) type Look = Box<dyn FnOnce(&Node, &Clock) + Send>;

pub(super) enum Message {
    Submit { by: String, command: Box<Command>, done: oneshot::Sender<Result<Saved, String>> },
    Read(Look),
    WhoHas { address: Ipv4Addr, answered: oneshot::Sender<Result<Answer, String>> },
}

#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    drills: Arc<Drills>,
    locator: Arc<Locator>,
    updates: Arc<Updates>,
    pulse: Pulse,
}

/// A command is done, and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saved {
    /// What it changed, in the history; `None`: no setting.
    pub change: Option<u64>,
}

/// Who gives commands over the local door.
pub const COMMAND_LINE: &str = "command line";

/// The loop has ended.
#[derive(Debug, thiserror::Error)]
#[error("The server is stopping. Ask again when it has started.")]
pub struct Stopped;

impl Handle {
    pub(super) fn new() -> (Handle, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(INBOX);
        let handle = Handle {
            inbox,
            metrics: Arc::default(),
            board: Arc::default(),
            drills: Arc::default(),
            locator: Arc::default(),
            updates: Arc::default(),
            pulse: Pulse::default(),
        };
        (handle, messages)
    }

    /// By which whoever shows something learns that it may have changed.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The loop's end of it.
    pub(super) fn beat(&self) -> Beat {
        self.pulse.beat()
    }

    /// What the loop counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What was last seen around the node, and what was told of it.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The drill that goes on here, and the last one.
    pub fn drills(&self) -> &Arc<Drills> {
        &self.drills
    }

    /// Whether somebody wants to see this box blink.
    pub fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Updates of the card that this was started from.
    pub fn updates(&self) -> &Arc<Updates> {
        &self.updates
    }

    /// What the light needs to know beside the node's status.
    pub fn around(&self) -> Around {
        let phase = if self.updates.is_installing() { Phase::Updating } else { Phase::Running };
        Around { phase, is_sought: self.locator.is_sought(Instant::now()), has_rival: self.board.has_rival() }
    }

    /// As `submit_as`, for the command line.
    pub async fn submit(&self, command: Command) -> Result<Result<(), String>, Stopped> {
        Ok(self.submit_as(COMMAND_LINE, command).await?.map(|Saved { .. }| ()))
    }

    /// Returns once the change is on disk. The inner error says why it was refused, as a sentence. `by`: as history names
    /// who made it.
    pub async fn submit_as(&self, by: &str, command: Command) -> Result<Result<Saved, String>, Stopped> {
        let (done, result) = oneshot::channel();
        let message = Message::Submit { by: by.into(), command: Box::new(command), done };
        self.inbox.send(message).await.map_err(|_| Stopped)?;
        result.await.map_err(|_| Stopped)
    }

    /// Runs between two packets: copy what is needed and be quick.
    pub async fn read<T: Send + 'static>(&self, look: impl FnOnce(&Node, &Clock) -> T + Send + 'static) -> Result<T, Stopped> {
        let (done, result) = oneshot::channel();
        let look: Look = Box::new(move |node, clock| drop(done.send(look(node, clock))));
        self.inbox.send(Message::Read(look)).await.map_err(|_| Stopped)?;
        result.await.map_err(|_| Stopped)
    }

    /// Asks by ARP who uses this address. `None`: nobody answered. The inner error says why it cannot be asked.
    pub async fn who_has(&self, address: Ipv4Addr) -> Result<Result<Option<Answer>, String>, Stopped> {
        for _ in 0..ARP_TRIES {
            let (answered, answer) = oneshot::channel();
            self.inbox.send(Message::WhoHas { address, answered }).await.map_err(|_| Stopped)?;
            match tokio::time::timeout(ARP_PATIENCE, answer).await {
                Ok(Ok(answer)) => return Ok(answer.map(Some)),
                Ok(Err(_)) => return Err(Stopped),
                // Silence.
                Err(_) => {}
            }
        }
        Ok(Ok(None))
    }
}

#[cfg(test)]
pub mod scratch;
