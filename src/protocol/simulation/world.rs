//! One node, its disk and its devices on one timeline, and the judge.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use super::{
    DEVICES, Does, Network, SETTINGS, Step,
    device::{ACK, DECLINE, DISCOVER, Device, Heard, Lease, NAK, OFFER, Packet, RELEASE, REQUEST, show},
    disk::{Disk, Report},
};
use crate::{
    protocol::{
        Action, Command, Datagram, Event, Interface, Node, Reply, StoreTrouble,
        dhcp::code,
        explain::{MAX_DECISIONS, MAX_PER_DEVICE},
        lease::BindingState,
        replica::Edited,
        seeds::Telling,
        time::{Epoch, Time},
    },
    settings::{Settings, parse},
};

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// A client may count its lease from when the ACK arrived, and the server counts whole seconds.
const TOLERANCE: Duration = Duration::from_secs(1);

pub struct World {
    node: Node,
    disk: Disk,
    devices: Vec<Device>,
    /// For everybody but the node, whose time stands still while it is off.
    now: Time,
    off: Duration,
    epoch: Epoch,
    /// Slept before this epoch, and not yet known to the node.
    unconfirmed: Option<Duration>,
    last_sent: Vec<Option<(Packet, u8)>>,
    xid: u32,
    commands: u64,
    telling: Telling,
}

pub fn settings(which: usize) -> Settings {
    parse::parse(SETTINGS[which]).unwrap_or_else(|problems| panic!("settings {which}: {problems:?}"))
}

