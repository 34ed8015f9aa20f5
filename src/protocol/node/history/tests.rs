//! A node alone: what is noted, what is taken back and what is refused.

use super::*;
use crate::{
    protocol::{
        Action, Command, Commit, Event, StoreTrouble,
        time::{Epoch, Time},
    },
    settings::{
        LeaseTimes, MASK, Server,
        access::{Access, LOCKED},
        alerts::{Alerts, Webhook},
    },
};

const NOW: Time = Time(1000);

fn node() -> Node {
    let mut node = Node::new(Settings::default(), Vec::new(), Epoch(1), NOW);
    node.set_newest_change(40);
    node
}

/// Gives the command to a disk that is at once done. What was noted, and the number that the caller is told.
fn order(node: &mut Node, command: Command) -> Result<(Vec<Noted>, Option<u64>), String> {
    let mut out = Vec::new();
    node.handle(NOW, Event::Command { id: 1, by: Edited::new("dashboard", 5), command: Box::new(command) }, &mut out);
    let mut notes = Vec::new();
    loop {
        let mut more = Vec::new();
        for action in out {
            match action {
                Action::Commit(Commit { id, changes }) => {
                    for change in changes {
                        if let Change::Noted(note) = change {
                            notes.push(*note);
                        }
                    }
                    node.handle(NOW, Event::Committed { up_to: id }, &mut more);
                }
                Action::Done { result, change, .. } => return result.map(|()| (notes, change)),
                Action::Reply(_) | Action::Probe { .. } | Action::Send(_) | Action::Decided(_) => {}
            }
        }
        out = more;
    }
}

fn bootp(bootp: bool) -> Record {
    Record::Server(Server { bootp, ..Server::default() })
}

fn take_back(note: &Noted) -> Command {
    Command::Revert(vec![Reversal { key: note.key.clone(), before: note.before.clone(), after: note.after.clone() }])
}

#[test]
fn a_change_is_noted_and_its_number_is_told() {
    let mut node = node();
    let (notes, change) = order(&mut node, Command::Put(bootp(true))).expect("sound");
    let note = &notes[0];
    assert_eq!((notes.len(), note.id, note.step, change), (1, 41, 41, Some(41)));
    assert_eq!((note.edited.by.as_str(), note.on_twin), ("dashboard", false));
    assert_eq!((&note.before, &note.after), (&Some(bootp(false)), &Some(bootp(true))));
    assert_eq!(order(&mut node, Command::Put(bootp(true))), Ok((vec![], None)), "nothing was changed");
    let (notes, change) = order(&mut node, take_back(note)).expect("still so");
    assert_eq!((change, &notes[0].after), (Some(42), &Some(bootp(false))));
    assert!(!node.settings().server.bootp);
}

#[test]
fn what_was_changed_again_since_is_not_taken_back_and_both_are_said() {
    let mut node = node();
    let (notes, _) = order(&mut node, Command::Put(bootp(true))).expect("sound");
    let newer = Server { leasequery: true, bootp: true, ..Server::default() };
    order(&mut node, Command::Put(Record::Server(newer))).expect("sound");
    let refusal = order(&mut node, take_back(&notes[0])).expect_err("another one");
    assert!(refusal.contains("changed again since") && refusal.contains("leasequery = true"), "{refusal}");
    assert!(refusal.contains("leasequery = false"), "{refusal}");
    assert!(node.settings().server.bootp);
}

#[test]
fn several_are_taken_back_together_or_not_at_all() {
    let mut node = node();
    let lease = LeaseTimes { infinite: true, ..LeaseTimes::default() };
    let settings = Settings { lease, server: Server { bootp: true, ..Server::default() }, ..Settings::default() };
    let (notes, change) = order(&mut node, Command::Replace(Box::new(settings))).expect("sound");
    assert_eq!((notes.len(), change), (2, Some(41)));
    let reversal = |note: &Noted| Reversal { key: note.key.clone(), before: note.before.clone(), after: note.after.clone() };
    let all = Command::Revert(notes.iter().map(reversal).collect());
    order(&mut node, Command::Put(bootp(false))).expect("sound");
    order(&mut node, all.clone()).expect_err("one of them is another");
    assert!(node.settings().lease.infinite, "the other one stays");
    order(&mut node, Command::Put(bootp(true))).expect("sound");
    order(&mut node, all).expect("both are as they were");
    assert_eq!(*node.settings(), Settings::default());
}

