//! What a node knows of its twin and of where it stands, and the questions that the rules answer from that alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use super::{
    Doubt, Forgot, GivenUp, Heartbeat, Memory, Rank, Session, State,
    loose::{Rule, is_loose},
    merge,
};
use crate::protocol::{
    Map,
    dhcp::rules::{ParkedAck, Request},
    lease::{Binding, BindingState, ClientId, HwAddr, Version},
    replica::{Entry, Replica},
    time::Time,
};
use crate::settings::{Record, RecordKey};

/// How often a heartbeat leaves.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(250);
/// Without a heartbeat for so long, the partner is out of reach. Failing over early is safe, so it can be fast.
pub const CONTACT_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long a node that starts looks for its twin before it serves without. A switch and a handshake fit in it: one whose
/// twin was told that it is down must find that twin first (rule 10).
pub const STARTUP_PATIENCE: Duration = Duration::from_secs(5);
/// A partner that missed two heartbeats may be gone, and its word with it.
pub const QUIET: Duration = Duration::from_millis(600);
/// The partner has not heard for so long what is heard here: its port is deaf.
const DEAF_AFTER: Duration = Duration::from_millis(700);
/// What was not confirmed is sent again after this.
pub const RESEND_AFTER: Duration = Duration::from_secs(1);
/// After a proposal that waited for the owner's word in vain, new clients get addresses of the own half for so long: on a slow
/// link they would ask, and be offered the other half, for ever.
pub const LATE_WORD_MEMORY: Duration = Duration::from_secs(10);
/// Records sent again at one time, and pages' length.
pub const BATCH: usize = 256;
/// Clocks drift by 0.05 % at most, in either direction on either side; and what travels is late.
const DRIFT_DIVISOR: u32 = 500;
const GUARD: Duration = Duration::from_secs(3);

/// A promise on its way: a record that its client is told of once it is safe.
#[derive(Debug)]
pub struct Proposal {
    pub client: ClientId,
    pub generation: u32,
    pub version: Version,
    /// The record's version before.
    pub before: Version,
    /// The lease time is cut down to what rule 2 allows when the partner has not confirmed by then.
    pub deadline: Time,
    /// Here once its commit is done.
    pub ack: Option<Box<ParkedAck>>,
    /// The partner has it on disk.
    pub is_confirmed: bool,
}

/// A client that the partner should answer.
#[derive(Debug)]
pub struct Unserved {
    /// Answered by this node if the partner turns out to be deaf or dead.
    pub request: Option<Box<Request>>,
    pub first: Time,
    pub heard: u32,
}

/// All pages of the partner's records, asked for one by one.
#[derive(Debug, Clone, Copy)]
pub struct PullUnderWay {
    pub number: u64,
    pub after: Option<Ipv4Addr>,
    pub asked: Time,
}

#[derive(Debug)]
pub struct Partnership {
    pub memory: Memory,
    /// As the disk has it: the partner is told of a goodbye, of limits and of a loss only when that is here.
    pub on_disk: Memory,
    /// The disk may still say that the partner is down: it must not pull before that is committed (w28).
    pub down_on_disk: bool,
    /// Since when there is a network on which the partner could be reached.
    pub network_since: Option<Time>,
    pub session: Session,
    pub partner_session: Option<Session>,
    /// Sessions of the partner that said goodbye: what still comes from them is late.
    pub ended_session: Option<Session>,
    pub state: State,
    pub since: Time,
    pub booted: Time,
    /// The last heartbeat that showed the partner to hear this node too.
    pub last_heard: Option<Time>,
    pub partner: Option<Heartbeat>,
    pub next_heartbeat: Time,
    pub pull: Option<PullUnderWay>,
    pub pulls: u64,
    /// Everything the partner has is here, on disk, since the last contact began; and how it stood when it was pulled from.
    pub pulled: Option<(State, Option<Forgot>)>,
    /// What the partner pulls: the addresses of one pull in order.
    pub serving_pull: Option<(u64, Vec<Ipv4Addr>)>,
    /// Records that the partner has not confirmed, and when they were sent last.
    pub unconfirmed: BTreeMap<Ipv4Addr, Option<Time>>,
    /// The latest expiry of the present record that the partner has confirmed in this boot.
    pub acked: Map<Ipv4Addr, Time>,
    pub given_up: Map<Ipv4Addr, GivenUp>,
    pub proposals: Map<Ipv4Addr, Proposal>,
    pub proposal_deadlines: BTreeSet<(Time, Ipv4Addr)>,
    /// When a proposal waited in vain last.
    pub word_was_late: Option<Time>,
    pub replica: Replica,
    pub unconfirmed_settings: BTreeMap<RecordKey, Option<Time>>,
    pub unserved: Map<HwAddr, Unserved>,
    pub clients_heard: u64,
    /// When the partner's count of clients was last seen to move, and the first client that was heard here a good while
    /// after that.
    pub partner_heard_moved: Time,
    pub unheard_since: Option<Time>,
    /// In `Drilled`: when this node ends it.
    pub drill_ends: Time,
    /// The admin's word, and when it came: go on without the partner.
    pub may_serve_alone: Option<Time>,
    /// The digests differ, though nothing is under way, since then.
    pub mismatch_since: Option<Time>,
    pub repairs: u64,
    /// Up to this number of the partner's, what it proposed and undid again is known here to be undone.
    pub settled_number: u64,
    /// What is on disk of the partner's number, or on its way there.
    pub stored_partner_number: u64,
    pub memory_stored: Time,
    pub sweep_due: Time,
    /// When a commit of this node was last seen to take too long.
    pub disk_was_slow: Option<Time>,
    /// The disk takes nothing, for the how-manieth time; and whether it is so now.
    pub troubles: u64,
    pub has_trouble: bool,
}

