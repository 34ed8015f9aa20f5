//! The twin link is bad, the partner is no partner, or the disk stalls: clients must feel nothing but a short wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Needs;
use crate::cable::{Cable, Quality};
use crate::crafted::{on_host, preload};
use crate::crowd::{Crowd, Ledger, Manner, Then};
use crate::impostor::{Impostor, Voice};
use crate::pair::{Pair, Side};
use crate::report::{Figures, rounds, row};
use crate::twins::{SETTINGS, Twins};
use crate::world;

const ARRIVAL_INTERVAL: Duration = Duration::from_millis(25);
const WORST_MAX: Duration = Duration::from_secs(5);
/// The standby answers new clients when the active's disk has stood still for a second.
const STALLED_MAX: Duration = Duration::from_secs(2);
const STALL: Duration = Duration::from_secs(5);
/// How long the twin of one whose disk was slow goes on answering for it, and a second.
const CALMS: Duration = Duration::from_secs(4);
const LEASE_MAX: Duration = Duration::from_millis(2500);
const HEALED_MAX: Duration = Duration::from_secs(5);

fn waits_of(crowd: Crowd, promised: &mut Ledger) -> Figures {
    waits_and_leases_of(crowd, promised).0
}

/// For the OFFER, and for the ACK.
fn waits_and_leases_of(crowd: Crowd, promised: &mut Ledger) -> (Figures, Figures) {
    crowd.nobody_arrives();
    let began = Instant::now();
    while !crowd.all_bound() && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (clients, ledger) = crowd.leave();
    promised.merge(ledger);
    let (mut waits, mut leased) = (Figures::default(), Figures::default());
    leased.extend(clients.iter().map(|client| client.wait_for_lease()));
    waits.extend(clients.iter().filter(|client| client.first_offer.is_some()).map(|client| client.wait()));
    waits.never = clients.iter().filter(|client| client.first_ack.is_none()).count();
    (waits, leased)
}

#[test]
fn a_bad_link_loses_no_lease_and_keeps_nobody_waiting() {
    let Some(lab) = crate::enter("link::a_bad_link_loses_no_lease_and_keeps_nobody_waiting", Needs::Quiet) else { return };
    world::with_own_link(&lab);
    let cable = Cable::plug();
    let mut pair = Twins::new(&lab, "bad-link", SETTINGS).on_own_link();
    pair.start_both();
    let mut promised = Ledger::default();
    let cases = [
        ("nothing of A reaches B", Quality { mute: Some(Side::A), ..Quality::default() }),
        ("nothing of B reaches A", Quality { mute: Some(Side::B), ..Quality::default() }),
        ("30 % loss", Quality { loss_percent: 30, ..Quality::default() }),
        ("500 ms delay", Quality { delay: Duration::from_millis(500), ..Quality::default() }),
        ("30 % loss and 200 ms delay", Quality { loss_percent: 30, delay: Duration::from_millis(200), mute: None }),
    ];
    for (what, quality) in cases {
        let (mut all, mut healing) = (Figures::default(), Figures::default());
        for _ in 0..rounds() {
            cable.turn(quality);
            let crowd = Crowd::at("client");
            crowd.arrive(ARRIVAL_INTERVAL, &[Manner::Eager, Manner::Uncounted]);
            std::thread::sleep(Duration::from_secs(if rounds() > 1 { 6 } else { 3 }));
            let waits = waits_of(crowd, &mut promised);
            let healed = Instant::now();
            cable.turn(Quality::default());
            pair.wait_until_together();
            let healed_after = healed.elapsed();
            assert!(waits.never == 0 && waits.worst() < WORST_MAX, "{what}: {waits}\n{}", pair.words());
            assert!(healed_after < HEALED_MAX, "{what}: together after {healed_after:?} only\n{}", pair.words());
            assert_eq!(promised.duplicates(), Vec::<String>::new(), "{what}");
            for side in Side::BOTH {
                assert_eq!(pair.unknown(side, &promised.holders()), 0, "{what}: {side:?}\n{}", pair.words());
            }
            all.merge(waits);
            healing.add(healed_after);
        }
        row(
            &format!("twin link: {what}"),
            &pair.label(),
            rounds(),
            &format!("new clients: {all}; together after healing: {healing}"),
        );
    }
}

