//! One of the two is lost: how long new clients wait for their first OFFER.

use std::time::{Duration, Instant};

use crate::Needs;
use crate::crowd::{Crowd, Ledger, Manner, Then};
use crate::kea::{Haste, Kea, Mode};
use crate::lab::{self, Lab, wait_until};
use crate::pair::{Pair, Side};
use crate::report::{Figures, KEA_PAIRS_AT_ONCE, rounds, row, with_kea};
use crate::twins::{SETTINGS, Twins};
use crate::world::{self, Loss};

const MEDIAN_MAX: Duration = Duration::from_secs(2);
const WORST_MAX: Duration = Duration::from_secs(5);
const STANDBY_LOST_MAX: Duration = Duration::from_secs(1);
/// How long arrivals go on once somebody is answered.
const AFTERMATH: Duration = Duration::from_secs(2);
/// Ours must be there long before; a client that waits longer counts as never answered.
const PATIENCE: Duration = Duration::from_secs(15);
const KEA_PATIENCE: Duration = Duration::from_secs(140);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// New ones all the time, half of them with `secs` 0.
    Crowd,
    /// New ones all the time, and none counts its seconds.
    Uncounted,
    /// One client every half second, nobody else.
    Lone,
    /// One client with the pauses of RFC 2131, nobody else.
    LoneStandard,
}

impl Who {
    fn words(self) -> &'static str {
        match self {
            Who::Crowd => "new clients",
            Who::Uncounted => "new clients whose secs stays 0",
            Who::Lone => "one lone client",
            Who::LoneStandard => "one lone client, RFC 2131 pauses",
        }
    }
}

/// What the clients of one round saw.
struct Seen {
    /// Of those who began while nobody answered; of all, where somebody always did.
    in_the_gap: Vec<Duration>,
    /// Of all who began after the loss.
    all: Vec<Duration>,
    /// Of all of these, until they had their lease.
    leased: Vec<Duration>,
    never: usize,
    ledger: Ledger,
}

/// The pair is together before and after.
fn lose(lab: &Lab, pair: &mut dyn Pair, loss: Loss, side: Side, who: Who, patience: Duration) -> Seen {
    let crowd = Crowd::at("client");
    // What the round before left behind is over when the active answers whoever asks.
    let active = Some(pair.active().address());
    let is_answered_by_active = || {
        crowd.admit(1, Manner::Eager, Then::Holds);
        crowd.wait_until_bound(1, patience);
        crowd.ledger().promises.last().is_some_and(|promise| promise.server == active)
    };
    wait_until("the active answers", Duration::from_secs(30), is_answered_by_active);
    match who {
        Who::Crowd => crowd.arrive(pair.arrival_interval(), &[Manner::Eager, Manner::Uncounted]),
        Who::Uncounted => crowd.arrive(pair.arrival_interval(), &[Manner::Uncounted]),
        Who::Lone | Who::LoneStandard => {}
    }
    std::thread::sleep(Duration::from_millis(700));
    loss.strike(lab, pair, side);
    let struck = Instant::now();
    match who {
        Who::Lone => crowd.admit(1, Manner::Eager, Then::Holds),
        Who::LoneStandard => crowd.admit(1, Manner::Standard, Then::Holds),
        Who::Crowd | Who::Uncounted => {}
    }
    let first_answer =
        || crowd.clients().iter().filter(|client| client.born >= struck).filter_map(|client| client.first_offer).min();
    while struck.elapsed() < patience && first_answer().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    if matches!(who, Who::Crowd | Who::Uncounted) {
        std::thread::sleep(AFTERMATH);
        crowd.nobody_arrives();
        while struck.elapsed() < patience && !crowd.all_bound() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    while struck.elapsed() < patience && !crowd.all_bound() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let gap_end = first_answer();
    let clients = crowd.clients();
    // What it answers late, when it is back, was promised as well.
    loss.repair(lab, pair, side);
    pair.wait_until_together();
    let (_, ledger) = crowd.leave();
    let after: Vec<_> = clients.iter().filter(|client| client.born >= struck).collect();
    let never = after.iter().filter(|client| client.first_ack.is_none()).count();
    let leased = after.iter().map(|client| client.wait_for_lease()).collect();
    let answered = after.iter().filter(|client| client.first_offer.is_some());
    let all: Vec<Duration> = answered.clone().map(|client| client.wait()).collect();
    let in_the_gap = answered.filter(|client| gap_end.is_none_or(|end| client.born < end)).map(|client| client.wait()).collect();
    Seen { in_the_gap, all, leased, never, ledger }
}

/// All rounds of one case.
struct Case<'a> {
    lab: &'a Lab,
    loss: Loss,
    lost: fn(&dyn Pair) -> Side,
    name: &'static str,
    who: Who,
    patience: Duration,
}

impl Case<'_> {
    fn run(&self, pair: &mut dyn Pair, rounds: usize, promised: &mut Ledger) -> Waits {
        let Waits { mut gap, mut all, mut leased } = Waits::default();
        for _ in 0..rounds {
            let side = (self.lost)(pair);
            let seen = lose(self.lab, pair, self.loss, side, self.who, self.patience);
            gap.extend(seen.in_the_gap);
            all.extend(seen.all);
            leased.extend(seen.leased);
            all.never += seen.never;
            promised.merge(seen.ledger);
        }
        let result = match all.never {
            0 => {
                let [median, worst, lease] = [gap.median(), all.worst(), leased.worst()].map(|wait| wait.as_secs_f64());
                format!("median {median:.2} s, worst {worst:.2} s; worst to the lease {lease:.2} s")
            }
            _ => format!("{all} in {:.0} s", self.patience.as_secs_f64()),
        };
        row(&format!("{} {}: {}", self.name, self.loss.words(), self.who.words()), &pair.label(), rounds, &result);
        Waits { gap, all, leased }
    }
}

