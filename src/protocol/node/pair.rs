//! A node that has a twin: what the failover rules make of each event.
//!
//! ```text
//!                       start                                            admin, or the partner's goodbye
//!                         │                                           ┌────────────────────────────────┐
//!                         ▼            nobody there        ┌──────────┴───────────────┐                ▼
//!   shut down by    ┌─────────┐  ───────────────────────►  │ CommunicationsInterrupted │        ┌─────────────┐
//!   itself before   │ Startup │                            └──────────┬───────────────┘        │ PartnerDown │
//!        │          └────┬────┘                 heartbeats │      ▲   ▲                         └──────┬──────┘
//!        ▼               │ contact                again    ▼      │   │ 1.5 s without                  │ contact
//!   ┌─────────┐ ◄────────┘                          ┌─────────────┴┐  │ heartbeat                      │
//!   │ Recover │   pulled, on disk, waits are over   │  Reconcile   │ ◄──────────────────────────────────┘
//!   └────┬────┘ ──────────────────────────────────► └──────┬───────┘  │
//!                                                          │ pulled, nothing unconfirmed, the partner serves
//!                                                          ▼          │
//!                                                     ┌────────┐ ─────┘
//!                                                     │ Normal │
//!                                                     └────────┘
//! ```
//!
//! `Normal` → `Drilled` for the time of a drill, and from there to `Startup` as after a restart.
//!
//! Serving: `CommunicationsInterrupted`, `PartnerDown`, `Reconcile` (all of them "apart"), and `Normal` ("together"). How one that
//! is unpaired becomes one alone again: `unpair`.

mod answering;
mod drill;
mod promise;
mod pull;
mod records;
mod settings;
mod slow_disk;
mod status;
mod unpair;

use std::{collections::BTreeMap, time::Duration};

use super::{Node, durable::Parked};
use crate::protocol::{
    Action, Change, Commit, Map, TwinCommand,
    failover::{
        Body, Doubt, Envelope, Forgot, GivenUp, Heartbeat, Memory, Session, State,
        loose::{Rule, is_loose},
        partnership::{HEARTBEAT_INTERVAL, Partnership, QUIET, STARTUP_PATIENCE},
    },
    replica::{Edited, Entry, Replica},
    time::{Epoch, Time},
};
pub use drill::{DRILL_SECS, Precheck};
pub(in crate::protocol) use promise::secs_until;
pub use status::{PartnerStatus, TwinStatus};

/// Digests may differ for so long before it counts: what is under way explains it.
const MISMATCH_PATIENCE: Duration = Duration::from_secs(5);
/// A start goes on counting so much further: more numbers than these cannot wait for the disk, told to the partner already.
const START_NUMBERS: u64 = 1 << 20;
/// One that forgot goes on counting so much further: a number that was spent already would make two edits look like one.
const LOST_NUMBERS: u64 = 1 << 32;
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// What changes with every message of the partner is written no more often than this.
const MEMORY_INTERVAL: Duration = Duration::from_secs(5);

/// What a node that has a twin starts from.
#[derive(Debug)]
pub struct Pair {
    pub memory: Memory,
    /// Random, new at each start.
    pub session: Session,
    pub given_up: Vec<GivenUp>,
    pub entries: Vec<Entry>,
    /// Who may sign in is for the other one to say: it was just paired with one that was there before.
    pub joins: bool,
    /// The link has another twin than the one that this memory is of, or has it anew.
    pub is_new: bool,
}

