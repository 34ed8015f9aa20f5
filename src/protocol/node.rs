//! One node: `handle(now, event)` → actions. Holds all state that decisions rest on, and makes promises durable
//! before they leave.
//!
//! A promise is a `Change`. It is applied to the table at once, so that nobody else gets the address, and its reply
//! is parked until the store says that the change is on disk. Where the store fails, the change is taken back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;

use super::{
    Action, CommitId, Event, Interface, Map, StoreTrouble,
    dhcp::Message,
    explain::{Asked, Decision, Explain, Outcome, Step},
    failover::partnership::Partnership,
    lease::Binding,
    limit::Limiter,
    plan::Plan,
    probe::{ProbeCache, ProbeResult},
    table::LeaseTable,
    time::{Epoch, Time},
};
use crate::settings::Settings;

mod commands;
mod durable;
mod history;
mod pair;
mod probing;
mod status;

pub use commands::differences;
pub(in crate::protocol) use durable::BindingChange;
use durable::{Parked, Undo};
use history::History;
pub use history::{Noted, Reversal};
pub(in crate::protocol) use pair::secs_until;
pub use pair::{DRILL_SECS, Pair, PartnerStatus, Precheck, TwinStatus};
pub(in crate::protocol) use probing::MAX_STRANGERS;
use probing::Probing;
pub use status::{Status, SubnetStatus};

/// Sentences kept for people.
const MAX_NOTICES: usize = 16;

/// The deciding half of a server.
#[derive(Debug)]
pub struct Node {
    pub(super) plan: Plan,
    pub(super) table: LeaseTable,
    pub(super) interfaces: Map<u32, InterfacePlan>,
    pub(super) probes: ProbeCache,
    pub(super) probing: Map<Ipv4Addr, Probing>,
    /// When a device last found no free address, by network.
    pub(super) turned_away: Map<Ipv4Net, Time>,
    probe_deadlines: BTreeSet<(Time, Ipv4Addr)>,
    pub(super) limiter: Limiter,
    pub(super) explain: Explain,
    /// What the disk refused, until it takes commits again.
    pub(super) trouble: Option<StoreTrouble>,
    notices: VecDeque<String>,
    /// Interfaces whose sockets cannot be opened now, each with a sentence that says why.
    not_listening: BTreeMap<String, String>,
    pub(super) epoch: Epoch,
    /// How long the machine was off before this boot is not known yet: records from before it may be older than they look.
    pub(super) sleep_is_unknown: bool,
    /// The last number that this node gave a record, and the last one that a record on its disk has.
    version: u64,
    durable_number: u64,
    last_commit: CommitId,
    history: History,
    /// The store refuses every commit up to this one: it was sent before the store's recovery was known here.
    refused_up_to: CommitId,
    /// Commits under way, since when, and the highest number of this node in each; oldest first.
    sent: VecDeque<(CommitId, Time, u64)>,
    /// What to take back if the commit fails, oldest first.
    undo: VecDeque<(CommitId, Undo)>,
    /// Addresses with a commit under way, and the latest of it.
    pending: Map<Ipv4Addr, CommitId>,
    /// What waits for its commit, oldest first.
    parked: VecDeque<(CommitId, Parked)>,
    /// It shall be one of two and has met nobody yet. It may have been one of two before its disk was wiped: silent until it
    /// has met its twin, or until the admin's word.
    waits_for_twin: bool,
    /// What the node knows of its twin, where it has one.
    pub(super) twin: Option<Box<Partnership>>,
}

/// An interface, and the subnets whose clients are heard on it directly.
#[derive(Debug)]
pub(super) struct InterfacePlan {
    pub interface: Interface,
    pub subnets: Vec<usize>,
}

impl Node {
    /// `version`: the highest version among the records. `now`: the present moment, which no record may be stamped after.
    pub fn new(settings: Settings, bindings: Vec<Binding>, epoch: Epoch, now: Time) -> Node {
        let version = bindings.iter().map(|binding| binding.version.first).max().unwrap_or(0);
        let plan = Plan::new(settings);
        let table = LeaseTable::new(&plan, bindings, Vec::new(), now);
        Node {
            plan,
            table,
            interfaces: Map::default(),
            probes: ProbeCache::default(),
            probing: Map::default(),
            turned_away: Map::default(),
            probe_deadlines: BTreeSet::new(),
            limiter: Limiter::default(),
            explain: Explain::default(),
            trouble: None,
            notices: VecDeque::new(),
            not_listening: BTreeMap::new(),
            epoch,
            sleep_is_unknown: false,
            version,
            durable_number: version,
            last_commit: CommitId(0),
            history: History::default(),
            refused_up_to: CommitId(0),
            sent: VecDeque::new(),
            undo: VecDeque::new(),
            pending: Map::default(),
            parked: VecDeque::new(),
            waits_for_twin: false,
            twin: None,
        }
    }

    /// Decides. Actions are added to `out`, to be performed in order.
    pub fn handle(&mut self, now: Time, event: Event<'_>, out: &mut Vec<Action>) {
        let (was_drilled, before) = (self.is_drilled(), out.len());
        match event {
            Event::Datagram(datagram) => self.datagram(now, &datagram, out),
            Event::Interfaces(interfaces) => self.set_interfaces(now, interfaces),
            Event::ArpHeard { address, mac } => self.arp_heard(now, address, mac, out),
            Event::NotAsked { address } => self.probe_ended(now, address, ProbeResult::NotAsked, out),
            Event::Committed { up_to } => self.committed(now, up_to, out),
            Event::CommitFailed { ids, trouble } => self.commit_failed(now, &ids, trouble, out),
            Event::StoreRecovered => self.store_recovered(now, out),
            Event::Command { id, by, command } => self.command(now, id, &by, *command, out),
            Event::Slept { before, duration } => {
                self.sleep_is_unknown = false;
                self.table.age(&self.plan, now, before, duration);
                self.age_memory(before, duration);
            }
            Event::Notice(notice) => self.notice(notice),
            Event::NotListening(why) => self.not_listening = why,
            Event::Paired(pair) => self.paired(now, *pair, out),
            Event::Partner(envelope) => self.partner_said(now, envelope, out),
            Event::Timer => self.timer(now, out),
        }
        if was_drilled && self.is_drilled() {
            self.hold_tongue(before, out);
        }
    }

