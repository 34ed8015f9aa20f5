//! Two nodes on one network, with disks that write at once and a link that can be held or cut.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use crate::{
    protocol::{
        Action, Change, Command, Commit, Datagram, Event, Interface, Node,
        dhcp::PROBE_CLASS,
        failover::{Envelope, Forgot, GivenUp, Memory, Rank, Session, State},
        lease::{Binding, HwAddr},
        node::{Noted, Pair, TwinStatus},
        replica::{Edited, Entry},
        simulation::device::{DISCOVER, Device, Heard, OFFER, REQUEST},
        time::{Epoch, Time},
    },
    settings::{Identifier, Record, Reservation, Settings, parse},
};

pub const A: usize = 0;
pub const B: usize = 1;
const SETTINGS: &str = "[server]\nprobe = false\n[lease]\nmin = \"1m\"\ndefault = \"10m\"\nmax = \"10m\"\n[twin]\nmclt = \"2m\"\n\
     [[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-192.0.2.15\"]\n";

#[derive(Debug, Clone, Default)]
pub struct Disk {
    settings: Settings,
    bindings: BTreeMap<Ipv4Addr, Binding>,
    entries: BTreeMap<String, Entry>,
    given_up: BTreeMap<Ipv4Addr, GivenUp>,
    memory: Option<Memory>,
    notes: Vec<Noted>,
}

impl Disk {
    fn write(&mut self, commit: &Commit) {
        for change in &commit.changes {
            match change.clone() {
                Change::Bind(binding) => drop(self.bindings.insert(binding.address, binding)),
                Change::Put(record) => self.settings.put(record),
                Change::Remove(key) => self.settings.remove(&key),
                Change::Setting(entry) => drop(self.entries.insert(format!("{:?}", entry.key), *entry)),
                Change::GiveUp(given_up) => drop(self.given_up.insert(given_up.address, given_up)),
                Change::Pair(memory) => {
                    if memory.is_none() {
                        self.entries.clear();
                        self.given_up.clear();
                    }
                    self.memory = memory;
                }
                Change::Noted(noted) => self.notes.push(*noted),
            }
        }
    }
}

pub struct House {
    now: Time,
    nodes: [Option<Node>; 2],
    disks: [Disk; 2],
    link: Vec<(usize, Envelope)>,
    is_cut: bool,
    /// Nothing reaches this one.
    cut_towards: Option<usize>,
    is_held: bool,
    /// What the disk of each has not written yet, while it stands still.
    stalled: [Option<Vec<Commit>>; 2],
    sessions: u64,
    /// Who is paired at its next start with one that was there before.
    pub joins: Option<usize>,
    /// Whose next start is its first one with this twin.
    is_newcomer: Option<usize>,
    heard: BTreeMap<u8, Vec<Heard>>,
    done: Vec<Result<(), String>>,
}

impl House {
    pub fn new() -> House {
        let settings = parse::parse(SETTINGS).expect("these settings are sound");
        let disk = |rank, settings| Disk {
            settings,
            memory: Some(Memory::new(rank, Duration::from_secs(120), Duration::from_secs(600), None)),
            ..Disk::default()
        };
        let disks = [disk(Rank::First, settings.clone()), disk(Rank::Second, Settings::default())];
        let mut house = House {
            now: Time(1_000_000),
            nodes: [None, None],
            disks,
            link: Vec::new(),
            is_cut: false,
            cut_towards: None,
            is_held: false,
            stalled: [None, None],
            sessions: 0,
            joins: None,
            is_newcomer: None,
            heard: BTreeMap::new(),
            done: Vec::new(),
        };
        house.start(A);
        house.start(B);
        house
    }

    pub fn together() -> House {
        let mut house = House::new();
        house.wait(Duration::from_secs(2));
        assert_eq!(house.states(), [State::Normal, State::Normal]);
        house
    }