impl Node {
    /// This node has a twin, and is in `Startup` now: right after `new`, or when it has just been paired.
    pub fn pair(&mut self, now: Time, pair: Pair, out: &mut Vec<Action>) {
        let Pair { mut memory, session, given_up, entries, joins, is_new } = pair;
        let newest = self.table.iter().map(|record| record.version.of(memory.rank)).max().unwrap_or(0);
        let newest_entry = entries.iter().map(|entry| entry.version.of(memory.rank)).max().unwrap_or(0);
        self.version = self.version.max(newest).max(newest_entry).max(memory.own_number);
        let replica = Replica::new(entries);
        let on_disk = memory.clone();
        if is_new {
            // The numbers that the former one told are not the numbers of this one.
            memory.partner_number = 0;
        }
        if is_loose(Rule::W41) {
            memory.one_forgot = None;
        }
        if memory.partner_down.is_some() || memory.forgot.is_some() {
            // One that was alone may have told what it knew from memory.
            memory.one_forgot = Some((now, self.epoch));
        }
        if memory.forgot.is_some() {
            self.version += LOST_NUMBERS;
        }
        if self.sent.is_empty() {
            // Else something still waits for the disk, and what was written before counts.
            self.durable_number = self.version;
        }
        if !is_loose(Rule::W44) {
            self.version += START_NUMBERS;
        }
        memory.own_number = self.version;
        if memory.forgot.is_some() && memory.doubt == Doubt::None && !is_loose(Rule::W52) {
            // What a box brings into a new pair is numbered for it.
            memory.doubt = if is_new { Doubt::Over } else { Doubt::Above(self.version) };
        }
        let state = if memory.forgot.is_some() || memory.shut_down { State::Recover } else { State::Startup };
        if state == State::Recover {
            memory.partner_down = None;
        }
        let twin = Partnership {
            down_on_disk: memory.partner_down.is_some(),
            network_since: None,
            stored_partner_number: memory.partner_number,
            memory,
            on_disk,
            session,
            partner_session: None,
            ended_session: None,
            state,
            since: now,
            booted: now,
            last_heard: None,
            partner: None,
            next_heartbeat: now,
            pull: None,
            pulls: 0,
            pulled: None,
            serving_pull: None,
            unconfirmed: BTreeMap::new(),
            acked: Map::default(),
            given_up: given_up.into_iter().map(|given_up| (given_up.address, given_up)).collect(),
            proposals: Map::default(),
            proposal_deadlines: Default::default(),
            word_was_late: None,
            replica,
            unconfirmed_settings: BTreeMap::new(),
            unserved: Map::default(),
            clients_heard: 0,
            partner_heard_moved: now,
            unheard_since: None,
            drill_ends: now,
            may_serve_alone: None,
            mismatch_since: None,
            repairs: 0,
            settled_number: 0,
            memory_stored: now,
            sweep_due: now,
            disk_was_slow: None,
            troubles: 0,
            has_trouble: false,
        };
        self.twin = Some(Box::new(twin));
        self.believe_old_acks();
        self.table.set_paired(&self.plan, true, now);
        self.note_limits();
        if is_new && !is_loose(Rule::W50) {
            self.renumber_settings(now, out);
        }
        self.enter_replica(now, joins, out);
        // After the settings: who is cut off in between numbers them once more.
        self.store_memory(now, out);
        self.twin_tick(now, out);
    }

    /// A pairing was made: the first of this node, or with the replacement of a twin that was given up.
    pub(super) fn paired(&mut self, now: Time, pair: Pair, out: &mut Vec<Action>) {
        self.waits_for_twin = false;
        let Some(twin) = &mut self.twin else { return self.pair(now, pair, out) };
        (twin.memory.unpaired, twin.memory.partner) = (false, pair.memory.partner);
        if !is_loose(Rule::W47) {
            // What was said before belongs to the former pairing, on either side.
            (twin.session, twin.ended_session) = (pair.session, None);
        }
        // Whoever it is now, what was confirmed was confirmed by another.
        (twin.partner_session, twin.partner, twin.last_heard, twin.pulled, twin.pull) = (None, None, None, None, None);
        twin.acked.clear();
        // The numbers that the former one told are not the numbers of this one.
        (twin.memory.partner_number, twin.settled_number) = (0, 0);
        twin.memory.doubt = Doubt::None;
        self.renumber_settings(now, out);
        self.store_memory(now, out);
    }

    /// It has a twin, serves, and does not hear it.
    pub fn is_out_of_reach(&self, now: Time) -> bool {
        self.twin.as_ref().is_some_and(|twin| {
            let is_apart = matches!(twin.state, State::CommunicationsInterrupted | State::PartnerDown);
            is_apart && !twin.in_contact(now)
        })
    }

    /// What must survive a restart; `None`: this node has never had a twin.
    pub fn memory(&self) -> Option<&Memory> {
        self.twin.as_ref().map(|twin| &twin.memory)
    }

    /// Not done (w17): what the partner confirmed before this start counts for nothing.
    fn believe_old_acks(&mut self) {
        if let Some(twin) = self.twin.as_mut().filter(|_| is_loose(Rule::W17)) {
            twin.acked = self.table.iter().map(|record| (record.address, record.expiry)).collect();
        }
    }

