//! Requests that wait until it is known whether somebody uses the address.

use std::{net::Ipv4Addr, time::Duration};

use super::Node;
use crate::protocol::{
    Action,
    dhcp::rules::Request,
    explain::{Asked, Silence, Step},
    probe::{CACHE_TIME, ProbeResult},
    time::Time,
};

/// Addresses being probed at one time.
const MAX_PROBING: usize = 4096;
/// How long an address under which a stranger answered is left alone.
const STRANGER_REST: Duration = Duration::from_secs(600);
/// When nothing else is free, such an address is asked about again after this.
const STRANGER_REST_MIN: Duration = CACHE_TIME;
/// Addresses under which strangers answered, for one request: then the client is left to ask again. Whoever answers
/// every probe would else have the whole pool set aside by one packet.
pub(in crate::protocol) const MAX_STRANGERS: usize = 8;

/// A request that waits until it is known whether somebody uses the address.
#[derive(Debug)]
pub(in crate::protocol) struct Probing {
    pub request: Request,
    pub started: Time,
    pub deadline: Time,
}

impl Node {
    /// Asks who uses the address; the request is taken up again when that is known. With too many at once, the client
    /// is left to ask again.
    pub(in crate::protocol) fn probe(
        &mut self,
        now: Time,
        wait: Duration,
        address: Ipv4Addr,
        request: Request,
        out: &mut Vec<Action>,
    ) {
        let interface = request.interface;
        if let Some(probing) = self.probing.get_mut(&address) {
            if probing.request.message.hw != request.message.hw {
                return self.silent(now, request, Asked::Discover, Silence::ProbePending { address }, out);
            }
            // The client grew impatient: answer its latest message.
            let steps = std::mem::replace(&mut probing.request, request).steps;
            probing.request.steps = steps;
            return;
        }
        if self.probing.len() >= MAX_PROBING {
            return self.silent(now, request, Asked::Discover, Silence::ProbePending { address }, out);
        }
        let deadline = now + wait;
        self.probing.insert(address, Probing { request, started: now, deadline });
        self.probe_deadlines.insert((deadline, address));
        out.push(Action::Probe { interface, address });
    }

    pub(super) fn arp_heard(&mut self, now: Time, address: Ipv4Addr, mac: [u8; 6], out: &mut Vec<Action>) {
        if self.probing.contains_key(&address) {
            self.probe_ended(now, address, ProbeResult::UsedBy(mac), out);
        }
    }

    pub(super) fn probe_ended(&mut self, now: Time, address: Ipv4Addr, result: ProbeResult, out: &mut Vec<Action>) {
        let Some(Probing { mut request, started, deadline }) = self.probing.remove(&address) else { return };
        self.probe_deadlines.remove(&(deadline, address));
        self.probes.put(now, address, result);
        let is_stranger = |mac| request.message.hw.mac() != Some(mac);
        match result {
            ProbeResult::Silent => {
                request.steps.push(Step::ProbeSilent { address, waited_ms: (now - started).as_millis() as u64 })
            }
            ProbeResult::NotAsked => request.steps.push(Step::NotProbed),
            ProbeResult::UsedBy(mac) => {
                request.steps.push(Step::ProbeAnswered { address, mac });
                let is_leased = self.table.get(address).is_some_and(|b| b.is_held(now) && b.hw.mac() == Some(mac));
                if is_stranger(mac) && !is_leased {
                    self.leave_to_stranger(now, address);
                }
            }
        }
        self.discover(now, request, out);
    }

    /// Somebody without a lease uses the address: it rests.
    pub(in crate::protocol) fn leave_to_stranger(&mut self, now: Time, address: Ipv4Addr) {
        if let Some(client) = self.table.offered(address).cloned() {
            self.table.forget_offer(&self.plan, now, &client);
        }
        self.table.set_aside(&self.plan, address, now + STRANGER_REST_MIN, now + STRANGER_REST);
    }
}