    pub fn address(&self, node: usize) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, 1 + node as u8)
    }

    pub fn start(&mut self, node: usize) {
        self.sessions += 1;
        let disk = self.disks[node].clone();
        let bindings = disk.bindings.into_values().collect();
        let mut fresh = Node::new(disk.settings, bindings, Epoch(1), self.now);
        let mut out = Vec::new();
        if let Some(memory) = disk.memory {
            let (given_up, entries) = (disk.given_up.into_values().collect(), disk.entries.into_values().collect());
            let pair = Pair {
                memory,
                session: Session(self.sessions),
                given_up,
                entries,
                joins: self.joins == Some(node),
                is_new: self.is_newcomer == Some(node),
            };
            fresh.pair(self.now, pair, &mut out);
        }
        self.nodes[node] = Some(fresh);
        self.perform(node, out);
        let interface = Interface {
            index: 1,
            name: "eth0".into(),
            mac: Some([2, 0, 0, 0, 1, node as u8]),
            mtu: 1500,
            addresses: vec![format!("{}/24", self.address(node)).parse().expect("an address")],
            up: true,
        };
        self.handle(node, Event::Interfaces(vec![interface]));
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    pub fn wipe(&mut self, node: usize) {
        let rank = if node == A { Rank::First } else { Rank::Second };
        let memory = Memory::new(rank, Duration::from_secs(120), Duration::from_secs(600), Some(Forgot::Blank));
        self.disks[node] = Disk { memory: Some(memory), ..Disk::default() };
    }

    /// It was set up before it had a twin.
    pub fn set_up(&mut self, node: usize, record: Record) {
        self.disks[node].settings.put(record);
        self.is_newcomer = Some(node);
    }

    /// As a settings file does at the first start on a blank disk.
    pub fn give_settings(&mut self, node: usize, record: Record) {
        self.disks[node].settings.put(record);
    }

    /// The link of this one has found another twin, as `runtime::twin::at_pairing` has it.
    pub fn pair_anew(&mut self, node: usize) {
        self.sessions += 1;
        let rank = if node == A { Rank::First } else { Rank::Second };
        let memory = self.node(node).memory().cloned();
        let memory = memory.unwrap_or_else(|| Memory::new(rank, Duration::from_secs(120), Duration::from_secs(600), None));
        let pair = Pair {
            memory,
            session: Session(self.sessions),
            given_up: Vec::new(),
            entries: Vec::new(),
            joins: false,
            is_new: true,
        };
        self.handle(node, Event::Paired(Box::new(pair)));
    }

    pub fn status(&self, node: usize) -> Option<TwinStatus> {
        self.node(node).twin_status(self.now)
    }

    /// Its disk knows of a pair.
    pub fn remembers_a_twin(&self, node: usize) -> bool {
        self.disks[node].memory.is_some()
    }

    pub fn disk_copy(&self, node: usize) -> Disk {
        self.disks[node].clone()
    }

    pub fn put_back(&mut self, node: usize, disk: Disk) {
        self.disks[node] = disk;
    }

    pub fn cut(&mut self) {
        self.is_cut = true;
        self.link.clear();
    }

    pub fn cut_towards(&mut self, node: usize) {
        self.cut_towards = Some(node);
        self.link.retain(|(to, _)| *to != node);
    }

    pub fn heal(&mut self) {
        (self.is_cut, self.cut_towards) = (false, None);
    }

    pub fn hold_link(&mut self) {
        self.is_held = true;
    }

    pub fn let_link_go(&mut self) {
        self.is_held = false;
        self.deliver();
    }

    pub fn states(&self) -> [State; 2] {
        [A, B].map(|node| self.nodes[node].as_ref().map_or(State::Alone, Node::pair_state))
    }

    pub fn record(&self, node: usize, address: Ipv4Addr) -> Binding {
        let mut record = self.node(node).leases().get(address).expect("a record").clone();
        // Times that travelled are the same here, but for the second's tolerance.
        (record.since, record.expiry) = (Time::ZERO, Time::ZERO);
        record
    }

    pub fn table(&self, node: usize) -> BTreeMap<Ipv4Addr, Binding> {
        self.node(node).leases().iter().map(|record| (record.address, self.record(node, record.address))).collect()
    }

    fn node(&self, node: usize) -> &Node {
        self.nodes[node].as_ref().expect("it runs")
    }

    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = [A, B].into_iter().filter_map(|node| Some((self.nodes[node].as_ref()?.next_deadline()?, node))).min();
            match due {
                Some((due, node)) if due <= end => {
                    self.now = self.now.max(due);
                    self.handle(node, Event::Timer);
                }
                Some(_) | None => break,
            }
        }
        self.now = end;
    }

    fn handle(&mut self, node: usize, event: Event<'_>) {
        let Some(running) = &mut self.nodes[node] else { return };
        let mut out = Vec::new();
        running.handle(self.now, event, &mut out);
        self.perform(node, out);
        self.deliver();
    }

    fn perform(&mut self, node: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Reply(reply) => {
                    let heard = Heard::read(&reply).expect("a reply with a type");
                    self.heard.entry(heard.mac[5]).or_default().push(heard);
                }
                Action::Commit(commit) => match &mut self.stalled[node] {
                    Some(waiting) => waiting.push(commit),
                    None => self.write(node, &commit),
                },
                Action::Send(_) if self.is_cut || self.cut_towards == Some(1 - node) => {}
                Action::Send(envelope) => self.link.push((1 - node, envelope)),
                Action::Done { result, .. } => self.done.push(result),
                Action::Probe { .. } | Action::Decided(_) => {}
            }
        }
    }

    fn write(&mut self, node: usize, commit: &Commit) {
        self.disks[node].write(commit);
        let mut out = Vec::new();
        let running = self.nodes[node].as_mut().expect("it runs");
        running.handle(self.now, Event::Committed { up_to: commit.id }, &mut out);
        self.perform(node, out);
    }

    pub fn stall_disk(&mut self, node: usize) {
        self.stalled[node] = Some(Vec::new());
    }

    pub fn let_disk_go(&mut self, node: usize) {
        for commit in self.stalled[node].take().into_iter().flatten() {
            self.write(node, &commit);
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        while !self.is_held && !self.link.is_empty() {
            let (to, envelope) = self.link.remove(0);
            self.handle(to, Event::Partner(envelope));
        }
    }

    pub fn command(&mut self, node: usize, command: Command) -> Result<(), String> {
        self.command_by(node, Edited::default(), command)
    }

    /// All that the history of this node has, oldest first.
    pub fn notes(&self, node: usize) -> &[Noted] {
        &self.disks[node].notes
    }

    pub fn command_by(&mut self, node: usize, by: Edited, command: Command) -> Result<(), String> {
        self.done.clear();
        self.handle(node, Event::Command { id: 0, by, command: Box::new(command) });
        self.done.pop().expect("disks here write at once")
    }

    pub fn reserve(&mut self, node: usize, mac: &str, address: &str, name: &str) -> Result<(), String> {
        let reservation = Reservation {
            identifier: Identifier::Mac(mac.parse::<HwAddr>().expect("a MAC")),
            address: address.parse().expect("an address"),
            name: Some(name.into()),
            note: None,
            options: Default::default(),
            force_broadcast: false,
            echo_client_id: true,
        };
        self.command(node, Command::Put(Record::Reservation(reservation)))
    }

    pub fn rename(&mut self, node: usize, mac: &str, name: &str) {
        self.reserve(node, mac, "192.0.2.10", name).expect("a name");
    }

    pub fn settings(&self, node: usize) -> &Settings {
        self.node(node).settings()
    }

    pub fn kept_names(&self, node: usize) -> Vec<String> {
        self.node(node).settings().reservations.iter().filter_map(|kept| kept.name.clone()).collect()
    }

    pub fn to_reconcile(&self, node: usize) -> Vec<String> {
        self.node(node).twin_status(self.now).expect("it has a twin").to_reconcile
    }

    pub fn is_level(&self, node: usize) -> Option<bool> {
        self.node(node).twin_status(self.now).expect("it has a twin").is_level
    }

    /// Messages of this one that are held on the link.
    pub fn held_of(&self, node: usize) -> usize {
        self.link.iter().filter(|(to, _)| *to == 1 - node).count()
    }

    pub fn client(&mut self, number: u8) -> Client<'_> {
        Client { house: self, number }
    }

    /// An offer from the other one's half: where both are equal the own half is first, and one more is offered from there.
    pub fn foreign_offer(&mut self, number: u8, node: usize) -> Ipv4Addr {
        self.client(number + 16).asks(node);
        self.client(number).asks(node).address
    }

    pub fn own_offer(&mut self, number: u8, node: usize) -> Ipv4Addr {
        self.client(number).asks(node).address
    }

    pub fn full_lease(&mut self, number: u8, node: usize) -> Ipv4Addr {
        self.client(number).asks_until_served(node);
        let offered = self.expect_offer(number);
        self.client(number).takes(node, offered.address);
        self.wait(Duration::from_millis(250));
        self.expect_ack(number).address
    }

    fn last(&mut self, number: u8) -> Option<Heard> {
        self.heard.remove(&number).and_then(|heard| heard.last().copied())
    }

    /// Who has answered it since it was last looked at.
    pub fn servers_heard(&mut self, number: u8) -> Vec<usize> {
        let heard = self.heard.remove(&number).unwrap_or_default();
        [A, B].into_iter().filter(|node| heard.iter().any(|heard| heard.server == Some(self.address(*node)))).collect()
    }

    #[track_caller]
    pub fn expect_offer(&mut self, number: u8) -> Heard {
        self.last(number).filter(|heard| heard.kind == OFFER).expect("an OFFER")
    }

    #[track_caller]
    pub fn expect_ack(&mut self, number: u8) -> Heard {
        let heard = self.last(number).expect("an ACK, and there is silence");
        assert_eq!(heard.kind, crate::protocol::simulation::device::ACK, "an ACK: {heard:?}");
        heard
    }

    #[track_caller]
    pub fn expect_nak(&mut self, number: u8) {
        let heard = self.last(number).expect("a NAK, and there is silence");
        assert_eq!(heard.kind, crate::protocol::simulation::device::NAK, "a NAK: {heard:?}");
    }

    #[track_caller]
    pub fn expect_silence(&mut self, number: u8) {
        assert!(self.last(number).is_none(), "client {number} should hear nothing yet");
    }
}

