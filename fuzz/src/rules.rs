//! Bytes as a history: datagrams, time that passes, a disk that commits, fails and heals, ARP packets. Every reply
//! is checked. The shape of the input is at `Input`.

use std::{collections::VecDeque, net::Ipv4Addr, sync::OnceLock, time::Duration};

use twinlease::{
    protocol::{
        Action, CommitId, Datagram, Event, Interface, Node, StoreTrouble,
        explain::{Decision, MAX_DECISIONS},
        time::{Epoch, Time},
    },
    settings::{Settings, parse},
};

use super::reply;

/// What this server has on its two interfaces.
pub const OWN: [[u8; 4]; 2] = [[192, 0, 2, 1], [198, 51, 100, 1]];
/// Requests that a reply may still answer.
const REMEMBERED: usize = 64;

pub fn run(bytes: &[u8]) {
    let mut input = Input { rest: bytes };
    let Some(flags) = input.byte() else { return };
    let mut world = World::new(flags);
    while let Some(step) = input.step() {
        world.take(step);
    }
    world.end();
}

/// First a byte of switches (see `World::new`), then steps: a byte of which the low three bits say what happens.
///
/// | low bits | step | followed by |
/// |---|---|---|
/// | 0 | a datagram to the broadcast address; the disk then commits, unless bit 7 is set | length (2 bytes), bytes |
/// | 1 | the same to an address of ours | length (2 bytes), bytes |
/// | 2 | the same on the other interface | length (2 bytes), bytes |
/// | 3 | time passes: milliseconds, seconds, minutes or hours by bits 3 and 4 | number (1 byte) |
/// | 4 | the disk commits the oldest of what waits; all of it with bit 3 | |
/// | 5 | the disk fails | |
/// | 6 | the disk works again | |
/// | 7 | an ARP packet: 192.0.2.x is used by 02:00:00:00:00:y | x, y |
struct Input<'a> {
    rest: &'a [u8],
}

enum Step<'a> {
    Datagram { interface: u32, is_unicast: bool, then_commits: bool, payload: &'a [u8] },
    Wait(Duration),
    Commit { all: bool },
    DiskFails,
    DiskHeals,
    ArpHeard { address: Ipv4Addr, mac: [u8; 6] },
}

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn step(&mut self) -> Option<Step<'a>> {
        let op = self.byte()?;
        Some(match op & 7 {
            kind @ 0..=2 => {
                let len = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
                let (payload, rest) = self.rest.split_at(len.min(self.rest.len()));
                self.rest = rest;
                let interface = if kind == 2 { 2 } else { 1 };
                Step::Datagram { interface, is_unicast: kind == 1, then_commits: op & 0x80 == 0, payload }
            }
            3 => {
                let unit_ms = [1, 1000, 60_000, 3_600_000][usize::from(op >> 3 & 3)];
                Step::Wait(Duration::from_millis(u64::from(self.byte()?) * unit_ms))
            }
            4 => Step::Commit { all: op & 8 != 0 },
            5 => Step::DiskFails,
            6 => Step::DiskHeals,
            _ => Step::ArpHeard { address: [192, 0, 2, self.byte()?].into(), mac: [2, 0, 0, 0, 0, self.byte()?] },
        })
    }
}

struct World {
    node: Node,
    now: Time,
    requests: VecDeque<Vec<u8>>,
    waiting: VecDeque<CommitId>,
    disk_works: bool,
}

impl World {
    /// Bit 0: no ARP probes. Bit 1: not authoritative. Bit 2: no rapid commit. Bit 3: times near the end of time.
    fn new(flags: u8) -> World {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        let read = || parse::parse(include_str!("rules.toml")).unwrap_or_else(|problems| panic!("rules.toml: {problems:?}"));
        let mut settings = SETTINGS.get_or_init(read).clone();
        settings.server.probe = settings.server.probe.filter(|_| flags & 1 == 0);
        settings.server.authoritative = flags & 2 == 0;
        settings.server.rapid_commit = flags & 4 == 0;
        let now = if flags & 8 == 0 { Time(1000) } else { Time(u64::MAX / 1000) };
        let mut world = World {
            node: Node::new(settings, Vec::new(), Epoch(1), now),
            now,
            requests: VecDeque::new(),
            waiting: VecDeque::new(),
            disk_works: true,
        };
        let interface = |index: u32, own: [u8; 4]| Interface {
            index,
            name: format!("lan{index}"),
            mac: Some([2, 0, 0, 0, 1, index as u8]),
            mtu: 1500,
            addresses: vec![ipnet::Ipv4Net::new(own.into(), 24).expect("a prefix of 24 bits")],
            up: true,
        };
        world.handle(Event::Interfaces(vec![interface(1, OWN[0]), interface(2, OWN[1])]));
        world
    }