impl Partnership {
    pub fn me(&self) -> Rank {
        self.memory.rank
    }

    /// Settings with higher numbers of this node's may look like others that the twin knows.
    pub fn doubted_above(&self) -> Option<u64> {
        match self.memory.doubt {
            Doubt::Above(number) => Some(number),
            Doubt::None | Doubt::Over => None,
        }
    }

    pub fn owns(&self, address: Ipv4Addr) -> bool {
        merge::owns(self.half(), address)
    }

    /// Whose addresses this node may give when apart: its own, always (rule 3).
    pub fn half(&self) -> Rank {
        if is_loose(Rule::W19) && self.second_is_active() { self.me().other() } else { self.me() }
    }

    fn second_is_active(&self) -> bool {
        let entry = self.replica.entries().get(&RecordKey::Twin).and_then(|entry| entry.record.as_ref());
        matches!(entry, Some(Record::Twin(twin)) if twin.active == Rank::Second)
    }

    /// May answer clients at all.
    pub fn is_serving(&self) -> bool {
        match self.state {
            State::Alone | State::Normal | State::CommunicationsInterrupted | State::PartnerDown | State::Reconcile => true,
            State::Startup | State::Recover | State::ShuttingDown | State::Drilled => false,
        }
    }

    /// The partner hears this node, and this node the partner.
    pub fn in_contact(&self, now: Time) -> bool {
        self.last_heard.is_some_and(|heard| now - heard < CONTACT_TIMEOUT)
    }

    pub fn is_together(&self) -> bool {
        self.state == State::Normal
    }

    /// The owner's word on its half is not to be counted on.
    pub fn is_word_late(&self, now: Time) -> bool {
        let was_late = self.word_was_late.is_some_and(|late| now - late < LATE_WORD_MEMORY);
        let is_quiet = self.last_heard.is_none_or(|heard| now - heard > QUIET);
        was_late || is_quiet || self.partner.as_ref().is_some_and(|partner| partner.in_trouble)
    }

    /// From now on the partner's free half may be given too (rule 10).
    pub fn may_give_partners_half(&self, now: Time) -> bool {
        self.state == State::PartnerDown && self.partner_down_for(now).is_some_and(|wait_is_over| wait_is_over)
    }

    /// Whether the wait after the declaration is over; `None`: the partner is not declared down.
    fn partner_down_for(&self, now: Time) -> Option<bool> {
        self.recycling_starts().map(|start| now >= start)
    }

    /// `entry + MCLT + guard`.
    pub fn recycling_starts(&self) -> Option<Time> {
        let (entry, _) = self.memory.partner_down?;
        if is_loose(Rule::W39) {
            return Some(entry);
        }
        let lead = if is_loose(Rule::W20) { self.memory.partner_mclt } else { self.memory.longest_mclt };
        Some(entry + lead + GUARD + lead / DRIFT_DIVISOR)
    }

    /// Unpaired: from then on nothing that the twin promised is in force, nor anything that is known of its promises.
    pub fn dissolves_at(&self) -> Option<Time> {
        let (entry, _) = self.memory.partner_down.filter(|_| self.memory.unpaired)?;
        let longest = if is_loose(Rule::W37) { Duration::ZERO } else { self.longest_wait() };
        Some(entry + self.lead_wait() + longest)
    }

    pub fn is_given_up(&self, record: &Binding) -> bool {
        let owner = self.me().other();
        !is_loose(Rule::W5)
            && self.given_up.get(&record.address).is_some_and(|given_up| {
                given_up.generation == record.generation && given_up.version.of(owner) == record.version.of(owner)
            })
    }

    /// A promise that is on no disk may follow a release that only the partner has seen: somebody remembers, on disk, not to free
    /// by releases for now.
    pub fn may_promise_from_memory(&self, now: Time) -> bool {
        let is_known = self.in_contact(now)
            && self.has_trouble
            && self.partner.as_ref().is_some_and(|partner| partner.knows_trouble == Some(self.troubles));
        is_known || self.state == State::PartnerDown && self.on_disk.partner_down.is_some() || is_loose(Rule::W42)
    }

