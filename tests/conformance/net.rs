//! A network around one node: virtual time, a disk that is quick, slow or full, and neighbours that answer ARP.
//!
//! Three rules are watched over in every test: no ACK before its binding is on disk, no address promised to two
//! devices at one time, and no request without a decision on record.

use std::{
    collections::{HashMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use twinlease::{
    protocol::{
        Action, Change, Command, Commit, CommitId, Datagram, Event, Interface, Node, StoreTrouble,
        explain::{Decision, Outcome},
        lease::{Binding, BindingState, HwAddr},
        replica::Edited,
        time::{Epoch, Time},
    },
    settings::{Settings, parse::parse},
};

use super::{
    packet::{ACK, DECLINE, Mac, Packet, RELEASE},
    seen::{Answers, Seen},
};

/// The server's address on interface 1.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const ALICE: Mac = [0x00, 0x16, 0x3e, 0, 0, 0xa1];
pub const BOB: Mac = [0x00, 0x16, 0x3e, 0, 0, 0xb0];
pub const CAROL: Mac = [0x00, 0x16, 0x3e, 0, 0, 0xc0];
/// Uses addresses without asking.
pub const STRANGER: Mac = [0x00, 0x16, 0x3e, 0, 0, 0xee];

/// Home: one subnet, a pool from .10 to .19.
pub const HOME: &str = r#"
[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.10-192.0.2.19"]
[subnet.options]
router = "192.0.2.1"
dns = ["192.0.2.1", "192.0.2.2"]
"#;

/// What the disk does with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Done at once.
    Quick,
    /// Done when the test says so.
    Slow,
    Full,
}

pub struct Net {
    pub node: Node,
    now: Time,
    pub disk: Disk,
    /// Commits that a slow disk has not done yet.
    pub waiting: VecDeque<Commit>,
    /// What is on disk.
    durable: HashMap<Ipv4Addr, Binding>,
    /// Who answers ARP under which address.
    arp: HashMap<Ipv4Addr, Mac>,
    /// Every address that was asked for by ARP.
    pub probed: Vec<Ipv4Addr>,
    /// Let the time of a probe pass by itself.
    pub waits_for_probes: bool,
    /// Of interfaces set up from now on.
    pub mtu: u16,
    replies: Vec<Seen>,
    pub logged: Vec<Decision>,
    /// What became of orders.
    pub done: Vec<Result<(), String>>,
    /// What clients were told: address → (device, until).
    promised: HashMap<Ipv4Addr, (Mac, Time)>,
    /// MACs that are one device.
    pub same_device: Vec<Mac>,
}

impl Net {
    pub fn home() -> Net {
        Net::with(HOME)
    }

    pub fn with(toml: &str) -> Net {
        Net::holding(toml, Vec::new())
    }

    /// `more` is put before the subnet of `HOME`.
    pub fn home_and(more: &str) -> Net {
        Net::with(&format!("{more}\n{HOME}"))
    }

    /// A node that starts with these records.
    pub fn holding(toml: &str, bindings: Vec<Binding>) -> Net {
        let durable = bindings.iter().map(|binding| (binding.address, binding.clone())).collect();
        let now = Time(1_000_000);
        let mut net = Net {
            node: Node::new(settings(toml), bindings, Epoch(1), now),
            now,
            disk: Disk::Quick,
            waiting: VecDeque::new(),
            durable,
            arp: HashMap::new(),
            probed: Vec::new(),
            waits_for_probes: true,
            mtu: 1500,
            replies: Vec::new(),
            logged: Vec::new(),
            done: Vec::new(),
            promised: HashMap::new(),
            same_device: Vec::new(),
        };
        net.interfaces(&[(1, "lan0", &["192.0.2.1/24"])]);
        net
    }

    pub fn interfaces(&mut self, list: &[(u32, &str, &[&str])]) {
        let mtu = self.mtu;
        let interface = |&(index, name, addresses): &(u32, &str, &[&str])| Interface {
            index,
            name: name.into(),
            mac: Some([0x00, 0x16, 0x3e, 0, 1, index as u8]),
            mtu,
            addresses: addresses.iter().map(|address| address.parse().expect("an address with its prefix")).collect(),
            up: true,
        };
        self.event(Event::Interfaces(list.iter().map(interface).collect()));
    }

    /// Time goes on to this many seconds after the start.
    pub fn now(&self) -> Time {
        self.now
    }

    pub fn at(&mut self, secs: u64) -> &mut Net {
        self.at_ms(secs * 1000)
    }

    pub fn at_ms(&mut self, ms: u64) -> &mut Net {
        let target = Time(1_000_000 + ms);
        assert!(self.now <= target, "time does not go back");
        while let Some(due) = self.node.next_deadline()
            && due <= target
        {
            self.now = self.now.max(due);
            self.event(Event::Timer);
            let next = self.node.next_deadline();
            assert!(next.is_none_or(|next| next > due), "a timer that was handled is due again");
        }
        self.now = target;
        self
    }

    pub fn later(&mut self, by: Duration) -> &mut Net {
        let ms = (self.now - Time(1_000_000) + by).as_millis() as u64;
        self.at_ms(ms)
    }

    /// From now on this device answers ARP under the address.
    pub fn uses(&mut self, mac: Mac, address: Ipv4Addr) -> &mut Net {
        self.arp.insert(address, mac);
        self
    }

    pub fn hears_arp(&mut self, mac: Mac, address: Ipv4Addr) -> Answers {
        self.event(Event::ArpHeard { address, mac });
        self.answers()
    }

    /// Sends a packet; the answers that come back at once, or within the time of a probe.
    pub fn send(&mut self, packet: &Packet) -> Answers {
        let sender: Mac = packet.chaddr[..6].try_into().expect("six bytes");
        if matches!(packet.kind(), Some(RELEASE | DECLINE)) {
            self.promised.retain(|&address, (mac, _)| *mac != sender || Some(address) != packet.names());
        }
        let answers = self.send_bytes(packet.interface, packet.source, packet.destination, &packet.bytes());
        for seen in &answers.0 {
            assert_eq!(seen.bytes()[4..8], packet.xid.to_be_bytes(), "an answer to another transaction");
        }
        answers
    }

    pub fn send_bytes(&mut self, interface: u32, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Answers {
        let before = self.judged();
        self.event(Event::Datagram(Datagram { interface, source, source_port: 68, destination, payload }));
        if self.disk != Disk::Slow && self.waits_for_probes {
            assert!(self.judged() > before, "neither a decision nor a count of malformed packets was left behind");
        }
        self.answers()
    }

    /// The slow disk does the oldest commit.
    pub fn commits_one(&mut self) -> Answers {
        let commit = self.waiting.pop_front().expect("a commit is waiting");
        self.make_durable(commit);
        self.answers()
    }

    /// The slow disk does all at once.
    pub fn commits_all(&mut self) -> Answers {
        let up_to = self.waiting.back().expect("a commit is waiting").id;
        for commit in std::mem::take(&mut self.waiting) {
            self.keep(&commit);
        }
        self.event(Event::Committed { up_to });
        self.answers()
    }

    /// The slow disk gives up on all that waits.
    pub fn fails(&mut self, trouble: StoreTrouble) -> Answers {
        let first = self.waiting.front().expect("a commit is waiting").id;
        let last = self.waiting.back().expect("a commit is waiting").id;
        self.waiting.clear();
        self.event(Event::CommitFailed { ids: first..=last, trouble });
        self.answers()
    }

    pub fn recovers(&mut self) -> &mut Net {
        self.disk = Disk::Quick;
        self.event(Event::StoreRecovered);
        self
    }

    pub fn orders(&mut self, command: Command) -> &mut Net {
        self.event(Event::Command { id: 1, by: Edited::default(), command: Box::new(command) });
        self
    }

    pub fn discover(&mut self, mac: Mac) -> Answers {
        self.send(&Packet::discover(mac))
    }

    /// REQUEST that takes up our offer.
    pub fn request(&mut self, mac: Mac, address: Ipv4Addr) -> Answers {
        self.send(&Packet::select(mac, SERVER, address))
    }

    pub fn reboot(&mut self, mac: Mac, address: Ipv4Addr) -> Answers {
        self.send(&Packet::reboot(mac, address))
    }

    pub fn renew(&mut self, mac: Mac, address: Ipv4Addr) -> Answers {
        self.send(&Packet::renew(mac, SERVER, address))
    }

    pub fn rebind(&mut self, mac: Mac, address: Ipv4Addr) -> Answers {
        self.send(&Packet::rebind(mac, address))
    }

    pub fn release(&mut self, mac: Mac, address: Ipv4Addr) -> Answers {
        self.send(&Packet::release(mac, SERVER, address))
    }

    pub fn decline(&mut self, mac: Mac, address: Ipv4Addr) -> Answers {
        self.send(&Packet::decline(mac, SERVER, address))
    }

    /// DISCOVER, OFFER, REQUEST, ACK.
    #[track_caller]
    pub fn lease(&mut self, mac: Mac) -> Ipv4Addr {
        self.lease_by(&Packet::discover(mac))
    }

    /// The same, with all that this DISCOVER has.
    #[track_caller]
    pub fn lease_by(&mut self, discover: &Packet) -> Ipv4Addr {
        let offer = self.send(discover).offer();
        self.send(&taking_up(discover, &offer)).expect_ack(offer.yiaddr()).yiaddr()
    }

    /// An offer, and silence where the ACK should be.
    #[track_caller]
    pub fn lease_fails(&mut self, mac: Mac) {
        let address = self.discover(mac).offer().yiaddr();
        self.request(mac, address).expect_silence();
    }

    pub fn record(&self, address: Ipv4Addr) -> &Binding {
        self.node.leases().get(address).unwrap_or_else(|| panic!("no record of {address}"))
    }

    pub fn state(&self, address: Ipv4Addr) -> BindingState {
        self.record(address).state
    }

    /// How the last request of this device ended.
    pub fn outcome(&self, mac: Mac) -> Outcome {
        self.last_decision(mac).outcome
    }

    pub fn last_decision(&self, mac: Mac) -> Decision {
        let decisions = self.node.explain().of_device(HwAddr::ethernet(mac));
        Decision::clone(decisions.last().unwrap_or_else(|| panic!("no decision about {mac:02x?}")))
    }

    /// The decisions about a device, as a person reads them.
    pub fn why(&self, mac: Mac) -> String {
        let lines = self.node.explain().of_device(HwAddr::ethernet(mac)).map(|decision| {
            let steps: Vec<String> = decision.steps.iter().map(|step| format!("    {step}\n")).collect();
            format!("  {}\n{}  → {}\n", decision.asked, steps.concat(), decision.outcome)
        });
        lines.collect()
    }

    pub fn malformed(&self) -> HashMap<String, u64> {
        self.node.explain().malformed.iter().map(|(cause, count)| (format!("{cause:?}"), *count)).collect()
    }

    fn judged(&self) -> u64 {
        let explain = self.node.explain();
        explain.outcomes().values().sum::<u64>() + explain.malformed.values().sum::<u64>()
    }

    fn answers(&mut self) -> Answers {
        Answers(std::mem::take(&mut self.replies))
    }

    fn event(&mut self, event: Event<'_>) {
        let mut out = Vec::new();
        self.node.handle(self.now, event, &mut out);
        for action in out {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply(reply) => {
                let seen = Seen::read(reply);
                self.watch(&seen);
                self.replies.push(seen);
            }
            Action::Probe { address, .. } => {
                self.probed.push(address);
                if let Some(&mac) = self.arp.get(&address) {
                    self.event(Event::ArpHeard { address, mac });
                } else if self.waits_for_probes {
                    let probe_ends = self.now + self.node.settings().server.probe.expect("probing is on");
                    while let Some(due) = self.node.next_deadline()
                        && due <= probe_ends
                    {
                        self.now = self.now.max(due);
                        self.event(Event::Timer);
                    }
                }
            }
            Action::Commit(commit) => match self.disk {
                Disk::Quick => self.make_durable(commit),
                Disk::Slow => self.waiting.push_back(commit),
                Disk::Full => self.event(Event::CommitFailed { ids: commit.id..=commit.id, trouble: StoreTrouble::DiskFull }),
            },
            Action::Done { result, .. } => self.done.push(result),
            Action::Decided(decision) => self.logged.push(Decision::clone(&decision)),
            Action::Send(_) => panic!("a node alone has no twin to tell anything"),
        }
    }

    fn make_durable(&mut self, commit: Commit) {
        self.keep(&commit);
        let up_to: CommitId = commit.id;
        self.event(Event::Committed { up_to });
    }

    fn keep(&mut self, commit: &Commit) {
        for change in &commit.changes {
            if let Change::Bind(binding) = change {
                self.durable.insert(binding.address, binding.clone());
            }
        }
    }

    /// Durable first, and one address for one device.
    fn watch(&mut self, seen: &Seen) {
        let address = seen.yiaddr();
        let promises = seen.kind() == ACK || seen.kind() == 0;
        if !promises || address.is_unspecified() {
            return;
        }
        let until = match seen.number(51) {
            None | Some(u32::MAX) => Time::NEVER,
            Some(secs) => self.now + Duration::from_secs(secs.into()),
        };
        let binding = self.durable.get(&address).unwrap_or_else(|| panic!("{address} was ACKed and is not on disk"));
        assert_eq!(binding.state, BindingState::Leased, "{address} was ACKed and is not leased on disk");
        assert_eq!(binding.hw.mac(), Some(seen.mac()), "{address} was ACKed to one device and is written down for another");
        // Within the second in which it asked.
        let slack = Duration::from_secs(1);
        assert!(binding.expiry + slack >= until, "{address} was promised for longer than is on disk");
        if let Some(&(mac, earlier)) = self.promised.get(&address) {
            let is_same = mac == seen.mac() || [mac, seen.mac()].iter().all(|mac| self.same_device.contains(mac));
            assert!(is_same || earlier <= self.now, "{address} was promised to {mac:02x?} and {:02x?}", seen.mac());
        }
        // Who takes a new address has left the one that it had on this network.
        let network = |address: Ipv4Addr| address.octets()[..3].to_vec();
        self.promised.retain(|&other, (mac, _)| *mac != seen.mac() || other == address || network(other) != network(address));
        self.promised.insert(address, (seen.mac(), until));
    }
}

/// The REQUEST that follows this DISCOVER and this OFFER.
pub fn taking_up(discover: &Packet, offer: &Seen) -> Packet {
    let mut request = discover.clone();
    let options = request.options.as_mut().expect("a DISCOVER has options");
    assert_eq!(options[..3], [53, 1, 1]);
    options[2] = 3;
    // What the DISCOVER asked for by 50 gives way to what was offered.
    if let Some(at) = options.windows(2).position(|pair| pair == [50, 4]) {
        options.drain(at..at + 6);
    }
    request.option(50, &offer.yiaddr().octets()).option(54, &offer.option(54).expect("a server-id"))
}

pub fn settings(toml: &str) -> Settings {
    parse(toml).unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>()))
}

pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}