fn dynamic(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

impl World {
    pub fn new(telling: Telling) -> World {
        let device = |i: usize| Device {
            mac: [2, 0, 0, 0, 0, i as u8],
            id: match i {
                3 | 4 => Some(vec![0, 7, 7]),
                5 => Some(vec![1, 2, 0, 0, 0, 0, 5]),
                _ => None,
            },
            giaddr: (i == 6).then_some(RELAY),
            hurries: i == 2 || i == 4,
            ..Device::default()
        };
        let mut world = World {
            node: Node::new(settings(0), Vec::new(), Epoch(1), Time(1)),
            disk: Disk::new(settings(0)),
            devices: (0..DEVICES).map(device).collect(),
            now: Time(1),
            off: Duration::ZERO,
            epoch: Epoch(1),
            unconfirmed: None,
            last_sent: vec![None; DEVICES],
            xid: 0,
            commands: 0,
            telling,
        };
        world.plug_in();
        world
    }

    fn plug_in(&mut self) {
        let addresses = vec![Ipv4Net::new(SERVER, 24).expect("a prefix of 24 bits")];
        let interface = Interface { index: 1, name: "lan".into(), mac: Some([2, 0, 0, 0, 1, 1]), mtu: 1500, addresses, up: true };
        self.handle(Event::Interfaces(vec![interface]), Network::Delivers);
    }

    fn tell(&self, line: impl FnOnce() -> String) {
        if self.telling == Telling::Aloud {
            println!("{:>9} ms  {}", self.now.0, line());
        }
    }

    fn node_now(&self) -> Time {
        self.now.earlier(self.off)
    }

    pub fn take(&mut self, step: &Step) {
        match *step {
            Step::Device { who, does, network } => self.device(who, does, network),
            Step::Wait(duration) => self.wait(duration),
            Step::DiskWrites(commits) => self.disk.write(commits),
            Step::DiskFails => self.disk.fail(),
            Step::DiskHeals => self.disk.heal(),
            Step::NodeHears { all } => self.hear_reports(if all { usize::MAX } else { 1 }),
            Step::Restart { off, is_known } => self.restart(off, is_known),
            Step::ClockConfirmed => {
                if let Some(slept) = self.unconfirmed.take() {
                    self.tell(|| format!("the clock is confirmed: off for {slept:?}"));
                    self.disk.slept(self.epoch, slept);
                    self.handle(Event::Slept { before: self.epoch, duration: slept }, Network::Delivers);
                }
            }
            Step::Admin { settings: which } => self.command(Command::Replace(Box::new(settings(which)))),
            Step::AdminFrees { address } => {
                let address = dynamic(address);
                if !self.devices.iter().any(|device| device.holds(self.now).is_some_and(|lease| lease.address == address)) {
                    self.command(Command::Free(address));
                }
            }
            Step::Stranger { address } => {
                self.handle(Event::ArpHeard { address: dynamic(address), mac: [2, 0, 0, 0, 9, 9] }, Network::Delivers);
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.commands += 1;
        self.tell(|| format!("admin: {}", format!("{command:?}").chars().take(60).collect::<String>()));
        self.handle(Event::Command { id: self.commands, by: Edited::default(), command: Box::new(command) }, Network::Delivers);
    }

    fn device(&mut self, who: usize, does: Does, network: Network) {
        let now = self.now;
        let device = &mut self.devices[who];
        let bare: &[(u8, &[u8])] = &[];
        let hurry: &[(u8, &[u8])] = &[(code::RAPID_COMMIT, &[])];
        let lease = device.holds(now);
        self.xid += 1;
        let xid = self.xid;
        let (packet, kind) = match does {
            Does::Discover => {
                // INIT: whatever it had, it has no more.
                (device.lease, device.offered) = (None, None);
                (device.packet(DISCOVER, xid, None, if device.hurries { hurry } else { bare }), DISCOVER)
            }
            Does::AskFor { address } => {
                (device.lease, device.offered) = (None, None);
                (device.packet(DISCOVER, xid, None, &[(code::REQUESTED_ADDRESS, &dynamic(address).octets())]), DISCOVER)
            }
            Does::Take => {
                let Some((address, server)) = device.offered else { return };
                let options: &[(u8, &[u8])] =
                    &[(code::REQUESTED_ADDRESS, &address.octets()), (code::SERVER_ID, &server.octets())];
                (device.packet(REQUEST, xid, None, options), REQUEST)
            }
            Does::TakeFromAnother => {
                let Some((address, _)) = device.offered.take() else { return };
                let options: &[(u8, &[u8])] = &[(code::REQUESTED_ADDRESS, &address.octets()), (code::SERVER_ID, &[192, 0, 2, 2])];
                (device.packet(REQUEST, xid, None, options), REQUEST)
            }
            Does::Again => {
                let Some((packet, kind)) = self.last_sent[who].clone().filter(|_| device.xid.is_some()) else { return };
                self.send(who, packet, kind, network);
                return;
            }
            Does::Reboot => {
                let Some(address) = device.remembered else { return };
                (device.lease, device.offered) = (None, None);
                (device.packet(REQUEST, xid, None, &[(code::REQUESTED_ADDRESS, &address.octets())]), REQUEST)
            }
            Does::Renew => {
                let Some(Lease { address, .. }) = lease else { return };
                (device.packet(REQUEST, xid, Some(address), bare), REQUEST)
            }
            Does::Rebind => {
                let Some(Lease { address, .. }) = lease else { return };
                let packet = device.packet(REQUEST, xid, Some(address), bare);
                (Packet { is_unicast: false, ..packet }, REQUEST)
            }
            Does::Release => {
                let Some(Lease { address, .. }) = lease else { return };
                device.lease = None;
                (device.packet(RELEASE, xid, Some(address), &[(code::SERVER_ID, &SERVER.octets())]), RELEASE)
            }
            Does::Decline => {
                let Some(Lease { address, .. }) = lease else { return };
                (device.lease, device.remembered) = (None, None);
                (device.packet(DECLINE, xid, None, &[(code::REQUESTED_ADDRESS, &address.octets())]), DECLINE)
            }
            Does::Steal { address, kind } => {
                let address = dynamic(address);
                if lease.is_some() {
                    return;
                }
                (device.packet(kind, xid, Some(address), &[(code::REQUESTED_ADDRESS, &address.octets())]), kind)
            }
            Does::PowerOff => {
                (device.lease, device.offered, device.xid) = (None, None, None);
                self.tell(|| format!("device {who} is switched off"));
                return;
            }
        };
        let awaits = kind == DISCOVER || kind == REQUEST;
        self.devices[who].xid = awaits.then_some(xid);
        self.last_sent[who] = Some((packet.clone(), kind));
        self.send(who, packet, kind, network);
    }

    fn send(&mut self, who: usize, packet: Packet, kind: u8, network: Network) {
        self.tell(|| {
            let name = ["", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE"][usize::from(kind)];
            let word = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet.payload[at..at + 4]).expect("four bytes"));
            format!("device {who} → {name} ciaddr {} options {:02x?} ({network:?})", word(12), &packet.payload[243..])
        });
        let copies = match network {
            Network::LosesRequest => 0,
            Network::Delivers | Network::LosesReply => 1,
            Network::Doubles => 2,
        };
        for _ in 0..copies {
            let destination = if packet.is_unicast { SERVER } else { Ipv4Addr::BROADCAST };
            let datagram =
                Datagram { interface: 1, source: packet.source, source_port: 68, destination, payload: &packet.payload };
            self.handle(Event::Datagram(datagram), network);
        }
    }

    fn handle(&mut self, event: Event<'_>, network: Network) {
        let mut actions = Vec::new();
        self.node.handle(self.node_now(), event, &mut actions);
        for action in actions {
            match action {
                Action::Reply(reply) => self.reply(&reply, network),
                Action::Commit(commit) => {
                    self.tell(|| format!("            commit {}: {:?}", commit.id.0, commit.changes.first()));
                    self.disk.hand_over(commit);
                }
                Action::Probe { address, .. } => self.probe(address, network),
                Action::Done { .. } | Action::Send(_) => {}
                Action::Decided(decision) => self.tell(|| format!("            {}", decision.outcome)),
            }
        }
    }

    /// Who has the address answers. Clones always do; of the others, some sleep.
    fn probe(&mut self, address: Ipv4Addr, network: Network) {
        let holder = self.devices.iter().find(|device| device.holds(self.now).is_some_and(|lease| lease.address == address));
        if let Some(device) = holder.filter(|device| device.id.is_some() || network != Network::LosesReply) {
            let mac = device.mac;
            self.tell(|| format!("            {address} is used by {mac:02x?}"));
            self.handle(Event::ArpHeard { address, mac }, network);
        }
    }

    fn reply(&mut self, reply: &Reply, network: Network) {
        let Some(heard) = Heard::read(reply) else { panic!("a reply without a message type") };
        self.tell(|| {
            let name = match heard.kind {
                OFFER => "OFFER",
                ACK => "ACK",
                NAK => "NAK",
                _ => "?",
            };
            format!("            ← {name} {} for {} s to {:02x?} by {}", heard.address, heard.secs, heard.mac, show(&reply.to))
        });
        if heard.kind == ACK {
            let now = self.node_now();
            let end = now + Duration::from_secs(heard.secs.into());
            let is_durable = self.disk.history.iter().any(|binding| {
                let is_its = binding.address == heard.address && binding.hw.mac() == Some(heard.mac);
                is_its && binding.state == BindingState::Leased && end <= binding.expiry + TOLERANCE
            });
            assert!(is_durable, "an ACK of {} until {end:?} left before its commit", heard.address);
        }
        if network != Network::LosesReply {
            let now = self.now;
            let device = self.devices.iter_mut().find(|device| device.mac == heard.mac).expect("a device of this house");
            device.hear(now, &heard);
        }
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.node.next_deadline().map(|due| due + self.off).filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.handle(Event::Timer, Network::Delivers);
            assert!(self.node.next_deadline().is_none_or(|next| next + self.off > self.now), "a deadline that stays");
        }
        self.now = end;
    }

    fn hear_reports(&mut self, count: usize) {
        for _ in 0..count {
            let Some(report) = self.disk.reports.pop_front() else { return };
            self.tell(|| format!("            disk: {report:?}"));
            match report {
                Report::Committed(up_to) => self.handle(Event::Committed { up_to }, Network::Delivers),
                Report::Failed(ids) => {
                    self.handle(Event::CommitFailed { ids, trouble: StoreTrouble::DiskFull }, Network::Delivers);
                }
                Report::Recovered => {
                    self.handle(Event::StoreRecovered, Network::Delivers);
                    self.disk.resume();
                }
            }
        }
    }

    fn restart(&mut self, off: Duration, is_known: bool) {
        self.tell(|| format!("power cut, off for {off:?}, known at the boot: {is_known}"));
        self.now = self.now + off;
        self.off += off;
        self.epoch = Epoch(self.epoch.0 + 1);
        self.unconfirmed = (!is_known).then_some(off);
        if is_known {
            self.disk.slept(self.epoch, off);
        }
        let bindings = self.disk.after_crash();
        self.node = Node::new(self.disk.settings.clone(), bindings, self.epoch, self.node_now());
        if !is_known {
            self.node.set_sleep_unknown();
        }
        self.plug_in();
    }

    pub fn judge(&self) {
        let held: Vec<(usize, Lease)> =
            self.devices.iter().enumerate().filter_map(|(i, device)| Some((i, device.holds(self.now)?))).collect();
        for (n, (i, lease)) in held.iter().enumerate() {
            if let Some((j, other)) = held[n + 1..].iter().find(|(_, other)| other.address == lease.address) {
                panic!("devices {i} and {j} both hold {}: until {:?} and {:?}", lease.address, lease.end, other.end);
            }
            let record = self.node.leases().get(lease.address);
            let is_known = record
                .is_some_and(|record| record.hw == self.devices[*i].hw() && lease.end <= record.expiry + self.off + TOLERANCE);
            // In the last second, by the client's count, the record may have run out.
            let is_over = lease.end <= self.now + TOLERANCE;
            assert!(is_known || is_over, "device {i} holds {lease:?}, which the node has forgotten: {record:?}");
        }
        let explain = self.node.explain();
        let kept: Vec<usize> = explain.devices().map(|hw| explain.of_device(hw).count()).collect();
        assert!(kept.iter().all(|kept| *kept <= MAX_PER_DEVICE) && kept.iter().sum::<usize>() <= MAX_DECISIONS);
        let status = self.node.status(self.node_now());
        assert!(status.subnets.iter().all(|subnet| subnet.pool_used <= subnet.pool_size), "{status:?}");
    }

    /// The disk works, all leases have run out: as many new devices as there are addresses get one each.
    pub fn everybody_is_served_in_the_end(&mut self) {
        self.settle();
        self.take(&Step::Admin { settings: 0 });
        self.settle();
        assert!(self.node.status(self.node_now()).trouble.is_none(), "the disk works again, and the node does not know");
        self.wait(Duration::from_secs(25 * 3600));
        for i in 0..3u8 {
            let who = self.devices.len();
            self.devices.push(Device { mac: [2, 0, 0, 0, 8, i], ..Device::default() });
            self.last_sent.push(None);
            self.device(who, Does::Discover, Network::Delivers);
            self.wait(Duration::from_secs(1));
            self.device(who, Does::Take, Network::Delivers);
            self.settle();
            self.judge();
            assert!(self.devices[who].lease.is_some(), "new device {i} of 3 gets none of 3 free addresses");
        }
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            self.disk.heal();
            self.hear_reports(usize::MAX);
            self.disk.write(usize::MAX);
        }
        self.hear_reports(usize::MAX);
    }
}
