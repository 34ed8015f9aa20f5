//! One machine of the pair: the node, its disk, its clock, and whether it is on.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use super::{
    super::{device::Packet, disk::Disk},
    clock::{Stamp, Timeline},
    config,
    step::{Clock, Setup, name, rank},
};
use crate::{
    protocol::{
        Action, Event, Interface, Node,
        failover::{
            Envelope, Forgot, Heartbeat, Memory, Session, State,
            loose::{Rule, is_loose},
        },
        lease::{BindingState, ClientId},
        node::Pair,
        time::{Epoch, Time},
    },
    settings::Settings,
};

/// What a machine is given while it stands still.
#[derive(Debug)]
pub enum Incoming {
    Packet(Packet),
    Partner(Envelope),
    Reports,
}

/// What the disk knows of an address, by true time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub client: ClientId,
    pub generation: u32,
    pub is_promise: bool,
    /// `None`: never ends.
    pub end: Option<u64>,
    /// The clock was right when it was written.
    pub is_certain: bool,
}

/// All that outlives a power cut.
#[derive(Debug, Clone)]
pub struct Drive {
    pub disk: Disk,
    pub known: BTreeMap<Ipv4Addr, Known>,
    pub stamp: Stamp,
}

#[derive(Debug)]
pub struct Machine {
    pub side: usize,
    setup: Setup,
    /// `None`: off.
    pub node: Option<Node>,
    pub clock: Timeline,
    pub drive: Drive,
    /// Laid aside by somebody.
    pub copy: Option<Drive>,
    /// Starts so far: what was under way to or from an earlier one is lost.
    pub starts: u64,
    pub paused_until: Option<Time>,
    pub inbox: Vec<Incoming>,
    pub disk_is_stalled: bool,
    pub write_is_due: bool,
    /// It has lost promises: wiped, or an older disk. Until it serves again.
    pub has_lost: bool,
    /// Numbers of its own are lost, of which the other may have heard. Until the two are together again.
    pub has_lost_numbers: bool,
    /// The admin said that this one is off (and it is): when it starts, it reaches the other first (e10).
    pub declared: bool,
    /// It has heard that it was declared down.
    pub was_told: bool,
    /// Its link has forgotten the other's key: whoever starts in the other's place is paired anew.
    pub key_is_forgotten: bool,
    pub said: Option<Heartbeat>,
    pub last_state: State,
}

pub fn own_address(side: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, side as u8 + 1)
}

impl Machine {
    pub fn new(side: usize, setup: Setup, now: Time) -> Machine {
        let clock = Timeline::new(now, setup.drift_ppm[side]);
        let mut disk = Disk::new(config::settings(&setup));
        disk.memory = Some(first_memory(side, &setup));
        Machine {
            side,
            setup,
            node: None,
            clock,
            drive: Drive { disk, known: BTreeMap::new(), stamp: clock.stamp(now) },
            copy: None,
            starts: 0,
            paused_until: None,
            inbox: Vec::new(),
            disk_is_stalled: false,
            write_is_due: false,
            has_lost: false,
            has_lost_numbers: false,
            declared: false,
            was_told: false,
            key_is_forgotten: false,
            said: None,
            last_state: State::Startup,
        }
    }

    pub fn is_on(&self) -> bool {
        self.node.is_some()
    }

    pub fn node_now(&self, now: Time) -> Time {
        self.clock.node(now)
    }

    /// When the node wants to be called, by true time.
    pub fn deadline(&self) -> Option<Time> {
        let deadline = self.node.as_ref()?.next_deadline()?;
        Some(self.clock.truth(deadline))
    }

    pub fn state(&self) -> Option<State> {
        self.node.as_ref().map(Node::pair_state)
    }

    /// Where it is on and answers clients, as the rules have it.
    pub fn serves(&self) -> bool {
        match self.state() {
            None | Some(State::Startup | State::Recover | State::ShuttingDown | State::Drilled) => false,
            Some(State::Alone | State::Normal | State::CommunicationsInterrupted | State::PartnerDown | State::Reconcile) => true,
        }
    }

    /// Power on. The first start ever goes on with the clock it has.
    pub fn start(&mut self, now: Time, mode: Clock, out: &mut Vec<Action>) {
        if self.starts > 0 {
            self.clock = Timeline::resume(self.drive.stamp, now, self.setup.drift_ppm[self.side]);
        }
        self.starts += 1;
        match mode {
            Clock::Right => self.confirm_at_start(now, Duration::ZERO),
            Clock::Ahead if is_loose(Rule::W16) => {
                // Believed all the same.
                self.confirm_at_start(now, Duration::from_secs(u64::from(self.setup.lease_secs)));
            }
            Clock::Unknown | Clock::Ahead => {}
        }
        let disk = &mut self.drive.disk;
        let bindings = disk.after_crash();
        let at = self.clock.node(now);
        let mut node = Node::new(disk.settings.clone(), bindings, self.clock.epoch, at);
        if !self.clock.is_confirmed {
            node.set_sleep_unknown();
        }
        // As `runtime::twin::at_start` has it.
        let mut is_new = false;
        let memory = match (disk.memory_after_crash(), self.key_is_forgotten) {
            (memory, true) => memory,
            (Some(memory), false) => {
                is_new = memory.unpaired;
                Some(Memory { unpaired: false, ..memory })
            }
            (None, false) => {
                // A pairing that was cut off: the disk itself is not new.
                (is_new, self.has_lost_numbers) = (true, true);
                Some(Memory { forgot: Some(Forgot::Blank), ..first_memory(self.side, &self.setup) })
            }
        };
        if let Some(memory) = memory.filter(|_| !self.setup.strangers) {
            let given_up = disk.given_up.values().copied().collect();
            let entries = disk.entries.values().cloned().collect();
            node.pair(at, Pair { memory, session: self.session(0), given_up, entries, joins: false, is_new }, out);
        }
        let addresses = vec![Ipv4Net::new(own_address(self.side), 24).expect("a prefix of 24 bits")];
        let mac = Some([2, 0, 0, 0, 1, self.side as u8]);
        let interface = Interface { index: 1, name: "lan".into(), mac, mtu: 1500, addresses, up: true };
        node.handle(at, Event::Interfaces(vec![interface]), out);
        self.node = Some(node);
        (self.paused_until, self.write_is_due, self.disk_is_stalled) = (None, false, false);
    }