    /// The store could not write from the start: nothing new is promised until `Event::StoreRecovered`.
    pub fn set_trouble(&mut self, trouble: StoreTrouble) {
        self.trouble = Some(trouble);
    }

    /// It shall be one of two, and knows nothing of anybody: until it has met its twin it answers nobody.
    pub fn set_waiting_for_twin(&mut self) {
        self.waits_for_twin = true;
    }

    pub fn waits_for_twin(&self) -> bool {
        self.waits_for_twin
    }

    /// The clock is not confirmed since the boot: `Event::Slept` will tell.
    pub fn set_sleep_unknown(&mut self) {
        self.sleep_is_unknown = true;
    }

    fn notice(&mut self, notice: String) {
        if !self.notices.contains(&notice) {
            self.notices.push_back(notice);
            if self.notices.len() > MAX_NOTICES {
                self.notices.pop_front();
            }
        }
    }

    /// When `Event::Timer` is due.
    pub fn next_deadline(&self) -> Option<Time> {
        let probe = self.probe_deadlines.first().map(|&(deadline, _)| deadline);
        [probe, self.table.next_deadline(), self.twin_deadline()].into_iter().flatten().min()
    }

    pub fn settings(&self) -> &Settings {
        &self.plan.settings
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn leases(&self) -> &LeaseTable {
        &self.table
    }

    pub fn explain(&self) -> &Explain {
        &self.explain
    }

    /// Names of the interfaces to listen on: those that have an address in one of the subnets; all that are up
    /// and have an address where a subnet is reached only by way of a relay; or those that the settings name.
    pub fn wanted_interfaces(&self) -> Vec<String> {
        let named = &self.plan.settings.server.interfaces;
        if !named.is_empty() {
            return named.clone();
        }
        let is_local = |subnet: usize| self.interfaces.values().any(|plan| plan.subnets.contains(&subnet));
        let some_relayed = (0..self.plan.subnets().len()).any(|subnet| !is_local(subnet));
        let can_have_relays = |plan: &&InterfacePlan| {
            some_relayed && plan.interface.up && plan.interface.addresses.iter().any(|net| !net.addr().is_loopback())
        };
        let mut wanted: Vec<String> = self
            .interfaces
            .values()
            .filter(|plan| !plan.subnets.is_empty() || can_have_relays(plan))
            .map(|plan| plan.interface.name.clone())
            .collect();
        wanted.sort_unstable();
        wanted
    }

    fn set_interfaces(&mut self, now: Time, interfaces: Vec<Interface>) {
        let own: Vec<Ipv4Addr> = interfaces.iter().flat_map(|interface| &interface.addresses).map(|net| net.addr()).collect();
        self.interfaces =
            interfaces.into_iter().map(|interface| (interface.index, InterfacePlan { interface, subnets: Vec::new() })).collect();
        self.link_subnets();
        self.table.set_own_addresses(&self.plan, now, own);
    }

    fn link_subnets(&mut self) {
        for plan in self.interfaces.values_mut() {
            let interface = &plan.interface;
            let is_here = |subnet: &crate::settings::Subnet| match &subnet.interface {
                Some(name) => *name == interface.name,
                None => interface.addresses.iter().any(|net| subnet.network.contains(&net.addr())),
            };
            let subnets = self.plan.subnets().iter().enumerate();
            plan.subnets = subnets.filter(|(_, subnet)| is_here(&subnet.subnet)).map(|(i, _)| i).collect();
        }
    }

    fn set_settings(&mut self, now: Time, settings: Settings) {
        self.plan = Plan::new(settings);
        self.link_subnets();
        self.table.rebuild(&self.plan, now);
    }

    fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        self.table.run_out(&self.plan, now);
        while let Some(&(deadline, address)) = self.probe_deadlines.first()
            && deadline <= now
        {
            self.probe_deadlines.pop_first();
            self.probe_ended(now, address, ProbeResult::Silent, out);
        }
        self.twin_tick(now, out);
    }

    /// Keeps the decision, and hands it on where it is worth a line in the log.
    pub(super) fn decided(&mut self, decision: Decision, out: &mut Vec<Action>) {
        if let Some(decision) = self.explain.record(decision) {
            out.push(Action::Decided(decision));
        }
    }

    pub(super) fn decision(&self, now: Time, request: &Message, asked: Asked, steps: Vec<Step>, outcome: Outcome) -> Decision {
        let name = self
            .reservation_for(request)
            .and_then(|kept| kept.name.as_deref().map(Into::into))
            .or_else(|| request.host_name())
            // Some name themselves only where they ask for an address (a RELEASE of systemd-networkd).
            .or_else(|| self.table.get(request.ciaddr).filter(|b| b.hw == request.hw).and_then(|b| b.host_name.clone()));
        Decision { at: now, hw: request.hw, name, asked, xid: request.xid, steps, outcome, repeats: 0, last_at: now }
    }
}
