//! A server that remembers nothing and answers at once, or after a fixed time: what is measured against it is the generator itself.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::clients::Clients;
use crate::packet::{self, Envelope, Mac, PAYLOAD_BYTES};
use crate::wire::{Wire, now_ns};

const IDLE_WAIT_NS: u64 = 50_000_000;

/// Answers the queries of one relay for `duration`, each `delay` after it arrived; returns how many there were.
pub fn mirror(wire: &mut Wire, clients: &Clients, own: Ipv4Addr, delay: Duration, duration: Duration) -> io::Result<u64> {
    let until_ns = now_ns() + duration.as_nanos() as u64;
    let delay_ns = delay.as_nanos() as u64;
    let envelope = Envelope::broadcast(wire.own_mac());
    // One address per client, all in the server's /12; clients of another program are told apart by the end of their MAC.
    let host = |mac: Mac| clients.index(mac).map_or(u32::from_be_bytes([0, mac[3], mac[4], mac[5]]), |index| index + 256);
    let lease = |mac| Ipv4Addr::from(u32::from(own) & 0xfff0_0000 | host(mac) & 0x000f_ffff);
    let mut answers: VecDeque<(u64, [u8; PAYLOAD_BYTES])> = VecDeque::new();
    let mut answered = 0;
    loop {
        wire.receive_bytes(|query, arrived_ns| {
            let mut answer = [0; PAYLOAD_BYTES];
            if packet::write_mirrored(&mut answer, query, own, lease).is_some() {
                answers.push_back((arrived_ns + delay_ns, answer));
            }
        })?;
        while let Some((_, answer)) = answers.pop_front_if(|(due_ns, _)| *due_ns <= now_ns()) {
            wire.stage_payload(&answer, &envelope)?;
            answered += 1;
        }
        wire.flush()?;
        let now = now_ns();
        if now >= until_ns {
            return Ok(answered);
        }
        let next_ns = answers.front().map_or(now + IDLE_WAIT_NS, |(due_ns, _)| *due_ns);
        wire.wait(Duration::from_nanos(next_ns.saturating_sub(now)))?;
    }
}
