//! Which of the two answers a client, and what is done about those whom the other one should answer and does not.

use std::time::Duration;

use super::super::Node;
use crate::{
    protocol::{
        Action,
        dhcp::rules::Request,
        explain::{Asked, Silence},
        failover::{
            Rank, State,
            partnership::{Partnership, Unserved},
        },
        time::Time,
    },
    settings::Mode,
};

/// A client that has waited so long by its own count, or has asked so often, is answered by whoever hears it.
const UNSERVED_SECS: u16 = 3;
const UNSERVED_REQUESTS: u32 = 4;
/// A request that was kept is answered within this time or not at all: the client has given up waiting.
const KEPT_FOR: Duration = Duration::from_secs(4);
/// When nothing was heard from a client for so long, it is counted anew.
const FORGET_AFTER: Duration = Duration::from_secs(30);
const MAX_UNSERVED: usize = 1024;
/// The partner's count of clients runs ahead or behind of what is heard here by this much.
const COUNT_LAG: Duration = Duration::from_millis(500);

/// RFC 3074 §6: the mixing table of Pearson's hash is any permutation; twins share this one.
const fn mixing_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = (i as u8).wrapping_mul(167).wrapping_add(13);
        i += 1;
    }
    table
}

const MIX: [u8; 256] = mixing_table();

/// The bucket of a client, 0–255.
fn bucket(request: &Request) -> u8 {
    let given = request.message.options.get(crate::protocol::dhcp::code::CLIENT_ID);
    let key = given.unwrap_or(request.message.hw.bytes());
    key.iter().rev().fold(key.len() as u8, |hash, byte| MIX[usize::from(hash ^ byte)])
}

impl Node {
    /// This node answers what is not addressed to either.
    pub fn is_active(&self) -> bool {
        let Some(twin) = &self.twin else { return true };
        match self.plan.settings.twin.mode {
            Mode::HotStandby => self.plan.settings.twin.active == twin.me(),
            Mode::LoadBalancing => true,
        }
    }

    /// `None`: this node answers. Else it was dealt with.
    pub(in crate::protocol) fn leave_to_partner(
        &mut self,
        now: Time,
        request: Request,
        asked: Asked,
        out: &mut Vec<Action>,
    ) -> Option<Request> {
        if self.waits_for_twin {
            self.silent(now, request, asked, Silence::WaitsForTwin, out);
            return None;
        }
        let Some(twin) = &mut self.twin else { return Some(request) };
        let is_broadcast = !request.is_unicast;
        // A twin that looks for other servers does not hear itself.
        if is_broadcast && !request.message.is_probe() {
            twin.clients_heard += 1;
            if twin.unheard_since.is_none() && now - twin.partner_heard_moved > COUNT_LAG {
                twin.unheard_since = Some(now);
            }
        }
        if !twin.is_serving() {
            let state = twin.state;
            self.silent(now, request, asked, Silence::NotServing { state }, out);
            return None;
        }
        let hw = request.message.hw;
        if asked != Asked::Discover {
            // It is being served, by whomever.
            twin.unserved.remove(&hw);
        }
        let names_a_server = request.message.server_id().is_some();
        let partner_is_well = twin.is_together() && !twin.partner_is_deaf(now) && !twin.partner_in_trouble();
        // What is offered here would have to wait for the disk.
        let is_mine = self.is_mine_to_answer(&request) && !(asked == Asked::Discover && self.disk_is_slow(now));
        if !is_broadcast || names_a_server || !partner_is_well || is_mine {
            return Some(request);
        }
        let twin = self.twin.as_mut().expect("looked at above");
        if twin.unserved.len() >= MAX_UNSERVED && !twin.unserved.contains_key(&hw) {
            twin.unserved.retain(|_, unserved| now - unserved.first < KEPT_FOR);
        }
        let may_keep = twin.unserved.len() < MAX_UNSERVED || twin.unserved.contains_key(&hw);
        if !may_keep {
            self.silent(now, request, asked, Silence::TwinAnswers, out);
            return None;
        }
        let unserved = twin.unserved.entry(hw).or_insert(Unserved { request: None, first: now, heard: 0 });
        if now - unserved.first >= FORGET_AFTER {
            *unserved = Unserved { request: None, first: now, heard: 0 };
        }
        unserved.heard += 1;
        if unserved.heard >= UNSERVED_REQUESTS || request.message.secs >= UNSERVED_SECS {
            twin.unserved.remove(&hw);
            return Some(request);
        }
        let steps = request.steps.clone();
        let decision = self.decision(
            now,
            &request.message,
            asked,
            steps,
            crate::protocol::explain::Outcome::Silent { why: Silence::TwinAnswers },
        );
        if asked == Asked::Discover {
            let twin = self.twin.as_mut().expect("looked at above");
            if let Some(unserved) = twin.unserved.get_mut(&hw) {
                unserved.request = Some(Box::new(request));
            }
        }
        self.decided(decision, out);
        None
    }

    /// By role or by hash, this client is this node's to answer.
    fn is_mine_to_answer(&self, request: &Request) -> bool {
        let Some(twin) = &self.twin else { return true };
        match self.plan.settings.twin.mode {
            Mode::HotStandby => self.plan.settings.twin.active == twin.me(),
            Mode::LoadBalancing => {
                let rank = if bucket(request) < 128 { Rank::First } else { Rank::Second };
                rank == twin.me()
            }
        }
    }

    /// Where the partner turns out to be deaf or gone, those who wait for it are answered at once.
    pub(super) fn answer_unserved(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let must_answer = match twin.state {
            State::Normal => twin.partner_is_deaf(now) || twin.partner_in_trouble(),
            State::CommunicationsInterrupted | State::PartnerDown | State::Reconcile => true,
            State::Alone | State::Startup | State::Recover | State::ShuttingDown | State::Drilled => false,
        };
        if !must_answer || twin.unserved.is_empty() {
            return;
        }
        let mut waiting: Vec<(Time, Request)> = twin
            .unserved
            .drain()
            .filter(|(_, unserved)| now - unserved.first < KEPT_FOR)
            .filter_map(|(_, unserved)| Some((unserved.first, *unserved.request?)))
            .collect();
        waiting.sort_by_key(|(first, request)| (*first, request.message.hw));
        for (_, request) in waiting {
            self.discover(now, request, out);
        }
    }
}

impl Partnership {
    pub(in crate::protocol) fn partner_in_trouble(&self) -> bool {
        self.partner.as_ref().is_some_and(|partner| partner.in_trouble)
    }
}
