//! Histories of edits, messages and merges: both nodes end alike and no edit is lost; what clashes is told and kept.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    protocol::lease::HwAddr,
    settings::{
        AddressRange, LeaseOverrides, Pool, Reservation, Subnet,
        access::{LOCKED, Scope, Token},
        check::check,
        options::{OptionDefinition, OptionKind, OptionValue},
    },
};

fn identifier(nth: u8) -> Identifier {
    Identifier::Mac(HwAddr::ethernet([2, 0, 0, 0, 0, nth]))
}

fn kept(nth: u8, address: u8) -> Record {
    Record::Reservation(Reservation {
        identifier: identifier(nth),
        address: Ipv4Addr::new(192, 0, 2, address),
        name: None,
        note: None,
        options: Default::default(),
        force_broadcast: false,
        echo_client_id: true,
    })
}

fn subnet(network: &str) -> Subnet {
    Subnet {
        network: network.parse().expect("a network"),
        interface: None,
        pools: Vec::new(),
        exclusions: Vec::new(),
        lease: LeaseOverrides::default(),
        options: Default::default(),
    }
}

fn router(address: [u8; 4]) -> (u8, OptionValue) {
    (3, OptionValue::IpList(vec![Ipv4Addr::from(address)]))
}

mod clashes;

/// One of the two, and its counter.
#[derive(Clone)]
struct Side {
    rank: Rank,
    number: u64,
    replica: Replica,
}

impl Side {
    fn pair() -> [Side; 2] {
        [Rank::First, Rank::Second].map(|rank| Side { rank, number: 0, replica: Replica::default() })
    }

    fn edit(&mut self, change: Change) -> Vec<Entry> {
        let entries = self.replica.edit(&[change], self.rank, &mut self.number);
        for entry in &entries {
            self.replica.put(entry.clone());
        }
        entries
    }

    fn hear(&mut self, entry: &Entry) -> Merged {
        let merged = self.replica.merge(entry);
        self.replica.put(merged.entry.clone());
        merged
    }
}

