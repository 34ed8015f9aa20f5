//! The clients: what they send to whom, and what each may believe that it holds.

use std::net::Ipv4Addr;

use super::{
    super::device::{ACK, DECLINE, DISCOVER, Device, Heard, Lease, NAK, OFFER, Packet, RELEASE, REQUEST},
    config,
    machine::{Incoming, own_address},
    step::{Does, Reach, name},
    tell,
    world::{Due, World, reaches},
};
use crate::protocol::{dhcp::code, time::Time};

/// RFC 2131 `secs` of a client that has been trying for a while: then the standby answers too.
const TRYING_SECS: u8 = 10;

/// A promise that has left a node. The client may count on it, even if it never heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub address: Ipv4Addr,
    pub end: Time,
    pub by: usize,
    /// The node that promised it has lost its disk since.
    pub is_forgotten: bool,
}

#[derive(Debug)]
pub struct Client {
    pub device: Device,
    pub claims: Vec<Claim>,
    /// Who gave the lease.
    server: Option<Ipv4Addr>,
    takes_offers: bool,
    is_deaf: bool,
    reach: Reach,
    last: Option<Packet>,
    /// ACKs heard in all.
    pub acks: u32,
}

impl Client {
    pub fn new(who: usize) -> Client {
        let id = (who == 3).then(|| vec![0, 7, 7]);
        Client {
            device: Device { mac: config::mac(who), id, ..Device::default() },
            claims: Vec::new(),
            server: None,
            takes_offers: false,
            is_deaf: false,
            reach: Reach::Both,
            last: None,
            acks: 0,
        }
    }

    pub fn claims_any(&self, address: Ipv4Addr, now: Time) -> bool {
        self.claims.iter().any(|claim| claim.address == address && now < claim.end)
    }

    /// A lease of it may be on its way to this one.
    pub fn asks_for(&self, address: Ipv4Addr) -> bool {
        let Device { lease, remembered, offered, xid, .. } = &self.device;
        let known = [lease.map(|lease| lease.address), *remembered, offered.map(|(address, _)| address)];
        xid.is_some() && known.contains(&Some(address))
    }

    /// It uses no address any more.
    fn lets_go(&mut self) {
        self.claims.clear();
        (self.device.lease, self.device.offered) = (None, None);
    }
}

impl World {
    pub fn client(&mut self, who: usize, does: Does, reach: Reach, is_deaf: bool) {
        let now = self.now;
        self.xid += 1;
        let xid = self.xid;
        let client = &mut self.clients[who];
        (client.is_deaf, client.reach) = (is_deaf, reach);
        let lease = client.device.holds(now);
        let asked = |address: Option<u8>| address.map(|last| Ipv4Addr::new(192, 0, 2, last).octets());
        let (packet, kind) = match does {
            Does::Acquire(address) | Does::Discover(address) => {
                client.lets_go();
                client.takes_offers = matches!(does, Does::Acquire(_));
                let asked = asked(address);
                let options: Vec<(u8, &[u8])> = asked.iter().map(|address| (code::REQUESTED_ADDRESS, &address[..])).collect();
                (client.device.packet(DISCOVER, xid, None, &options), DISCOVER)
            }
            Does::Take => {
                let Some((address, server)) = client.device.offered else { return };
                let options: &[(u8, &[u8])] =
                    &[(code::REQUESTED_ADDRESS, &address.octets()), (code::SERVER_ID, &server.octets())];
                (client.device.packet(REQUEST, xid, None, options), REQUEST)
            }
            Does::Again => {
                let Some(packet) = client.last.clone().filter(|_| client.device.xid.is_some()) else { return };
                self.broadcast(who, packet, "asks again", true);
                return;
            }
            Does::Renew | Does::Rebind => {
                let Some(Lease { address, .. }) = lease else { return };
                let packet = client.device.packet(REQUEST, xid, Some(address), &[]);
                (Packet { is_unicast: does == Does::Renew, ..packet }, REQUEST)
            }
            Does::Reboot => {
                let Some(address) = client.device.remembered else { return };
                (client.device.packet(REQUEST, xid, None, &[(code::REQUESTED_ADDRESS, &address.octets())]), REQUEST)
            }
            Does::Release | Does::Decline => return self.give_back(who, does, xid),
        };
        client.device.xid = Some(xid);
        client.last = Some(packet.clone());
        let verb = match (does, kind) {
            (_, DISCOVER) => "DISCOVER",
            (Does::Renew, _) => "REQUEST (renews)",
            (Does::Rebind, _) => "REQUEST (rebinds)",
            (Does::Reboot, _) => "REQUEST (rebooted)",
            _ => "REQUEST",
        };
        // Who reaches only one of the two has been trying for a while.
        self.broadcast(who, packet, verb, reach != Reach::Both);
    }