    pub fn pair_state(&self) -> State {
        self.twin.as_ref().map_or(State::Alone, |twin| twin.state)
    }

    pub(super) fn partner_said(&mut self, now: Time, envelope: Envelope, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        if twin.ended_session == Some(envelope.from) || twin.memory.unpaired {
            return;
        }
        if let Body::Heartbeat(heartbeat) = envelope.body {
            return self.heartbeat(now, envelope.from, envelope.to, heartbeat, out);
        }
        let is_of_now = envelope.to == Some(twin.session) && twin.partner_session == Some(envelope.from);
        if !is_of_now && (!is_loose(Rule::W18) || twin.partner_session.is_none()) {
            return;
        }
        match (envelope.body, twin.state) {
            (_, State::Startup | State::ShuttingDown | State::Drilled | State::Alone) | (Body::Heartbeat(_), _) => {}
            (Body::Update(update), _) => self.updated(now, *update, out),
            (Body::Ack(ack), _) => self.acked(now, *ack, out),
            (Body::Setting(entry), _) => self.setting_came(now, *entry, out),
            (Body::SettingAck(entry), _) => self.setting_acked(&entry),
            (Body::GiveUp(given_up), _) => self.given_up(now, given_up, out),
            (Body::Pull(pull), _) => self.pulled_from(now, pull, out),
            (Body::Page(page), _) => self.page_came(now, *page, out),
            (Body::ShuttingDown, state) => {
                twin.ended_session = Some(envelope.from);
                twin.last_heard = None;
                if matches!(state, State::Normal | State::CommunicationsInterrupted | State::Reconcile) {
                    self.partner_is_down(now, out);
                }
            }
        }
    }