    /// Another one for each start, and for a pairing within it.
    fn session(&self, nth: u64) -> Session {
        let number = (self.starts << 8) | (nth << 4) | (self.side as u64 + 1);
        Session(self.setup.salt ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// What the node is told when its link has found another twin, as `runtime::twin::at_pairing` has it.
    pub fn paired_anew(&mut self) -> Option<Pair> {
        self.key_is_forgotten = false;
        let memory = self.node.as_ref()?.memory().cloned();
        let memory = memory.unwrap_or_else(|| first_memory(self.side, &self.setup));
        Some(Pair { memory, session: self.session(1), given_up: Vec::new(), entries: Vec::new(), joins: false, is_new: true })
    }

    /// It begins as the twin of one that is alone by now, and may have leases.
    pub fn joins(&mut self, one_with_leases: bool) {
        let memory = Memory { shut_down: one_with_leases, ..first_memory(self.side, &self.setup) };
        self.drive.disk.memory = Some(memory);
    }

    fn confirm_at_start(&mut self, now: Time, ahead: Duration) {
        if let Some((before, slept)) = self.clock.confirm(now) {
            self.drive.disk.slept(self.aged_before(before), slept + ahead);
        }
    }

    /// Records of which epochs a step of the clock ages.
    pub fn aged_before(&self, before: Epoch) -> Epoch {
        if is_loose(Rule::W34) { Epoch(self.clock.epoch.0 + 1) } else { before }
    }

    pub fn stop(&mut self, now: Time) {
        self.drive.stamp = self.clock.stamp(now);
        self.node = None;
        (self.said, self.last_state) = (None, State::Startup);
        self.was_told &= self.drive.disk.memory.as_ref().is_some_and(|memory| memory.shut_down);
        self.inbox.clear();
    }

    /// A blank disk in a machine that was one of a pair.
    pub fn wipe(&mut self, now: Time) {
        let fresh = Timeline::new(now, self.setup.drift_ppm[self.side]);
        let mut disk = Disk::new(config::settings(&self.setup));
        disk.memory = Some(Memory { forgot: Some(Forgot::Blank), ..first_memory(self.side, &self.setup) });
        self.drive = Drive { disk, known: BTreeMap::new(), stamp: fresh.stamp(now) };
        (self.has_lost, self.has_lost_numbers, self.was_told, self.copy) = (true, true, false, None);
        // It is silent until it has reached the other, whether it was declared down or not.
        self.declared = false;
    }

    pub fn restore(&mut self, marked: bool) {
        let Some(mut drive) = self.copy.clone() else { return };
        if marked && !is_loose(Rule::W15) {
            // A copy from before there was a twin is a blank disk to the pair.
            if let Some(memory) = drive.disk.memory.as_mut() {
                memory.forgot = Some(memory.forgot.unwrap_or(Forgot::Restored));
            }
            self.declared = false;
        }
        self.drive = drive;
        (self.has_lost, self.has_lost_numbers, self.was_told) = (true, true, false);
    }

    /// It was declared down, and has not heard of that yet.
    pub fn must_be_told(&self) -> bool {
        self.declared && !self.was_told
    }

    /// Notes what was just written, by true time.
    pub fn written(&mut self, now: Time, first_new: usize) {
        for binding in &self.drive.disk.history[first_new..] {
            let known = Known {
                client: binding.client.clone(),
                generation: binding.generation,
                is_promise: matches!(binding.state, BindingState::Leased | BindingState::Released | BindingState::Declined),
                end: self.clock.truth_of_expiry(now, binding.expiry),
                is_certain: self.clock.is_confirmed,
            };
            self.drive.known.insert(binding.address, known);
        }
        self.drive.stamp = self.clock.stamp(now);
    }

    pub fn settings(&self) -> &Settings {
        match &self.node {
            Some(node) => node.settings(),
            None => &self.drive.disk.settings,
        }
    }

    pub fn name(&self) -> &'static str {
        name(self.side)
    }
}

/// What both know after they were paired for the first time.
fn first_memory(side: usize, setup: &Setup) -> Memory {
    let settings = config::settings(setup);
    Memory::new(rank(side), settings.twin.mclt, settings.lease.max, None)
}
