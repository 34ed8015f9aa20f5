//! Replies on their way out: composed into batches, and kept within bounds while the kernel takes no more.

use std::{collections::VecDeque, io, os::fd::AsFd};

use socket2::Socket;

use crate::{
    protocol::{Destination, Reply},
    runtime::batch::{self, BATCH, Outgoing, To},
};

/// Replies that wait per path while the kernel takes no more; further ones are dropped and counted.
const WAITING_MAX: usize = 1024;

/// What has passed since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub received: u64,
    /// Longer than any DHCP message and therefore dropped.
    pub oversize: u64,
    pub receive_errors: u64,
    pub sent: u64,
    /// Times that the kernel took no more and replies had to wait.
    pub deferred: u64,
    /// Replies that did not leave; each has its `SendTrouble`.
    pub send_failures: u64,
}

/// A reply that did not leave.
#[derive(Debug)]
pub struct SendTrouble {
    pub interface: u32,
    pub to: Destination,
    pub why: Trouble,
}

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("the interface is not served any more")]
    NotServed,
    #[error("the interface is overloaded: {WAITING_MAX} replies wait already")]
    Overloaded,
    #[error("the reply does not fit one datagram")]
    TooLong,
    #[error("the network refused it: {0}")]
    Refused(#[from] io::Error),
}

/// Turns waiting replies into batches; its buffer is used again.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    identification: u16,
    pub counters: Counters,
}

impl Outbox {
    /// Sends from the front of `waiting` until it is empty or the kernel takes no more. `compose` appends the bytes
    /// of one reply and says where they go; `None`: it does not fit a datagram.
    pub fn flush(
        &mut self,
        socket: &Socket,
        waiting: &mut VecDeque<Reply>,
        troubles: &mut Vec<SendTrouble>,
        compose: impl Fn(&Reply, u16, &mut Vec<u8>) -> Option<To>,
    ) {
        while !waiting.is_empty() {
            self.bytes.clear();
            let mut composed: Vec<(usize, To)> = Vec::with_capacity(BATCH);
            for reply in waiting.iter().take(BATCH) {
                self.identification = self.identification.wrapping_add(1);
                let Some(to) = compose(reply, self.identification, &mut self.bytes) else { break };
                composed.push((self.bytes.len(), to));
            }
            let mut start = 0;
            let cut = |&(end, to): &(usize, To)| {
                let bytes = &self.bytes[start..end];
                start = end;
                Outgoing { bytes, to }
            };
            let messages: Vec<Outgoing<'_>> = composed.iter().map(cut).collect();
            if messages.is_empty() {
                troubles.extend(waiting.pop_front().map(|reply| trouble(&reply, Trouble::TooLong)));
                continue;
            }
            match batch::send(socket.as_fd(), &messages) {
                Ok(sent) => {
                    waiting.drain(..sent);
                    self.counters.sent += sent as u64;
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                        self.counters.deferred += 1;
                        let beyond = waiting.drain(waiting.len().min(WAITING_MAX)..);
                        troubles.extend(beyond.map(|reply| trouble(&reply, Trouble::Overloaded)));
                        return;
                    }
                    Some(libc::EINTR) => {}
                    _ => troubles.extend(waiting.pop_front().map(|reply| trouble(&reply, Trouble::Refused(error)))),
                },
            }
        }
    }
}

pub fn trouble(reply: &Reply, why: Trouble) -> SendTrouble {
    SendTrouble { interface: reply.interface, to: reply.to, why }
}
