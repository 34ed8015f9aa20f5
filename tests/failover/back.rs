//! Coming back: after a kill, by a switch of roles, and both at once after a power cut of the whole house.

use std::time::{Duration, Instant};

use crate::Needs;
use crate::crowd::{Client, Crowd, Ledger, Manner};
use crate::kea::{Haste, Kea, Mode};
use crate::lab::{self, wait_until};
use crate::pair::{Pair, Side};
use crate::report::{Figures, KEA_PAIRS_AT_ONCE, rounds, row, with_kea};
use crate::twins::{SETTINGS, Twins};
use crate::world;

const COLD_START_MAX: Duration = Duration::from_secs(2);
/// The first question and one retransmission.
const DISCOVERS_MAX: u32 = 2;

/// The worst of those who began at `from` or later: DISCOVERs until the first OFFER.
fn worst_since(clients: &[Client], from: Instant) -> (u32, Figures) {
    let mut waits = Figures::default();
    let mut most = 0;
    for client in clients.iter().filter(|client| client.born >= from) {
        most = most.max(client.discovers);
        match client.first_offer {
            Some(_) => waits.add(client.wait()),
            None => waits.never += 1,
        }
    }
    (most, waits)
}

fn wait_until_served(crowd: &Crowd) {
    wait_until("all clients are served", Duration::from_secs(10), || crowd.all_bound());
}

/// What clients felt while a server that was lost came back.
#[derive(Default)]
struct Failback {
    waits: Figures,
    discovers: u32,
    together: Figures,
}

/// It is killed, the other takes over, it comes back: only clients that begin after its start count.
fn fail_back(pair: &mut dyn Pair, lost: Side, seen: &mut Failback, promised: &mut Ledger) {
    pair.kill(lost);
    let crowd = Crowd::at("client");
    let gone = Instant::now();
    crowd.arrive(pair.arrival_interval(), &[Manner::Eager, Manner::Uncounted]);
    let survivor = Some(lost.other().address());
    let has_taken_over = || crowd.ledger().promises.iter().any(|promise| promise.server == survivor);
    while !has_taken_over() {
        assert!(gone.elapsed() < pair.patience(), "nobody takes over:\n{}", pair.words());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    let back = Instant::now();
    pair.start(lost);
    pair.wait_until_together();
    seen.together.add(back.elapsed());
    std::thread::sleep(Duration::from_secs(1));
    crowd.nobody_arrives();
    let patience = Instant::now();
    while !crowd.all_bound() && patience.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (clients, ledger) = crowd.leave();
    promised.merge(ledger);
    let (discovers, waits) = worst_since(&clients, back);
    seen.discovers = seen.discovers.max(discovers);
    seen.waits.merge(waits);
}

impl Failback {
    fn tell(&self, pair: &dyn Pair, rounds: usize) {
        let result = format!("{}, at most {} DISCOVERs", self.waits, self.discovers);
        row("failback after a kill: new clients", &pair.label(), rounds, &result);
        row("failback after a kill: together after the start", &pair.label(), rounds, &self.together);
    }
}

#[test]
fn a_twin_that_comes_back_interrupts_nobody() {
    let Some(lab) = crate::enter("back::a_twin_that_comes_back_interrupts_nobody", Needs::Quiet) else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, "failback", SETTINGS);
    pair.start_both();
    let (mut seen, mut promised) = (Failback::default(), Ledger::default());
    for _ in 0..rounds() {
        for lost in [pair.active(), pair.active().other()] {
            fail_back(&mut pair, lost, &mut seen, &mut promised);
            let Failback { waits, discovers, .. } = &seen;
            assert!(waits.never == 0 && *discovers <= DISCOVERS_MAX, "{discovers} DISCOVERs, {waits}\n{}", pair.words());
        }
    }
    seen.tell(&pair, 2 * rounds());
    assert_eq!(promised.duplicates(), Vec::<String>::new());
}

