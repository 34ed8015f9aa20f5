//! Two links on one machine, and those who would like to be one of them.

mod bad_partner;
mod found;
mod heard;
mod pairing;
mod snapshot;
mod strangers;
mod travel;
mod update;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{
    Discovery, Identity, Inbound, Link, LinkConfig, Received, Standing,
    key::PublicKey,
    record::{self, Record, Step},
    scratch::Scratch,
    shared::INBOUND_MAX,
};
use crate::{
    protocol::{
        failover::{Body, Envelope, GivenUp, Heartbeat, Rank, Session, State},
        lease::Version,
    },
    runtime::clock::WallTrust,
};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node as far as its link sees it.
struct Node {
    link: Link,
    inbound: mpsc::Receiver<Inbound>,
    data: Scratch,
    identity: Identity,
}

fn standing(name: &str) -> Standing {
    Standing { name: name.into(), fixed_rank: None, has_leases: false, is_blank_first: true, may_take_back: false }
}

fn config(data: &Scratch, name: &str, identity: Identity) -> LinkConfig {
    LinkConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        discovery: Discovery { beacon_port: None, mdns: false },
        first_snapshot_after: Duration::ZERO,
        ..LinkConfig::new(data.path().to_owned(), identity, standing(name), WallTrust::Always)
    }
}

impl Node {
    fn start(name: &str) -> Node {
        Node::start_with(name, |_| {})
    }

    fn start_with(name: &str, change: impl FnOnce(&mut LinkConfig)) -> Node {
        Node::start_in(Scratch::new(name), Identity::generate(None), name, change)
    }

    fn start_in(data: Scratch, identity: Identity, name: &str, change: impl FnOnce(&mut LinkConfig)) -> Node {
        let mut config = config(&data, name, identity.clone());
        change(&mut config);
        let (sender, inbound) = mpsc::channel(INBOUND_MAX);
        let (link, notices) = Link::start(config, sender).expect("a link");
        assert_eq!(notices, [""; 0]);
        Node { link, inbound, data, identity }
    }

    fn presence(&self) -> crate::runtime::presence::Presence {
        self.link.handle().shared.presence.clone()
    }

    async fn address(&self) -> SocketAddr {
        for_sure("the link listens", || self.link.facts().listening).await
    }

    async fn next(&mut self) -> Inbound {
        timeout(PATIENCE, self.inbound.recv()).await.expect("something comes in").expect("the link runs")
    }

    async fn next_paired(&mut self) -> Record {
        loop {
            if let Inbound::Paired(record) = self.next().await {
                return *record;
            }
        }
    }

    async fn next_batch(&mut self) -> Received {
        let comes = async {
            loop {
                if let Inbound::Envelopes(received) = self.next().await {
                    return received;
                }
            }
        };
        timeout(PATIENCE, comes).await.expect("envelopes come in")
    }

    /// Until this very one has come.
    async fn receives(&mut self, wanted: &Envelope) {
        let comes = async { while !self.next_batch().await.envelopes.contains(wanted) {} };
        timeout(PATIENCE, comes).await.expect("this very one comes in");
    }

    fn trouble(&self) -> Option<String> {
        self.link.facts().twin.and_then(|twin| twin.trouble)
    }

    async fn trouble_with(&self, words: &str) -> String {
        for_sure(words, || self.trouble().filter(|trouble| trouble.contains(words))).await
    }

    async fn is_connected(&self) {
        for_sure("it is connected", || self.link.facts().twin.and_then(|twin| twin.connected_ms)).await;
    }

    /// Ends it; what it has on disk stays for another start.
    fn stop(self) -> (Scratch, Identity) {
        self.link.stop();
        (self.data, self.identity)
    }
}

/// Asks again and again until there is an answer.
async fn for_sure<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn pair(a: &mut Node, b: &mut Node) {
    let code = b.link.handle().show_code().await.expect("a code").digits;
    a.link.handle().enter_code(&code, Some(b.address().await)).await.expect("twins");
    a.next_paired().await;
    b.next_paired().await;
}

async fn twins() -> (Node, Node) {
    let (mut a, mut b) = (Node::start("a"), Node::start("b"));
    pair(&mut a, &mut b).await;
    (a, b)
}

/// One that is lost is followed by the next, as it is when the protocol sends them.
async fn heartbeat_arrives(from: &Node, to: &mut Node, number: u64) {
    let arrives = async {
        loop {
            from.link.send(beat(number));
            if timeout(Duration::from_secs(1), to.receives(&beat(number))).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, arrives).await.expect("a heartbeat arrives");
}

/// As if it had been paired with this key before.
fn was_paired(data: &Scratch, step: Step, key: PublicKey, address: Option<SocketAddr>) {
    let record = Record {
        step,
        key,
        serial: None,
        name: "the other".into(),
        rank: Rank::First,
        partner_has_leases: false,
        partner_is_blank_first: true,
        joins: false,
        address,
        replaces: None,
    };
    record::save(data.path(), &record).expect("a record");
}

pub(super) fn record_message(generation: u32) -> Envelope {
    let address = "192.0.2.1".parse().expect("an address");
    let body = Body::GiveUp(GivenUp { address, generation, version: Version::default() });
    Envelope { from: Session(1), to: Some(Session(2)), body }
}

pub(super) fn beat(number: u64) -> Envelope {
    let heartbeat = Heartbeat {
        state: State::Normal,
        forgot: None,
        digest: 0,
        settings_digest: 0,
        number,
        heard_number: 0,
        longest_mclt_ms: 0,
        longest_lease_ms: 0,
        clients_heard: 0,
        in_trouble: false,
        trouble: None,
        knows_trouble: None,
        counted_down: false,
        unconfirmed: 0,
        drill_secs: None,
    };
    Envelope { from: Session(1), to: None, body: Body::Heartbeat(heartbeat) }
}