    /// This node has confirmed it as the owner, and the partner may not have heard that, and have undone it since (rule 4).
    pub fn may_be_undone(&self, record: &Binding) -> bool {
        let number = record.version.of(self.me().other());
        self.owns(record.address) && number > self.settled_number && !is_loose(Rule::W56)
    }

    /// The partner waits for no word of this node's: what it has proposed up to this number it has made firm, or this node knows better.
    pub fn note_settled(&mut self, heartbeat: &Heartbeat) {
        if heartbeat.state == State::Normal && heartbeat.unconfirmed == 0 {
            self.settled_number = self.settled_number.max(heartbeat.number);
        }
    }

    /// A disk was lost so lately that what it had renewed, and only it, may still be in force.
    fn may_be_renewed_unknown(&self, now: Time) -> bool {
        self.memory.one_forgot.is_some_and(|(since, _)| now < since + self.longest_wait()) && !is_loose(Rule::W40)
    }

    /// Nobody counts on this record any more, by this node's clock and in spite of drift (rule 5). A release ends it at once, but
    /// for one that a lost disk may have renewed since: its known expiry then does.
    pub fn has_run_out(&self, record: &Binding, now: Time) -> bool {
        match record.state {
            BindingState::Free => true,
            BindingState::Released => !self.may_be_renewed_unknown(now) || is_past(record, now),
            BindingState::Leased | BindingState::Tentative | BindingState::Declined => is_past(record, now),
        }
    }

    /// In `PartnerDown`: past its known expiry, whatever became of it since (rule 10).
    pub fn may_recycle(&self, record: &Binding, now: Time) -> bool {
        self.may_give_partners_half(now) && is_past(record, now)
    }

    /// What was promised within the lead time is over after this.
    pub fn lead_wait(&self) -> Duration {
        let lead = self.memory.longest_mclt;
        lead + lead / DRIFT_DIVISOR + GUARD
    }

    /// Whatever was promised is over after this.
    pub fn longest_wait(&self) -> Duration {
        let lease = self.memory.longest_lease;
        lease + lease / DRIFT_DIVISOR + GUARD
    }

    /// How long a node that may have forgotten stays silent, counted in uptime (rule 12); `None`: not at all.
    pub fn recover_wait(&self) -> Option<Duration> {
        let (mclt, longest) = (self.lead_wait(), self.longest_wait());
        let partner_forgot = match self.pulled {
            Some((State::Recover, forgot)) => forgot,
            Some(_) | None => None,
        };
        match (self.memory.forgot, partner_forgot) {
            (None, None) => None,
            (None, Some(_)) => (!is_loose(Rule::W32)).then_some(mclt),
            (Some(_), None) => Some(mclt),
            (Some(_), Some(_)) => Some(if is_loose(Rule::W14) { Duration::ZERO } else { longest }),
        }
    }

    /// These are held from now on, and the partner is to be told. The settings of before come back, for a disk that refuses.
    pub fn hold_settings(&mut self, entries: &[Entry]) -> Box<Replica> {
        let before = Box::new(self.replica.clone());
        for entry in entries {
            self.replica.put(entry.clone());
            self.unconfirmed_settings.insert(entry.key.clone(), None);
        }
        before
    }

    /// From the first record on, as soon as the partner can be asked.
    pub fn pull_again(&mut self) {
        self.pulls += 1;
        self.pull = Some(PullUnderWay { number: self.pulls, after: None, asked: Time::ZERO });
    }

    /// The partner may know nothing of what it has confirmed: it is told again.
    pub fn forget_confirmations(&mut self) {
        self.acked.clear();
        for (address, proposal) in &mut self.proposals {
            if std::mem::take(&mut proposal.is_confirmed) {
                self.unconfirmed.insert(*address, None);
            }
        }
    }

    /// Until when a promise may go that the partner has not confirmed (rule 2). `mclt`: as it is set now.
    pub fn promise_limit(&self, address: Ipv4Addr, now: Time, mclt: Duration) -> Time {
        let lead = if is_loose(Rule::W20) { mclt } else { mclt.min(self.memory.partner_mclt) };
        let acked = self.acked.get(&address).copied().unwrap_or(Time::ZERO);
        acked.max(now + lead)
    }

    /// Its heart beats, but for some time it has not heard the clients that are heard here.
    pub fn partner_is_deaf(&self, now: Time) -> bool {
        self.unheard_since.is_some_and(|since| now - since >= DEAF_AFTER)
    }

    pub fn needs_sending(&self) -> bool {
        !self.unconfirmed.is_empty() || !self.unconfirmed_settings.is_empty()
    }

    pub fn forget_proposal(&mut self, address: Ipv4Addr) -> Option<Proposal> {
        let proposal = self.proposals.remove(&address)?;
        self.proposal_deadlines.remove(&(proposal.deadline, address));
        Some(proposal)
    }
}

/// Past its expiry by more than clocks can differ.
fn is_past(record: &Binding, now: Time) -> bool {
    record.expiry != Time::NEVER && now >= record.expiry + GUARD + (record.expiry - record.since) / DRIFT_DIVISOR
}
