//! A server that answers at once and remembers nothing: what the generator reaches against it is the generator's own limit.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::clients::Clients;
use crate::packet::{self, Envelope, Mac, PAYLOAD_BYTES};
use crate::wire::{Wire, now_ns};

const IDLE_WAIT: Duration = Duration::from_millis(50);

/// Answers the queries of one relay for `duration`; returns how many there were.
pub fn mirror(wire: &mut Wire, clients: &Clients, own: Ipv4Addr, duration: Duration) -> io::Result<u64> {
    let until_ns = now_ns() + duration.as_nanos() as u64;
    let envelope = Envelope::broadcast(wire.own_mac());
    // One address per client, all in the server's /12; clients of another program are told apart by the end of their MAC.
    let host = |mac: Mac| clients.index(mac).map_or(u32::from_be_bytes([0, mac[3], mac[4], mac[5]]), |index| index + 256);
    let lease = |mac| Ipv4Addr::from(u32::from(own) & 0xfff0_0000 | host(mac) & 0x000f_ffff);
    let mut answers: Vec<[u8; PAYLOAD_BYTES]> = Vec::new();
    let mut answered = 0;
    while now_ns() < until_ns {
        wire.receive_bytes(|query, _| {
            let mut answer = [0; PAYLOAD_BYTES];
            if packet::write_mirrored(&mut answer, query, own, lease).is_some() {
                answers.push(answer);
            }
        })?;
        answered += answers.len() as u64;
        for answer in answers.drain(..) {
            wire.stage_payload(&answer, &envelope)?;
        }
        wire.flush()?;
        wire.wait(IDLE_WAIT)?;
    }
    Ok(answered)
}