    fn take(&mut self, step: Step<'_>) {
        match step {
            Step::Datagram { interface, is_unicast, then_commits, payload } => {
                self.datagram(interface, is_unicast, payload);
                if then_commits {
                    self.commit(true);
                }
            }
            Step::Wait(duration) => self.wait(duration),
            Step::Commit { all } => self.commit(all),
            Step::DiskFails => {
                self.disk_works = false;
                self.refuse();
            }
            Step::DiskHeals => {
                self.refuse();
                self.disk_works = true;
                self.handle(Event::StoreRecovered);
            }
            Step::ArpHeard { address, mac } => self.handle(Event::ArpHeard { address, mac }),
        }
    }

    fn datagram(&mut self, interface: u32, is_unicast: bool, payload: &[u8]) {
        if payload.len() >= 236 {
            if self.requests.len() == REMEMBERED {
                self.requests.pop_front();
            }
            self.requests.push_back(payload.to_vec());
        }
        let address_at = |at: usize| payload.get(at..at + 4).map_or(Ipv4Addr::UNSPECIFIED, |b| [b[0], b[1], b[2], b[3]].into());
        let (ciaddr, giaddr) = (address_at(12), address_at(24));
        let own = Ipv4Addr::from(OWN[interface as usize - 1]);
        let destination = if is_unicast || !giaddr.is_unspecified() { own } else { Ipv4Addr::BROADCAST };
        let source = if giaddr.is_unspecified() { ciaddr } else { giaddr };
        let source_port = if giaddr.is_unspecified() { 68 } else { 67 };
        self.handle(Event::Datagram(Datagram { interface, source, source_port, destination, payload }));
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut last = None;
        while let Some(due) = self.node.next_deadline().filter(|due| *due <= end) {
            assert!(last < Some(due), "a deadline at {due:?} comes back after it was dealt with");
            last = Some(due);
            self.now = self.now.max(due);
            self.handle(Event::Timer);
        }
        self.now = end;
    }

    fn commit(&mut self, all: bool) {
        if !self.disk_works {
            return self.refuse();
        }
        let up_to = if all { self.waiting.back() } else { self.waiting.front() };
        if let Some(up_to) = up_to.copied() {
            self.waiting.retain(|id| *id > up_to);
            self.handle(Event::Committed { up_to });
        }
    }

    fn refuse(&mut self) {
        if let (Some(&first), Some(&last)) = (self.waiting.front(), self.waiting.back()) {
            self.waiting.clear();
            self.handle(Event::CommitFailed { ids: first..=last, trouble: StoreTrouble::DiskFull });
        }
    }

    fn handle(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        self.node.handle(self.now, event, &mut actions);
        for action in actions {
            match action {
                Action::Reply(reply) => reply::check(&reply, self.requests.iter().map(Vec::as_slice)),
                Action::Commit(commit) => {
                    assert!(self.waiting.back().is_none_or(|last| *last < commit.id), "commits are numbered in order");
                    assert!(!commit.changes.is_empty(), "a commit of nothing");
                    self.waiting.push_back(commit.id);
                }
                Action::Decided(decision) => say(&decision),
                Action::Probe { address, .. } => assert!(!address.is_unspecified()),
                Action::Send(_) => panic!("there is no twin"),
                Action::Done { .. } => panic!("no command was given"),
            }
        }
    }

    /// What is kept of it all can be told, and is bounded.
    fn end(&mut self) {
        let explain = self.node.explain();
        let kept: usize = explain.devices().map(|hw| explain.of_device(hw).inspect(|decision| say(decision)).count()).sum();
        assert!(kept <= MAX_DECISIONS);
        let status = self.node.status(self.now);
        assert!(status.subnets.iter().all(|subnet| subnet.pool_used <= subnet.pool_size), "{status:?}");
        assert_eq!(status.commits_waiting > 0, !self.waiting.is_empty());
    }
}

fn say(decision: &Decision) {
    for step in &decision.steps {
        assert!(!step.to_string().is_empty());
    }
    assert!(!decision.asked.to_string().is_empty() && !decision.outcome.to_string().is_empty());
}