/// To be read beside ours: it asserts nothing about Kea.
#[test]
fn kea_beside_us_when_one_comes_back() {
    if !with_kea() {
        return;
    }
    let plans = [Haste::Template, Haste::Aggressive];
    let Some((lab, part)) = lab::enter_parts_or_skip("back::kea_beside_us_when_one_comes_back", plans.len(), KEA_PAIRS_AT_ONCE)
    else {
        return;
    };
    world::one_lan(&lab);
    let haste = plans[part];
    let Some(mut kea) = Kea::new(&lab, &format!("back-{haste:?}"), Mode::HotStandby, haste) else { return };
    kea.start_both();
    let mut seen = Failback::default();
    for _ in 0..rounds() {
        fail_back(&mut kea, Side::A, &mut seen, &mut Ledger::default());
    }
    seen.tell(&kea, rounds());
}

#[test]
fn a_switch_of_roles_interrupts_nobody() {
    let Some(lab) = crate::enter("back::a_switch_of_roles_interrupts_nobody", Needs::Quiet) else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, "switch", SETTINGS);
    pair.start_both();
    let mut promised = Ledger::default();
    let (mut all, mut most) = (Figures::default(), 0);
    for round in 0..2 * rounds() {
        let crowd = Crowd::at("client");
        crowd.arrive(pair.arrival_interval(), &[Manner::Eager, Manner::Uncounted]);
        std::thread::sleep(Duration::from_millis(300));
        let (before, active) = (Instant::now(), pair.active());
        // Asked of either: both may be told.
        let told = if round % 2 == 0 { active } else { active.other() };
        pair.ask(told, &["twin", "switch"]);
        pair.wait_until("both agree on the new active", Duration::from_secs(5), || {
            Side::BOTH.iter().all(|&side| (pair.status(side)["is_active"] == true) == (side == active.other()))
        });
        std::thread::sleep(Duration::from_secs(1));
        crowd.nobody_arrives();
        wait_until_served(&crowd);
        let (clients, ledger) = crowd.leave();
        let (discovers, waits) = worst_since(&clients, before);
        assert!(
            waits.never == 0 && discovers <= DISCOVERS_MAX,
            "round {round}: {discovers} DISCOVERs, {waits}\n{}",
            pair.words()
        );
        all.merge(waits);
        most = most.max(discovers);
        let since = Instant::now() - Duration::from_millis(900);
        let late = ledger.promises.iter().filter(|promise| promise.from > since);
        assert!(late.clone().all(|promise| promise.server == Some(active.other().address())), "the old active goes on");
        promised.merge(ledger);
    }
    row("twin switch: new clients", &pair.label(), 2 * rounds(), &format!("{all}, at most {most} DISCOVERs"));
    assert_eq!(promised.duplicates(), Vec::<String>::new());
    pair.wait_until_together();
}

#[test]
fn a_house_without_power_is_served_two_seconds_after_the_second_start() {
    let Some(lab) = crate::enter("back::a_house_without_power_is_served_two_seconds_after_the_second_start", Needs::Quiet) else {
        return;
    };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, "cold", SETTINGS);
    pair.start_both();
    let (mut served, mut together) = (Figures::default(), Figures::default());
    let mut promised = Ledger::default();
    for round in 0..2 * rounds() {
        Side::BOTH.into_iter().for_each(|side| pair.kill(side));
        let crowd = Crowd::at("client");
        crowd.arrive(pair.arrival_interval(), &[Manner::Eager]);
        let first = if round % 2 == 0 { Side::A } else { Side::B };
        pair.start(first);
        std::thread::sleep(Duration::from_millis(300));
        let second_start = Instant::now();
        pair.start(first.other());
        let answered = || crowd.clients().iter().filter_map(|client| client.first_offer).min();
        pair.wait_until("somebody is answered", Duration::from_secs(15), || answered().is_some());
        served.add(answered().map_or(Duration::MAX, |at| at.saturating_duration_since(second_start)));
        pair.wait_until_together();
        together.add(second_start.elapsed());
        for side in Side::BOTH {
            assert!(pair.status(side)["forgot"].is_null(), "a power cut was taken for a loss of memory:\n{}", pair.words());
        }
        crowd.nobody_arrives();
        wait_until_served(&crowd);
        promised.merge(crowd.leave().1);
    }
    row("cold start of both: first OFFER after the second start", &pair.label(), 2 * rounds(), &served);
    row("cold start of both: together after the second start", &pair.label(), 2 * rounds(), &together);
    assert!(served.worst() < COLD_START_MAX, "{served}\n{}", pair.words());
    assert_eq!(promised.duplicates(), Vec::<String>::new());
}