    fn heartbeat(&mut self, now: Time, from: Session, to: Option<Session>, heartbeat: Heartbeat, out: &mut Vec<Action>) {
        let (durable_number, epoch) = (self.durable_number, self.epoch);
        let Some(twin) = &mut self.twin else { return };
        if matches!(twin.state, State::ShuttingDown | State::Drilled) {
            return;
        }
        let is_new_session = twin.partner_session != Some(from);
        if is_new_session {
            twin.partner_session = Some(from);
            (twin.pulled, twin.pull, twin.serving_pull) = (None, None, None);
            twin.unconfirmed.values_mut().for_each(|sent| *sent = None);
            twin.partner_heard_moved = now;
            twin.unheard_since = None;
            twin.next_heartbeat = now;
            if !is_loose(Rule::W43) {
                // An old copy of its disk may not know what was confirmed, and nor may it notice (rule 2).
                twin.forget_confirmations();
            }
        }
        let was_silent = twin.last_heard.is_none_or(|heard| now - heard > QUIET);
        if was_silent {
            // That its count stood still says nothing of its ears: no word of it came.
            (twin.partner_heard_moved, twin.unheard_since) = (now, None);
        }
        twin.memory.partner_number = twin.memory.partner_number.max(heartbeat.number);
        twin.note_settled(&heartbeat);
        let before = (twin.memory.longest_mclt, twin.memory.longest_lease, twin.memory.partner_mclt, twin.memory.partner_lease);
        let (mclt, lease) = (Duration::from_millis(heartbeat.longest_mclt_ms), Duration::from_millis(heartbeat.longest_lease_ms));
        (twin.memory.partner_mclt, twin.memory.partner_lease) = (mclt, lease);
        twin.memory.longest_mclt = twin.memory.longest_mclt.max(mclt);
        twin.memory.longest_lease = twin.memory.longest_lease.max(lease);
        let after = (twin.memory.longest_mclt, twin.memory.longest_lease, twin.memory.partner_mclt, twin.memory.partner_lease);
        if twin.partner.as_ref().is_none_or(|partner| partner.clients_heard != heartbeat.clients_heard) {
            twin.partner_heard_moved = now;
            twin.unheard_since = None;
        }
        let forgot_here = heartbeat.heard_number > durable_number;
        let has_moved = twin.partner.as_ref().is_none_or(|partner| partner.state != heartbeat.state);
        if let Some(pull) = twin.pull.as_mut().filter(|_| has_moved) {
            // It may tell now what it did not tell in the state before.
            pull.asked = Time::ZERO;
        }
        let knew = !is_new_session && twin.partner.as_ref().is_some_and(|partner| partner.forgot.is_some());
        let is_new_loss = heartbeat.forgot.is_some() && !knew;
        let told = twin.partner.as_ref().filter(|_| !is_new_session).and_then(|partner| partner.trouble);
        let is_loss = is_new_loss || heartbeat.trouble.is_some_and(|trouble| told.is_none_or(|told| told < trouble));
        if is_loss {
            twin.memory.one_forgot = Some((now, epoch));
        }
        if is_new_loss {
            // What it has confirmed it knows no more (rule 2).
            twin.forget_confirmations();
        }
        let partner_recovers = heartbeat.state == State::Recover;
        let partner_starts = heartbeat.state == State::Startup;
        twin.partner = Some(heartbeat);
        if before != after || is_loss {
            self.store_memory(now, out);
        }
        let Some(twin) = &mut self.twin else { return };
        let may_have_given_all = twin
            .partner
            .as_ref()
            .is_some_and(|partner| partner.state == State::PartnerDown || partner.counted_down && !is_loose(Rule::W51));
        let is_news = matches!(twin.state, State::Startup | State::Recover) && !twin.memory.shut_down;
        if may_have_given_all && is_news && !is_loose(Rule::W38) {
            // It counted this node as down, and may have given this node's half: silent until all of that is here, also after
            // another start.
            twin.memory.shut_down = true;
            self.store_memory(now, out);
        }
        let Some(twin) = &mut self.twin else { return };
        if to != Some(twin.session) {
            // It does not hear this node, or does not know yet that this is another start of it.
            twin.last_heard = twin.last_heard.filter(|_| !is_new_session);
            return;
        }
        twin.last_heard = Some(now);
        if std::mem::take(&mut twin.memory.counted_down) {
            // It hears this node, and so has heard that.
            self.store_memory(now, out);
        }
        let Some(twin) = &mut self.twin else { return };
        if forgot_here && twin.memory.forgot.is_none() && matches!(twin.state, State::Startup | State::Recover) {
            twin.memory.forgot = Some(Forgot::RolledBack);
            if !is_loose(Rule::W52) {
                twin.memory.doubt = Doubt::Above(twin.memory.own_number);
            }
            twin.memory.one_forgot = Some((now, epoch));
            self.store_memory(now, out);
        }
        let Some(twin) = &mut self.twin else { return };
        match twin.state {
            State::Startup => {
                twin.memory.partner_down = None;
                let next = if is_loose(Rule::W9) { State::Reconcile } else { State::Recover };
                self.enter(now, next, out);
                self.store_memory(now, out);
            }
            State::CommunicationsInterrupted => self.reconcile(now, out),
            State::PartnerDown => {
                twin.memory.partner_down = None;
                self.store_memory(now, out);
                self.reconcile(now, out);
            }
            State::Normal => {
                let is_apart = is_new_session || partner_starts || (partner_recovers && !is_loose(Rule::W12));
                if is_apart {
                    self.reconcile(now, out);
                }
            }
            State::Reconcile | State::Recover => {}
            State::Alone | State::ShuttingDown | State::Drilled => {}
        }
        self.keep_pulling(now, out);
        // Whoever waits for a partner that says now that it cannot.
        self.answer_unserved(now, out);
    }

    fn reconcile(&mut self, now: Time, out: &mut Vec<Action>) {
        if let Some(twin) = &mut self.twin {
            (twin.pulled, twin.pull) = (None, None);
        }
        self.enter(now, State::Reconcile, out);
    }

    fn enter(&mut self, now: Time, state: State, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        if twin.state == state {
            return;
        }
        twin.state = state;
        twin.since = now;
        twin.mismatch_since = None;
        // The twin shall know soon: both are together only when both say so.
        twin.next_heartbeat = now;
        self.settle_all(now, out);
        self.answer_unserved(now, out);
    }

    /// Rule 10: a fact, not a guess.
    fn partner_is_down(&mut self, now: Time, out: &mut Vec<Action>) {
        let epoch = self.epoch;
        if let Some(twin) = &mut self.twin {
            twin.memory.partner_down = Some((now, epoch));
            twin.memory.counted_down = true;
        }
        self.store_memory(now, out);
        self.enter(now, State::PartnerDown, out);
    }

