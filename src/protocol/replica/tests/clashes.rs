//! Edits that were sound where they were made, and do not go together: told, kept, settled.

use super::*;
use crate::protocol::failover::loose::with_loose;

/// Both begin with the same, then each edits apart, then they meet.
fn apart(base: Vec<Record>, first: Vec<Change>, second: Vec<Change>) -> Side {
    let mut sides = Side::pair();
    for record in base {
        sides[0].edit(Change::Put(record));
    }
    exchange(&mut sides, false);
    for (side, changes) in sides.iter_mut().zip([first, second]) {
        for change in changes {
            side.edit(change);
        }
    }
    exchange(&mut sides, false);
    assert_eq!(sides[0].replica, sides[1].replica);
    sides[0].clone()
}

fn home() -> Vec<Record> {
    vec![record(0)]
}

#[test]
fn an_address_kept_apart_for_two_devices_stays_with_the_first_nodes() {
    let side = apart(home(), vec![Change::Put(kept(9, 31))], vec![Change::Put(kept(1, 31))]);
    let assembled = side.replica.assemble().clone();
    assert_eq!(assembled.settings.reservations.len(), 1);
    assert_eq!(assembled.settings.reservations[0].identifier, identifier(9));
    assert_eq!(assembled.set_aside.len(), 1);
    assert!(assembled.set_aside[0].why.starts_with("192.0.2.31 is already kept for"), "{:?}", assembled.set_aside);
    let told = side.replica.to_reconcile(&assembled);
    assert!(told[0].text.contains("is not in force") && told[0].waiting == Some(kept(1, 31)), "{told:?}");
}

#[test]
fn contradicting_edits_wait_for_a_choice_and_the_same_edit_twice_does_not() {
    let twin = |secs| Record::Twin(Twin { mclt: Duration::from_secs(secs), ..Twin::default() });
    let mut side = apart(home(), vec![Change::Put(twin(600))], vec![Change::Put(twin(600))]);
    assert_eq!(side.replica.to_reconcile(side.replica.assemble()), []);
    side = apart(home(), vec![Change::Put(twin(600))], vec![Change::Put(twin(60)), Change::Put(twin(1200))]);
    let assembled = side.replica.assemble().clone();
    assert_eq!(Record::Twin(assembled.settings.twin), twin(600), "the first's stays in force");
    let told = side.replica.to_reconcile(&assembled);
    assert_eq!((told.len(), told[0].name.as_str(), told[0].waiting.clone()), (1, "twin", Some(twin(1200))));

    for (keep, expected) in [(Keep::InForce, twin(600)), (Keep::Waiting, twin(1200))] {
        let mut side = side.clone();
        let entry = side.replica.settle(&RecordKey::Twin, keep, &assembled, side.rank, &mut side.number).expect("a choice");
        side.replica.put(entry);
        let assembled = side.replica.assemble().clone();
        assert_eq!(Record::Twin(assembled.settings.twin), expected);
        assert_eq!(side.replica.to_reconcile(&assembled), []);
        let again = side.replica.settle(&RecordKey::Twin, keep, &assembled, side.rank, &mut side.number);
        assert!(again.expect_err("settled").contains("needs no decision"));
    }
    // An ordinary edit is a choice too, even one that says what is in force.
    let mut edited = side.clone();
    edited.edit(Change::Put(twin(600)));
    assert_eq!(edited.replica.to_reconcile(edited.replica.assemble()), []);
}

