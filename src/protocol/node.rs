//! One node: `handle(now, event)` → actions. Holds all state that decisions rest on, and makes promises durable
//! before they leave.
//!
//! A promise is a `Change`. It is applied to the table at once, so that nobody else gets the address, and its reply
//! is parked until the store says that the change is on disk. Where the store fails, the change is taken back.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::Ipv4Addr,
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    Action, Change, Command, Commit, CommitId, Event, Interface, StoreTrouble,
    dhcp::{
        Message,
        rules::{ParkedAck, Request},
    },
    explain::{Asked, Decision, Explain, Outcome, Silence, Step},
    lease::{Binding, BindingState, ClientId, HwAddr, Version},
    limit::Limiter,
    plan::Plan,
    probe::{CACHE_TIME, ProbeCache, ProbeResult},
    table::LeaseTable,
    time::{Epoch, Time},
};
use crate::settings::{Record, Settings, check};

/// Commits under way; past this, clients are left to ask again.
pub(super) const MAX_PENDING: usize = 16_384;
/// Sentences kept for people.
const MAX_NOTICES: usize = 16;
/// Addresses being probed at one time.
pub(super) const MAX_PROBING: usize = 4096;
/// How long an address under which a stranger answered is left alone.
const STRANGER_REST: Duration = Duration::from_secs(600);
/// When nothing else is free, such an address is asked about again after this.
const STRANGER_REST_MIN: Duration = CACHE_TIME;
/// Addresses under which strangers answered, for one request: then the client is left to ask again. Whoever answers
/// every probe would else have the whole pool set aside by one packet.
pub(super) const MAX_STRANGERS: usize = 8;

/// The deciding half of a server.
#[derive(Debug)]
pub struct Node {
    pub(super) plan: Plan,
    pub(super) table: LeaseTable,
    pub(super) interfaces: HashMap<u32, InterfacePlan>,
    pub(super) probes: ProbeCache,
    pub(super) probing: HashMap<Ipv4Addr, Probing>,
    probe_deadlines: BTreeSet<(Time, Ipv4Addr)>,
    pub(super) limiter: Limiter,
    pub(super) explain: Explain,
    /// What the disk refused, until it takes commits again.
    pub(super) trouble: Option<StoreTrouble>,
    notices: VecDeque<String>,
    epoch: Epoch,
    version: u64,
    last_commit: CommitId,
    /// What to take back if the commit fails, oldest first.
    undo: VecDeque<(CommitId, Undo)>,
    /// Addresses with a commit under way, and the latest of it.
    pending: HashMap<Ipv4Addr, CommitId>,
    /// What waits for its commit, oldest first.
    parked: VecDeque<(CommitId, Parked)>,
}

/// An interface, and the subnets whose clients are heard on it directly.
#[derive(Debug)]
pub(super) struct InterfacePlan {
    pub interface: Interface,
    pub subnets: Vec<usize>,
}

/// A request that waits until it is known whether somebody uses the address.
#[derive(Debug)]
pub(super) struct Probing {
    pub request: Request,
    pub started: Time,
    pub deadline: Time,
}

#[derive(Debug)]
enum Undo {
    Binding { address: Ipv4Addr, before: Option<Binding> },
    Settings(Box<Settings>),
}

#[derive(Debug)]
enum Parked {
    Ack(Box<ParkedAck>),
    /// A decision without a reply (RELEASE, DECLINE).
    Note(Box<Decision>),
    Command(u64),
}