    /// Writes down what must survive a restart, with the next commit's number.
    pub(super) fn store_memory(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        twin.down_on_disk |= twin.memory.partner_down.is_some();
        twin.stored_partner_number = twin.memory.partner_number;
        twin.memory_stored = now;
        let memory = twin.memory.clone();
        let id = self.next_commit(now);
        out.push(Action::Commit(Commit { id, changes: vec![Change::Pair(Some(memory.clone()))] }));
        self.parked.push_back((id, Parked::MemoryStored(Box::new(memory))));
    }

    pub(super) fn memory_stored(&mut self, memory: Memory) {
        if let Some(twin) = &mut self.twin {
            twin.down_on_disk = memory.partner_down.is_some() || twin.memory.partner_down.is_some();
            twin.on_disk = memory;
        }
    }

    /// A goodbye that is not on disk must not be said: after a start this node would not know that it has to be silent. And an admin who was told
    /// that nothing was changed may start the twin somewhere else.
    pub(super) fn memory_not_stored(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let declared = twin.on_disk.partner_down;
        if twin.state == State::ShuttingDown && !twin.on_disk.shut_down {
            twin.memory.shut_down = false;
            twin.memory.partner_down = declared.filter(|_| !is_loose(Rule::W46));
            let before = if twin.memory.partner_down.is_some() { State::PartnerDown } else { State::CommunicationsInterrupted };
            return self.enter(now, before, out);
        }
        if is_loose(Rule::W46) {
            return;
        }
        if twin.memory.unpaired && !twin.on_disk.unpaired {
            (twin.memory.unpaired, twin.ended_session) = (false, None);
        }
        if twin.memory.partner_down.is_some() && declared.is_none() {
            twin.memory.partner_down = None;
            twin.memory.counted_down = twin.on_disk.counted_down;
            if twin.state == State::PartnerDown {
                self.enter(now, State::CommunicationsInterrupted, out);
            }
        }
    }

    pub(super) fn pull_stored(&mut self, now: Time, of: Session, from: (State, Option<Forgot>), out: &mut Vec<Action>) {
        if let Some(twin) = &mut self.twin
            && twin.partner_session == Some(of)
            && matches!(twin.state, State::Recover | State::Reconcile | State::Normal)
        {
            twin.pulled = Some(from);
            if twin.doubted_above().is_some() {
                twin.memory.doubt = if twin.memory.forgot.is_some() { Doubt::Over } else { Doubt::None };
                self.store_memory(now, out);
            }
            self.resend(now, out);
            self.resend_settings(now, out);
            self.move_on(now, out);
        }
    }

    /// The disk refused what came of it. Apart it is asked again anyhow; together nobody else would, and nothing would be told again until then.
    pub(super) fn pull_not_stored(&mut self) {
        if let Some(twin) = self.twin.as_mut().filter(|twin| twin.state == State::Normal && twin.pull.is_none()) {
            twin.pull_again();
        }
    }

    /// Four times a second, and whenever a promise is due.
    pub(super) fn twin_tick(&mut self, now: Time, out: &mut Vec<Action>) {
        self.settle_due(now, out);
        let Some(twin) = &mut self.twin else { return };
        if now < twin.next_heartbeat {
            return;
        }
        if twin.state == State::Drilled {
            // Nothing but the drill's end has been due.
            return self.end_drill(now, out);
        }
        twin.next_heartbeat = now + HEARTBEAT_INTERVAL;
        if twin.network_since.is_none()
            && self.interfaces.values().any(|plan| plan.interface.up && !plan.interface.addresses.is_empty())
        {
            twin.network_since = Some(now);
        }
        if !twin.in_contact(now) {
            self.lost_contact(now, out);
        }
        self.move_on(now, out);
        self.without_twin(now, out);
        self.watch_disk(now);
        self.beat(now, None, out);
        self.keep_pulling(now, out);
        self.answer_unserved(now, out);
        self.watch_digests(now);
        let Some(twin) = &mut self.twin else { return };
        twin.unserved.retain(|_, unserved| now - unserved.first < Duration::from_secs(30));
        let sweep_is_due = now >= twin.sweep_due;
        if sweep_is_due {
            twin.sweep_due = now + SWEEP_INTERVAL;
        }
        let is_stale = twin.memory.partner_number != twin.stored_partner_number
            || twin.down_on_disk != twin.memory.partner_down.is_some()
            || twin.on_disk.unpaired != twin.memory.unpaired
            || twin.on_disk.one_forgot != twin.memory.one_forgot
            || twin.on_disk.longest_mclt != twin.memory.longest_mclt
            || twin.on_disk.longest_lease != twin.memory.longest_lease;
        if is_stale && now - twin.memory_stored >= MEMORY_INTERVAL {
            self.store_memory(now, out);
        }
        self.resend(now, out);
        self.resend_settings(now, out);
        if sweep_is_due && self.disk_trouble(now).is_none() {
            self.sweep(now, out);
            self.keep_records(now, out);
        }
    }