/// All entries go over, both ways, until nobody has news.
fn exchange(sides: &mut [Side; 2], backwards: bool) {
    for _ in 0..3 {
        let mut sent: Vec<(usize, Entry)> =
            (0..2).flat_map(|i| sides[i].replica.entries.values().cloned().map(move |entry| (1 - i, entry))).collect();
        if backwards {
            sent.reverse();
        }
        for (to, entry) in sent {
            sides[to].hear(&entry);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        side: usize,
        nth: u8,
        address: u8,
    },
    Remove {
        side: usize,
        nth: u8,
    },
    /// Keeps what a side holds, to be delivered later, perhaps more than once.
    Send {
        side: usize,
    },
    Deliver {
        which: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let side = 0..2usize;
    vec(
        prop_oneof![
            4 => (side.clone(), 0..3u8, 1..4u8).prop_map(|(side, nth, address)| Step::Put { side, nth, address }),
            1 => (side.clone(), 0..3u8).prop_map(|(side, nth)| Step::Remove { side, nth }),
            3 => side.prop_map(|side| Step::Send { side }),
            3 => (0..100usize).prop_map(|which| Step::Deliver { which }),
        ],
        1..40,
    )
}

/// What went before an edit, told apart from what the entries say: for each setting, the edits that are behind a side's entry.
type Behind = HashMap<RecordKey, BTreeSet<usize>>;

struct Edit {
    key: RecordKey,
    record: Option<Record>,
    behind: BTreeSet<usize>,
}

struct History {
    sides: [Side; 2],
    behind: [Behind; 2],
    edits: Vec<Edit>,
    /// Every entry that there ever was.
    ever: Vec<Entry>,
    sent: Vec<(usize, Replica, Behind)>,
}

impl History {
    fn of(steps: &[Step]) -> History {
        let mut history = History {
            sides: Side::pair(),
            behind: [Behind::new(), Behind::new()],
            edits: Vec::new(),
            ever: Vec::new(),
            sent: Vec::new(),
        };
        for step in steps {
            match *step {
                Step::Put { side, nth, address } => history.edit(side, Change::Put(kept(nth, address))),
                Step::Remove { side, nth } => history.edit(side, Change::Remove(RecordKey::Reservation(identifier(nth)))),
                Step::Send { side } => {
                    history.sent.push((1 - side, history.sides[side].replica.clone(), history.behind[side].clone()));
                }
                Step::Deliver { which } if !history.sent.is_empty() => {
                    let (to, replica, behind) = history.sent[which % history.sent.len()].clone();
                    for entry in replica.entries.values() {
                        history.sides[to].hear(entry);
                        history.ever.push(history.sides[to].replica.entries[&entry.key].clone());
                    }
                    for (key, edits) in behind {
                        history.behind[to].entry(key).or_default().extend(edits);
                    }
                }
                Step::Deliver { .. } => {}
            }
        }
        history
    }

    fn edit(&mut self, side: usize, change: Change) {
        for entry in self.sides[side].edit(change) {
            let behind = self.behind[side].entry(entry.key.clone()).or_default();
            self.edits.push(Edit { key: entry.key.clone(), record: entry.record.clone(), behind: behind.clone() });
            behind.insert(self.edits.len() - 1);
            self.ever.push(entry);
        }
    }
}

/// What is kept beside the entries is what follows from them.
fn assert_kept_in_step(replica: &Replica) {
    assert_eq!(replica.digest(), replica.entries.values().map(digest_of).fold(0, u64::wrapping_add));
    assert_eq!(*replica.assemble(), replica.assemble_anew());
}

proptest! {
    #[test]
    fn the_digest_and_what_all_come_to_keep_in_step_with_every_change(steps in steps()) {
        let mut sides = Side::pair();
        for step in steps {
            match step {
                Step::Put { side, nth, address } => drop(sides[side].edit(Change::Put(kept(nth, address)))),
                Step::Remove { side, nth } => drop(sides[side].edit(Change::Remove(RecordKey::Reservation(identifier(nth))))),
                // Taken in, and half of the time taken back.
                Step::Send { .. } | Step::Deliver { .. } => {
                    let to = if let Step::Send { side } = step { side } else { 0 };
                    let entries: Vec<Entry> = sides[1 - to].replica.entries.values().cloned().collect();
                    for (nth, entry) in entries.into_iter().enumerate() {
                        let merged = sides[to].replica.merge(&entry).entry;
                        let before = sides[to].replica.put(merged);
                        assert_kept_in_step(&sides[to].replica);
                        if nth % 2 == 0 {
                            sides[to].replica.put_back(&entry.key, before);
                        }
                    }
                }
            }
            sides.iter().for_each(|side| assert_kept_in_step(&side.replica));
        }
    }

    #[test]
    fn after_all_was_exchanged_both_hold_the_same_and_no_edit_is_lost(steps in steps(), backwards: bool) {
        let mut history = History::of(&steps);
        exchange(&mut history.sides, backwards);
        let [first, second] = &history.sides;
        prop_assert_eq!(&first.replica, &second.replica);
        prop_assert_eq!(first.replica.digest(), second.replica.digest());
        prop_assert_eq!(first.replica.assemble(), second.replica.assemble());
        for (nth, edit) in history.edits.iter().enumerate() {
            let entry = &first.replica.entries[&edit.key];
            let is_there = entry.record == edit.record || entry.waiting().contains(&&edit.record);
            let was_overwritten = history.edits.iter().any(|later| later.key == edit.key && later.behind.contains(&nth));
            prop_assert!(is_there || was_overwritten, "edit {nth} is lost: {entry:?}");
            // And the other way round: what somebody overwrote who had seen it does not come back as a contradiction.
            if let Some(other) = &entry.other {
                let alive = |record: &Option<Record>| {
                    let mut writers = history.edits.iter().enumerate().filter(|(_, e)| e.key == edit.key && e.record == *record);
                    writers.any(|(nth, _)| !history.edits.iter().any(|later| later.key == edit.key && later.behind.contains(&nth)))
                };
                prop_assert!(alive(&other.record) && alive(&entry.record), "a contradiction with the dead: {entry:?}");
            }
        }
    }

    #[test]
    fn it_does_not_matter_in_which_order_entries_meet(steps in steps(), picks in (0..1000usize, 0..1000usize, 0..1000usize)) {
        let history = History::of(&steps);
        prop_assume!(!history.ever.is_empty());
        let a = &history.ever[picks.0 % history.ever.len()];
        let same_key: Vec<&Entry> = history.ever.iter().filter(|entry| entry.key == a.key).collect();
        let (b, c) = (same_key[picks.1 % same_key.len()], same_key[picks.2 % same_key.len()]);
        let merged = merge::merged;
        prop_assert_eq!(merged(a, a), a.clone());
        prop_assert_eq!(merged(a, b), merged(b, a));
        prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
    }

    #[test]
    fn whatever_meets_can_be_served_and_nothing_is_swallowed(picks in vec((0..RECORDS, any::<bool>()), 0..14)) {
        let mut sides = Side::pair();
        for (which, second) in &picks {
            sides[usize::from(*second)].edit(Change::Put(record(*which)));
        }
        exchange(&mut sides, false);
        let replica = &sides[0].replica;
        let assembled = replica.assemble();
        prop_assert_eq!(check(&assembled.settings), vec![]);
        let in_force = assembled.settings.records();
        for entry in replica.entries.values() {
            let Some(record) = &entry.record else { continue };
            let is_told = assembled.set_aside.iter().any(|aside| aside.key == entry.key && aside.record == *record);
            prop_assert!(in_force.contains(record) != is_told, "{record:?}: {:?}", assembled.set_aside);
        }
        prop_assert_eq!(assembled, sides[1].replica.assemble());
        let told = replica.to_reconcile(assembled);
        let contradictions = replica.entries.values().filter(|entry| entry.other.is_some()).count();
        prop_assert_eq!(told.len(), contradictions + assembled.set_aside.len());
    }
}

const RECORDS: usize = 19;

/// Records of which many do not go together, and some not at all.
fn record(which: usize) -> Record {
    let secs = Duration::from_secs;
    let pool = |first: u8, last: u8| Pool {
        range: AddressRange { first: Ipv4Addr::new(192, 0, 2, first), last: Ipv4Addr::new(192, 0, 2, last) },
        options: Default::default(),
    };
    let overrides = |max| LeaseOverrides { max: Some(secs(max)), ..LeaseOverrides::default() };
    match which {
        0 => Record::Subnet(Subnet { pools: vec![pool(100, 199)], ..subnet("192.0.2.0/24") }),
        1 => Record::Subnet(Subnet { lease: overrides(3600), ..subnet("192.0.2.0/24") }),
        2 => Record::Subnet(subnet("192.0.2.128/25")),
        3 => Record::Subnet(Subnet { lease: overrides(100_000), ..subnet("198.51.100.0/24") }),
        4 => Record::Options([router([192, 0, 2, 150])].into()),
        5 => Record::Options([router([198, 51, 100, 1]), (224, OptionValue::Text("x".into()))].into()),
        6 => Record::CustomOptions(vec![OptionDefinition { code: 224, name: "my-thing".into(), kind: OptionKind::U8 }]),
        7 => Record::Lease(LeaseTimes { min: secs(90_000), default: secs(90_000), ..LeaseTimes::default() }),
        8 => Record::Lease(LeaseTimes { min: secs(9), default: secs(1), ..LeaseTimes::default() }),
        9 => kept(1, 5),
        10 => kept(2, 5),
        11 => kept(3, 5),
        12 => kept(4, 150),
        13 => kept(1, 0),
        18 => Record::Access(Access { password: Some("$argon2id$x".into()), tokens: Vec::new() }),
        16 => Record::Access(Access { password: Some("damaged".into()), tokens: vec![token(""), token("one")] }),
        17 => Record::Alerts(Alerts { pool_percent: 0, ..Alerts::default() }),
        14 => Record::Server(Server { interfaces: vec!["/".into()], ..Server::default() }),
        _ => Record::Twin(Twin { mclt: secs(1), ..Twin::default() }),
    }
}

fn token(name: &str) -> Token {
    Token { name: name.into(), hash: "ab".repeat(32), scope: Scope::Read, created: 0 }
}

#[test]
fn a_device_whose_password_is_damaged_is_claimed_by_nobody() {
    let mut number = 0;
    let mut replica = Replica::default();
    for entry in replica.edit(&[Change::Put(record(16))], Rank::First, &mut number) {
        replica.put(entry);
    }
    let Assembled { settings, set_aside } = replica.assemble().clone();
    assert_eq!(settings.access, Access { password: Some(LOCKED.into()), tokens: vec![token("one")] });
    assert_eq!(set_aside.len(), 1);
    assert!(set_aside[0].why.contains("Set it anew"), "{}", set_aside[0].why);
}

#[test]
fn whoever_edited_is_known_on_the_other_twin_too_and_not_by_an_older_one() {
    let mut number = 0;
    let mut entry = Replica::default().edit(&[Change::Put(kept(1, 5))], Rank::First, &mut number).remove(0);
    entry.edited = Some(Edited::new("Home\u{7} Assistant", 5));
    let json = serde_json::to_value(&entry).expect("plain data");
    let back: Entry = serde_json::from_value(json.clone()).expect("the same");
    assert_eq!(back.edited.as_ref().map(|edited| edited.by.as_str()), Some("Home Assistant"));
    assert_eq!(Replica::default().merge(&back).entry.edited, back.edited);
    let mut older = json.clone();
    older.as_object_mut().expect("an object").remove("edited");
    assert_eq!(serde_json::from_value::<Entry>(older).expect("an older one").edited, None);
    let mut long = json;
    long["edited"]["by"] = "ü".repeat(1000).into();
    let long: Entry = serde_json::from_value(long).expect("cut");
    assert_eq!(long.edited.map(|edited| edited.by.len()), Some(AUTHOR_BYTES_MAX));
}

#[test]
fn a_start_as_one_of_two_writes_down_what_differs_from_the_default() {
    let mut settings = Settings::default();
    settings.put(record(0));
    settings.put(kept(1, 31));
    settings.put(Record::Twin(Twin { active: Rank::Second, ..Twin::default() }));
    let mut number = 40;
    let replica = Replica::bootstrap(&settings, Rank::Second, &mut number, false);
    assert_eq!((replica.entries.len(), number), (3, 43));
    assert!(replica.entries.values().all(|entry| entry.version.first == 0 && entry.version.second > 40));
    assert_eq!(*replica.assemble(), Assembled { settings, set_aside: vec![] });
}

#[test]
fn who_may_sign_in_on_the_joining_one_gives_way_to_the_other_and_nothing_else_does() {
    let access = |hash: &str| Record::Access(Access { password: Some(hash.into()), tokens: Vec::new() });
    for (host, joining) in [(Rank::First, Rank::Second), (Rank::Second, Rank::First)] {
        // As after a start: numbers begin far above those of the joining one's entry.
        let (mut number, mut its_number) = (1 << 20, 1 << 20);
        let mut settings = Settings::default();
        settings.put(Record::Twin(Twin { active: Rank::Second, ..Twin::default() }));
        settings.put(access("$argon2id$joining"));
        let joining_one = Replica::bootstrap(&settings, joining, &mut its_number, true);
        assert_eq!(*joining_one.assemble(), Assembled { settings: settings.clone(), set_aside: vec![] }, "until it hears more");
        let nobody = Replica::bootstrap(&Settings::default(), host, &mut number, false);
        let claimed_by = |host: Replica| {
            let mut both = [host.clone(), joining_one.clone()];
            for (to, from) in [(0, &joining_one), (1, &host)] {
                for entry in from.entries.values() {
                    let merged = both[to].merge(entry).entry;
                    both[to].put(merged);
                }
            }
            assert_eq!(both[0], both[1]);
            assert_eq!(both[0].to_reconcile(both[0].assemble()), []);
            assert!(both[0].entries.contains_key(&RecordKey::Twin), "its other settings stay");
            both[0].assemble().settings.access.password.clone()
        };
        assert_eq!(claimed_by(nobody).as_deref(), Some("$argon2id$joining"), "better than that anybody may claim the two");
        let mut settings = Settings::default();
        settings.put(access("$argon2id$host"));
        let host = Replica::bootstrap(&settings, host, &mut number, false);
        assert_eq!(claimed_by(host).as_deref(), Some("$argon2id$host"));
    }
}

#[test]
fn an_edit_that_changes_nothing_has_no_version() {
    let [mut first, _] = Side::pair();
    assert_eq!(first.edit(Change::Put(Record::Server(Server::default()))), []);
    assert_eq!(first.edit(Change::Remove(RecordKey::Twin)), []);
    assert_eq!(first.edit(Change::Put(kept(1, 5))).len(), 1);
    assert_eq!(first.edit(Change::Put(kept(1, 5))), []);
    assert_eq!(first.number, 1);
    // Moved, as `differences` says it: removed, then put.
    let key = RecordKey::Reservation(identifier(1));
    let moved = first.replica.edit(&[Change::Remove(key.clone()), Change::Put(kept(1, 6))], Rank::First, &mut first.number);
    assert_eq!((moved.len(), &moved[0].record), (1, &Some(kept(1, 6))));
    let before = first.replica.put(moved[0].clone());
    first.replica.put_back(&key, before);
    assert_eq!(first.replica.entries[&key].record, Some(kept(1, 5)));
    first.replica.put_back(&key, None);
    assert_eq!(first.replica, Replica::default());
}

#[test]
fn a_merge_says_who_has_news_for_whom() {
    let mut sides = Side::pair();
    let old = sides[0].edit(Change::Put(kept(1, 5))).remove(0);
    let told = |merged: Merged| (merged.changed, merged.theirs_is_older);
    assert_eq!(told(sides[1].hear(&old)), (true, false));
    assert_eq!(told(sides[1].hear(&old)), (false, false));
    let newer = sides[1].edit(Change::Put(kept(1, 6))).remove(0);
    assert_eq!(told(sides[1].hear(&old)), (false, true));
    assert_eq!(told(sides[0].hear(&newer)), (true, false));
    let [of_first, of_second] = [0, 1].map(|side: usize| sides[side].edit(Change::Put(kept(1, 7 + side as u8))).remove(0));
    assert_eq!(told(sides[0].hear(&of_second)), (true, true));
    assert_eq!(told(sides[1].hear(&of_first)), (true, true));
    assert_eq!(sides[0].replica, sides[1].replica);
}

#[test]
fn the_digest_is_the_same_everywhere() {
    let records = [record(0), kept(1, 5), record(6), record(15)];
    let changes = records.map(Change::Put);
    let replica = Replica::new(Replica::default().edit(&changes, Rank::First, &mut 0));
    assert_eq!(replica.digest(), 6_625_332_598_504_867_622, "this very number, on every machine and in every build");
    assert_eq!(Replica::default().digest(), 0);
    let mut seen = BTreeSet::new();
    for step in 0..100 {
        let mut number = step;
        seen.insert(Replica::new(Replica::default().edit(&changes, Rank::First, &mut number)).digest());
        seen.insert(Replica::new(Replica::default().edit(&changes, Rank::Second, &mut number)).digest());
    }
    assert_eq!(seen.len(), 200);
}

#[test]
fn an_entry_about_another_setting_than_it_says_is_not_read() {
    let mut entry = Side::pair()[0].edit(Change::Put(kept(1, 5))).remove(0);
    let json = serde_json::to_string(&entry).expect("plain data");
    assert_eq!(serde_json::from_str::<Entry>(&json).expect("reads"), entry);
    entry.other = Some(Other { record: Some(kept(2, 5)), also: Vec::new() });
    let json = serde_json::to_string(&entry).expect("plain data");
    assert!(serde_json::from_str::<Entry>(&json).expect_err("another").to_string().contains("another one than it says"));
}
