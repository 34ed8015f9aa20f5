//! The door for the pair, with a link that says what it is told to.

use std::{sync::Mutex, time::Duration};

use super::*;
use crate::{
    protocol::{
        Action, Change, Command, Event, Interface, Node,
        failover::{self, Doubt, Memory, Rank, Session},
        lease::Version,
        node::Pair,
        replica::{Edited, Entry, Keep, Other, Replica},
        time::{Epoch, Time},
    },
    runtime::{
        clock::{Clock, Reading, WallTrust},
        handle::{Handle, Message, Saved},
    },
    settings::{Record, RecordKey, Settings, Twin},
};

#[derive(Default)]
struct FakeLink {
    asked: Mutex<Vec<String>>,
    refuses: bool,
}

impl FakeLink {
    fn answer<T: Send + 'static>(&self, asked: String, answer: T) -> Answer<'_, T> {
        self.asked.lock().expect("no panic").push(asked);
        let answer = if self.refuses { Err("The code is wrong.".into()) } else { Ok(answer) };
        Box::pin(async { answer })
    }

    fn code(&self, asked: &str) -> Answer<'_, ShownCode> {
        self.answer(asked.into(), ShownCode { digits: "123456".into(), secs_left: 300 })
    }
}

impl TwinLink for FakeLink {
    fn facts(&self) -> serde_json::Value {
        serde_json::json!({ "twin": { "name": "attic" } })
    }
    fn show_code(&self) -> Answer<'_, ShownCode> {
        self.code("show")
    }
    fn enter_code(&self, code: String, address: Option<SocketAddr>) -> Answer<'_, ()> {
        self.answer(format!("enter {code} {address:?}"), ())
    }
    fn unpair(&self) -> Answer<'_, ()> {
        self.answer("unpair".into(), ())
    }
    fn is_paired(&self) -> bool {
        true
    }
}

/// Long enough after the start to know that nobody is there.
const NOW: Time = Time(10_000);

/// Makes all commits durable at once. The outcome of the command, if there was one.
fn settle(node: &mut Node, out: &mut Vec<Action>) -> Option<Result<(), String>> {
    let mut outcome = None;
    while !out.is_empty() {
        for action in std::mem::take(out) {
            match action {
                Action::Commit(commit) => node.handle(NOW, Event::Committed { up_to: commit.id }, out),
                Action::Done { result, .. } => outcome = Some(result),
                Action::Reply(_) | Action::Probe { .. } | Action::Send(_) | Action::Decided(_) => {}
            }
        }
    }
    outcome
}

/// A node whose disk is at once done, behind a door.
fn door(pair: Option<Pair>, link: Option<Arc<FakeLink>>) -> Door {
    let (handle, mut inbox) = Handle::new();
    std::thread::spawn(move || {
        let reading = Reading::take(WallTrust::Kernel);
        let (clock, _) = Clock::resume(None, &reading, WallTrust::Kernel);
        let entries = pair.iter().flat_map(|pair| pair.entries.iter().cloned());
        let settings = Replica::new(entries).assemble().settings.clone();
        let mut node = Node::new(settings, Vec::new(), Epoch(1), Time(0));
        let mut out = Vec::new();
        if let Some(pair) = pair {
            node.pair(Time(0), pair, &mut out);
        }
        settle(&mut node, &mut out);
        let addresses = vec!["192.0.2.1/24".parse().expect("an address")];
        let interface = Interface { index: 1, name: "eth0".into(), mac: None, mtu: 1500, addresses, up: true };
        node.handle(Time(0), Event::Interfaces(vec![interface]), &mut out);
        for now in [Time(250), NOW] {
            node.handle(now, Event::Timer, &mut out);
            settle(&mut node, &mut out);
        }
        while let Some(message) = inbox.blocking_recv() {
            match message {
                Message::Read(look) => look(&node, &clock),
                Message::Submit { command, done, .. } => {
                    node.handle(NOW, Event::Command { id: 1, by: Edited::default(), command }, &mut out);
                    let result = settle(&mut node, &mut out).expect("every command is answered");
                    let _ = done.send(result.map(|()| Saved::default()));
                }
                Message::WhoHas { .. } => panic!("nobody asks by ARP here"),
            }
        }
    });
    Door { handle, link: link.map(|link| link as Arc<dyn TwinLink>), data: std::env::temp_dir() }
}

fn twin(mclt_secs: u64) -> Record {
    Record::Twin(Twin { mclt: Duration::from_secs(mclt_secs), ..Twin::default() })
}

fn pair() -> Pair {
    let memory = Memory {
        rank: Rank::Second,
        partner_down: None,
        shut_down: false,
        forgot: None,
        unpaired: false,
        served_unknowing: false,
        one_forgot: None,
        counted_down: false,
        partner: None,
        partner_number: 0,
        own_number: 0,
        doubt: Doubt::None,
        longest_mclt: Duration::from_secs(3600),
        longest_lease: Duration::from_secs(3600),
        partner_mclt: Duration::from_secs(3600),
        partner_lease: Duration::from_secs(3600),
    };
    let entry = Entry {
        key: RecordKey::Twin,
        version: Version { first: 3, second: 4 },
        record: Some(twin(600)),
        other: Some(Other { record: Some(twin(1200)), also: Vec::new() }),
        also: Vec::new(),
        edited: None,
    };
    Pair { memory, session: Session(1), given_up: Vec::new(), entries: vec![entry], joins: false, is_new: false }
}

