//! How the pair is doing, for people.

use std::time::Duration;

use super::super::Node;
use crate::protocol::{
    failover::{Forgot, Rank, State},
    replica::ToReconcile,
    time::Time,
};

/// What the partner holds is known from its last heartbeat: a difference this young is a change on its way.
const HEARSAY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TwinStatus {
    pub rank: Rank,
    pub state: State,
    /// In words.
    pub state_told: String,
    pub since_secs: u64,
    /// By role this one answers (in hot-standby).
    pub is_active: bool,
    /// Answers clients at all.
    pub is_serving: bool,
    pub forgot: Option<Forgot>,
    /// Until it may serve, or give the twin's half, or the drill is over.
    pub wait_secs: Option<u64>,
    /// The admin said that the twin is one no more.
    pub is_unpaired: bool,
    /// Unpaired, and serving: until this node is one alone.
    pub alone_in_secs: Option<u64>,
    pub partner: Option<PartnerStatus>,
    /// Records and settings that the twin has not confirmed.
    pub unconfirmed: usize,
    /// Both hold the same; `None`: not known, or under way.
    pub is_level: Option<bool>,
    pub digest: String,
    pub repairs: u64,
    /// Edits made apart that contradict, and kept addresses that clash: a sentence each.
    pub to_reconcile: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PartnerStatus {
    pub state: State,
    pub in_contact: bool,
    /// Since it was heard last.
    pub silent_ms: u64,
    pub is_deaf: bool,
    pub in_trouble: bool,
    /// It is silent because of a drill, for so much longer.
    pub drill_secs_left: Option<u64>,
}

impl Node {
    /// What an admin must decide, in full.
    pub fn to_reconcile(&self) -> Vec<ToReconcile> {
        let Some(twin) = &self.twin else { return Vec::new() };
        twin.replica.to_reconcile(twin.replica.assemble())
    }

    /// How long the record that has waited longest for the twin's word has waited; zero where none does.
    pub fn replication_lag(&self, now: Time) -> Duration {
        let waiting = self.twin.iter().flat_map(|twin| twin.unconfirmed.keys());
        let oldest = waiting.filter_map(|address| self.table.get(*address)).map(|binding| binding.since).min();
        oldest.map_or(Duration::ZERO, |since| now - since)
    }

    /// The twin has the same leases, and the same settings, by its last heartbeat; `None`: it is not heard.
    pub fn has_same(&self, now: Time) -> Option<(bool, bool)> {
        let twin = self.twin.as_ref().filter(|twin| twin.in_contact(now))?;
        let partner = twin.partner.as_ref()?;
        Some((partner.digest == self.table.digest(), partner.settings_digest == twin.replica.digest()))
    }

    pub fn twin_status(&self, now: Time) -> Option<TwinStatus> {
        let twin = self.twin.as_ref()?;
        let partner = twin.partner.as_ref().filter(|_| !twin.memory.unpaired).map(|partner| PartnerStatus {
            state: partner.state,
            in_contact: twin.in_contact(now),
            silent_ms: twin.last_heard.map_or(u64::MAX, |heard| (now - heard).as_millis() as u64),
            is_deaf: twin.partner_is_deaf(now),
            in_trouble: partner.in_trouble,
            drill_secs_left: twin.partner_drill_left(now).map(|left| left.as_secs()),
        });
        let wait = match twin.state {
            State::Recover => match twin.may_serve_alone.filter(|_| twin.pulled.is_none()) {
                Some(word) => {
                    let lead = if twin.memory.shut_down { (word + twin.lead_wait()) - now } else { Duration::ZERO };
                    let all = twin.memory.forgot.map(|_| (twin.booted + twin.longest_wait()) - now);
                    Some(all.map_or(lead, |all| all.max(lead)))
                }
                None => twin.recover_wait().map(|wait| (twin.booted + wait) - now),
            },
            State::PartnerDown => twin.recycling_starts().map(|start| now.until(start)),
            State::Alone
            | State::Startup
            | State::Normal
            | State::CommunicationsInterrupted
            | State::Reconcile
            | State::ShuttingDown => None,
            State::Drilled => Some(twin.drill_ends - now),
        };
        let is_same = twin
            .partner
            .as_ref()
            .is_some_and(|partner| partner.digest == self.table.digest() && partner.settings_digest == twin.replica.digest());
        let differs = twin.mismatch_since.is_some_and(|since| now - since >= HEARSAY);
        Some(TwinStatus {
            rank: twin.memory.rank,
            state: twin.state,
            state_told: twin.state.to_string(),
            since_secs: (now - twin.since).as_secs(),
            is_active: self.is_active(),
            is_serving: twin.is_serving(),
            forgot: twin.memory.forgot,
            wait_secs: wait.map(|wait| wait.as_secs()),
            is_unpaired: twin.memory.unpaired,
            alone_in_secs: twin.dissolves_at().map(|at| now.until(at).as_secs()),
            partner,
            unconfirmed: twin.unconfirmed.len() + twin.unconfirmed_settings.len(),
            is_level: (twin.in_contact(now) && (is_same || differs)).then_some(is_same),
            digest: format!("{:016x}", self.table.digest()),
            repairs: twin.repairs,
            to_reconcile: self.to_reconcile().into_iter().map(|item| item.text).collect(),
        })
    }
}