    fn lost_contact(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let assume_after = self.plan.settings.twin.assume_partner_down_after;
        match twin.state {
            State::Normal | State::Reconcile => {
                (twin.pulled, twin.pull) = (None, None);
                self.enter(now, State::CommunicationsInterrupted, out);
            }
            State::Startup if twin.memory.unpaired || twin.network_since.is_some_and(|since| now - since >= STARTUP_PATIENCE) => {
                let next = match (twin.memory.shut_down, twin.memory.partner_down) {
                    (true, _) => State::Recover,
                    (false, Some(_)) => State::PartnerDown,
                    (false, None) => State::CommunicationsInterrupted,
                };
                if next == State::Recover && twin.memory.partner_down.take().is_some() {
                    // Who is silent itself counts nobody as down, and the twin may learn from it what it knows.
                    self.store_memory(now, out);
                }
                self.enter(now, next, out);
            }
            State::Recover => {
                // What was pulled stays pulled: a wait that has begun does not need the partner any more.
                twin.pull = None;
                // It was there for a moment only: the same as if it had not been reached at all.
                let may_serve = twin.pulled.is_none() && twin.memory.forgot.is_none() && !twin.memory.shut_down;
                let last = twin.last_heard.unwrap_or(twin.since).max(twin.since);
                if may_serve && now - last >= STARTUP_PATIENCE {
                    self.enter(now, State::CommunicationsInterrupted, out);
                }
            }
            // Its goodbye came when the disk took nothing.
            State::CommunicationsInterrupted
                if twin.ended_session.is_some() && twin.ended_session == twin.partner_session && self.trouble.is_none() =>
            {
                self.partner_is_down(now, out);
            }
            State::CommunicationsInterrupted
                if assume_after.is_some_and(|after| now - twin.since >= after) && twin.partner_drill_left(now).is_none() =>
            {
                self.partner_is_down(now, out);
            }
            State::Startup
            | State::CommunicationsInterrupted
            | State::PartnerDown
            | State::Alone
            | State::ShuttingDown
            | State::Drilled => {}
        }
    }

    /// `Recover` → `Reconcile` → `Normal`, as soon as each may.
    fn move_on(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let awake = if is_loose(Rule::W11) { now - Time::ZERO } else { now - twin.booted };
        match twin.state {
            State::Recover => {
                let may_go_alone = |word: Time| {
                    // The partner, before it went off, may have given this node's half: with leases as long as the lead time.
                    let lead_is_over = !twin.memory.shut_down || now - word >= twin.lead_wait();
                    let all_is_over = twin.memory.forgot.is_none() || awake >= twin.longest_wait();
                    !twin.in_contact(now) && lead_is_over && all_is_over
                };
                let is_over = match twin.pulled {
                    Some(_) => twin.recover_wait().is_none_or(|wait| awake >= wait),
                    None => twin.may_serve_alone.is_some_and(may_go_alone),
                };
                if is_over {
                    let heard = twin.partner.as_ref().map_or(0, |partner| partner.heard_number);
                    self.version = self.version.max(heard);
                    self.durable_number = self.durable_number.max(heard);
                    twin.memory.own_number = twin.memory.own_number.max(heard);
                    let next = if twin.pulled.is_some() { State::Reconcile } else { State::CommunicationsInterrupted };
                    if twin.pulled.is_none() {
                        // As in `PartnerDown`: the twin is to be silent until it knows what was given meanwhile.
                        twin.memory.counted_down |= !is_loose(Rule::W54);
                        twin.memory.served_unknowing = true;
                    }
                    twin.memory.forgot = None;
                    if twin.memory.doubt == Doubt::Over {
                        twin.memory.doubt = Doubt::None;
                    }
                    twin.memory.shut_down = false;
                    twin.may_serve_alone = None;
                    self.store_memory(now, out);
                    self.enter(now, next, out);
                }
            }
            State::Reconcile => {
                let partner_serves = twin.partner.as_ref().is_some_and(|partner| match partner.state {
                    State::Normal | State::Reconcile => true,
                    State::Recover | State::Startup | State::PartnerDown => is_loose(Rule::W12),
                    State::CommunicationsInterrupted => true,
                    State::Alone | State::ShuttingDown | State::Drilled => false,
                });
                let is_level = twin.pulled.is_some() && !twin.needs_sending();
                if twin.in_contact(now) && partner_serves && (is_level || is_loose(Rule::W12)) {
                    let was_unknowing = std::mem::take(&mut twin.memory.served_unknowing);
                    if was_unknowing {
                        self.store_memory(now, out);
                    }
                    self.enter(now, State::Normal, out);
                }
            }
            State::Startup
            | State::Normal
            | State::CommunicationsInterrupted
            | State::PartnerDown
            | State::Alone
            | State::ShuttingDown
            | State::Drilled => {}
        }
    }