/// How a node is doing, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Status {
    /// Answering clients (on at least one interface).
    pub serving: bool,
    pub interfaces: Vec<String>,
    /// Why nothing new can be promised, as a sentence.
    pub trouble: Option<String>,
    /// What else somebody should look at, as sentences.
    pub notices: Vec<String>,
    pub subnets: Vec<SubnetStatus>,
    pub commits_waiting: usize,
    /// Decisions since start, by outcome.
    pub outcomes: std::collections::BTreeMap<&'static str, u64>,
    /// Datagrams since start that were no request, by cause.
    pub malformed: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SubnetStatus {
    pub network: String,
    /// Addresses that can be given to anybody.
    pub pool_size: u64,
    /// How many of them are held.
    pub pool_used: u64,
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
            interfaces: HashMap::new(),
            probes: ProbeCache::default(),
            probing: HashMap::new(),
            probe_deadlines: BTreeSet::new(),
            limiter: Limiter::default(),
            explain: Explain::default(),
            trouble: None,
            notices: VecDeque::new(),
            epoch,
            version,
            last_commit: CommitId(0),
            undo: VecDeque::new(),
            pending: HashMap::new(),
            parked: VecDeque::new(),
        }
    }

    /// Decides. Actions are added to `out`, to be performed in order.
    pub fn handle(&mut self, now: Time, event: Event<'_>, out: &mut Vec<Action>) {
        match event {
            Event::Datagram(datagram) => self.datagram(now, &datagram, out),
            Event::Interfaces(interfaces) => self.set_interfaces(now, interfaces),
            Event::ArpHeard { address, mac } => self.arp_heard(now, address, mac, out),
            Event::Committed { up_to } => self.committed(now, up_to, out),
            Event::CommitFailed { ids, trouble } => self.commit_failed(now, &ids, trouble, out),
            Event::StoreRecovered => self.trouble = None,
            Event::Command { id, command } => self.command(now, id, command, out),
            Event::Slept { before, duration } => self.table.age(&self.plan, now, before, duration),
            Event::Notice(notice) => self.notice(notice),
            Event::Timer => self.timer(now, out),
        }
    }

    /// The store could not write from the start: nothing new is promised until `Event::StoreRecovered`.
    pub fn set_trouble(&mut self, trouble: StoreTrouble) {
        self.trouble = Some(trouble);
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
        [probe, self.table.next_deadline()].into_iter().flatten().min()
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

    pub fn status(&self, now: Time) -> Status {
        let mut used = vec![0; self.plan.subnets().len()];
        for binding in self.table.iter().filter(|binding| binding.is_held(now)) {
            if let Some(subnet) = self.plan.subnet_of(binding.address)
                && self.plan.subnets()[subnet].is_dynamic(binding.address)
            {
                used[subnet] += 1;
            }
        }
        let subnets = self.plan.subnets().iter().zip(used).map(|(plan, pool_used)| SubnetStatus {
            network: plan.subnet.network.to_string(),
            pool_size: plan.pool_size,
            pool_used,
        });
        let mut interfaces: Vec<String> = self
            .interfaces
            .values()
            .filter(|plan| !plan.subnets.is_empty() && plan.interface.up)
            .map(|plan| plan.interface.name.clone())
            .collect();
        interfaces.sort_unstable();
        Status {
            serving: !interfaces.is_empty(),
            interfaces,
            trouble: self.trouble.as_ref().map(ToString::to_string),
            notices: self.notices.iter().cloned().collect(),
            subnets: subnets.collect(),
            commits_waiting: self.undo.len(),
            outcomes: self.explain.outcomes.clone(),
            malformed: self.explain.malformed.iter().map(|(cause, count)| (cause.to_string(), *count)).collect(),
        }
    }

    /// Names of the interfaces to listen on: those that have an address in one of the subnets; all of them where
    /// a subnet is reached only by way of a relay; or those that the settings name.
    pub fn wanted_interfaces(&self) -> Vec<String> {
        let named = &self.plan.settings.server.interfaces;
        if !named.is_empty() {
            return named.clone();
        }
        let is_local = |subnet: usize| self.interfaces.values().any(|plan| plan.subnets.contains(&subnet));
        let some_relayed = (0..self.plan.subnets().len()).any(|subnet| !is_local(subnet));
        let mut wanted: Vec<String> = self
            .interfaces
            .values()
            .filter(|plan| some_relayed || !plan.subnets.is_empty())
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

    /// Writes a record of this address; the reply waits for the commit that is returned.
    pub(super) fn bind(&mut self, now: Time, change: BindingChange<'_>, out: &mut Vec<Action>) -> CommitId {
        let binding = self.new_record(now, change);
        self.commit(now, vec![binding], out)
    }

    /// The next record of an address.
    pub(super) fn new_record(&mut self, now: Time, change: BindingChange<'_>) -> Binding {
        let before = self.table.get(change.address);
        let generation = match before {
            Some(before) if before.client != *change.client => before.generation + 1,
            Some(before) => before.generation,
            None => 1,
        };
        let host_name =
            change.host_name.or_else(|| before.filter(|b| b.client == *change.client).and_then(|b| b.host_name.clone()));
        self.version += 1;
        Binding {
            address: change.address,
            client: change.client.clone(),
            hw: change.hw,
            state: change.state,
            since: now,
            expiry: change.expiry,
            epoch: self.epoch,
            generation,
            version: Version { first: self.version, second: before.map_or(0, |before| before.version.second) },
            host_name,
        }
    }

    pub(super) fn commit(&mut self, now: Time, bindings: Vec<Binding>, out: &mut Vec<Action>) -> CommitId {
        let id = self.next_commit();
        for binding in &bindings {
            let address = binding.address;
            let before = self.table.insert(&self.plan, now, binding.clone());
            self.undo.push_back((id, Undo::Binding { address, before }));
            self.pending.insert(address, id);
        }
        out.push(Action::Commit(Commit { id, changes: bindings.into_iter().map(Change::Bind).collect() }));
        id
    }

    fn next_commit(&mut self) -> CommitId {
        self.last_commit.0 += 1;
        self.last_commit
    }

    pub(super) fn is_behind(&self) -> bool {
        self.undo.len() >= MAX_PENDING
    }

    /// A change of this address is on its way to the disk.
    pub(super) fn is_pending(&self, address: Ipv4Addr) -> bool {
        self.pending.contains_key(&address)
    }

    pub(super) fn park_ack(&mut self, id: CommitId, ack: ParkedAck) {
        self.parked.push_back((id, Parked::Ack(Box::new(ack))));
    }

    pub(super) fn park_note(&mut self, id: CommitId, decision: Decision) {
        self.parked.push_back((id, Parked::Note(Box::new(decision))));
    }

    fn committed(&mut self, now: Time, up_to: CommitId, out: &mut Vec<Action>) {
        while let Some((id, undo)) = self.undo.front()
            && *id <= up_to
        {
            if let Undo::Binding { address, .. } = undo
                && self.pending.get(address) == Some(id)
            {
                self.pending.remove(address);
            }
            self.undo.pop_front();
        }
        while let Some((id, _)) = self.parked.front()
            && *id <= up_to
        {
            match self.parked.pop_front().expect("looked at above").1 {
                Parked::Ack(ack) => self.release_ack(now, *ack, out),
                Parked::Note(mut decision) => {
                    decision.steps.push(Step::Durable { after_ms: (now - decision.at).as_millis() as u64 });
                    self.decided(*decision, out);
                }
                Parked::Command(id) => out.push(Action::Done { id, result: Ok(()) }),
            }
        }
    }

    fn commit_failed(&mut self, now: Time, ids: &RangeInclusive<CommitId>, trouble: StoreTrouble, out: &mut Vec<Action>) {
        let sentence = trouble.to_string();
        self.trouble = Some(trouble);
        // The store refuses everything after the first failure, so what failed is the tail: take it back, latest first.
        while let Some((id, _)) = self.undo.back()
            && id >= ids.start()
        {
            let (id, undo) = self.undo.pop_back().expect("looked at above");
            match undo {
                Undo::Binding { address, before } => {
                    self.table.restore(&self.plan, now, address, before);
                    if self.pending.get(&address) == Some(&id) {
                        self.pending.remove(&address);
                    }
                }
                Undo::Settings(before) => self.set_settings(now, *before),
            }
        }
        let first_failed = self.parked.partition_point(|(id, _)| id < ids.start());
        for (_, parked) in self.parked.split_off(first_failed) {
            match parked {
                Parked::Ack(ack) => self.answer_from_memory(now, *ack, out),
                Parked::Note(mut decision) => {
                    decision.steps.push(Step::DiskTrouble { why: sentence.clone() });
                    self.decided(*decision, out);
                }
                Parked::Command(id) => out.push(Action::Done { id, result: Err(format!("Nothing was changed: {sentence}")) }),
            }
        }
    }

    fn command(&mut self, now: Time, id: u64, command: Command, out: &mut Vec<Action>) {
        let result = self.change_settings(now, id, command, out);
        if let Some(result) = result {
            out.push(Action::Done { id, result });
        }
    }

    /// `None`: on its way to the disk.
    fn change_settings(&mut self, now: Time, id: u64, command: Command, out: &mut Vec<Action>) -> Option<Result<(), String>> {
        if let Some(trouble) = &self.trouble {
            return Some(Err(format!("Nothing was changed: {trouble}")));
        }
        let before = self.plan.settings.clone();
        let after = match command {
            Command::Add(record) => check::after_add(&before, record),
            Command::Put(record) => check::after_put(&before, record),
            Command::Remove(key) => check::after_remove(&before, &key),
            Command::Replace(settings) => match check::check(&settings) {
                findings if findings.is_empty() => Ok(*settings),
                findings => Err(findings),
            },
            Command::Free(address) => return self.free(now, id, address, out),
        };
        let after = match after {
            Ok(after) => after,
            Err(findings) => return Some(Err(findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>().join("\n"))),
        };
        let changes = differences(&before, &after);
        if changes.is_empty() {
            return Some(Ok(()));
        }
        let commit = self.next_commit();
        self.set_settings(now, after);
        self.undo.push_back((commit, Undo::Settings(Box::new(before))));
        self.parked.push_back((commit, Parked::Command(id)));
        out.push(Action::Commit(Commit { id: commit, changes }));
        None
    }

    /// The admin's word that the holder of this address is gone.
    fn free(&mut self, now: Time, id: u64, address: Ipv4Addr, out: &mut Vec<Action>) -> Option<Result<(), String>> {
        let Some(binding) = self.table.get(address).filter(|binding| binding.is_held(now)).cloned() else {
            return Some(Err(format!("{address} is held by nobody. Nothing to do.")));
        };
        let (client, hw) = (&binding.client, binding.hw);
        let released =
            BindingChange { address, client, hw, state: BindingState::Released, expiry: binding.expiry, host_name: None };
        let commit = self.bind(now, released, out);
        self.parked.push_back((commit, Parked::Command(id)));
        None
    }

    fn timer(&mut self, now: Time, out: &mut Vec<Action>) {
        self.table.run_out(&self.plan, now);
        while let Some(&(deadline, address)) = self.probe_deadlines.first()
            && deadline <= now
        {
            self.probe_deadlines.pop_first();
            self.probe_ended(now, address, ProbeResult::Silent, out);
        }
    }

    /// Asks who uses the address; the request is taken up again when that is known. With too many at once, the client
    /// is left to ask again.
    pub(super) fn probe(&mut self, now: Time, wait: Duration, address: Ipv4Addr, request: Request, out: &mut Vec<Action>) {
        let interface = request.interface;
        if let Some(probing) = self.probing.get_mut(&address) {
            // The client grew impatient: answer its latest message.
            probing.request = request;
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

    fn arp_heard(&mut self, now: Time, address: Ipv4Addr, mac: [u8; 6], out: &mut Vec<Action>) {
        if self.probing.contains_key(&address) {
            self.probe_ended(now, address, ProbeResult::UsedBy(mac), out);
        }
    }

    fn probe_ended(&mut self, now: Time, address: Ipv4Addr, result: ProbeResult, out: &mut Vec<Action>) {
        let Some(Probing { mut request, started, deadline }) = self.probing.remove(&address) else { return };
        self.probe_deadlines.remove(&(deadline, address));
        self.probes.put(now, address, result);
        let is_stranger = |mac| request.message.hw.mac() != Some(mac);
        match result {
            ProbeResult::Silent => {
                request.steps.push(Step::ProbeSilent { address, waited_ms: (now - started).as_millis() as u64 })
            }
            ProbeResult::UsedBy(mac) => {
                request.steps.push(Step::ProbeAnswered { address, mac });
                let is_leased = self.table.get(address).is_some_and(|b| b.is_held(now) && b.hw.mac() == Some(mac));
                if is_stranger(mac) && !is_leased {
                    if let Some(client) = self.table.offered(address).cloned() {
                        self.table.forget_offer(&self.plan, now, &client);
                    }
                    self.table.set_aside(&self.plan, address, now + STRANGER_REST_MIN, now + STRANGER_REST);
                }
            }
        }
        self.discover(now, request, out);
    }

    /// Keeps the decision, and hands it on where it is worth a line in the log.
    pub(super) fn decided(&mut self, decision: Decision, out: &mut Vec<Action>) {
        if let Some(decision) = self.explain.record(decision) {
            out.push(Action::Decided(decision));
        }
    }

    pub(super) fn decision(&self, now: Time, request: &Message, asked: Asked, steps: Vec<Step>, outcome: Outcome) -> Decision {
        let name = self
            .plan
            .reservation_for(request)
            .and_then(|kept| kept.name.as_deref().map(Into::into))
            .or_else(|| request.host_name());
        Decision { at: now, hw: request.hw, name, asked, xid: request.xid, steps, outcome, repeats: 0, last_at: now }
    }
}

/// What shall become of an address.
#[derive(Debug)]
pub(super) struct BindingChange<'a> {
    pub address: Ipv4Addr,
    pub client: &'a ClientId,
    pub hw: HwAddr,
    pub state: BindingState,
    pub expiry: Time,
    /// `None`: as before, where the client is the same.
    pub host_name: Option<Box<str>>,
}

/// The changes that turn one into the other. Removals first: an address or identifier that moves from one
/// reservation to another is free before it is taken.
pub fn differences(before: &Settings, after: &Settings) -> Vec<Change> {
    let (old, new) = (before.records(), after.records());
    let new_keys: BTreeSet<_> = new.iter().map(Record::key).collect();
    let removed = old.iter().map(Record::key).filter(|key| !new_keys.contains(key)).map(Change::Remove);
    let old_by_key: HashMap<_, _> = old.iter().map(|record| (record.key(), record)).collect();
    let moved = new.iter().filter(|record| match record {
        Record::Reservation(kept) => {
            matches!(old_by_key.get(&record.key()), Some(Record::Reservation(was)) if was.address != kept.address)
        }
        _ => false,
    });
    let freed = moved.map(|record| Change::Remove(record.key()));
    let put = new.iter().filter(|record| old_by_key.get(&record.key()) != Some(record)).cloned().map(Change::Put);
    removed.chain(freed).chain(put).collect()
}

impl std::fmt::Display for StoreTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreTrouble::DiskFull => write!(f, "the disk is full"),
            StoreTrouble::Other(why) => f.write_str(why),
        }
    }
}
