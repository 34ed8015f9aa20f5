//! Both twins tell the same history, whichever of them the admin spoke to.

use std::time::Duration;

use super::house::{A, B, House};
use crate::{
    protocol::{
        Command, TwinCommand,
        node::{Noted, Reversal},
        replica::Edited,
    },
    settings::{LeaseTimes, Record, RecordKey, Server, Settings, access::Access, alerts::Alerts},
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What both must have alike: not the numbers, which are each node's own.
fn told(note: &Noted) -> (Edited, RecordKey, Option<Record>, Option<Record>) {
    (note.edited.clone(), note.key.clone(), note.before.clone(), note.after.clone())
}

#[test]
fn a_change_is_told_on_both_with_its_author_and_can_be_taken_back_on_the_other() {
    let mut house = House::together();
    let noted = house.notes(B).len();
    let by = Edited::new("Home Assistant", 1_700_000_000_000);
    let server = Record::Server(Server { bootp: true, ..Server::default() });
    house.command_by(A, by.clone(), Command::Put(server)).expect("it is sound");
    house.wait(secs(1));
    let (ours, theirs) = (house.notes(A).last().expect("noted").clone(), house.notes(B)[noted..].to_vec());
    assert_eq!(theirs.len(), 1, "once");
    assert_eq!(told(&ours), told(&theirs[0]));
    assert_eq!((ours.on_twin, theirs[0].on_twin, &ours.edited), (false, true, &by));

    let Noted { key, before, after, .. } = theirs[0].clone();
    house
        .command_by(B, Edited::new("dashboard", 5), Command::Revert(vec![Reversal { key, before, after }]))
        .expect("it is as it was");
    house.wait(secs(1));
    for node in [A, B] {
        let last = house.notes(node).last().expect("noted");
        assert_eq!((last.edited.by.as_str(), &last.after), ("dashboard", &ours.before));
    }
    assert!(house.notes(A).last().is_some_and(|note| note.on_twin));
}

#[test]
fn what_was_changed_at_once_is_one_step_on_both() {
    let mut house = House::together();
    let mut settings: Settings = house.settings(A).clone();
    settings.put(Record::Server(Server { bootp: true, ..Server::default() }));
    settings.put(Record::Lease(LeaseTimes { infinite: true, ..settings.lease.clone() }));
    let noted = [A, B].map(|node| house.notes(node).len());
    house.command_by(A, Edited::new("command line", 7), Command::Replace(Box::new(settings))).expect("it is sound");
    house.wait(secs(1));
    for node in [A, B] {
        let notes = &house.notes(node)[noted[node]..];
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes.iter().all(|note| note.step == notes[0].id), "{notes:?}");
    }
    // The same author at the same moment, said here, is another step.
    house.command_by(A, Edited::new("command line", 7), Command::Put(Record::Server(Server::default()))).expect("it is sound");
    let last = house.notes(A).last().expect("noted");
    assert_eq!(last.step, last.id);
}

#[test]
fn changes_made_while_apart_are_told_with_the_moment_at_which_they_were_made() {
    let mut house = House::together();
    house.cut();
    house.wait(secs(5));
    let lease = |secs_max| Record::Lease(LeaseTimes { max: secs(secs_max), ..LeaseTimes::default() });
    house.command_by(B, Edited::new("dashboard", 1000), Command::Put(lease(90_000))).expect("it is sound");
    let server = Record::Server(Server { bootp: true, ..Server::default() });
    house.command_by(B, Edited::new("attic", 2000), Command::Put(server)).expect("it is sound");
    let noted = house.notes(A).len();
    house.heal();
    house.wait(secs(3));
    let notes = &house.notes(A)[noted..];
    // In the order in which they came, which is that of the settings.
    let mut moments: Vec<_> = notes.iter().map(|note| (note.edited.wall_ms, note.edited.by.as_str(), note.on_twin)).collect();
    moments.sort_unstable();
    assert_eq!(moments, [(1000, "dashboard", true), (2000, "attic", true)]);
}

/// B has set a password and died; A is paired with a new box that has another one.
fn replaced(joins: bool) -> House {
    let mut house = House::together();
    house.command_by(B, Edited::new("dashboard", 1000), Command::Put(access("$argon2id$old"))).expect("it is sound");
    house.wait(secs(1));
    house.kill(B);
    house.wait(secs(2));
    house.command(A, Command::Twin(TwinCommand::Unpair)).expect("it serves");
    house.wipe(B);
    house.set_up(B, access("$argon2id$new"));
    house.set_up(B, Record::Alerts(Alerts { pool_percent: 77, ..Alerts::default() }));
    house.pair_anew(A);
    house.joins = joins.then_some(B);
    house.start(B);
    house.wait(secs(5));
    house
}

fn access(password: &str) -> Record {
    Record::Access(Access { password: Some(password.into()), tokens: Vec::new() })
}

#[test]
fn what_a_replaced_twin_had_edited_is_not_overwritten_by_the_new_one() {
    // Only the second has ever edited this one.
    let house = replaced(false);
    for node in [A, B] {
        assert_eq!(house.settings(node).record(&RecordKey::Access), Some(access("$argon2id$old")), "in force on {node}");
        assert_eq!(house.status(node).map(|status| status.to_reconcile.len()), Some(1), "and the other kept on {node}");
    }
}

#[test]
fn a_settings_file_of_before_on_a_blank_card_gives_way_to_what_was_set_since() {
    let alerts = |pool_percent| Record::Alerts(Alerts { pool_percent, ..Alerts::default() });
    let mut house = House::together();
    // Only the second has ever edited this one.
    house.command_by(B, Edited::new("dashboard", 1000), Command::Put(alerts(77))).expect("it is sound");
    house.wait(secs(1));
    house.kill(B);
    house.wipe(B);
    house.give_settings(B, alerts(66));
    house.start(B);
    house.wait(secs(5));
    for node in [A, B] {
        assert_eq!(house.settings(node).record(&RecordKey::Alerts), Some(alerts(77)), "in force on {node}");
        assert_eq!(house.status(node).map(|status| status.to_reconcile.len()), Some(0), "nothing to decide on {node}");
    }
}

#[test]
fn who_joins_takes_over_who_may_sign_in_without_a_question_and_brings_its_other_settings() {
    let house = replaced(true);
    for node in [A, B] {
        assert_eq!(house.settings(node).record(&RecordKey::Access), Some(access("$argon2id$old")), "in force on {node}");
        assert_eq!(house.status(node).map(|status| status.to_reconcile.len()), Some(0), "nothing to decide on {node}");
        assert_eq!(house.settings(node).alerts.pool_percent, 77, "{node}");
    }
}