#[test]
fn what_was_set_on_a_blank_disk_waits_beside_what_the_twin_has_though_its_number_was_spent() {
    let twin = |secs| Record::Twin(Twin { mclt: Duration::from_secs(secs), ..Twin::default() });
    let known = apart(home(), Vec::new(), vec![Change::Put(twin(600))]);
    let on_twin = known.replica.entries[&RecordKey::Twin].clone();
    let mut blank = Side { number: on_twin.version.second - 1, ..Side::pair()[1].clone() };
    blank.edit(Change::Put(twin(1200)));
    assert_eq!(blank.replica.entries[&RecordKey::Twin].version.second, on_twin.version.second, "one number, two edits");
    assert!(!blank.replica.merge(&on_twin).theirs_is_older, "told as it is, the twin would not take it in");

    // By a settings file of before, and by somebody.
    let of_file = blank.replica.rejoin(&on_twin, blank.rank, &mut blank.number.clone());
    assert_eq!((of_file.entry, of_file.theirs_is_older), (on_twin.clone(), false));
    let mut edited = Entry { edited: Some(Edited::new("attic", 1)), ..blank.replica.entries[&RecordKey::Twin].clone() };
    blank.replica.put(edited.clone());
    let merged = blank.replica.rejoin(&on_twin, blank.rank, &mut blank.number);
    assert!(merged.theirs_is_older && merged.entry.version.second > on_twin.version.second);
    assert_eq!((&merged.entry.record, merged.entry.waiting()), (&Some(twin(600)), vec![&Some(twin(1200))]));
    assert_eq!(known.replica.merge(&merged.entry).entry, merged.entry, "it has seen what the twin has");
    // Twice the same is no contradiction.
    edited.record = Some(twin(600));
    blank.replica.put(edited);
    assert_eq!(blank.replica.rejoin(&on_twin, blank.rank, &mut blank.number).entry, on_twin);
}

/// A contradiction waits when the twin is replaced, and the new one says something else about the same setting.
fn replaced(rank: Rank, brought_at: u64) -> Side {
    let twin = |secs| Record::Twin(Twin { mclt: Duration::from_secs(secs), ..Twin::default() });
    let mut stays = apart(home(), vec![Change::Put(twin(600))], vec![Change::Put(twin(1200))]);
    stays.rank = rank;
    for entry in stays.replica.renumbered(rank, &mut stays.number) {
        stays.replica.put(entry);
    }
    let [first, second] = Side::pair();
    let mut comes = if rank == Rank::First { second } else { first };
    comes.number = brought_at;
    comes.edit(Change::Put(twin(1800)));
    let mut sides = if rank == Rank::First { [stays, comes] } else { [comes, stays] };
    exchange(&mut sides, false);
    assert_eq!(sides[0].replica, sides[1].replica);
    sides[0].clone()
}

#[test]
fn what_waits_goes_on_waiting_beside_what_a_replacement_brings() {
    let left = |side: &Side| 1 + side.replica.entries[&RecordKey::Twin].waiting().len();
    for (rank, brought_at) in [Rank::First, Rank::Second].into_iter().flat_map(|rank| [1, 1 << 40].map(|at| (rank, at))) {
        assert!(with_loose(&[Rule::W49], || left(&replaced(rank, brought_at))) < 3, "{rank:?}: an edit is lost");
        let mut side = replaced(rank, brought_at);
        assert_eq!(left(&side), 3, "{rank:?}: {:?}", side.replica);
        // One choice at a time, and nothing goes that was not chosen against.
        let mut last = None;
        for then in [2, 1] {
            let assembled = side.replica.assemble().clone();
            let told = side.replica.to_reconcile(&assembled);
            assert_eq!((told.len(), told[0].text.contains("1 more")), (1, then == 2), "{told:?}");
            let chosen = side.replica.settle(&RecordKey::Twin, Keep::Waiting, &assembled, side.rank, &mut side.number);
            let chosen = chosen.expect("a choice");
            assert_eq!(chosen.record, told[0].waiting);
            last = chosen.record.clone();
            side.replica.put(chosen);
            assert_eq!(left(&side), then);
        }
        assert_eq!(side.replica.entries[&RecordKey::Twin].record, last);
        assert_eq!(side.replica.to_reconcile(side.replica.assemble()), []);
    }
}