    /// From memory: a heartbeat waits for no disk. `drill_secs`: it is the last for so long.
    fn beat(&mut self, now: Time, drill_secs: Option<u32>, out: &mut Vec<Action>) {
        let in_trouble = self.disk_trouble(now).is_some() || self.disk_is_slow(now);
        let number = if is_loose(Rule::W22) { self.version } else { self.durable_number };
        let digest = self.table.digest();
        let Some(twin) = self.twin.as_ref().filter(|twin| !twin.memory.unpaired) else { return };
        if twin.state == State::ShuttingDown {
            if twin.on_disk.shut_down {
                self.send(Body::ShuttingDown, out);
            }
            return;
        }
        let partners_trouble = twin.partner.as_ref().and_then(|partner| partner.trouble);
        let partners_trouble = partners_trouble.filter(|_| twin.on_disk.one_forgot == twin.memory.one_forgot);
        let heartbeat = Heartbeat {
            state: twin.state,
            forgot: twin.memory.forgot,
            digest,
            settings_digest: twin.replica.digest(),
            number,
            heard_number: twin.memory.partner_number,
            longest_mclt_ms: millis(twin.on_disk.longest_mclt),
            longest_lease_ms: millis(twin.on_disk.longest_lease),
            clients_heard: twin.clients_heard,
            in_trouble,
            trouble: twin.has_trouble.then_some(twin.troubles),
            knows_trouble: partners_trouble,
            counted_down: twin.memory.counted_down,
            unconfirmed: twin.unconfirmed.len() as u64,
            drill_secs,
        };
        let (from, to) = (twin.session, twin.partner_session);
        out.push(Action::Send(Envelope { from, to, body: Body::Heartbeat(heartbeat) }));
    }

    /// Rule 15: what both believe to be the same is compared; a difference that lasts is repaired, and told.
    fn watch_digests(&mut self, now: Time) {
        let (digest, is_quiet) = (self.table.digest(), self.sent.is_empty());
        let Some(twin) = &mut self.twin else { return };
        let Some(partner) = &twin.partner else { return };
        let is_quiet = is_quiet && twin.unconfirmed.is_empty() && partner.unconfirmed == 0 && twin.pull.is_none();
        let differs = partner.digest != digest || partner.settings_digest != twin.replica.digest();
        if twin.state != State::Normal || !differs || !is_quiet {
            twin.mismatch_since = None;
            return;
        }
        let since = *twin.mismatch_since.get_or_insert(now);
        if now - since >= MISMATCH_PATIENCE {
            twin.mismatch_since = None;
            twin.repairs += 1;
            twin.pulled = None;
            // Not apart: both compare everything while they go on.
            twin.pull_again();
            self.notice("The two twins did not have the same records; they compared all of them and repaired it.".into());
        }
    }

    pub(super) fn twin_deadline(&self) -> Option<Time> {
        let twin = self.twin.as_ref()?;
        let promise = twin.proposal_deadlines.first().map(|&(deadline, _)| deadline);
        Some(promise.map_or(twin.next_heartbeat, |promise| promise.min(twin.next_heartbeat)))
    }

