//! What a node makes of any messages of its twin: a link proves who speaks, and nothing else about it.
//!
//! Its disk commits at once, a tenth of a second passes between two messages, and a device asks now and then.

use std::{net::Ipv4Addr, sync::OnceLock, time::Duration};

use twinlease::{
    protocol::{
        Action, Datagram, Event, Interface, Node,
        failover::{Envelope, Memory, Rank, Session},
        node::Pair,
        time::{Epoch, Time},
    },
    settings::{Settings, parse},
};

use super::{reply, seeds};

const OWN: Session = Session(2);
const PAUSE: Duration = Duration::from_millis(100);
/// Within one pause. One that is dealt with may make another due at once.
const DEADLINES_MAX: usize = 20;
/// A link hands on more at once than this, but no more kinds of things.
const MESSAGES_MAX: usize = 64;

/// Once as they are, and once as if they came in the sessions that both know of.
pub fn hears(messages: &[Envelope]) {
    let messages = &messages[..messages.len().min(MESSAGES_MAX)];
    World::new().hears(messages.iter().cloned());
    let current = |message: &Envelope| Envelope { from: Session(1), to: message.to.map(|_| OWN), body: message.body.clone() };
    World::new().hears(messages.iter().map(current));
}

struct World {
    node: Node,
    now: Time,
    request: &'static [u8],
}

impl World {
    fn new() -> World {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        static REQUEST: OnceLock<Vec<u8>> = OnceLock::new();
        let read = || parse::parse(include_str!("rules.toml")).unwrap_or_else(|problems| panic!("rules.toml: {problems:?}"));
        let settings = SETTINGS.get_or_init(read).clone();
        // Rapid commit: one packet asks for a lease.
        let find = || seeds::of("decode").into_iter().find(|seed| seed.0 == "rapid-commit").expect("a seed").1;
        let memory = Memory::new(Rank::Second, settings.twin.mclt, settings.lease.max, None);
        let now = Time(1000);
        let node = Node::new(settings, Vec::new(), Epoch(1), now);
        let mut world = World { node, now, request: REQUEST.get_or_init(find) };
        let mut actions = Vec::new();
        world.node.pair(
            now,
            Pair { memory, session: OWN, given_up: Vec::new(), entries: Vec::new(), joins: false, is_new: false },
            &mut actions,
        );
        world.perform(actions);
        let addresses = vec!["192.0.2.1/24".parse().expect("an address")];
        let interface =
            Interface { index: 1, name: "lan1".into(), mac: Some([2, 0, 0, 0, 1, 1]), mtu: 1500, addresses, up: true };
        world.handle(Event::Interfaces(vec![interface]));
        world
    }

    fn hears(mut self, messages: impl Iterator<Item = Envelope>) {
        for message in messages {
            self.handle(Event::Partner(message));
            self.wait();
            let payload = self.request;
            let (source, destination) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
            self.handle(Event::Datagram(Datagram { interface: 1, source, source_port: 68, destination, payload }));
        }
        // What it promised is kept, what it waits for ends.
        for _ in 0..100 {
            self.wait();
        }
        let status = self.node.status(self.now);
        assert!(status.subnets.iter().all(|subnet| subnet.pool_used <= subnet.pool_size), "{status:?}");
    }

    fn wait(&mut self) {
        let end = self.now + PAUSE;
        let mut dealt_with = 0;
        while let Some(due) = self.node.next_deadline().filter(|due| *due <= end) {
            dealt_with += 1;
            assert!(dealt_with < DEADLINES_MAX, "the deadline at {due:?} comes back for ever");
            self.now = self.now.max(due);
            self.handle(Event::Timer);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        self.node.handle(self.now, event, &mut actions);
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        let mut up_to = None;
        for action in actions {
            match action {
                Action::Reply(reply) => reply::check(&reply, [self.request].into_iter()),
                Action::Commit(commit) => {
                    assert!(!commit.changes.is_empty(), "a commit of nothing");
                    up_to = Some(commit.id);
                }
                Action::Send(envelope) => {
                    let written = serde_json::to_vec(&envelope).expect("what is said can be written");
                    assert_eq!(serde_json::from_slice::<Envelope>(&written).as_ref().ok(), Some(&envelope));
                }
                Action::Probe { address, .. } => assert!(!address.is_unspecified()),
                Action::Decided(_) => {}
                Action::Done { .. } => panic!("no command was given"),
            }
        }
        if let Some(up_to) = up_to {
            self.handle(Event::Committed { up_to });
        }
    }
}
