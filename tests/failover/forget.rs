//! What the disks say after a crash of both, and what a node does that has lost its memory.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Needs;
use crate::cable::{Cable, Quality};
use crate::crowd::{Crowd, Ledger, Manner, Then};
use crate::lab::{Lab, wait_until};
use crate::pair::{Pair, Side};
use crate::report::{Figures, rounds, row, sides};
use crate::twins::{SETTINGS, Twins};
use crate::watch::{Clocks, Wall};
use crate::world;

/// The shortest that can be set: a node that forgot waits for so long, counted in uptime,
const MCLT: Duration = Duration::from_secs(60);
/// of which it spends so much suspended, as the kernel counts that too and a test has better things to do.
const SUSPENDED: Duration = Duration::from_secs(50);

/// A twin that says nothing is waited for, for a part of this; then the answer leaves with a short promise.
const ACKED_ALONE_AFTER: Duration = Duration::from_millis(700);

fn settings() -> String {
    format!("[twin]\nmclt = \"{}s\"\n{SETTINGS}", MCLT.as_secs())
}

/// In every second round the last answers left before the twin had them: a lease that is on one disk only is then promised for
/// a short time, and both must still know it afterwards.
#[test]
fn both_killed_under_load_know_every_lease_and_mistake_it_for_nothing_else() {
    let name = "forget::both_killed_under_load_know_every_lease_and_mistake_it_for_nothing_else";
    let Some(lab) = crate::enter(name, Needs::Everything) else { return };
    world::with_own_link(&lab);
    let cable = Cable::plug();
    let mut pair = Twins::new(&lab, "both-killed", SETTINGS).on_own_link();
    let mut promised = Ledger::default();
    let rounds = 2 * rounds();
    let mut on_one_disk = 0;
    for round in 0..rounds {
        pair.start_both();
        let crowd = Crowd::at("client");
        crowd.arrive(Duration::from_millis(3), &[Manner::Eager]);
        // Another moment each time.
        std::thread::sleep(Duration::from_millis(900 + 137 * (round as u64 % 7)));
        let mute = (round % 2 == 1).then(|| pair.active());
        if mute.is_some() {
            cable.turn(Quality { mute, ..Quality::default() });
            std::thread::sleep(ACKED_ALONE_AFTER);
        }
        Side::BOTH.into_iter().for_each(|side| pair.kill(side));
        cable.turn(Quality::default());
        promised.merge(crowd.leave().1);
        let holders = promised.holders();
        let unknown = Side::BOTH.map(|side| pair.unknown(side, &holders));
        assert!(mute.is_none() || unknown[0] + unknown[1] > 0, "both had all: the twin was not cut off soon enough");
        on_one_disk += unknown[0] + unknown[1];
        pair.start_both();
        for side in Side::BOTH {
            assert_eq!(pair.unknown(side, &holders), 0, "{side:?} has lost acked leases\n{}", pair.words());
            let log = pair.processes().log(side);
            assert!(!log.contains("Recover") && pair.status(side)["forgot"].is_null(), "taken for a loss of memory:\n{log}");
        }
        assert_eq!(promised.duplicates(), Vec::<String>::new());
        let acked = holders.len();
        assert!(acked > 50 * (round + 1), "the load was too small to show anything: {acked}");
        Side::BOTH.into_iter().for_each(|side| pair.kill(side));
    }
    let acked = promised.holders().len();
    let result = format!("{acked} leases acked, {on_one_disk} of them on one disk only at a kill, all on both after the restart");
    row("both killed under load", &pair.label(), rounds, &result);
}

/// A card whose database is gone, but not what it knows of itself and its twin.
#[test]
fn a_twin_without_its_database_is_rebuilt_and_silent_until_it_may_speak() {
    let name = "forget::a_twin_without_its_database_is_rebuilt_and_silent_until_it_may_speak";
    forgets(name, "a database lost", Side::A, |pair, lost, promised| {
        serve_some(promised);
        pair.kill(lost);
        for file in std::fs::read_dir(&pair.folders[lost as usize]).expect("the folder is there").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.starts_with("twinlease.db") {
                std::fs::remove_file(file.path()).expect("it was there");
            }
        }
    });
}

#[test]
fn a_wiped_twin_is_rebuilt_and_silent_until_it_may_speak() {
    let name = "forget::a_wiped_twin_is_rebuilt_and_silent_until_it_may_speak";
    forgets(name, "a data folder wiped", Side::B, |pair, lost, promised| {
        serve_some(promised);
        pair.kill(lost);
        empty(&pair.folders[lost as usize]);
    });
}