    /// The machine was off before this boot for longer than was counted: what is stamped in the memory is that much older.
    pub(super) fn age_memory(&mut self, before: Epoch, slept: Duration) {
        let Some(twin) = &mut self.twin else { return };
        // What a refused declaration falls back to is as old. A loss is written again as it is now.
        for (since, epoch) in twin.memory.stamps().chain(&mut twin.on_disk.partner_down) {
            if *epoch < before {
                *since = since.earlier(slept);
            }
        }
    }

    /// `None`: on its way to the disk.
    pub(super) fn twin_command(
        &mut self,
        now: Time,
        id: u64,
        by: &Edited,
        command: TwinCommand,
        out: &mut Vec<Action>,
    ) -> Option<Result<(), String>> {
        let in_trouble = self.disk_trouble(now);
        if command == TwinCommand::Serve && self.waits_for_twin {
            self.waits_for_twin = false;
            return Some(Ok(()));
        }
        let Some(twin) = &mut self.twin else {
            return Some(Err("This server has no twin. `twinlease twin pair` makes it one of two.".into()));
        };
        let (state, in_contact) = (twin.state, twin.in_contact(now));
        if command == TwinCommand::EndDrill {
            let is_drilled = state == State::Drilled;
            self.end_drill(now, out);
            return Some(if is_drilled { Ok(()) } else { Err("This one is in no drill. Nothing to do.".into()) });
        }
        if state == State::Drilled {
            return Some(Err("This one is in a drill. End the drill first, or wait until it is over.".into()));
        }
        if let Some(trouble) = in_trouble {
            return Some(Err(format!("Nothing was changed: {trouble}")));
        }
        match command {
            TwinCommand::Switch => return self.switch_roles(now, id, by, out),
            TwinCommand::Drill { secs } => return Some(self.start_drill(now, secs, out)),
            // Dealt with above.
            TwinCommand::EndDrill => return Some(Ok(())),
            TwinCommand::DeclareDown => {
                if in_contact {
                    return Some(Err("The twin answers: it is not off. Nothing was changed.".into()));
                }
                if let Some(left) = twin.partner_drill_left(now) {
                    return Some(Err(format!(
                        "The twin is in a drill and comes back by itself in {} s: it is not off. Nothing was changed.",
                        left.as_secs()
                    )));
                }
                let may = match state {
                    State::CommunicationsInterrupted => true,
                    State::Recover => is_loose(Rule::W13),
                    State::PartnerDown => return Some(Ok(())),
                    State::Startup | State::Normal | State::Reconcile | State::Alone | State::ShuttingDown | State::Drilled => {
                        false
                    }
                };
                if !may {
                    return Some(Err(format!(
                        "This one is not serving yet ({}), so it cannot take over. Wait, or look at `twinlease twin status`.",
                        state
                    )));
                }
                self.partner_is_down(now, out);
            }
            TwinCommand::ShutDown => {
                if !twin.is_serving() {
                    return Some(Err(format!(
                        "This one is not serving now ({}), so there is nothing to hand over: it can be switched off as it is.",
                        state
                    )));
                }
                twin.memory.shut_down = true;
                twin.memory.partner_down = None;
                let addresses: Vec<_> = twin.proposals.keys().copied().collect();
                for address in addresses {
                    twin.forget_proposal(address);
                }
                self.store_memory(now, out);
                self.enter(now, State::ShuttingDown, out);
            }
            TwinCommand::Unpair => {
                self.unpair(now, out);
            }
            TwinCommand::Serve => {
                if state != State::Recover {
                    return Some(Err("This one is not waiting for its twin. Nothing to do.".into()));
                }
                if in_contact {
                    return Some(Err("The twin is there: this one goes on by itself when it has all of its records.".into()));
                }
                if self.plan.subnets().is_empty() {
                    return Some(Err(
                        "This one has no settings, so it could serve nobody. Import them first (`twinlease import FILE`).".into(),
                    ));
                }
                twin.may_serve_alone.get_or_insert(now);
                self.move_on(now, out);
                return Some(Ok(()));
            }
        }
        self.parked.push_back((self.last_commit, Parked::Command { id, change: None }));
        None
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
