//! Two machines, their link and their clients on one true timeline. What is due happens in order; steps come between.

use std::{
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use super::{
    super::{
        device::{Heard, Packet},
        disk::Report,
    },
    clients::Client,
    judge::{LastEdit, Numbered, Tally, Told},
    link::{Direction, Way},
    machine::{Incoming, Machine, own_address},
    step::{A, B, Clock, DiskDoes, Fate, Kinds, LinkDoes, Reach, Setup, Step, name},
    tell,
};
use crate::protocol::{
    Action, Datagram, Event, StoreTrouble,
    failover::{Body, Envelope, State},
    seeds::Telling,
    time::Time,
};
use crate::settings::RecordKey;

/// Clients that steps move.
pub const CLIENTS: usize = 4;
/// A node that wants to be called this often at one moment never gets on.
const MAX_CALLS: u32 = 64;
/// What one event may bring about.
const MAX_ACTIONS: usize = 256;
const REPORT_MS: u64 = 1;

#[derive(Debug)]
pub enum Due {
    Arrives { to: usize, start: u64, envelope: Envelope },
    Write { at: usize, start: u64 },
    Hear { at: usize, start: u64 },
    Take { who: usize, xid: u32 },
    Resume { at: usize, start: u64 },
}

#[derive(Debug)]
struct Item {
    at: Time,
    sequence: u64,
    due: Due,
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.sequence == other.sequence
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
/// The earliest is the greatest.
impl Ord for Item {
    fn cmp(&self, other: &Item) -> std::cmp::Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

pub struct World {
    pub setup: Setup,
    pub now: Time,
    pub machines: [Machine; 2],
    pub link: [Direction; 2],
    pub clients: Vec<Client>,
    queue: BinaryHeap<Item>,
    sequence: u64,
    pub xid: u32,
    pub commands: u64,
    pub last_result_is_ok: bool,
    /// The last edit of each setting.
    pub edits: BTreeMap<RecordKey, LastEdit>,
    /// What each has told by which numbers; `None`: a disk was lost.
    pub told: Option<BTreeMap<Numbered, Told>>,
    /// The admin's word on its way to a disk: its command, whom it declares down, and whether that one was before.
    pub declaration: Option<(u64, usize, bool)>,
    calls: [(Time, u32); 2],
    pub spare: Vec<Action>,
    /// The first thing that went wrong.
    pub fault: Option<String>,
    /// Faults of another kind do not count.
    pub only: Option<&'static str>,
    pub tally: Tally,
    pub telling: Telling,
}

impl World {
    /// Both are on, and have found each other where they can.
    pub fn new(setup: Setup, telling: Telling) -> World {
        let now = Time(1);
        let mut world = World {
            setup,
            now,
            machines: [Machine::new(A, setup, now), Machine::new(B, setup, now)],
            link: [Direction::default(), Direction::default()],
            clients: (0..CLIENTS).map(Client::new).collect(),
            queue: BinaryHeap::new(),
            sequence: 0,
            xid: 0,
            commands: 0,
            last_result_is_ok: false,
            edits: BTreeMap::new(),
            told: Some(BTreeMap::new()),
            declaration: None,
            calls: [(Time(0), 0); 2],
            spare: Vec::new(),
            fault: None,
            only: None,
            tally: Tally::default(),
            telling,
        };
        for at in [A, B] {
            world.start(at, Clock::Right);
        }
        world.wait(Duration::from_secs(3));
        world
    }

    pub fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.fault.is_none() {
            let what = what();
            tell!(self, "!!! {what}");
            self.fault = Some(what).filter(|what| self.only.is_none_or(|only| what.starts_with(only)));
        }
    }

    pub fn take(&mut self, step: &Step) {
        match *step {
            Step::Wait { ms } => self.wait(Duration::from_millis(ms.into())),
            Step::Next(count) => (0..count).for_each(|_| self.next()),
            Step::Client { who, does, reach, is_deaf } => self.client(who, does, reach, is_deaf),
            Step::Disk { at, does } => self.disk(at, does),
            Step::Link { from, kinds, does } => self.set_link(from, kinds, does),
            Step::Held { from, kinds, which, fate } => {
                for envelope in self.link[from].take(kinds, which) {
                    tell!(self, "{} → {}  {} (was held back: {fate:?})", name(from), name(1 - from), tell::body(&envelope.body));
                    if fate == Fate::Doubles {
                        self.link[from].put_aside(envelope.clone());
                    }
                    if fate != Fate::IsLost && self.machines[1 - from].is_on() {
                        self.give(1 - from, Incoming::Partner(envelope));
                    }
                }
            }
            Step::Power { at, does } => self.power(at, does),
            Step::Copy { at } => {
                tell!(self, "somebody copies the disk of {}", name(at));
                let mut copy = self.machines[at].drive.clone();
                // What waits is in the machine, not on the disk.
                copy.disk.after_crash();
                self.machines[at].copy = Some(copy);
            }
            Step::Clock { at } => self.confirm_clock(at),
            Step::Pause { at, ms } => {
                if self.machines[at].is_on() && self.machines[at].paused_until.is_none() && !self.must_reach() {
                    tell!(self, "{} stands still for {ms} ms", name(at));
                    let until = self.now + Duration::from_millis(ms.into());
                    self.machines[at].paused_until = Some(until);
                    let start = self.machines[at].starts;
                    self.put(until, Due::Resume { at, start });
                }
            }
            Step::Admin { at, does } => self.edit(at, does),
            Step::Twin { at, says } => self.twin(at, says),
        }
    }

    // Time.

    pub fn put(&mut self, at: Time, due: Due) {
        self.sequence += 1;
        self.queue.push(Item { at, sequence: self.sequence, due });
    }

    fn after(&mut self, ms: u64, due: Due) {
        self.put(self.now + Duration::from_millis(ms), due);
    }

    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.fault.is_none() && self.step_until(end) {}
        self.now = self.now.max(end);
    }

    fn next(&mut self) {
        if self.fault.is_none() {
            self.step_until(Time(u64::MAX));
        }
    }

    /// The next thing that is due until then happens. `false`: there is none.
    fn step_until(&mut self, end: Time) -> bool {
        let queued = self.queue.peek().map(|item| item.at);
        let timer = |at: usize| {
            let machine: &Machine = &self.machines[at];
            machine.deadline().filter(|_| machine.paused_until.is_none()).map(|due| (due.max(self.now), at))
        };
        let timer = [timer(A), timer(B)].into_iter().flatten().min();
        match (queued, timer) {
            (Some(queued), timer) if queued <= end && timer.is_none_or(|(due, _)| queued <= due) => {
                let item = self.queue.pop().expect("peeked at above");
                self.now = self.now.max(item.at);
                self.happen(item.due);
            }
            (_, Some((due, at))) if due <= end => {
                self.now = due;
                let (last, count) = self.calls[at];
                self.calls[at] = (due, if last == due { count + 1 } else { 0 });
                if self.calls[at].1 > MAX_CALLS {
                    self.fail(|| format!("DEADLINE: {} has a deadline that stays", name(at)));
                }
                self.handle(at, Event::Timer);
            }
            _ => return false,
        }
        true
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Arrives { to, start, envelope } if self.machines[to].starts == start => {
                self.give(to, Incoming::Partner(envelope));
            }
            Due::Write { at, start } if self.machines[at].starts == start => {
                self.machines[at].write_is_due = false;
                if !self.machines[at].disk_is_stalled {
                    self.write(at, usize::MAX);
                }
            }
            Due::Hear { at, start } if self.machines[at].starts == start => self.give(at, Incoming::Reports),
            Due::Resume { at, start } if self.machines[at].starts == start => self.resume(at),
            Due::Take { who, xid } => self.take_offer(who, xid),
            Due::Arrives { .. } | Due::Write { .. } | Due::Hear { .. } | Due::Resume { .. } => {}
        }
    }

    // Nodes.

    /// Hands something to a node, at once or when it moves again.
    pub fn give(&mut self, at: usize, what: Incoming) {
        let machine = &mut self.machines[at];
        if !machine.is_on() {
            return;
        }
        if machine.paused_until.is_some() {
            machine.inbox.push(what);
            return;
        }
        match what {
            Incoming::Packet(packet) => self.hear_packet(at, &packet),
            Incoming::Partner(envelope) => {
                if let Body::Heartbeat(heartbeat) = &envelope.body {
                    // One that was sent to serve without the other has to say so itself.
                    let other = &self.machines[1 - at];
                    let serves_unknowing = other.serves()
                        && other.node.as_ref().and_then(|node| node.memory()).is_some_and(|memory| memory.served_unknowing);
                    let is_told = heartbeat.state == State::PartnerDown || heartbeat.counted_down;
                    self.machines[at].was_told |= is_told || serves_unknowing;
                } else {
                    tell!(self, "          {} hears: {}", name(at), tell::body(&envelope.body));
                }
                self.handle(at, Event::Partner(envelope));
            }
            Incoming::Reports => self.hear_reports(at),
        }
    }

    fn hear_packet(&mut self, at: usize, packet: &Packet) {
        let destination = if packet.is_unicast { own_address(at) } else { std::net::Ipv4Addr::BROADCAST };
        let datagram = Datagram { interface: 1, source: packet.source, source_port: 68, destination, payload: &packet.payload };
        self.handle(at, Event::Datagram(datagram));
    }

    pub fn resume(&mut self, at: usize) {
        if self.machines[at].paused_until.take().is_some() {
            tell!(self, "{} goes on", name(at));
            for what in std::mem::take(&mut self.machines[at].inbox) {
                self.give(at, what);
            }
        }
    }

    pub fn handle(&mut self, at: usize, event: Event<'_>) {
        let now = self.machines[at].node_now(self.now);
        let Some(node) = &mut self.machines[at].node else { return };
        let mut out = std::mem::take(&mut self.spare);
        node.handle(now, event, &mut out);
        self.tally.events += 1;
        self.perform(at, &mut out);
        self.spare = out;
    }

    pub fn perform(&mut self, at: usize, out: &mut Vec<Action>) {
        if out.len() > MAX_ACTIONS {
            self.fail(|| format!("BOUND: {} does {} things at once", name(at), out.len()));
        }
        for action in out.drain(..) {
            match action {
                Action::Reply(reply) => {
                    let heard = Heard::read(&reply).expect("a reply has a message type");
                    self.reply(at, &heard);
                }
                Action::Commit(commit) => {
                    tell!(self, "          {} commits {}: {}", name(at), commit.id.0, tell::changes(&commit.changes));
                    self.judge_commit(at, &commit);
                    self.machines[at].drive.disk.hand_over(commit);
                    self.write_soon(at);
                }
                Action::Send(envelope) => self.send(at, envelope),
                Action::Done { id, result, .. } => {
                    self.last_result_is_ok = result.is_ok();
                    self.edit_is_answered(id, result.is_ok());
                    if let (Err(_), Some((_, down, before))) = (&result, self.declaration.take_if(|(said, ..)| *said == id)) {
                        // Whoever hears that nothing was changed may switch the other one on somewhere else.
                        self.machines[down].declared = before;
                    }
                    tell!(
                        self,
                        "          {} answers command {id}: {}",
                        name(at),
                        match &result {
                            Ok(()) => "done",
                            Err(why) => why,
                        }
                    );
                }
                Action::Decided(decision) => tell!(self, "          {}: {}", name(at), decision.outcome),
                Action::Probe { .. } => {}
            }
        }
        self.note_state(at);
    }

    fn note_state(&mut self, at: usize) {
        let Some(state) = self.machines[at].state() else { return };
        if self.machines[at].last_state != state {
            tell!(self, "{} is now {state:?}", name(at));
            self.machines[at].last_state = state;
            if self.machines[at].serves() {
                let machine = &mut self.machines[at];
                (machine.declared, machine.has_lost) = (false, false);
            }
            match state {
                State::Normal => self.machines[at].has_lost_numbers = false,
                State::Alone => self.choices_are_dropped(at),
                State::PartnerDown if self.setup.assumes && !self.machines[1 - at].is_on() => self.is_declared(1 - at),
                _ => {}
            }
        }
    }

    // The link.

    fn send(&mut self, from: usize, envelope: Envelope) {
        if let Body::Heartbeat(heartbeat) = &envelope.body {
            self.machines[from].said = Some(heartbeat.clone());
        }
        self.judge_numbers(from, &envelope.body);
        let direction = &mut self.link[from];
        direction.count += 1;
        let lot = mix(self.setup.salt ^ direction.count << 1 ^ from as u64) % 1000;
        let way = match direction.way(Kinds::of(&envelope.body)) {
            Way::Flows if lot < u64::from(self.setup.loss_permille) && !self.must_reach() => Way::IsLost,
            way => way,
        };
        if !matches!(envelope.body, Body::Heartbeat(_)) {
            let fate = ["", " (held back)", " (lost)"][way as usize];
            tell!(self, "{} → {}  {}{fate}", name(from), name(1 - from), tell::body(&envelope.body));
        }
        match way {
            Way::Flows => {
                let (to, start) = (1 - from, self.machines[1 - from].starts);
                self.after(self.setup.link_ms[from].into(), Due::Arrives { to, start, envelope });
            }
            Way::IsHeld => self.link[from].put_aside(envelope),
            Way::IsLost => {}
        }
    }

    /// One of them was declared down and has started: it reaches the other (e10).
    fn must_reach(&self) -> bool {
        self.setup.assumes || self.machines.iter().any(|machine| machine.must_be_told() && machine.is_on())
    }

    fn set_link(&mut self, from: usize, kinds: Kinds, does: LinkDoes) {
        if does != LinkDoes::Flow && self.must_reach() {
            return;
        }
        tell!(self, "link {} → {}: {does:?} {}", name(from), name(1 - from), tell::kinds(kinds));
        match does {
            LinkDoes::Flow => self.link[from].flow(kinds),
            LinkDoes::Hold => self.link[from].hold(kinds),
            LinkDoes::Cut => self.link[from].cut(kinds),
        }
    }

    // Disks.

    fn write_soon(&mut self, at: usize) {
        let (ms, machine) = (self.setup.disk_ms[at], &mut self.machines[at]);
        if !machine.disk_is_stalled && !machine.write_is_due {
            machine.write_is_due = true;
            let start = machine.starts;
            self.after(ms.into(), Due::Write { at, start });
        }
    }

    pub fn write(&mut self, at: usize, commits: usize) {
        let machine = &mut self.machines[at];
        let before = machine.drive.disk.history.len();
        machine.drive.disk.write(commits);
        machine.written(self.now, before);
        self.hear_soon(at);
    }

    fn hear_soon(&mut self, at: usize) {
        if !self.machines[at].drive.disk.reports.is_empty() {
            let start = self.machines[at].starts;
            self.after(REPORT_MS, Due::Hear { at, start });
        }
    }

    fn hear_reports(&mut self, at: usize) {
        while let Some(report) = self.machines[at].drive.disk.reports.pop_front() {
            match report {
                Report::Committed(up_to) => self.handle(at, Event::Committed { up_to }),
                Report::Failed(ids) => self.handle(at, Event::CommitFailed { ids, trouble: StoreTrouble::DiskFull }),
                Report::Recovered => {
                    self.handle(at, Event::StoreRecovered);
                    self.machines[at].drive.disk.resume();
                }
            }
        }
        self.hear_soon(at);
    }

    fn disk(&mut self, at: usize, does: DiskDoes) {
        if !self.machines[at].is_on() {
            return;
        }
        tell!(self, "disk of {}: {does:?}", name(at));
        match does {
            DiskDoes::Stall => self.machines[at].disk_is_stalled = true,
            DiskDoes::Flow => {
                self.machines[at].disk_is_stalled = false;
                self.write_soon(at);
            }
            DiskDoes::Write(commits) => self.write(at, commits.into()),
            DiskDoes::Fail => {
                self.machines[at].drive.disk.fail();
                self.hear_soon(at);
            }
            DiskDoes::Heal => {
                self.machines[at].drive.disk.heal();
                self.hear_soon(at);
            }
        }
    }
}

/// A number that looks random and is the same each time.
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

pub fn reaches(reach: Reach) -> impl Iterator<Item = usize> {
    [A, B].into_iter().filter(move |&at| reach.has(at))
}