#[test]
fn a_removal_made_apart_contradicts_an_edit_made_apart() {
    let key = RecordKey::Reservation(identifier(1));
    let base = vec![record(0), kept(1, 31)];
    let side = apart(base, vec![Change::Remove(key.clone())], vec![Change::Put(kept(1, 32))]);
    let assembled = side.replica.assemble().clone();
    assert_eq!(assembled.settings.reservations, []);
    let told = side.replica.to_reconcile(&assembled);
    assert!(told[0].text.contains("that the first one removed it; what the second one says waits"), "{told:?}");
    let mut side = side;
    let entry = side.replica.settle(&key, Keep::Waiting, &assembled, side.rank, &mut side.number).expect("a choice");
    side.replica.put(entry);
    assert_eq!(side.replica.assemble().settings.reservations[0].address, Ipv4Addr::new(192, 0, 2, 32));
}

#[test]
fn what_clashes_across_settings_is_left_out_in_the_smallest_piece() {
    // The subnet is served with the general times, not dropped.
    let side = apart(home(), vec![Change::Put(record(7))], vec![Change::Put(record(1))]);
    let assembled = side.replica.assemble().clone();
    assert_eq!(assembled.settings.subnets[0].lease, LeaseOverrides::default());
    assert!(assembled.set_aside[0].in_force.is_some());
    let told = side.replica.to_reconcile(&assembled);
    assert!(told[0].text.starts_with("192.0.2.0/24 is in force in part only: In the lease times"), "{told:?}");
    let mut dropped = side.clone();
    let key = RecordKey::Subnet("192.0.2.0/24".parse().expect("a network"));
    let entry = dropped.replica.settle(&key, Keep::InForce, &assembled, dropped.rank, &mut dropped.number).expect("a choice");
    dropped.replica.put(entry);
    assert_eq!(*dropped.replica.assemble(), Assembled { settings: assembled.settings, set_aside: vec![] });

    // A router inside another's pool: the pool goes on.
    let side = apart(vec![Record::Subnet(subnet("192.0.2.0/24"))], vec![Change::Put(record(4))], vec![Change::Put(record(0))]);
    let assembled = side.replica.assemble().clone();
    assert_eq!((assembled.settings.subnets[0].pools.len(), assembled.settings.options.len()), (1, 0));
    assert_eq!(assembled.set_aside[0].key, RecordKey::Options);

    // A definition that another's option does not suit: the option goes, the rest of its set stays.
    let both = Record::Options([(15, OptionValue::Text("home.arpa".into())), (224, OptionValue::Text("x".into()))].into());
    let side = apart(home(), vec![Change::Put(record(6))], vec![Change::Put(both)]);
    let assembled = side.replica.assemble().clone();
    assert_eq!(assembled.settings.options.keys().collect::<Vec<_>>(), [&15]);

    // A reservation whose subnet was removed; when it is there again, so is the reservation.
    let key = RecordKey::Subnet("192.0.2.0/24".parse().expect("a network"));
    let mut side = apart(home(), vec![Change::Remove(key.clone())], vec![Change::Put(kept(1, 31))]);
    let assembled = side.replica.assemble().clone();
    assert!(assembled.settings.reservations.is_empty() && assembled.set_aside[0].why.contains("lies in no subnet"));
    let refusal = side.replica.settle(&assembled.set_aside[0].key, Keep::Waiting, &assembled, side.rank, &mut side.number);
    assert!(refusal.expect_err("not yet").contains("lies in no subnet"));
    side.edit(Change::Put(record(0)));
    assert_eq!(side.replica.assemble().settings.reservations.len(), 1);
}

#[test]
fn thousands_of_reservations_without_their_subnet_are_told_at_once() {
    let records = (0..4000u32).map(|nth| {
        let [.., b, c] = nth.to_be_bytes();
        let Record::Reservation(kept) = kept(1, 1) else { unreachable!() };
        let identifier = Identifier::Mac(HwAddr::ethernet([2, 0, 0, 0, b, c]));
        Change::Put(Record::Reservation(Reservation { identifier, address: Ipv4Addr::new(10, 0, b, c), ..kept }))
    });
    let changes: Vec<Change> = records.collect();
    let replica = Replica::new(Replica::default().edit(&changes, Rank::First, &mut 0));
    assert_eq!(replica.assemble().set_aside.len(), 4000);
}
