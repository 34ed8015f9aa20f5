//! Hostile traffic to port 67: random bytes, broken DHCP, broken frames. For what a server must survive, not for what it must answer.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::packet::{self, Envelope, HEADER_BYTES, Message, OPTIONS_AT, PAYLOAD_BYTES, Query};
use crate::wire::{Link, Wire, now_ns};

const LARGEST_PAYLOAD_BYTES: usize = 1_472;
const TICK: Duration = Duration::from_micros(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Random bytes of random length.
    Random,
    /// A good BOOTP header with random options.
    Options,
    /// A good DISCOVER or REQUEST with a few bytes changed.
    Mutated,
    /// A good DISCOVER cut short, or with bytes behind its end.
    Truncated,
    /// Single lies: hlen, op, magic cookie, option lengths, overload onto itself, endless relay options.
    Lies,
    /// A good DISCOVER, again and again from one client.
    Discover,
    /// Frames with wrong IP or UDP lengths and checksums (only on the link itself).
    Frames,
}

#[derive(Serialize)]
pub struct Sent {
    pub seed: u64,
    pub kinds: Vec<Kind>,
    pub seconds: f64,
    pub sent: u64,
    pub sent_per_s: f64,
    pub replies: u64,
    pub others: u64,
}

/// Sends `rate` packets a second, all drawn from `seed`: the same seed gives the same packets.
pub fn flood(wire: &mut Wire, kinds: &[Kind], rate: f64, duration: Duration, seed: u64) -> io::Result<Sent> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let kinds: Vec<Kind> = kinds.iter().copied().filter(|kind| *kind != Kind::Frames || wire.link() == Link::Direct).collect();
    let (mut sent, mut replies, mut others) = (0_u64, 0, 0);
    let mut payload = Vec::with_capacity(LARGEST_PAYLOAD_BYTES);
    let start_ns = now_ns();
    loop {
        let elapsed_ns = (now_ns() - start_ns).min(duration.as_nanos() as u64);
        let due = (elapsed_ns as f64 * rate / 1e9) as u64;
        while sent < due && !kinds.is_empty() {
            let kind = kinds[random.below(kinds.len())];
            write_garbage(&mut payload, kind, wire, &mut random);
            let envelope = Envelope::broadcast(wire.own_mac());
            if kind == Kind::Frames {
                wire.stage_frame(&broken_frame(&payload, &envelope, &mut random))?;
            } else {
                wire.stage_payload(&payload, &envelope)?;
            }
            sent += 1;
        }
        wire.flush()?;
        wire.receive(|incoming, _| match incoming {
            crate::wire::Incoming::Reply { .. } => replies += 1,
            crate::wire::Incoming::ArpRequest(_) | crate::wire::Incoming::Other => others += 1,
        })?;
        if elapsed_ns >= duration.as_nanos() as u64 {
            break;
        }
        std::thread::sleep(TICK);
    }
    let seconds = duration.as_secs_f64();
    Ok(Sent { seed, kinds, seconds, sent, sent_per_s: sent as f64 / seconds, replies, others })
}

fn write_garbage(payload: &mut Vec<u8>, kind: Kind, wire: &Wire, random: &mut Random) {
    payload.clear();
    match kind {
        Kind::Random => {
            let bytes = random.below(LARGEST_PAYLOAD_BYTES + 1);
            payload.extend((0..bytes).map(|_| random.byte()));
        }
        Kind::Options => {
            good_query(payload, wire, random);
            payload.truncate(OPTIONS_AT);
            let bytes = random.below(LARGEST_PAYLOAD_BYTES - OPTIONS_AT);
            payload.extend((0..bytes).map(|_| random.byte()));
        }
        Kind::Mutated => {
            good_query(payload, wire, random);
            for _ in 0..=random.below(8) {
                let at = random.below(payload.len());
                payload[at] = random.byte();
            }
        }
        Kind::Truncated => {
            good_query(payload, wire, random);
            let bytes = random.below(LARGEST_PAYLOAD_BYTES);
            payload.resize(bytes, random.byte());
        }
        Kind::Lies | Kind::Frames => {
            good_query(payload, wire, random);
            lie(payload, random);
        }
        Kind::Discover => {
            let query = Query {
                message: Message::Discover,
                mac: wire.own_mac(),
                xid: random.next() as u32,
                giaddr: wire.giaddr(),
                broadcast: false,
            };
            extend_with(payload, &query);
        }
    }
}

/// A well-formed message of the flooding client or of an invented one.
fn good_query(payload: &mut Vec<u8>, wire: &Wire, random: &mut Random) {
    let address = Ipv4Addr::from(random.next() as u32);
    let message = match random.below(3) {
        0 => Message::Discover,
        1 => Message::Select { address, server_id: Ipv4Addr::from(random.next() as u32) },
        _ => Message::Renew { address },
    };
    let query =
        Query { message, mac: wire.own_mac(), xid: random.next() as u32, giaddr: wire.giaddr(), broadcast: random.below(2) == 0 };
    extend_with(payload, &query);
}

fn extend_with(payload: &mut Vec<u8>, query: &Query) {
    let mut buffer = [0; PAYLOAD_BYTES];
    packet::write_payload(&mut buffer, query);
    payload.extend_from_slice(&buffer);
}

fn lie(payload: &mut Vec<u8>, random: &mut Random) {
    match random.below(10) {
        0 => payload[2] = random.byte(),                      // hlen
        1 => payload[0] = random.byte(),                      // op
        2 => payload[236..240].fill(0),                       // no cookie
        3 => payload[241] = 255,                              // option 53 longer than the packet
        4 => payload[242] = random.byte(),                    // unknown message type
        5 => payload[OPTIONS_AT..].fill(0),                   // nothing but padding, no end
        6 => replace_options(payload, &[53, 1, 1, 52, 1, 3]), // overload, and both fields overload again
        7 => replace_options(payload, &[53, 0, 50, 1, 9, 54, 0, 61, 0, 55, 0, 57, 1, 0, 255]),
        8 => {
            let circuit = [82, 255].into_iter().chain((0..255).map(|_| random.byte())).collect::<Vec<u8>>();
            replace_options(payload, &[&[53, 1, 1][..], &circuit, &circuit, &circuit].concat());
        }
        _ => {
            payload[3] = 255; // hops
            for byte in &mut payload[24..28] {
                *byte = random.byte(); // a relay that does not exist
            }
        }
    }
}

fn replace_options(payload: &mut Vec<u8>, options: &[u8]) {
    payload[44..236].fill(52); // sname and file: full of overload codes
    payload.truncate(OPTIONS_AT);
    payload.extend_from_slice(options);
}

fn broken_frame(payload: &[u8], envelope: &Envelope, random: &mut Random) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(payload);
    packet::write_headers(&mut frame, envelope);
    match random.below(6) {
        0 => frame[14] = 0x40 | (random.byte() & 0x0f), // IP header length
        1 => frame[16] = random.byte(),                 // IP total length
        2 => frame[38] = random.byte(),                 // UDP length
        3 => frame[40] ^= 0x55,                         // UDP checksum
        4 => frame[20] = random.byte(),                 // fragments
        _ => frame.truncate(14 + random.below(frame.len() - 14)),
    }
    frame
}

/// xorshift64*: fast, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }
}