#[test]
fn a_partner_that_is_none_costs_the_other_nothing() {
    let Some(lab) = crate::enter("link::a_partner_that_is_none_costs_the_other_nothing", Needs::Quiet) else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, "impostor", SETTINGS);
    pair.start_both();
    let mut promised = Ledger::default();
    let mut told_thieves = 0;
    for (turn, impostor) in Impostor::ALL.into_iter().enumerate() {
        let mut all = Figures::default();
        for round in 0..rounds() {
            let lost = Side::BOTH[(turn + round) % 2];
            pair.kill(lost);
            let here = lost.other();
            pair.wait_until("the survivor notices", Duration::from_secs(5), || pair.state(here) != "normal");
            let over = AtomicBool::new(false);
            let folder = &pair.folders[lost as usize];
            let (waits, entrusted) = std::thread::scope(|scope| {
                let over = &over;
                let stands_in = scope.spawn(move || on_host(lost.host(), || impostor.stand_in(lost, folder, over)));
                let crowd = Crowd::at("client");
                crowd.arrive(ARRIVAL_INTERVAL, &[Manner::Eager, Manner::Uncounted]);
                std::thread::sleep(Duration::from_secs(2));
                assert_ne!(pair.state(here), "normal", "{impostor:?} was taken for the twin:\n{}", pair.words());
                let waits = waits_of(crowd, &mut promised);
                over.store(true, Ordering::Relaxed);
                (waits, stands_in.join().expect("the impostor is sound"))
            });
            // Only who proves the twin's key is told what the twin is told; not each one stands there when the survivor calls.
            match impostor.voice {
                Voice::Thief => told_thieves += entrusted,
                Voice::Plain | Voice::Stranger => assert_eq!(entrusted, 0, "{impostor:?} was told something\n{}", pair.words()),
            }
            assert!(waits.never == 0 && waits.worst() < Duration::from_secs(1), "{impostor:?}: {waits}\n{}", pair.words());
            assert!(pair.processes_mut().is_running(here), "{impostor:?} ended the survivor:\n{}", pair.words());
            let log = pair.processes().log(here);
            assert!(!log.contains("panicked"), "{impostor:?}:\n{log}");
            all.merge(waits);
            pair.start(lost);
            pair.wait_until_together();
        }
        row(&format!("partner that {}", impostor.words()), &pair.label(), rounds(), &all);
    }
    assert!(told_thieves > 0, "the twin's own key opens nothing, so that silence towards others says nothing");
    assert_eq!(promised.duplicates(), Vec::<String>::new());
}

/// The link is what it was, the card is not: neither side may lose a lease, or think that the other is gone for good.
#[test]
fn a_disk_that_stalls_for_five_seconds_loses_nothing() {
    let Some(lab) = crate::enter("link::a_disk_that_stalls_for_five_seconds_loses_nothing", Needs::Quiet) else { return };
    let Some(library) = preload("failing_disk") else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, "stalled", SETTINGS);
    let switches = Side::BOTH.map(|side| lab.folder().join(format!("{}.stalled", side.host())));
    for side in Side::BOTH {
        let text = |path: &std::path::Path| path.to_str().expect("the tests' paths are text").to_owned();
        pair.environment[side as usize] = vec![
            ("LD_PRELOAD".into(), text(&library)),
            ("STALLED_DISK".into(), text(&switches[side as usize])),
            ("FAILING_FOLDER".into(), text(&pair.folders[side as usize])),
        ];
    }
    pair.start_both();
    let (mut promised, mut all) = (Ledger::default(), Figures::default());
    let mut to_the_lease = [("standby", Figures::default()), ("active", Figures::default())];
    for _ in 0..rounds() {
        for (nth, side) in [pair.active().other(), pair.active()].into_iter().enumerate() {
            let who = to_the_lease[nth].0;
            let crowd = Crowd::at("client");
            crowd.admit(20, Manner::Eager, Then::Holds);
            crowd.wait_until_bound(20, Duration::from_secs(10));
            std::fs::write(&switches[side as usize], "").expect("the world's folder can be written");
            crowd.arrive(ARRIVAL_INTERVAL, &[Manner::Eager, Manner::Uncounted]);
            std::thread::sleep(STALL);
            std::fs::remove_file(&switches[side as usize]).expect("it was there");
            let (waits, leased) = waits_and_leases_of(crowd, &mut promised);
            pair.wait_until_together();
            // For so long the standby answers on in place of one whose disk was slow.
            std::thread::sleep(CALMS);
            assert!(
                waits.never == 0 && waits.worst() < STALLED_MAX,
                "{who}: {waits}
{}",
                pair.words()
            );
            // No promise waits for the disk of the standby; whoever took the active's offer in the first second waits for its disk.
            let lease_max = if who == "standby" { LEASE_MAX } else { STALL + LEASE_MAX };
            assert!(
                leased.worst() < lease_max,
                "{who}: to the lease: {leased}
{}",
                pair.words()
            );
            assert!(
                leased.median() < STALLED_MAX / 2,
                "{who}: to the lease: {leased}
{}",
                pair.words()
            );
            assert_eq!(promised.duplicates(), Vec::<String>::new());
            for known in Side::BOTH {
                assert_eq!(pair.unknown(known, &promised.holders()), 0, "{who}: {known:?}\n{}", pair.words());
            }
            all.merge(waits);
            to_the_lease[nth].1.merge(leased);
        }
    }
    for (who, waits) in &to_the_lease {
        row(&format!("disk of the {who} stalls for 5 s: to the lease"), &pair.label(), rounds(), waits);
    }
    row("disk stalls for 5 s, the standby's and the active's", &pair.label(), 2 * rounds(), &all);
}