#[tokio::test]
async fn without_a_twin_and_a_link_each_says_so() {
    let door = door(None, None);
    let Json(report) = report(State(door.clone())).await.expect("it answers");
    assert!(report.node.is_none() && report.link.is_none() && report.to_reconcile.is_empty());
    assert_eq!(report.light.sign, Sign::NotConfigured);
    let request = PairRequest { code: "123456".into(), address: None };
    for refused in [
        pair_outcome(door.clone(), request).await,
        unpair(State(door.clone())).await.expect("it answers").0.refused,
        show_code(State(door.clone())).await.0.refused,
    ] {
        assert!(refused.expect("refused").contains("--twin-listen off"));
    }
}

async fn pair_outcome(door: Door, request: PairRequest) -> Option<String> {
    super::pair(State(door), Json(request)).await.0.refused
}

#[tokio::test]
async fn the_link_is_asked_and_its_refusal_is_told() {
    let link = Arc::new(FakeLink::default());
    let open = door(None, Some(link.clone()));
    let address = Some("192.0.2.2:8067".parse().expect("an address"));
    assert_eq!(pair_outcome(open.clone(), PairRequest { code: "123456".into(), address }).await, None);
    assert_eq!(show_code(State(open.clone())).await.0.shown.expect("a code").digits, "123456");
    assert_eq!(unpair(State(open.clone())).await.expect("it answers").0.refused, None);
    let told = replace(State(open)).await.expect("it answers").0.refused;
    assert!(told.expect("refused").contains("no twin to replace"));
    assert_eq!(*link.asked.lock().expect("no panic"), ["enter 123456 Some(192.0.2.2:8067)", "show", "unpair"]);

    let refusing = door(None, Some(Arc::new(FakeLink { refuses: true, ..FakeLink::default() })));
    assert_eq!(unpair(State(refusing)).await.expect("it answers").0.refused.as_deref(), Some("The code is wrong."));
}

#[tokio::test]
async fn what_contradicts_is_listed_and_settled() {
    let door = door(Some(pair()), None);
    let reported = report(State(door.clone())).await.expect("it answers").0;
    assert_eq!(reported.node.expect("a twin").to_reconcile.len(), 1);
    let item = &reported.to_reconcile[0];
    assert_eq!((&item.in_force, &item.waiting, item.waiting_from), (&Some(twin(600)), &Some(twin(1200)), Some(Rank::Second)));

    let wrong = Command::Reconcile { key: RecordKey::Lease, keep: Keep::Waiting };
    let refusal = door.handle.submit(wrong).await.expect("it answers").expect_err("nothing to decide");
    assert!(refusal.contains("lease needs no decision"), "{refusal}");
    let choice = Command::Reconcile { key: RecordKey::Twin, keep: Keep::Waiting };
    assert_eq!(door.handle.submit(choice).await.expect("it answers"), Ok(()));
    let settings = door.handle.read(|node, _| node.settings().clone()).await.expect("it answers");
    assert_eq!(Record::Twin(settings.twin), twin(1200));
    assert!(report(State(door)).await.expect("it answers").0.to_reconcile.is_empty());
}

#[tokio::test]
async fn an_edit_that_says_what_is_in_force_is_a_choice_too() {
    let door = door(Some(pair()), None);
    let to_reconcile = async || report(State(door.clone())).await.expect("it answers").0.to_reconcile.len();
    assert_eq!(to_reconcile().await, 1);
    assert_eq!(door.handle.submit(Command::Put(twin(600))).await.expect("it answers"), Ok(()));
    assert_eq!(to_reconcile().await, 0);
}

#[test]
fn a_choice_is_committed_with_what_it_makes_of_the_settings() {
    let mut node = Node::new(Settings::default(), Vec::new(), Epoch(1), Time(0));
    let mut out = Vec::new();
    node.pair(Time(0), pair(), &mut out);
    out.clear();
    let command = Command::Reconcile { key: RecordKey::Twin, keep: Keep::Waiting };
    node.handle(Time(10), Event::Command { id: 7, by: Edited::default(), command: Box::new(command) }, &mut out);
    let commits = out.iter().filter_map(|action| if let Action::Commit(commit) = action { Some(&commit.changes) } else { None });
    let changes: Vec<&Change> = commits.flatten().collect();
    assert!(changes.contains(&&Change::Put(twin(1200))), "{changes:?}");
    let entry = changes.iter().find_map(|change| if let Change::Setting(entry) = change { Some(entry) } else { None });
    let entry = entry.expect("the twin is told");
    assert_eq!((&entry.record, &entry.other, entry.version.first), (&Some(twin(1200)), &None, 3));
    assert!(entry.version.second > 4, "{entry:?}");
}

#[tokio::test]
async fn a_twin_is_replaced_by_the_word_that_it_is_off() {
    let link = Arc::new(FakeLink::default());
    let door = door(Some(pair()), Some(link.clone()));
    let state = async || report(State(door.clone())).await.expect("it answers").0.node.expect("a twin").state;
    assert_eq!(state().await, failover::State::CommunicationsInterrupted);
    let outcome = replace(State(door.clone())).await.expect("it answers").0;
    assert_eq!((outcome.refused, outcome.shown.expect("a code").digits.as_str()), (None, "123456"));
    assert_eq!(*link.asked.lock().expect("no panic"), ["unpair", "show"]);
    assert!(!report(State(door.clone())).await.expect("it answers").0.node.expect("a twin").is_unpaired, "it waits for the next");
    assert_eq!(state().await, failover::State::PartnerDown);
    // Once more, because the code ran out.
    assert!(replace(State(door.clone())).await.expect("it answers").0.shown.is_some());
    assert_eq!(unpair(State(door.clone())).await.expect("it answers").0.refused, None);
    assert_eq!(state().await, failover::State::PartnerDown);
    let node = report(State(door)).await.expect("it answers").0.node.expect("a twin");
    assert!(node.is_unpaired && node.alone_in_secs.is_some_and(|secs| secs >= 2 * 3600), "{node:?}");
}
