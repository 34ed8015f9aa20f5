//! The way into a running server: submit a command, read a snapshot. All that the web and the command line may hold.

use tokio::sync::{mpsc, oneshot};

use super::{
    clock::Clock,
    live::{self, Beat, Pulse},
};
use crate::protocol::{Command, Node};

/// Messages that wait for the loop; further senders wait.
pub const INBOX: usize = 64;

pub(super) type Look = Box<dyn FnOnce(&Node, &Clock) + Send>;

pub(super) enum Message {
    Submit { command: Box<Command>, done: oneshot::Sender<Result<(), String>> },
    Read(Look),
}

#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    pulse: Pulse,
}

/// The loop has ended.
#[derive(Debug, thiserror::Error)]
#[error("The server is stopping. Ask again when it has started.")]
pub struct Stopped;

impl Handle {
    pub(super) fn new() -> (Handle, mpsc::Receiver<Message>, Beat) {
        let (inbox, messages) = mpsc::channel(INBOX);
        let (beat, pulse) = live::pulse();
        (Handle { inbox, pulse }, messages, beat)
    }

    /// By which whoever shows something learns that it may have changed.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Returns once the change is on disk. The inner error says why it was refused, as a sentence.
    pub async fn submit(&self, command: Command) -> Result<Result<(), String>, Stopped> {
        let (done, result) = oneshot::channel();
        let message = Message::Submit { command: Box::new(command), done };
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
}