pub struct Client<'a> {
    house: &'a mut House,
    number: u8,
}

impl Client<'_> {
    fn device(&self) -> Device {
        Device { mac: [2, 0, 0, 0, 7, self.number], ..Device::default() }
    }

    fn send(&mut self, nodes: &[usize], kind: u8, options: &[(u8, &[u8])]) {
        let mut packet = self.device().packet(kind, 7, None, options);
        // Addressed to everybody.
        packet.is_unicast = false;
        for node in nodes {
            let datagram = Datagram {
                interface: 1,
                source: packet.source,
                source_port: 68,
                destination: Ipv4Addr::BROADCAST,
                payload: &packet.payload,
            };
            self.house.handle(*node, Event::Datagram(datagram));
        }
    }

    /// DISCOVER, heard by one; it answers.
    pub fn asks(mut self, node: usize) -> Heard {
        self.send(&[node], DISCOVER, &[]);
        let number = self.number;
        self.house.expect_offer(number)
    }

    pub fn asks_all(mut self) {
        self.send(&[A, B], DISCOVER, &[]);
    }

    pub fn asks_only(mut self, node: usize) {
        self.send(&[node], DISCOVER, &[]);
    }

    /// As the other node looks for other servers: it does not hear itself.
    pub fn probes(mut self, node: usize) {
        self.send(&[node], DISCOVER, &[(60, PROBE_CLASS)]);
    }

    /// Again and again, as clients do: a standby answers who is not served otherwise.
    pub fn asks_until_served(mut self, node: usize) {
        for _ in 0..5 {
            self.send(&[node], DISCOVER, &[]);
            if self.house.heard.contains_key(&self.number) {
                return;
            }
        }
    }

    pub fn takes(mut self, node: usize, address: Ipv4Addr) {
        let server = self.house.address(node).octets();
        self.send(&[node], REQUEST, &[(54, &server), (50, &address.octets())]);
    }
}
