//! Who stands at the partner's address instead of a twin: one that speaks plain TCP, one with TLS and a key of its own, or
//! one that has the twin's own key and no manners.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::{ClientConnection, ServerConnection, Stream};
use twinlease::runtime::partner::tls::{self, Expect};
use twinlease::runtime::partner::{Identity, identity};

use crate::pair::Side;
use crate::twins::LINK_PORT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Plain,
    /// TLS, with a key that nobody was paired with.
    Stranger,
    /// TLS, with the key that lies in the twin's data folder.
    Thief,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Bytes of no protocol.
    Garbage,
    /// A web server that fails.
    Error500,
    /// Takes connections and never says anything, nor closes.
    NeverCloses,
    /// Takes connections and closes them at once.
    Closes,
    /// Says to the twin whatever it has heard from it.
    Echoes,
}

#[derive(Clone, Copy, Debug)]
pub struct Impostor {
    pub voice: Voice,
    pub manner: Manner,
}

/// The question by which two nodes learn whether they can talk at all; it tells nothing, and inside TLS each impostor
/// answers it like a twin. What it is told next shows for whom it was taken.
const GREETING: &[u8] = b"GET /twin/hello ";
const GREETING_BACK: &str = r#"{"protocol":[1,1],"software":"0.1.0","session":5,"paired":true}"#;

impl Impostor {
    pub const ALL: [Impostor; 10] = {
        const fn of(voice: Voice, manner: Manner) -> Impostor {
            Impostor { voice, manner }
        }
        [
            of(Voice::Plain, Manner::Garbage),
            of(Voice::Plain, Manner::Error500),
            of(Voice::Plain, Manner::NeverCloses),
            of(Voice::Plain, Manner::Closes),
            of(Voice::Plain, Manner::Echoes),
            of(Voice::Stranger, Manner::Garbage),
            of(Voice::Stranger, Manner::Echoes),
            of(Voice::Thief, Manner::Garbage),
            of(Voice::Thief, Manner::Error500),
            of(Voice::Thief, Manner::NeverCloses),
        ]
    };

    pub fn words(self) -> String {
        let voice = match self.voice {
            Voice::Plain => "",
            Voice::Stranger => "has TLS and a strange key, and ",
            Voice::Thief => "has the twin's key, and ",
        };
        let manner = match self.manner {
            Manner::Garbage => "says garbage",
            Manner::Error500 => "answers 500",
            Manner::NeverCloses => "never closes",
            Manner::Closes => "hangs up",
            Manner::Echoes => "echoes",
        };
        format!("{voice}{manner}")
    }

    /// Runs on the host of the one that is gone, until it is over; how many bytes the twin entrusted to it.
    pub fn stand_in(self, gone: Side, folder: &Path, over: &AtomicBool) -> usize {
        let identity = match self.voice {
            Voice::Plain => None,
            Voice::Stranger => Some(Identity::generate(None)),
            Voice::Thief => Some(identity::load(folder, None).expect("the twin had one").identity),
        };
        let listener = TcpListener::bind((gone.address(), LINK_PORT)).expect("the twin that was there is gone");
        listener.set_nonblocking(true).expect("a socket option");
        let twin = SocketAddr::from((gone.other().address(), LINK_PORT));
        let (mut kept, mut heard, mut entrusted) = (Vec::new(), Vec::new(), 0);
        while !over.load(Ordering::Relaxed) {
            if let Ok((stream, _)) = listener.accept() {
                let read = self.converse(&stream, identity.as_ref().map(|identity| (identity, Role::Answers)), &heard);
                entrusted += if identity.is_some() { read.len() } else { 0 };
                heard = if read.is_empty() { heard } else { read };
                kept.push(stream);
            }
            // It speaks to the twin, too: it has found its address.
            if let Ok(stream) = TcpStream::connect_timeout(&twin, Duration::from_millis(200)) {
                self.converse(&stream, identity.as_ref().map(|identity| (identity, Role::Calls)), &heard);
                kept.push(stream);
            }
            // As many as there may be at once, and no more.
            let most = if self.manner == Manner::Closes { 0 } else { 200 };
            kept.drain(..kept.len().saturating_sub(most));
            std::thread::sleep(Duration::from_millis(10));
        }
        entrusted
    }

    /// What it hears on this connection, through TLS where it speaks that.
    fn converse(self, tcp: &TcpStream, tls: Option<(&Identity, Role)>, heard: &[u8]) -> Vec<u8> {
        let mut tcp = tcp;
        // Whoever it is talks to us within this time.
        let patience = Some(Duration::from_millis(200));
        let prepared = tcp.set_nonblocking(false).and_then(|()| tcp.set_read_timeout(patience));
        prepared.and_then(|()| tcp.set_write_timeout(patience)).expect("socket options");
        match tls {
            None => self.talk(&mut tcp, heard),
            Some((identity, Role::Answers)) => {
                let config = tls::server_config(identity, Expect::Anyone);
                let mut session = ServerConnection::new(config).expect("a sound configuration");
                self.talk(&mut Stream::new(&mut session, &mut tcp), heard)
            }
            Some((identity, Role::Calls)) => {
                let config = tls::client_config(identity, Expect::Anyone);
                let mut session = ClientConnection::new(config, tls::server_name()).expect("a sound configuration");
                self.talk(&mut Stream::new(&mut session, &mut tcp), heard)
            }
        }
    }

    fn talk(self, stream: &mut (impl Read + Write), heard: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 4096];
        let mut read = stream.read(&mut buffer).unwrap_or(0);
        if buffer[..read].starts_with(GREETING) {
            let length = GREETING_BACK.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{GREETING_BACK}");
            let answered = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
            read = answered.and_then(|()| stream.read(&mut buffer)).unwrap_or(0);
        }
        // A twin that has hung up already is what is hoped for.
        let _ = match self.manner {
            Manner::Garbage => stream.write_all(&[0xA5; 4096]),
            Manner::Error500 => stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
            Manner::NeverCloses | Manner::Closes => Ok(()),
            Manner::Echoes => stream.write_all(if heard.is_empty() { &buffer[..read] } else { heard }),
        };
        let _ = stream.flush();
        buffer[..read].to_vec()
    }
}

#[derive(Clone, Copy)]
enum Role {
    Answers,
    Calls,
}