#[test]
fn an_old_copy_that_is_put_back_is_noticed_and_not_trusted() {
    let name = "forget::an_old_copy_that_is_put_back_is_noticed_and_not_trusted";
    forgets(name, "an old copy put back", Side::A, |pair, lost, promised| {
        serve_some(promised);
        pair.wait_until_together();
        pair.processes_mut().terminate(lost);
        let folder = pair.folders[lost as usize].clone();
        let copy = folder.with_extension("copy");
        empty(&copy);
        copy_all(&folder, &copy);
        pair.start(lost);
        pair.wait_until_together();
        // Both halves of this are lost with the newer disk: what it gave itself, and what it was told.
        serve_some(promised);
        if pair.active() != lost {
            pair.ask(lost, &["twin", "switch"]);
            pair.wait_until("the roles are switched", Duration::from_secs(5), || pair.active() == lost);
        }
        serve_some(promised);
        pair.wait_until_together();
        pair.kill(lost);
        empty(&folder);
        copy_all(&copy, &folder);
    });
}

/// `forget` leaves a side dead and without its memory, or a part of it; then it comes back. `one`: the side of a short run.
fn forgets(test: &str, case: &str, one: Side, forget: impl Fn(&mut Twins<'_>, Side, &mut Ledger)) {
    let Some(lab) = crate::enter(test, Needs::Quiet) else { return };
    world::one_lan(&lab);
    let mut pair = Twins::new(&lab, &case.replace(' ', "-"), &settings());
    let Some(clocks) = Clocks::new(&lab, &mut pair) else { return };
    pair.start_both();
    let (mut promised, mut returns) = (Ledger::default(), Returns::default());
    for round in 0..rounds() {
        for lost in sides(one) {
            forget(&mut pair, lost, &mut promised);
            comes_back(&lab, &mut pair, lost, (&clocks, round), &mut promised, &mut returns);
        }
    }
    row(case, &pair.label(), rounds() * sides(one).len(), &returns);
    assert_eq!(promised.duplicates(), Vec::<String>::new());
}

/// How nodes came back that had forgotten, counted from their start.
#[derive(Default)]
struct Returns {
    rebuilt: Figures,
    silent: Figures,
}

impl std::fmt::Display for Returns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "noticed; rebuilt: {}; first ACK of its own (MCLT {MCLT:?}): {}", self.rebuilt, self.silent)
    }
}

/// Forty clients get leases for an hour.
fn serve_some(promised: &mut Ledger) {
    let crowd = Crowd::at("client");
    crowd.admit(40, Manner::Eager, Then::Holds);
    crowd.wait_until_bound(40, Duration::from_secs(10));
    promised.merge(crowd.leave().1);
}

/// A node without its memory starts while the other serves: it is rebuilt, answers nobody until MCLT has passed, not even
/// when the other is deaf, and is then a twin like before, which answers for the deaf one.
fn comes_back(
    lab: &Lab,
    pair: &mut Twins<'_>,
    lost: Side,
    (clocks, round): (&Clocks, usize),
    promised: &mut Ledger,
    returns: &mut Returns,
) {
    pair.wait_until("the survivor notices", Duration::from_secs(5), || pair.state(lost.other()) != "normal");
    let crowd = Crowd::at("client");
    crowd.arrive(Duration::from_millis(100), &[Manner::Eager]);
    let boot = Instant::now();
    pair.start(lost);
    pair.wait_until("it notices that it has forgotten", Duration::from_secs(5), || pair.state(lost) == "recover");
    let holders = promised.holders();
    pair.wait_until_known(lost, &holders, Duration::from_secs(5));
    returns.rebuilt.add(boot.elapsed());
    assert!(crowd.clients().iter().all(|client| client.wait() < Duration::from_secs(1)), "the survivor let somebody wait");
    // Nobody else hears the clients now, and it must still wait.
    lab.lab(&["deafen", lost.other().host()]);
    let speaks = || {
        crowd.ledger().promises.iter().filter(|promise| promise.server == Some(lost.address())).map(|promise| promise.from).min()
    };
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(speaks(), None, "it spoke at once\n{}", pair.words());
    clocks.set(lost, Wall { slept_s: SUSPENDED.as_secs() * (round as u64 + 1), ..Wall::RIGHT });
    pair.wait_until("it speaks in the end", MCLT - SUSPENDED + Duration::from_secs(15), || speaks().is_some());
    let silent_for = speaks().map_or(Duration::ZERO, |at| at.duration_since(boot)) + SUSPENDED;
    lab.lab(&["hear", lost.other().host()]);
    assert!(silent_for >= MCLT, "it spoke after {silent_for:?}, before MCLT had passed\n{}", pair.words());
    pair.wait_until_together();
    crowd.nobody_arrives();
    wait_until("all clients are served", Duration::from_secs(10), || crowd.all_bound());
    promised.merge(crowd.leave().1);
    for side in Side::BOTH {
        assert_eq!(pair.unknown(side, &promised.holders()), 0, "{side:?}\n{}", pair.words());
    }
    assert!(pair.status(lost)["forgot"].is_null(), "{}", pair.words());
    returns.silent.add(silent_for);
}

fn empty(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("target/tmp can be written");
}

fn copy_all(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "cp {} {}", from.display(), to.display());
}
