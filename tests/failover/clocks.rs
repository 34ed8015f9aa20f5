//! Wall clocks that are wrong: no lease may end early at a server, or late, and nobody may be left without an answer.

use std::time::{Duration, Instant};

use crate::Needs;
use crate::crowd::{Crowd, Manner, Then};
use crate::pair::{Pair, Side};
use crate::report::{Figures, rounds, row};
use crate::twins::Twins;
use crate::watch::{Clocks, Wall};
use crate::world;

/// As many devices as addresses.
const POOL: u32 = 20;
const LEASE: Duration = Duration::from_secs(10);
/// What a freed address may need beyond its lease until the next one has it: guard, and the hand-over between the two.
const HAND_OVER_MAX: Duration = Duration::from_secs(30);

const SETTINGS: &str = r#"
[server]
probe = false
[lease]
default = "10s"
min = "8s"
[[subnet]]
network = "10.77.0.0/16"
pools = ["10.77.1.1-10.77.1.20"]
[subnet.options]
router = "10.77.0.1"
"#;

const TEN_YEARS_S: i64 = 10 * 365 * 86_400;
const HOUR_S: i64 = 3600;

/// A full pool changes hands while the clocks do what `at` says: who holds an address holds it to the end, who waits gets one
/// soon after, and who renews keeps its own.
fn change_hands(name: &str, what: &str, years_apart: i64, mut at: impl FnMut(Side, u64) -> Wall) {
    let Some(lab) = crate::enter(name, Needs::Quiet) else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, &what.replace(' ', "-"), SETTINGS);
    let Some(clocks) = Clocks::new(&lab, &mut pair) else { return };
    // The kernel's word shall count.
    pair.flags.retain(|flag| flag != "--trust-clock");
    let mut turn = 0;
    let mut wind = |clocks: &Clocks| {
        Side::BOTH.into_iter().for_each(|side| clocks.set(side, at(side, turn)));
        turn += 1;
    };
    wind(&clocks);
    pair.start_both();
    // The clocks are really wrong: the log shows them.
    let year =
        |side| pair.processes().log(side).get(..4).and_then(|year| year.parse::<i64>().ok()).expect("a log begins with the date");
    assert_eq!((year(Side::A) - year(Side::B)).abs(), years_apart, "{}", pair.words());
    let mut handed_over = Figures::default();
    for round in 0..rounds() {
        let crowd = Crowd::at("client");
        crowd.admit(POOL / 4, Manner::Eager, Then::Keeps);
        crowd.admit(POOL * 3 / 4, Manner::Eager, Then::Holds);
        crowd.wait_until_bound(POOL as usize, Duration::from_secs(10));
        let full = Instant::now();
        crowd.admit(POOL * 3 / 4, Manner::Eager, Then::Holds);
        while !crowd.all_bound() && full.elapsed() < LEASE + HAND_OVER_MAX {
            wind(&clocks);
            std::thread::sleep(Duration::from_millis(250));
        }
        handed_over.add(full.elapsed());
        let (clients, ledger) = crowd.leave();
        assert_eq!(ledger.duplicates(), Vec::<String>::new(), "{}", pair.words());
        let unserved = clients.iter().filter(|client| client.first_ack.is_none()).count();
        assert_eq!(unserved, 0, "clients that got none of the addresses that were free again\n{}", pair.words());
        // Those who renew never lost their address.
        let keepers = &clients[..POOL as usize / 4];
        assert!(keepers.iter().all(|client| client.naks == 0 && client.address().is_some()), "{keepers:?}\n{}", pair.words());
        if round + 1 < rounds() {
            std::thread::sleep(LEASE);
            pair.wait_until_together();
        }
    }
    let result = format!("0 duplicates; a full pool of {LEASE:?} leases changed hands: {handed_over}");
    row(&format!("wall clocks {what}"), &pair.label(), rounds(), &result);
}

#[test]
fn clocks_ten_years_apart_end_no_lease_wrongly() {
    change_hands("clocks::clocks_ten_years_apart_end_no_lease_wrongly", "10 years apart", 10, |side, _| Wall {
        offset_s: if side == Side::A { TEN_YEARS_S } else { 0 },
        frozen: false,
        trusted: true,
        slept_s: 0,
    });
}

#[test]
fn clocks_that_jump_by_an_hour_end_no_lease_wrongly() {
    // Each at its own pace, ahead and behind.
    change_hands("clocks::clocks_that_jump_by_an_hour_end_no_lease_wrongly", "jumping by an hour", 0, |side, turn| {
        let step = if side == Side::A { turn } else { turn / 3 + 1 };
        Wall { offset_s: [0, HOUR_S, 0, -HOUR_S][step as usize % 4], frozen: false, trusted: step % 5 != 0, slept_s: 0 }
    });
}

#[test]
fn clocks_that_stand_still_or_are_not_trusted_end_no_lease_wrongly() {
    change_hands(
        "clocks::clocks_that_stand_still_or_are_not_trusted_end_no_lease_wrongly",
        "frozen and untrusted",
        0,
        |side, _| Wall { offset_s: -TEN_YEARS_S, frozen: side == Side::A, trusted: side == Side::A, slept_s: 0 },
    );
}