    fn give_back(&mut self, who: usize, does: Does, xid: u32) {
        let (now, client) = (self.now, &mut self.clients[who]);
        let Some(Lease { address, .. }) = client.device.holds(now) else { return };
        client.lets_go();
        client.device.xid = None;
        let reach = client.reach;
        if does == Does::Decline {
            client.device.remembered = None;
            let packet = client.device.packet(DECLINE, xid, None, &[(code::REQUESTED_ADDRESS, &address.octets())]);
            return self.broadcast(who, packet, "DECLINE", false);
        }
        for at in reaches(reach) {
            let server = own_address(at).octets();
            let packet = self.clients[who].device.packet(RELEASE, xid, Some(address), &[(code::SERVER_ID, &server)]);
            tell!(self, "client {who} → {}  RELEASE {address}", name(at));
            self.give(at, Incoming::Packet(packet));
        }
    }

    fn broadcast(&mut self, who: usize, mut packet: Packet, verb: &str, is_trying: bool) {
        if is_trying {
            packet.payload[9] = TRYING_SECS;
        }
        let reach = self.clients[who].reach;
        let server = self.clients[who].server.filter(|_| packet.is_unicast);
        for at in reaches(reach).filter(|&at| server.is_none_or(|server| server == own_address(at))) {
            tell!(self, "client {who} → {}  {verb}{}", name(at), tell::named_address(&packet.payload));
            self.give(at, Incoming::Packet(packet.clone()));
        }
    }

    pub fn take_offer(&mut self, who: usize, xid: u32) {
        let client = &mut self.clients[who];
        if client.device.xid != Some(xid) || !client.takes_offers {
            return;
        }
        let Some((address, server)) = client.device.offered else { return };
        client.takes_offers = false;
        let options: &[(u8, &[u8])] = &[(code::REQUESTED_ADDRESS, &address.octets()), (code::SERVER_ID, &server.octets())];
        let packet = client.device.packet(REQUEST, xid, None, options);
        client.last = Some(packet.clone());
        let is_trying = client.reach != Reach::Both;
        self.broadcast(who, packet, "REQUEST", is_trying);
    }

    /// What a node says to a client.
    pub fn reply(&mut self, at: usize, heard: &Heard) {
        let now = self.now;
        let kind = match heard.kind {
            OFFER => "OFFER",
            ACK => "ACK",
            NAK => "NAK",
            _ => "?",
        };
        let Some(who) = self.clients.iter().position(|client| client.device.mac == heard.mac) else { return };
        let client = &self.clients[who];
        let is_awaited = client.device.xid == Some(heard.xid);
        let fate = match (is_awaited, client.is_deaf) {
            (false, _) => " (too late)",
            (true, true) => " (lost)",
            (true, false) => "",
        };
        tell!(self, "client {who} ← {kind} {} {} s by {}{fate}", heard.address, heard.secs, name(at));
        if !self.machines[at].serves() {
            self.fail(|| format!("SILENCE: {} answers client {who} though it is not serving", name(at)));
        }
        if !is_awaited {
            return;
        }
        if heard.kind == ACK {
            self.judge_promise(at, who, heard);
            let end = now + std::time::Duration::from_secs(heard.secs.into());
            let claim = Claim { address: heard.address, end, by: at, is_forgotten: false };
            let client = &mut self.clients[who];
            client.claims.retain(|claim| claim.end > now);
            if client.claims.len() > 16 {
                client.claims.sort_by_key(|claim| claim.end);
                client.claims.remove(0);
            }
            client.claims.push(claim);
        }
        let client = &mut self.clients[who];
        if client.is_deaf {
            return;
        }
        client.device.hear(now, heard);
        match heard.kind {
            OFFER if client.takes_offers => {
                self.put(now + std::time::Duration::from_millis(1), Due::Take { who, xid: heard.xid })
            }
            ACK => {
                client.acks += 1;
                client.server = heard.server;
                client.claims.retain(|claim| claim.address == heard.address);
            }
            NAK => client.lets_go(),
            _ => {}
        }
    }
}
