//! The socket on which lines leave, and what is known of their arrival.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use socket2::SockRef;

use crate::{
    runtime::syslog,
    settings::alerts::{Syslog, SyslogProtocol},
};

/// A name may lead elsewhere by then, and of datagrams nobody says that they do not arrive.
const NAME_HOLDS: Duration = Duration::from_secs(300);
/// A receiver that has confirmed nothing for so long is gone: its cable is cut, or it was switched off.
const SILENCE_MAX_MS: u32 = 30_000;

pub(super) struct Way {
    pub(super) opened: Instant,
    end: End,
}

enum End {
    /// Not connected: the receiver's "nobody listens here" would be told with the next line, and that one would not leave.
    Udp {
        socket: UdpSocket,
        to: SocketAddr,
    },
    Tcp(Tcp),
}

struct Tcp {
    stream: TcpStream,
    /// Bytes that the kernel was given.
    given: u64,
    /// What the receiver's kernel may not have: the number that a line was sent for, and its end in the stream. Bounded by the
    /// kernel's buffer and `SILENCE_MAX_MS`.
    unconfirmed: VecDeque<(usize, u64)>,
}

impl Way {
    pub(super) fn open(to: &Syslog, now: Instant) -> Result<Way, String> {
        let addresses = syslog::addresses(to)?;
        let end = match to.protocol {
            SyslogProtocol::Udp => udp(&addresses),
            SyslogProtocol::Tcp => tcp(&addresses),
        };
        Ok(Way { opened: now, end: end.map_err(|error| syslog::unreached(to, &error))? })
    }

    pub(super) fn is_stale(&self, now: Instant) -> bool {
        matches!(self.end, End::Udp { .. }) && now - self.opened >= NAME_HOLDS
    }

    /// Whether somebody is still there, as far as that is known without sending anything.
    pub(super) fn check(&mut self) -> io::Result<()> {
        match &mut self.end {
            End::Udp { .. } => Ok(()),
            End::Tcp(tcp) => tcp.check(),
        }
    }

    /// `number`: where to begin again if it does not arrive.
    pub(super) fn send(&mut self, number: usize, line: &str) -> io::Result<()> {
        match &mut self.end {
            End::Udp { socket, to } => socket.send_to(line.as_bytes(), *to).map(drop),
            End::Tcp(tcp) => tcp.send(number, &syslog::counted(line)),
        }
    }

    /// What has not arrived by now will not do so by this way any more: the number to begin again with.
    pub(super) fn take_back(self) -> Option<usize> {
        match self.end {
            End::Udp { .. } => None,
            End::Tcp(tcp) => tcp.take_back(),
        }
    }
}

fn udp(addresses: &[SocketAddr]) -> io::Result<End> {
    let to = *addresses.first().ok_or(io::ErrorKind::NotFound)?;
    Ok(End::Udp { socket: syslog::socket(to)?, to })
}

fn tcp(addresses: &[SocketAddr]) -> io::Result<End> {
    let stream = syslog::connect(addresses)?;
    setsockopt(&stream, TcpUserTimeout, &SILENCE_MAX_MS)?;
    Ok(End::Tcp(Tcp { stream, given: 0, unconfirmed: VecDeque::new() }))
}

impl Tcp {
    /// The first write after a receiver has gone succeeds, and is lost: so it is read first whether it has.
    fn check(&mut self) -> io::Result<()> {
        self.confirm();
        self.stream.set_nonblocking(true)?;
        // Nobody has anything to say on it.
        let heard = self.stream.read(&mut [0; 4096]);
        self.stream.set_nonblocking(false)?;
        match heard {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection")),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, number: usize, message: &str) -> io::Result<()> {
        let mut rest = message.as_bytes();
        self.unconfirmed.push_back((number, self.given + rest.len() as u64));
        // As `write_all`, which does not tell how far it has come.
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.given += count as u64;
                    rest = &rest[count..];
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "it takes nothing any more"));
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn take_back(mut self) -> Option<usize> {
        self.confirm();
        let (first, _) = *self.unconfirmed.front()?;
        // The kernel would go on trying, and what is sent once more would arrive twice.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        Some(first)
    }

    /// What the receiver's kernel has is not sent again. What it has and its program never reads is lost: syslog has no word for that.
    fn confirm(&mut self) {
        let mut waiting: libc::c_int = 0;
        // SAFETY: the request takes a pointer to an int, which lives until the call returns.
        if unsafe { libc::ioctl(self.stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) } != 0 {
            return;
        }
        let arrived = self.given.saturating_sub(u64::try_from(waiting).unwrap_or_default());
        while self.unconfirmed.front().is_some_and(|(_, end)| *end <= arrived) {
            self.unconfirmed.pop_front();
        }
    }
}
