//! Sockets that tokio watches: waiting for any of several, and reading one batch from one.

use std::{io, os::fd::AsFd, task::Poll};

use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use crate::runtime::batch::{BATCH, ReceiveBatch};

/// Lets tokio watch a socket for reading. Needs the tokio runtime.
pub fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor, names the same one as long as it lives and closes it only when dropped.
    unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }.map_err(io::Error::from)
}

/// Waits until one of the sockets has something to read; for ever where there are none. Cancel safe.
pub async fn any_readable<'a, I>(sockets: impl Fn() -> I)
where
    I: Iterator<Item = &'a AsyncFd<Socket>>,
{
    std::future::poll_fn(|context| {
        let mut any = false;
        for socket in sockets() {
            // All are polled, so that each wakes us. An error means that the runtime is shutting down.
            any |= matches!(socket.poll_read_ready(context), Poll::Ready(Ok(_)));
        }
        if any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Reads one batch from a socket that tokio watches; 0 where nothing is there. Errors are counted.
pub fn receive_batch(socket: &AsyncFd<Socket>, batch: &mut ReceiveBatch, errors: &mut u64) -> usize {
    let mut count = 0;
    // `WouldBlock` from the closure clears the readiness, which a batch that is not full allows too: the queue was
    // empty at that moment, and what comes later wakes us again. The value has been put aside.
    let _ = socket.try_io(Interest::READABLE, |socket| {
        // An error that waits in the socket (the interface went down) is cleared by reading it: look behind it.
        for _ in 0..2 {
            match batch.receive(socket.as_fd()) {
                Ok(received) => {
                    count = received;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => *errors += 1,
            }
        }
        if count == BATCH { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    count
}
