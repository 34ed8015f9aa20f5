//! Histories that lead deep: one or more for each rule, in which the rule is all that keeps one address from two clients
//! (or an intact node from silence). Each is run with its rule broken, and must fail, and with all rules in force, and
//! must pass. Random runs start from their first halves.

use super::{
    World,
    random::Random,
    run,
    step::{A, B, Clock, DiskDoes, Does, Edit, Fate, Kinds, LinkDoes, PowerDoes, Reach, Setup, Step, Which},
};
use crate::protocol::{
    Command, Event, TwinCommand,
    failover::{
        Session, State,
        loose::{
            Rule::{self, *},
            with_loose,
        },
    },
    node::Pair,
    seeds::Telling,
};
use crate::settings::RecordKey;

pub struct Scenario {
    /// Broken together.
    pub rules: &'static [Rule],
    /// What the judge must see then.
    pub fault: &'static str,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// Longer than it takes to notice that the other is gone, or, after a start, that it does not come.
const APART: Step = wait(7000);
/// The declaration's wait: MCLT and the guard.
const DECLARED_LONG_ENOUGH: Step = wait(64_500);

const fn wait(ms: u32) -> Step {
    Step::Wait { ms }
}

/// From nothing to a lease, this address if it can be had, from the one node that the client reaches.
const fn acquire(who: usize, address: u8, at: usize) -> Step {
    Step::Client { who, does: Does::Acquire(Some(address)), reach: Reach::Only(at), is_deaf: false }
}

const fn client(who: usize, does: Does, at: usize) -> Step {
    Step::Client { who, does, reach: Reach::Only(at), is_deaf: false }
}

const fn link(from: usize, kinds: Kinds, does: LinkDoes) -> Step {
    Step::Link { from, kinds, does }
}

const fn hold(from: usize, kinds: Kinds) -> Step {
    link(from, kinds, LinkDoes::Hold)
}

const fn arrives(from: usize, kinds: Kinds) -> Step {
    Step::Held { from, kinds, which: Which::First, fate: Fate::Arrives }
}

const fn power(at: usize, does: PowerDoes) -> Step {
    Step::Power { at, does }
}

const fn on(at: usize) -> Step {
    power(at, PowerDoes::On(Clock::Right))
}

const fn disk(at: usize, does: DiskDoes) -> Step {
    Step::Disk { at, does }
}

const fn twin(at: usize, says: TwinCommand) -> Step {
    Step::Twin { at, says }
}

const CUT: [Step; 2] = [link(A, Kinds::ALL, LinkDoes::Cut), link(B, Kinds::ALL, LinkDoes::Cut)];
const FLOW: [Step; 2] = [link(A, Kinds::ALL, LinkDoes::Flow), link(B, Kinds::ALL, LinkDoes::Flow)];

/// One is off, and the other is told so and has waited; then `who` asks it for this address.
fn declared_down(off: usize, who: usize, address: u8) -> Vec<Step> {
    let other = 1 - off;
    vec![
        power(off, PowerDoes::Off),
        wait(2500),
        twin(other, TwinCommand::DeclareDown),
        DECLARED_LONG_ENOUGH,
        wait(2000),
        acquire(who, address, other),
        wait(300),
    ]
}

fn scenario(rules: &'static [Rule], fault: &'static str, parts: &[&[Step]]) -> Scenario {
    Scenario { rules, fault, setup: Setup::QUIET, steps: parts.concat() }
}

pub fn all() -> Vec<Scenario> {
    [proposals(), acks(), versions(), hands(), kept(), starts(), lost_disks(), twice_lost(), clocks(), declarations()]
        .into_iter()
        .flatten()
        .collect()
}

/// Rules 2 and 4: what a non-owner gives, and what an ack says.
fn proposals() -> Vec<Scenario> {
    let undone_unheard = [
        &[hold(A, Kinds::ACK), acquire(1, 10, B), wait(100), link(B, Kinds::UPDATE, LinkDoes::Cut), wait(300)][..],
        &CUT,
        &[acquire(1, 10, A), wait(400)],
        &declared_down(A, 2, 10),
    ];
    let not_confirmed = [&CUT[..], &[acquire(1, 10, B), wait(400), acquire(2, 10, A), wait(400)]];
    // What was never on the owner's disk is known to the other, who goes on prolonging it.
    let told_too_early = [
        &[disk(A, DiskDoes::Stall), acquire(1, 10, A), wait(100), power(A, PowerDoes::Off)][..],
        &CUT,
        &[on(A), APART, acquire(2, 10, A), wait(300), acquire(1, 10, B), wait(300)],
    ];
    // Confirmed from memory by one whose disk takes nothing, after a release that it does not know, and forgotten with its start.
    let told_again = [
        &[acquire(1, 10, A), wait(100)][..],
        &CUT,
        &[client(1, Does::Release, B), wait(100), acquire(1, 10, A), wait(3), disk(A, DiskDoes::Fail), wait(400)],
        &[power(A, PowerDoes::Off), disk(A, DiskDoes::Heal)],
        &FLOW,
        &[on(A), wait(8000), acquire(2, 10, A), wait(400)],
    ];
    // Confirmed by the owner, who is not heard, and undone. The owner does not hear that either, and its disk takes nothing now.
    let undone_unheard_of = [
        &[link(B, Kinds::ACK, LinkDoes::Cut), acquire(1, 11, A), wait(20), disk(B, DiskDoes::Stall)][..],
        &[link(A, Kinds::UPDATE, LinkDoes::Cut), acquire(3, 10, B), wait(250), disk(B, DiskDoes::Fail), wait(600)],
        &[acquire(1, 11, B), wait(50), disk(B, DiskDoes::Heal), disk(B, DiskDoes::Flow)],
        &FLOW,
        &[wait(3000), acquire(2, 11, B), wait(400)],
    ];
    // Confirmed by a disk in whose place an older copy is put, before the own disk has it: no page tells the copy of it.
    let put_back = [Step::Copy { at: A }, acquire(1, 10, B), wait(1288), power(A, PowerDoes::OffAndRestore { marked: false })];
    let slow = Setup { link_ms: [2, 400], disk_ms: [40, 1500], ..Setup::QUIET };
    let confirmed_by_another_disk = Scenario { setup: slow, ..scenario(&[W43], "RULE2", &[&put_back]) };
    // The same, and the copy's owner is told of it while the own disk has it as a proposal.
    let told_as_a_proposal = [Step::Next(5), on(A), wait(1423), acquire(0, 10, A)];
    let told_as_a_proposal = Scenario { setup: slow, ..scenario(&[W55], "DOUBLE", &[&put_back, &told_as_a_proposal]) };
    vec![
        confirmed_by_another_disk,
        told_as_a_proposal,
        scenario(&[W42], "DOUBLE", &told_again),
        scenario(&[W56], "DOUBLE", &undone_unheard_of),
        scenario(&[W2], "DOUBLE", &undone_unheard),
        scenario(&[W33], "DOUBLE", &not_confirmed),
        scenario(&[W30], "DOUBLE", &told_too_early),
    ]
}

fn acks() -> Vec<Scenario> {
    // The ack of an earlier tenant's lease comes while the next one's is on its way.
    let ack_of_another = [
        &[hold(B, Kinds::ACK), acquire(1, 10, A), wait(300), client(1, Does::Release, A), wait(6000)][..],
        &[link(A, Kinds::ALL, LinkDoes::Cut), acquire(2, 10, A), wait(50), arrives(B, Kinds::ACK), wait(300)],
    ];
    // A number that A has on disk, and B never had: after its start B says something else by it.
    let number_again = [
        &[acquire(1, 11, B), wait(400), disk(B, DiskDoes::Stall), client(1, Does::Renew, B), wait(100)][..],
        &[power(B, PowerDoes::Off), link(A, Kinds::ALL, LinkDoes::Cut), on(B), disk(B, DiskDoes::Flow), APART],
        &[client(1, Does::Release, B), wait(300), link(A, Kinds::ALL, LinkDoes::Flow), wait(1000)],
    ];
    // A knows of a number that B gave and then took back.
    let number_taken_back = [
        hold(A, Kinds::ACK.and(Kinds::UPDATE)),
        acquire(1, 10, B),
        wait(600),
        power(B, PowerDoes::Off),
        wait(100),
        on(B),
        wait(4000),
    ];
    vec![
        scenario(&[W44], "NUMBER", &number_again),
        scenario(&[W3], "RULE2", &ack_of_another),
        scenario(&[W1], "FALSE-RECOVER", &[&number_taken_back]),
    ]
}

/// Rule 7.
fn versions() -> Vec<Scenario> {
    let b_counts_high: Vec<Step> = (0..4).flat_map(|_| [acquire(3, 11, B), wait(100)]).collect();
    let higher_number_wins = [
        &b_counts_high[..],
        &[hold(B, Kinds::UPDATE), link(A, Kinds::UPDATE, LinkDoes::Cut), acquire(1, 10, A), wait(300)],
        &[acquire(2, 10, B), wait(20), arrives(B, Kinds::UPDATE), wait(300)],
    ];
    let released_elsewhere = [
        &[acquire(1, 10, A), wait(100)][..],
        &CUT,
        &[client(1, Does::Release, B), wait(100), acquire(1, 10, A), wait(400)],
        &declared_down(A, 2, 10),
    ];
    // A released record remembers how far its promises went, also when the next lease is shorter.
    let shorter_after_release = [
        &[Step::Admin { at: A, does: Edit::RaiseLease }, wait(1000), acquire(1, 10, A), wait(300)][..],
        &CUT,
        &[APART, Step::Admin { at: B, does: Edit::Plain }, wait(300), client(1, Does::Release, B), wait(100)],
        &[client(1, Does::Reboot, B), wait(300), acquire(1, 10, A), wait(400)],
    ];
    vec![
        scenario(&[W4], "DOUBLE", &higher_number_wins),
        scenario(&[W6], "DOUBLE", &released_elsewhere),
        scenario(&[W36], "RULE2", &shorter_after_release),
    ]
}

/// Rule 5.
fn hands() -> Vec<Scenario> {
    let run_out = [hold(A, Kinds::GIVE_UP), acquire(1, 11, B), wait(100), wait(190_000)];
    let freed_meanwhile = [
        &run_out[..],
        &[hold(A, Kinds::UPDATE.and(Kinds::ACK)), link(B, Kinds::UPDATE, LinkDoes::Cut)],
        &[acquire(1, 11, A), wait(50), arrives(A, Kinds::GIVE_UP), wait(50)],
        &[acquire(2, 11, B), wait(400)],
    ];
    let freed_and_back = [
        &[acquire(1, 11, B), wait(100), wait(195_000)][..],
        &CUT,
        &[APART, client(1, Does::Reboot, A), wait(400), acquire(2, 11, B), wait(400)],
    ];
    vec![scenario(&[W5], "DOUBLE", &freed_meanwhile), scenario(&[W31], "DOUBLE", &freed_and_back)]
}

/// Rules 3, 6 and 13.
fn kept() -> Vec<Scenario> {
    let kept_apart = [
        &CUT[..],
        &[APART, acquire(1, 10, A), wait(400), Step::Admin { at: B, does: Edit::Keep { address: 10, who: 2 } }, wait(100)],
        &[acquire(2, 10, B), wait(400)],
    ];
    let still_held = [
        &[acquire(1, 10, A), wait(100), Step::Admin { at: A, does: Edit::Keep { address: 10, who: 2 } }, wait(100)][..],
        &[acquire(2, 10, A), wait(400)],
    ];
    let halves_edited =
        [&CUT[..], &[APART, twin(A, TwinCommand::Switch), wait(100), acquire(1, 11, A), wait(400), acquire(2, 11, B), wait(400)]];
    let raised_apart = [
        &CUT[..],
        &[APART, Step::Admin { at: A, does: Edit::RaiseMclt }, wait(100), acquire(1, 10, A), wait(400)],
        &declared_down(A, 2, 10),
    ];
    vec![
        scenario(&[W7], "DOUBLE", &kept_apart),
        scenario(&[W8], "DOUBLE", &still_held),
        scenario(&[W19], "DOUBLE", &halves_edited),
        scenario(&[W20], "DOUBLE", &raised_apart),
    ]
}

/// Rules 9, 10 and 11.
fn starts() -> Vec<Scenario> {
    let serves_too_early = [&declared_down(A, 2, 10)[..], &[on(A), wait(405), acquire(1, 10, A), wait(800)]];
    let slow = Setup { link_ms: [200, 200], ..Setup::QUIET };
    let late_goodbye = [
        &[hold(B, Kinds::SHUTTING_DOWN), twin(B, TwinCommand::ShutDown), wait(600), power(B, PowerDoes::Off), wait(200)][..],
        &[on(B), wait(5000)],
        &CUT,
        &[arrives(B, Kinds::SHUTTING_DOWN), DECLARED_LONG_ENOUGH, acquire(1, 11, B), wait(400), acquire(2, 11, A), wait(400)],
    ];
    // B forgets on its way down that A is back.
    let left_but_not_on_disk = [
        &[power(A, PowerDoes::Off), wait(2500), twin(B, TwinCommand::DeclareDown), DECLARED_LONG_ENOUGH][..],
        &[disk(B, DiskDoes::Stall), on(A), wait(2500), power(B, PowerDoes::Off)],
        &CUT,
        &[on(B), APART, acquire(1, 10, A), wait(400), acquire(2, 10, B), wait(400)],
    ];
    // Nothing of it is on B's disk, but A has heard its number.
    let heard_not_stored =
        [disk(B, DiskDoes::Stall), acquire(1, 10, B), wait(600), power(B, PowerDoes::Off), wait(100), on(B), wait(4000)];
    vec![
        Scenario { setup: slow, ..scenario(&[W9], "DOUBLE", &serves_too_early) },
        scenario(&[W18], "DOUBLE", &late_goodbye),
        scenario(&[W28], "DOUBLE", &left_but_not_on_disk),
        scenario(&[W22], "FALSE-RECOVER", &[&heard_not_stored]),
    ]
}

/// Rule 12.
fn lost_disks() -> Vec<Scenario> {
    let promised_apart = [&CUT[..], &[APART, acquire(1, 11, B), wait(400)]].concat();
    let restored = |copied_after_ms: u32| {
        [
            &[wait(copied_after_ms), acquire(3, 10, A), wait(100), Step::Copy { at: B }, wait(100)][..],
            &promised_apart,
            &[power(B, PowerDoes::OffAndRestore { marked: true })],
            &FLOW,
            &[on(B), APART, acquire(2, 11, B), wait(400)],
        ]
        .concat()
    };
    let owner_in_recover =
        [&promised_apart[..], &[power(B, PowerDoes::OffAndWipe)], &FLOW, &[on(B), APART, acquire(2, 11, A), wait(600)]];
    let declares_from_recover = [
        &CUT[..],
        &[APART, acquire(1, 10, A), wait(400), power(A, PowerDoes::OffAndWipe), power(B, PowerDoes::Off), on(A), wait(500)],
        &[twin(A, TwinCommand::DeclareDown), wait(500), acquire(2, 10, A), wait(400)],
    ];
    let both_wiped = [
        acquire(1, 10, A),
        wait(100),
        power(A, PowerDoes::OffAndWipe),
        power(B, PowerDoes::OffAndWipe),
        on(A),
        on(B),
        wait(4000),
        acquire(2, 10, A),
        wait(400),
        wait(61_000),
        acquire(2, 10, A),
        wait(400),
    ];
    let pulls_from_one_that_forgot = [
        twin(B, TwinCommand::ShutDown),
        wait(600),
        power(B, PowerDoes::Off),
        DECLARED_LONG_ENOUGH,
        acquire(1, 11, A),
        wait(400),
        power(A, PowerDoes::OffAndWipe),
        on(A),
        on(B),
        wait(4000),
        acquire(2, 11, B),
        wait(400),
    ];
    // What B saw released, A has given again, on a disk that is lost.
    let released_and_renewed = [
        &[acquire(1, 10, A), wait(100)][..],
        &CUT,
        &[client(1, Does::Release, B), wait(100), acquire(1, 10, A), wait(400), power(A, PowerDoes::OffAndWipe)],
        &FLOW,
        &[on(A), wait(70_000)],
    ]
    .concat();
    let given_at_once = [&released_and_renewed[..], &[acquire(2, 10, A), wait(400)]];
    let both_start_again = [
        &released_and_renewed[..],
        &[power(B, PowerDoes::Off), on(B), wait(3000), power(A, PowerDoes::Off), on(A), wait(8000)],
        &[acquire(2, 10, A), wait(400)],
    ];
    vec![
        scenario(&[W40], "DOUBLE", &given_at_once),
        scenario(&[W41], "DOUBLE", &both_start_again),
        scenario(&[W11], "DOUBLE", &[&restored(70_000)]),
        scenario(&[W12], "DOUBLE", &owner_in_recover),
        scenario(&[W13], "DOUBLE", &declares_from_recover),
        Scenario { setup: Setup { both_may_be_lost: true, ..Setup::QUIET }, ..scenario(&[W14], "DOUBLE", &[&both_wiped]) },
        scenario(&[W15], "DOUBLE", &[&restored(0)]),
        scenario(&[W32], "DOUBLE", &[&pulls_from_one_that_forgot]),
    ]
}

/// Rules 5 and 12: a disk that refuses what was told of it, and one that is lost twice.
fn twice_lost() -> Vec<Scenario> {
    // The give-up is refused by the disk, told all the same when it heals, and forgotten with the start.
    let give_up_refused = [
        &[acquire(1, 10, A), wait(100), wait(182_000), disk(B, DiskDoes::Stall), wait(3000)][..],
        &[disk(B, DiskDoes::Fail), wait(50), link(A, Kinds::UPDATE, LinkDoes::Cut)],
        &[disk(B, DiskDoes::Heal), disk(B, DiskDoes::Flow), wait(1200)],
        &[acquire(2, 10, A), wait(400), power(B, PowerDoes::Off)],
        &CUT,
        &[on(B), APART, client(1, Does::Reboot, B), wait(400)],
    ];
    // A blank disk for the second time, and its numbers were used before: the twin knows an old lease by a higher one.
    let wiped_twice = |meanwhile: &[Step]| {
        let first = [power(B, PowerDoes::OffAndWipe), on(B), wait(70_000), acquire(1, 11, B), wait(300)];
        let renewed = [client(1, Does::Rebind, B), wait(300), client(1, Does::Rebind, B), wait(300), power(A, PowerDoes::Off)];
        let second = [power(B, PowerDoes::OffAndWipe), on(B), wait(2000), twin(B, TwinCommand::Serve), wait(190_000)];
        let back = [on(A), wait(20_000), acquire(3, 11, B), wait(400)];
        [&first[..], &renewed, &second, &[acquire(2, 11, B), wait(300)], meanwhile, &back].concat()
    };
    // The second time it counts as the first time, and the twin has heard of that number.
    let set_on_blank_disks = [
        power(B, PowerDoes::OffAndWipe),
        on(B),
        twin(B, TwinCommand::Switch),
        wait(199),
        power(B, PowerDoes::OffAndWipe),
        on(B),
        Step::Admin { at: B, does: Edit::RaiseMclt },
    ];
    // Sent to serve without what it forgot: what it gives waits for its disk when the twin, which knows another, comes back.
    let knows_another = [
        acquire(1, 11, A),
        wait(300),
        power(A, PowerDoes::Off),
        power(B, PowerDoes::OffAndWipe),
        on(B),
        twin(B, TwinCommand::Serve),
        wait(190_000),
    ];
    let waits_for_the_disk = [
        &knows_another[..],
        &[disk(B, DiskDoes::Stall), acquire(2, 11, B), on(A), wait(2500), client(1, Does::Reboot, A), wait(400)],
        &[disk(B, DiskDoes::Flow), wait(400)],
    ];
    // The same, and the twin sees it only for a moment.
    let seen_for_a_moment = [
        &knows_another[..],
        &[on(A), wait(5)],
        &CUT,
        &[wait(12_000), client(1, Does::Reboot, A), wait(400), acquire(2, 11, B), wait(400)],
    ];
    // Sent to serve one after the other: what the first gave has run out, and the owner of the address has it on record still.
    let one_after_the_other = |clock: Clock| {
        let first = [on(A), wait(5), link(B, Kinds::ALL, LinkDoes::Cut), wait(12_000), acquire(2, 11, B), wait(1000)];
        let second = [power(B, PowerDoes::Off), twin(A, TwinCommand::Serve), wait(187_000), acquire(1, 11, A), wait(8)];
        let both =
            [link(B, Kinds::ALL, LinkDoes::Flow), power(B, PowerDoes::On(clock)), wait(20_000), acquire(2, 11, B), wait(400)];
        [&knows_another[..], &first, &second, &both].concat()
    };
    vec![
        scenario(&[W48], "DOUBLE", &[&one_after_the_other(Clock::Right)]),
        // By its own clock, what the first gave goes on.
        scenario(&[W48], "DOUBLE", &[&one_after_the_other(Clock::Ahead)]),
        scenario(&[W53], "DOUBLE", &waits_for_the_disk),
        scenario(&[W54], "DOUBLE", &seen_for_a_moment),
        scenario(&[W45], "DOUBLE", &give_up_refused),
        scenario(&[W48], "DOUBLE", &[&wiped_twice(&[])]),
        // Both start at once.
        scenario(&[W48], "DOUBLE", &[&wiped_twice(&[power(B, PowerDoes::Off), on(B)])]),
        scenario(&[W52], "EDIT", &[&set_on_blank_disks]),
    ]
}

/// Rule 8, and the acks of before a start.
fn clocks() -> Vec<Scenario> {
    let ahead = [
        &[acquire(1, 10, A), wait(100), power(A, PowerDoes::Off), wait(500)][..],
        &CUT,
        &[power(A, PowerDoes::On(Clock::Ahead)), APART],
        &declared_down(B, 2, 10),
    ];
    let stands_still = [
        &[acquire(1, 10, A), wait(100), power(A, PowerDoes::Off), wait(100_000)][..],
        &CUT,
        &[power(A, PowerDoes::On(Clock::Unknown)), APART, acquire(1, 10, A), wait(400)],
    ];
    let steps_under_a_new_record = [
        &[power(A, PowerDoes::Off), wait(200_000), power(A, PowerDoes::On(Clock::Unknown)), wait(5000)][..],
        &[acquire(1, 10, A), wait(300), power(B, PowerDoes::Off), wait(2500), twin(A, TwinCommand::DeclareDown)],
        &[Step::Clock { at: A }, DECLARED_LONG_ENOUGH, wait(2000), acquire(2, 10, A), wait(400)],
    ];
    vec![
        scenario(&[W16], "DOUBLE", &ahead),
        scenario(&[W17], "RULE2", &stands_still),
        scenario(&[W34], "DOUBLE", &steps_under_a_new_record),
    ]
}

/// Rule 10.
fn declarations() -> Vec<Scenario> {
    // B has a lease on disk that nobody was told of; A gives the same address away while B is off.
    let same_generation = [
        &[link(B, Kinds::UPDATE, LinkDoes::Cut), acquire(1, 11, B), wait(50), twin(B, TwinCommand::ShutDown), wait(600)][..],
        &[power(B, PowerDoes::Off)],
        &FLOW,
        &[DECLARED_LONG_ENOUGH, acquire(0, 11, A), wait(400), on(B), wait(4000), acquire(1, 11, B), wait(400)],
    ];
    // What the owner promised after the release is known to nobody here.
    let alone_too_early = [
        &[acquire(1, 10, A), wait(100)][..],
        &CUT,
        &[client(1, Does::Release, B), wait(100), acquire(1, 10, A), wait(400), power(A, PowerDoes::Off), wait(2500)],
        &[twin(B, TwinCommand::Unpair), DECLARED_LONG_ENOUGH, wait(2000), acquire(2, 10, B), wait(400)],
    ];
    // A hears that B has counted it as down, and then no more: it does not know that B has given .10.
    let short_contact =
        [&declared_down(A, 2, 10)[..], &[on(A), wait(460)], &CUT, &[wait(12_000), acquire(1, 10, A), wait(400)]].concat();
    let slow = Setup { link_ms: [200, 200], ..Setup::QUIET };
    // The same, and B was shut down and started meanwhile.
    let restarted = [twin(B, TwinCommand::ShutDown), wait(1000), power(B, PowerDoes::Off), wait(500), on(B), wait(600)];
    let short_contact_later =
        [&declared_down(A, 2, 10)[..], &restarted, &[on(A), wait(460)], &CUT, &[wait(12_000), acquire(1, 10, A), wait(400)]]
            .concat();
    // B's last promise is one that A, its disk in trouble, has not taken in.
    let assumed = [
        disk(A, DiskDoes::Stall),
        acquire(0, 10, A),
        wait(6000),
        acquire(1, 11, B),
        wait(400),
        power(B, PowerDoes::Off),
        disk(A, DiskDoes::Flow),
        wait(62_500),
        acquire(2, 11, A),
        wait(400),
    ];
    let assumes = Setup { assumes: true, mclt_secs: 120, ..Setup::QUIET };
    vec![
        scenario(&[W35], "DOUBLE", &same_generation),
        scenario(&[W37], "DOUBLE", &alone_too_early),
        Scenario { setup: slow, ..scenario(&[W38], "DOUBLE", &[&short_contact]) },
        Scenario { setup: slow, ..scenario(&[W51], "DOUBLE", &[&short_contact_later]) },
        Scenario { setup: assumes, ..scenario(&[W39], "DOUBLE", &[&assumed]) },
    ]
}

/// Histories that went wrong once with all rules in force, found by random runs and by thinking, cut to their core.
fn once_wrong() -> Vec<(Setup, Vec<Step>)> {
    let quiet = |parts: &[&[Step]]| (Setup::QUIET, parts.concat());
    // The same client asks both; the non-owner's undone proposal must not take the owner's lease with it.
    let slow = Setup { link_ms: [1, 400], disk_ms: [300, 5], ..Setup::QUIET };
    let asks_both = (slow, vec![acquire(0, 10, A), wait(157), acquire(0, 10, B), wait(11_255), acquire(0, 10, A), wait(795)]);
    // A raised lead time that is not on the other's disk yet.
    let slow_disk = Setup { disk_ms: [5, 1500], ..Setup::QUIET };
    let raised = (slow_disk, vec![Step::Admin { at: A, does: Edit::RaiseMclt }, acquire(0, 10, A), wait(2800)]);
    // A reply whose commit was done while another one of its address was under way.
    let overtaken = quiet(&[
        &[acquire(3, 10, A), acquire(0, 11, A), Step::Next(3), wait(3), disk(A, DiskDoes::Stall), wait(1994)],
        &[acquire(0, 11, B), wait(1875), disk(A, DiskDoes::Write(1))],
    ]);
    // A marked copy, and another one over it without a mark, which nobody can notice: the world does not do that any more.
    let mark_removed = quiet(&[&[
        Step::Copy { at: B },
        link(B, Kinds::ALL, LinkDoes::Cut),
        acquire(1, 11, B),
        wait(400),
        power(B, PowerDoes::OffAndRestore { marked: true }),
        link(B, Kinds::ALL, LinkDoes::Flow),
        on(B),
        power(B, PowerDoes::OffAndRestore { marked: false }),
    ]]);
    // Wiped, sent to serve without the other: it has lost numbers that the other has heard of, and is silent once more.
    let slow_disk_of_b =
        Setup { lease_secs: 40, disk_ms: [1500, 1], drift_ppm: [-500, 500], loss_permille: 50, salt: 505_929, ..Setup::QUIET };
    let numbers_lost = [
        Step::Client { who: 3, does: Does::Acquire(None), reach: Reach::Only(B), is_deaf: false },
        wait(40_331),
        power(A, PowerDoes::Off),
        power(B, PowerDoes::OffAndWipe),
        on(B),
        wait(68_443),
        twin(B, TwinCommand::Serve),
        power(B, PowerDoes::Off),
        wait(235),
    ];
    // Sent to serve after its own goodbye, while what the other gave of its half may still be in force.
    let said_goodbye = quiet(&[
        &[
            twin(B, TwinCommand::ShutDown),
            wait(600),
            power(B, PowerDoes::Off),
            DECLARED_LONG_ENOUGH,
            acquire(1, 11, A),
            wait(400),
        ],
        &[power(A, PowerDoes::OffAndWipe), on(B), twin(B, TwinCommand::Serve)],
        &[Step::Client { who: 3, does: Does::Acquire(None), reach: Reach::Both, is_deaf: false }],
    ]);
    let lossy = Setup {
        addresses: 4,
        lease_secs: 120,
        link_ms: [20, 2],
        disk_ms: [1, 5],
        loss_permille: 50,
        salt: 508_009,
        ..Setup::QUIET
    };
    let recycled_meanwhile = [
        Step::Client { who: 2, does: Does::Acquire(None), reach: Reach::Both, is_deaf: false },
        Step::Next(4),
        twin(A, TwinCommand::ShutDown),
        wait(132_518),
        power(B, PowerDoes::Off),
        power(A, PowerDoes::Off),
        power(A, PowerDoes::On(Clock::Ahead)),
        twin(A, TwinCommand::Serve),
        acquire(2, 10, A),
    ];
    // The owner forgets that the address was freed, and is told of it only by what the other has proposed since.
    let proposed_later = quiet(&[
        &[acquire(1, 10, B), wait(249_661), acquire(1, 10, B), Step::Next(2), power(B, PowerDoes::Off), wait(142), on(B)],
        &[power(A, PowerDoes::OffAndWipe), power(A, PowerDoes::On(Clock::Ahead)), wait(2481), power(B, PowerDoes::Off)],
        &[wait(183_493), acquire(2, 10, A)],
    ]);
    // Confirmed by a disk that is lost since, while the own disk has not taken it yet.
    let confirmed_and_lost = quiet(&[
        &[disk(A, DiskDoes::Stall), acquire(1, 10, A)],
        &[Step::Client { who: 2, does: Does::Acquire(None), reach: Reach::Both, is_deaf: false }, Step::Next(5)],
        &[power(B, PowerDoes::OffAndWipe), power(B, PowerDoes::On(Clock::Ahead)), wait(63_974)],
    ]);
    // Wiped and sent to serve without the other, it gives an address in a generation that is over.
    let gives_unknowing = quiet(&[
        &[acquire(1, 10, A), wait(2026), client(1, Does::Release, B), wait(12_527)],
        &[power(A, PowerDoes::OffAndWipe), on(A), power(B, PowerDoes::Off), twin(A, TwinCommand::Serve), wait(186_388)],
        &[acquire(1, 10, A), wait(300)],
    ]);
    // Told that it was counted as down, it is sent to serve without having learned what was given meanwhile.
    let counted_as_down = [
        power(A, PowerDoes::Off),
        wait(2500),
        twin(B, TwinCommand::DeclareDown),
        wait(64_500),
        acquire(2, 10, B),
        on(A),
        wait(460),
        power(B, PowerDoes::Off),
        wait(4353),
        twin(A, TwinCommand::Serve),
        wait(184_013),
        acquire(0, 10, A),
    ];
    let far = Setup { link_ms: [200, 200], ..Setup::QUIET };
    // Edited by one that does not know which of its numbers are spent.
    let number_twice = quiet(&[
        &[Step::Copy { at: A }, twin(A, TwinCommand::Switch), wait(68)],
        &[power(A, PowerDoes::OffAndRestore { marked: true }), on(A), Step::Admin { at: A, does: Edit::RaiseMclt }],
    ]);
    // The non-owner's proposal goes further than the owner's own promise, by less than a journey may take.
    let slow_disk_of_b_again =
        Setup { addresses: 4, lease_secs: 40, link_ms: [1, 1], disk_ms: [1, 1500], drift_ppm: [-500, -500], ..Setup::QUIET };
    let half_a_second_more = [
        acquire(1, 10, A),
        wait(62_000),
        Step::Client { who: 1, does: Does::Acquire(Some(10)), reach: Reach::Both, is_deaf: false },
        hold(A, Kinds(95)),
        acquire(0, 10, B),
        wait(513),
        client(1, Does::Reboot, B),
    ];
    // A start after a power cut that took a number from the disk, twice from the same disk.
    let far_and_lossy =
        Setup { lease_secs: 120, link_ms: [20, 20], drift_ppm: [500, 500], loss_permille: 50, salt: 6_470_868, ..Setup::QUIET };
    let twice_from_one_disk = [
        acquire(0, 11, B),
        wait(1532),
        power(B, PowerDoes::Off),
        power(B, PowerDoes::On(Clock::Ahead)),
        wait(2010),
        acquire(0, 11, B),
        disk(B, DiskDoes::Stall),
        wait(187_736),
        power(B, PowerDoes::Off),
        hold(B, Kinds::ALL),
        on(B),
        wait(127_830),
        acquire(0, 11, B),
    ];
    // Paired anew while its disk stands still: what waits for it is not told as written.
    let paired_before_it_is_written = quiet(&[&[
        power(A, PowerDoes::Off),
        acquire(1, 11, B),
        twin(B, TwinCommand::Unpair),
        Step::Next(4),
        disk(B, DiskDoes::Stall),
        wait(185_324),
        wait(245_860),
        on(A),
        Step::Next(4),
        power(B, PowerDoes::Off),
    ]]);
    // What a repair has brought is refused by the disk: it is asked for again, or nothing is told again ever after.
    let repair_refused = [
        acquire(1, 13, A),
        wait(63_681),
        disk(B, DiskDoes::Stall),
        Step::Admin { at: B, does: Edit::Keep { address: 13, who: 0 } },
        wait(70_886),
        disk(A, DiskDoes::Stall),
        client(1, Does::Renew, A),
        disk(B, DiskDoes::Write(9)),
        wait(11_574),
        disk(A, DiskDoes::Fail),
    ];
    let far_and_forgetful = Setup {
        addresses: 4,
        lease_secs: 180,
        link_ms: [20, 150],
        drift_ppm: [-500, -500],
        loss_permille: 50,
        salt: 7_396_162,
        assumes: true,
        ..Setup::QUIET
    };
    // One alone again, and a lease before that, are refused together: the lease is taken back as one of the pair's.
    let dissolved_in_vain = quiet(&[&[
        power(A, PowerDoes::Off),
        twin(B, TwinCommand::Unpair),
        wait(64_500),
        disk(B, DiskDoes::Stall),
        Step::Client { who: 1, does: Does::Acquire(Some(11)), reach: Reach::Both, is_deaf: false },
        wait(243_105),
        disk(B, DiskDoes::Fail),
        wait(1627),
    ]]);
    // Counted as down itself, it still counts the twin as down on its disk, and lets it learn nothing.
    let far_away = Setup { addresses: 3, lease_secs: 40, link_ms: [20, 400], disk_ms: [1, 1500], ..Setup::QUIET };
    let both_were_down = [
        twin(A, TwinCommand::ShutDown),
        wait(44_653),
        power(B, PowerDoes::Off),
        power(A, PowerDoes::Off),
        on(A),
        twin(A, TwinCommand::Serve),
        wait(111_126),
        on(B),
        wait(274),
        power(A, PowerDoes::Off),
        wait(11_778),
    ];
    // Raised over its twin's record of the same lease, while the twin prolongs that.
    let forgetful =
        Setup { lease_secs: 40, link_ms: [1, 20], disk_ms: [40, 1500], salt: 25_086_428, loss_permille: 200, ..Setup::QUIET };
    let raised_while_prolonged = [
        &[wait(2564), Step::Next(1), power(B, PowerDoes::OffAndWipe), Step::Next(4), on(B), Step::Next(7), wait(10)][..],
        &[hold(B, Kinds::ALL), power(A, PowerDoes::Off), wait(106_917), twin(B, TwinCommand::Serve), acquire(0, 10, B)],
        &[Step::Next(4), power(B, PowerDoes::Off), wait(1814), power(B, PowerDoes::On(Clock::Ahead)), wait(270)],
        &[power(A, PowerDoes::On(Clock::Unknown)), wait(173), power(B, PowerDoes::Off), wait(70_587), acquire(0, 10, A)],
    ]
    .concat();
    // An old copy tells of a lease that the other has given up, and prolongs it: the other does not deny it.
    let prolonged_by_a_copy = [
        acquire(2, 13, B),
        wait(261),
        disk(B, DiskDoes::Stall),
        wait(125_588),
        Step::Copy { at: B },
        power(B, PowerDoes::OffAndRestore { marked: true }),
        power(B, PowerDoes::On(Clock::Ahead)),
        wait(2565),
        disk(B, DiskDoes::Stall),
        wait(67_270),
        acquire(2, 11, B),
    ];
    let slow_for_the_copy = Setup {
        addresses: 4,
        lease_secs: 120,
        link_ms: [150, 20],
        disk_ms: [300, 1],
        drift_ppm: [-500, -500],
        assumes: true,
        ..Setup::QUIET
    };
    vec![
        (far_away, both_were_down.to_vec()),
        (forgetful, raised_while_prolonged),
        (slow_for_the_copy, prolonged_by_a_copy.to_vec()),
        dissolved_in_vain,
        (far_and_forgetful, repair_refused.to_vec()),
        (far_and_lossy, twice_from_one_disk.to_vec()),
        paired_before_it_is_written,
        (far, counted_as_down.to_vec()),
        number_twice,
        (slow_disk_of_b_again, half_a_second_more.to_vec()),
        gives_unknowing,
        confirmed_and_lost,
        proposed_later,
        asks_both,
        raised,
        overtaken,
        mark_removed,
        (slow_disk_of_b, numbers_lost.to_vec()),
        said_goodbye,
        (lossy, recycled_meanwhile.to_vec()),
    ]
}

#[test]
fn what_went_wrong_once_is_right_now() {
    let mut wrong = Vec::new();
    for (number, (setup, steps)) in once_wrong().into_iter().enumerate() {
        if let Some(fault) = run(setup, &steps, Telling::Silent, None).fault {
            println!("\nhistory {number}:");
            run(setup, &steps, Telling::Aloud, None);
            wrong.push(format!("history {number}: {fault}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Unpaired on both, and paired again, by two programs that run on.
fn paired_again() -> World {
    let mut world = World::new(Setup::QUIET, Telling::Silent);
    for at in [A, B] {
        world.command(at, Command::Twin(TwinCommand::Unpair));
    }
    world.take(&wait(3000));
    for at in [A, B] {
        let memory = world.machines[at].node.as_ref().and_then(|node| node.memory()).expect("one of two").clone();
        let session = Session(0x1234_0000 + at as u64);
        let pair = Pair { memory, session, given_up: Vec::new(), entries: Vec::new(), joins: false, is_new: true };
        world.handle(at, Event::Paired(Box::new(pair)));
    }
    for step in [wait(10_000), DECLARED_LONG_ENOUGH, acquire(1, 10, A), wait(400), acquire(2, 10, B), wait(400)] {
        world.take(&step);
        world.judge();
    }
    world
}

#[test]
fn two_that_were_unpaired_and_run_on_can_be_paired_again() {
    let world = paired_again();
    assert_eq!([A, B].map(|at| world.machines[at].state()), [Some(State::Normal); 2]);
    assert_eq!(world.fault, None);
    let deaf = with_loose(&[W47], paired_again).fault;
    assert!(deaf.is_some_and(|fault| fault.starts_with("DOUBLE")), "each goes on ignoring the other");
}

/// The judge of edits can see: one that was acknowledged goes missing on one of the two disks.
#[test]
fn an_acknowledged_edit_that_is_lost_is_seen() {
    let edited = |goes_missing: bool| {
        let mut world = World::new(Setup::QUIET, Telling::Silent);
        world.take(&Step::Admin { at: A, does: Edit::RaiseLease });
        world.take(&wait(1000));
        if goes_missing {
            let disk = &mut world.machines[B].drive.disk;
            disk.entries.remove(&RecordKey::Lease);
            disk.settings.lease = Default::default();
        }
        world.judge_edits();
        world.fault
    };
    assert_eq!(edited(false), None);
    assert!(edited(true).is_some_and(|fault| fault.starts_with("EDIT")));
}

/// The first commit that the disk refuses is the admin's word itself: he hears that nothing was changed, and starts the twin somewhere else.
fn refused(says: TwinCommand) -> World {
    let mut world = World::new(Setup::QUIET, Telling::Silent);
    let steps =
        [power(B, PowerDoes::Off), wait(2500), disk(A, DiskDoes::Stall), twin(A, says), disk(A, DiskDoes::Fail), wait(1000)];
    for step in steps.into_iter().chain([disk(A, DiskDoes::Heal), disk(A, DiskDoes::Flow)]) {
        world.take(&step);
    }
    assert!(!world.last_result_is_ok, "{says:?}");
    world.machines[B].declared = false;
    let apart = [on(B), wait(70_000), acquire(1, 11, A), wait(400), acquire(2, 11, B), wait(400)];
    for step in CUT.into_iter().chain(apart) {
        world.take(&step);
        world.judge();
    }
    world
}

#[test]
fn what_the_admin_was_told_is_not_so_is_not_acted_on() {
    for says in [TwinCommand::DeclareDown, TwinCommand::Unpair] {
        let world = refused(says);
        assert_eq!(world.fault, None, "{says:?}");
        let memory = world.machines[A].drive.disk.memory.clone().expect("one of two");
        assert!(memory.partner_down.is_none() && !memory.unpaired, "{says:?}: {memory:?}");
    }
    let acted_on = with_loose(&[W46], || refused(TwinCommand::DeclareDown)).fault;
    assert!(acted_on.is_some_and(|fault| fault.starts_with("DOUBLE")));
}

/// The beginning of one of them.
pub fn random_prefix(random: &mut Random) -> (Setup, Vec<Step>) {
    thread_local!(static ALL: Vec<Scenario> = all());
    ALL.with(|all| {
        let scenario = &all[random.below(all.len())];
        let length = 1 + random.below(scenario.steps.len());
        (scenario.setup, scenario.steps[..length].to_vec())
    })
}

#[test]
fn each_rule_is_needed() {
    let mut wrong = Vec::new();
    for scenario in all() {
        let Scenario { rules, fault, setup, steps } = scenario;
        let broken = with_loose(rules, || run(setup, &steps, Telling::Silent, Some(fault)).fault);
        if broken.is_none() {
            println!("\n{rules:?}, broken:");
            with_loose(rules, || run(setup, &steps, Telling::Aloud, Some(fault)));
            wrong.push(format!("{rules:?} can be broken without a {fault}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn with_all_rules_in_force_the_same_histories_pass() {
    for Scenario { rules, setup, steps, .. } in all() {
        if let Some(fault) = run(setup, &steps, Telling::Silent, None).fault {
            println!("\n{rules:?}, in force:");
            run(setup, &steps, Telling::Aloud, None);
            panic!("{rules:?} in force: {fault}");
        }
    }
}