#[derive(Default)]
struct Waits {
    /// For the OFFER, of those who began while nobody answered.
    gap: Figures,
    /// For the OFFER, of all; and who has no lease in the end.
    all: Figures,
    /// For the ACK, of all.
    leased: Figures,
}

fn the_active(pair: &dyn Pair) -> Side {
    pair.active()
}

fn the_standby(pair: &dyn Pair) -> Side {
    pair.active().other()
}

fn kinds_of_clients() -> &'static [Who] {
    if rounds() > 1 { &[Who::Crowd, Who::Uncounted, Who::Lone, Who::LoneStandard] } else { &[Who::Crowd, Who::LoneStandard] }
}

#[test]
fn a_lost_active_keeps_no_new_client_waiting() {
    let Some(lab) = crate::enter("loss::a_lost_active_keeps_no_new_client_waiting", Needs::Quiet) else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, "active-lost", SETTINGS);
    pair.start_both();
    let mut promised = Ledger::default();
    let mut failures = Vec::new();
    for loss in Loss::ALL {
        for &who in kinds_of_clients() {
            let case = Case { lab: &lab, loss, lost: the_active, name: "active", who, patience: PATIENCE };
            let Waits { gap, all, leased } = case.run(&mut pair, rounds(), &mut promised);
            // One client that pauses for 4 s is no median: the worst is its measure.
            if all.never > 0
                || all.worst() > WORST_MAX
                || leased.worst() > WORST_MAX
                || (who != Who::LoneStandard && gap.median() > MEDIAN_MAX)
            {
                failures.push(format!("{} / {}: {gap}; all: {all}; to the lease: {leased}", loss.words(), who.words()));
            }
        }
    }
    assert_eq!(promised.duplicates(), Vec::<String>::new());
    assert!(failures.is_empty(), "{}\n{}", failures.join("\n"), pair.words());
}

#[test]
fn a_lost_standby_is_not_felt() {
    let Some(lab) = crate::enter("loss::a_lost_standby_is_not_felt", Needs::Quiet) else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, "standby-lost", SETTINGS);
    pair.start_both();
    let mut promised = Ledger::default();
    let mut failures = Vec::new();
    for loss in Loss::ALL {
        let case = Case { lab: &lab, loss, lost: the_standby, name: "standby", who: Who::Crowd, patience: PATIENCE };
        let Waits { all, leased, .. } = case.run(&mut pair, rounds(), &mut promised);
        // The OFFER needs no standby; its loss is felt between REQUEST and ACK.
        if all.never > 0 || leased.worst() > STANDBY_LOST_MAX {
            failures.push(format!("{}: {all}; to the lease: {leased}", loss.words()));
        }
    }
    assert_eq!(promised.duplicates(), Vec::<String>::new());
    assert!(failures.is_empty(), "{}\n{}", failures.join("\n"), pair.words());
}

/// Which of the two is lost.
type Choose = fn(&dyn Pair) -> Side;

/// One case of Kea's.
type Plan = (Haste, Choose, &'static str, Loss, Who);

/// The longest first. The template's goes through the cases that most see.
fn plans_of_kea() -> Vec<Plan> {
    let sides: [(Choose, &'static str); 2] = [(the_active, "active"), (the_standby, "standby")];
    let of = |haste: Haste, (lost, name): (Choose, &'static str), losses: &[Loss]| {
        let cases = losses.iter().flat_map(|&loss| [Who::Lone, Who::Uncounted, Who::Crowd].map(|who| (loss, who)));
        cases.map(|(loss, who)| (haste, lost, name, loss, who)).collect::<Vec<Plan>>()
    };
    let template = [of(Haste::Template, sides[0], &[Loss::Killed, Loss::Cut]), of(Haste::Template, sides[1], &[Loss::Killed])];
    let aggressive = sides.map(|side| of(Haste::Aggressive, side, &Loss::ALL));
    [template, aggressive].concat().concat()
}

/// The same for Kea's pair, to be read beside ours: it asserts nothing about Kea. Each case has a world and a pair of its own.
#[test]
fn kea_beside_us_when_one_is_lost() {
    if !with_kea() {
        return;
    }
    let plans = plans_of_kea();
    let Some((lab, part)) = lab::enter_parts_or_skip("loss::kea_beside_us_when_one_is_lost", plans.len(), KEA_PAIRS_AT_ONCE)
    else {
        return;
    };
    world::one_lan(&lab);
    let (haste, lost, name, loss, who) = plans[part];
    let Some(mut kea) = Kea::new(&lab, &format!("loss-{part}"), Mode::HotStandby, haste) else { return };
    kea.start_both();
    let case = Case { lab: &lab, loss, lost, name, who, patience: KEA_PATIENCE };
    case.run(&mut kea, rounds(), &mut Ledger::default());
}