#[test]
fn addresses_that_are_kept_at_once_are_one_change_and_go_together_or_not_at_all() {
    let kept = |nth: u8| {
        let text = format!("[[reservation]]\nmac = \"02:00:00:00:00:0{nth}\"\naddress = \"192.0.2.{nth}\"\n");
        let home = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\n";
        let settings = crate::settings::parse::parse(&format!("{home}{text}")).expect("sound");
        (settings.clone(), Record::Reservation(settings.reservations[0].clone()))
    };
    let mut settings = kept(1).0;
    settings.reservations.clear();
    let mut node = Node::new(settings, Vec::new(), Epoch(1), NOW);
    let all = || Command::AddAll((1..=3).map(|nth| kept(nth).1).collect());
    order(&mut node, Command::Add(kept(3).1)).expect("sound");
    order(&mut node, all()).expect_err("one is kept already");
    assert_eq!(node.settings().reservations.len(), 1, "then none is added");
    order(&mut node, Command::Remove(kept(3).1.key())).expect("it is there");
    let (notes, change) = order(&mut node, all()).expect("all are new");
    assert!(notes.len() == 3 && notes.iter().all(|note| Some(note.step) == change), "{notes:?}");
    order(&mut node, Command::Add(kept(4).1)).expect("sound");
    let reversal = |note: &Noted| Reversal { key: note.key.clone(), before: note.before.clone(), after: note.after.clone() };
    let undo = Command::Revert(notes.iter().map(reversal).collect());
    order(&mut node, Command::Remove(kept(2).1.key())).expect("it is there");
    let refusal = order(&mut node, undo.clone()).expect_err("one of them is gone");
    assert!(refusal.contains("192.0.2.2") || refusal.contains("02:00:00:00:00:02"), "{refusal}");
    assert!(refusal.contains("one by one"), "{refusal}");
    assert_eq!(node.settings().reservations.len(), 3);
    order(&mut node, Command::Add(kept(2).1)).expect("sound");
    order(&mut node, undo).expect("all are as they were");
    let left: Vec<u8> = node.settings().reservations.iter().map(|kept| kept.address.octets()[3]).collect();
    assert_eq!(left, [4], "exactly what was added is gone");
}

#[test]
fn secrets_are_nowhere_in_the_history_and_come_back_only_from_what_is_in_force() {
    let mut node = node();
    let hook = |url: &str, pool_percent| {
        Record::Alerts(Alerts { webhook: Some(Webhook { url: url.into() }), pool_percent, ..Alerts::default() })
    };
    order(&mut node, Command::Put(hook("https://example.org/secret", 80))).expect("sound");
    let (notes, _) = order(&mut node, Command::Put(hook("https://example.org/secret", 70))).expect("sound");
    assert_eq!((&notes[0].before, &notes[0].after), (&Some(hook(MASK, 80)), &Some(hook(MASK, 70))));
    order(&mut node, take_back(&notes[0])).expect("the address of the hook is in force");
    assert_eq!(node.settings().alerts.webhook, Some(Webhook { url: "https://example.org/secret".into() }));
    assert_eq!(node.settings().alerts.pool_percent, 80);

    let (notes, _) = order(&mut node, Command::Put(Record::Alerts(Alerts::default()))).expect("sound");
    let refusal = order(&mut node, take_back(&notes[0])).expect_err("it is nowhere any more");
    assert!(refusal.contains("secret that history does not keep"), "{refusal}");
    order(&mut node, Command::Put(hook("https://example.org/1", 90))).expect("sound");
    let (notes, _) = order(&mut node, Command::Put(hook("https://example.org/2", 90))).expect("sound");
    let refusal = order(&mut node, take_back(&notes[0])).expect_err("masked, both are the same");
    assert!(refusal.contains("Only secrets"), "{refusal}");

    let access = Access { password: Some(LOCKED.into()), tokens: Vec::new() };
    let (notes, _) = order(&mut node, Command::Put(Record::Access(access))).expect("sound");
    assert_eq!(notes[0].after, Some(Record::Access(Access { password: Some(MASK.into()), tokens: Vec::new() })));
    order(&mut node, take_back(&notes[0])).expect_err("never");
}

#[test]
fn a_file_does_not_touch_who_may_sign_in() {
    let mut node = node();
    let access = Access { password: Some(LOCKED.into()), tokens: Vec::new() };
    order(&mut node, Command::Put(Record::Access(access.clone()))).expect("sound");
    order(&mut node, Command::Replace(Box::default())).expect("sound");
    let other =
        Settings { access: Access { password: Some("$argon2id$another".into()), tokens: Vec::new() }, ..Settings::default() };
    order(&mut node, Command::Replace(Box::new(other))).expect("sound");
    assert_eq!(node.settings().access, access);
}

#[test]
fn what_the_disk_refuses_is_in_no_history_and_its_number_is_told_to_nobody() {
    let mut node = node();
    let mut out = Vec::new();
    node.handle(NOW, Event::Command { id: 1, by: Edited::default(), command: Box::new(Command::Put(bootp(true))) }, &mut out);
    let [Action::Commit(commit)] = &out[..] else { panic!("{out:?}") };
    assert!(commit.changes.iter().any(|change| matches!(change, Change::Noted(_))), "in the same commit as the change");
    let ids = commit.id..=commit.id;
    let mut out = Vec::new();
    node.handle(NOW, Event::CommitFailed { ids, trouble: StoreTrouble::DiskFull }, &mut out);
    assert!(matches!(&out[..], [Action::Done { result: Err(_), change: None, .. }]), "{out:?}");
    node.handle(NOW, Event::StoreRecovered, &mut out);
    let (notes, change) = order(&mut node, Command::Put(bootp(true))).expect("sound");
    assert_eq!((notes[0].before.clone(), change), (Some(bootp(false)), Some(notes[0].id)));
}
