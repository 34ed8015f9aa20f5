//! One patient client: a whole DORA every so often, to see what others feel during a flood, or when a starting server answers first.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;

use crate::clients::Clients;
use crate::histogram::Histogram;
use crate::packet::{Envelope, Message, Query, Reply, ReplyKind};
use crate::report::Percentiles;
use crate::wire::{Incoming, Wire, now_ns};

#[derive(Clone, Copy)]
pub struct Probing {
    pub interval: Duration,
    pub duration: Duration,
    pub timeout: Duration,
    /// A new MAC for every round; otherwise one client comes back again and again.
    pub fresh: bool,
    pub broadcast: bool,
}

#[derive(Serialize)]
pub struct Probed {
    pub rounds: u64,
    pub answered: u64,
    pub lost: u64,
    pub naks: u64,
    pub offer: Option<Percentiles>,
    pub ack: Option<Percentiles>,
    /// From DISCOVER to ACK as the client sees it.
    pub whole: Option<Percentiles>,
}

pub fn probe(wire: &mut Wire, clients: &mut Clients, probing: Probing) -> io::Result<Probed> {
    let (mut offer, mut ack, mut whole) = (Histogram::new(), Histogram::new(), Histogram::new());
    let (mut rounds, mut answered, mut naks) = (0, 0, 0);
    let start_ns = now_ns();
    let mut next_ns = start_ns;
    let mut index = clients.next_index();
    while next_ns < start_ns + probing.duration.as_nanos() as u64 {
        sleep_until(next_ns);
        clients.reserve(index);
        rounds += 1;
        match one_dora(wire, clients, index, probing)? {
            Outcome::Acked { offer_ns, ack_ns, whole_ns } => {
                answered += 1;
                offer.record(offer_ns);
                ack.record(ack_ns);
                whole.record(whole_ns);
            }
            Outcome::Refused => naks += 1,
            Outcome::Silence => {}
        }
        index += u32::from(probing.fresh);
        next_ns = now_ns().max(next_ns + probing.interval.as_nanos() as u64);
    }
    Ok(Probed {
        rounds,
        answered,
        lost: rounds - answered - naks,
        naks,
        offer: Percentiles::of(&offer),
        ack: Percentiles::of(&ack),
        whole: Percentiles::of(&whole),
    })
}

/// Sends DISCOVERs at a short interval until the first OFFER; returns how long that took, or `None` at the timeout.
pub fn first_offer(wire: &mut Wire, clients: &mut Clients, every: Duration, timeout: Duration) -> io::Result<Option<u64>> {
    let start_ns = now_ns();
    while now_ns() < start_ns + timeout.as_nanos() as u64 {
        let index = clients.next_index();
        clients.reserve(index);
        let sent_ns = send(wire, clients, index, Message::Discover, false)?;
        if let Some((_, at_ns)) = await_reply(wire, clients, index, sent_ns, every, &[ReplyKind::Offer])? {
            return Ok(Some(at_ns - start_ns));
        }
        sleep_until(sent_ns + every.as_nanos() as u64);
    }
    Ok(None)
}

enum Outcome {
    Acked { offer_ns: u64, ack_ns: u64, whole_ns: u64 },
    Refused,
    Silence,
}

fn one_dora(wire: &mut Wire, clients: &mut Clients, index: u32, probing: Probing) -> io::Result<Outcome> {
    let discover_ns = send(wire, clients, index, Message::Discover, probing.broadcast)?;
    let offer = await_reply(wire, clients, index, discover_ns, probing.timeout, &[ReplyKind::Offer])?;
    let Some((offer, offer_at_ns)) = offer else { return Ok(Outcome::Silence) };
    let server_id = offer.server_id.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let select = Message::Select { address: offer.address, server_id };
    let select_ns = send(wire, clients, index, select, probing.broadcast)?;
    let wanted = [ReplyKind::Ack, ReplyKind::Nak];
    match await_reply(wire, clients, index, select_ns, probing.timeout, &wanted)? {
        None => Ok(Outcome::Silence),
        Some((reply, _)) if reply.kind == ReplyKind::Nak => Ok(Outcome::Refused),
        Some((reply, at_ns)) => {
            clients.acked(index, reply.address, (at_ns / 1_000_000_000) as u32, reply.lease_secs);
            Ok(Outcome::Acked {
                offer_ns: offer_at_ns.saturating_sub(discover_ns),
                ack_ns: at_ns.saturating_sub(select_ns),
                whole_ns: at_ns.saturating_sub(discover_ns),
            })
        }
    }
}

fn send(wire: &mut Wire, clients: &Clients, index: u32, message: Message, broadcast: bool) -> io::Result<u64> {
    let mac = clients.mac(index);
    let xid = now_ns() as u32 & !1 | u32::from(message != Message::Discover);
    let query = Query { message, mac, xid, giaddr: wire.giaddr(), broadcast };
    let sent_ns = wire.stage(&query, &Envelope::broadcast(mac))?;
    wire.flush()?;
    Ok(sent_ns)
}

/// The first reply of a wanted kind to this client that arrived after its question.
fn await_reply(
    wire: &mut Wire,
    clients: &Clients,
    index: u32,
    sent_ns: u64,
    timeout: Duration,
    wanted: &[ReplyKind],
) -> io::Result<Option<(Reply, u64)>> {
    let mac = clients.mac(index);
    let until_ns = sent_ns + timeout.as_nanos() as u64;
    loop {
        let mut found = None;
        wire.receive(|incoming, at_ns| {
            if let Incoming::Reply { reply, .. } = incoming
                && reply.mac == mac
                && wanted.contains(&reply.kind)
            {
                found.get_or_insert((reply, at_ns));
            }
        })?;
        let now = now_ns();
        if found.is_some() || now >= until_ns {
            return Ok(found);
        }
        wire.wait(Duration::from_nanos(until_ns - now))?;
    }
}

fn sleep_until(at_ns: u64) {
    std::thread::sleep(Duration::from_nanos(at_ns.saturating_sub(now_ns())));
}
