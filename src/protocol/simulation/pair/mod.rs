//! Two nodes of the real code, their clients, disks, clocks and link: one seed, virtual time, judged from the clients'
//! side. `step` says what can happen, `world` does it, `judge` and `heal` say what must hold.
//!
//! `TWINLEASE_PAIR_SEED=17` runs one seed aloud and cuts it short, `TWINLEASE_PAIR_SEEDS=20000` runs so many,
//! `scripts/simulate` runs for as long as it is told.

/// A line of the transcript.
macro_rules! tell {
    ($world:expr, $($line:tt)*) => {
        if $world.telling == $crate::protocol::seeds::Telling::Aloud {
            println!("{:>9}.{:03} s  {}", $world.now.0 / 1000, $world.now.0 % 1000, format!($($line)*));
        }
    };
}

mod clients;
mod clock;
mod config;
mod heal;
mod judge;
mod link;
mod machine;
mod outside;
mod random;
mod scenarios;
mod shrink;
mod step;
mod tell;
mod world;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::super::{
    failover::loose::{Rule, with_loose},
    seeds::{Telling, silently},
};
use judge::Tally;
use step::{Setup, Step};
use world::World;

/// After so many failures a run of many seeds ends.
const MAX_FAILURES: usize = 8;

/// What came of one history.
#[derive(Debug, Clone, Default)]
struct Outcome {
    /// `KIND: sentence`.
    fault: Option<String>,
    tally: Tally,
    simulated: Duration,
}

/// The same steps again, then everything mended.
fn run(setup: Setup, steps: &[Step], telling: Telling, only: Option<&'static str>) -> Outcome {
    guarded(|| {
        let mut world = World::new(setup, telling);
        world.only = only;
        for step in steps {
            if world.fault.is_some() {
                break;
            }
            world.take(step);
            world.judge();
        }
        end(world)
    })
}

fn end(mut world: World) -> Outcome {
    if world.fault.is_none() {
        world.everything_is_well_in_the_end();
    }
    Outcome { fault: world.fault.take(), tally: world.tally, simulated: Duration::from_millis(world.now.0) }
}

/// One seed; also its history where something went wrong.
fn run_seed(seed: u64, strangers: bool, only: Option<&'static str>) -> (Outcome, Option<(Setup, Vec<Step>)>) {
    let mut kept = None;
    let outcome = guarded(|| {
        let history = random::generate(seed, strangers, only);
        let (setup, steps) = (history.setup, history.steps);
        kept = Some((setup, steps));
        end(history.world)
    });
    let failed = outcome.fault.is_some();
    (outcome, kept.filter(|_| failed))
}

/// The seed, what went wrong, and the history, where it got that far.
type Failure = (u64, String, Option<(Setup, Vec<Step>)>);

/// A panic is a fault like others.
fn guarded(run: impl FnOnce() -> Outcome) -> Outcome {
    silently(run).unwrap_or_else(|what| Outcome { fault: Some(format!("PANIC: {what}")), ..Outcome::default() })
}

/// How many seeds, from which on, for how long at most.
struct Plan {
    first: u64,
    count: u64,
    at_most: Option<Duration>,
    threads: usize,
    only: Option<&'static str>,
    /// Rules that are broken meanwhile.
    loose: Vec<Rule>,
    strangers: bool,
}

impl Plan {
    fn seeds(count: u64) -> Plan {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Plan { first: 0, count, at_most: None, threads, only: None, loose: Vec::new(), strangers: false }
    }
}

#[derive(Default)]
struct Report {
    seeds: u64,
    simulated: Duration,
    tally: Tally,
    failures: Vec<Failure>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days = self.simulated.as_secs_f64() / 86_400.0;
        let Tally { events, acks, by_rule_2 } = self.tally;
        write!(
            f,
            "{} seeds, {days:.1} days of simulated time, {events} events, {acks} promises ({by_rule_2} weighed against the other's disk): {} failures",
            self.seeds,
            self.failures.len()
        )
    }
}

fn run_many(plan: &Plan) -> Report {
    let (next, report) = (AtomicU64::new(plan.first), Mutex::new(Report::default()));
    let started = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = plan.at_most.is_some_and(|at_most| started.elapsed() >= at_most);
            let failed = report.lock().expect("no thread panics").failures.len();
            if is_over || seed - plan.first >= plan.count || failed >= MAX_FAILURES {
                return;
            }
            let (outcome, history) = with_loose(&plan.loose, || run_seed(seed, plan.strangers, plan.only));
            let mut report = report.lock().expect("no thread panics");
            report.seeds += 1;
            report.simulated += outcome.simulated;
            report.tally.events += outcome.tally.events;
            report.tally.acks += outcome.tally.acks;
            report.tally.by_rule_2 += outcome.tally.by_rule_2;
            if let Some(fault) = outcome.fault {
                report.failures.push((seed, fault, history));
            }
        }
    };
    std::thread::scope(|scope| (0..plan.threads).for_each(|_| drop(scope.spawn(work))));
    report.into_inner().expect("no thread panics")
}

/// Cuts the history short, prints it as a list of steps and as a transcript.
fn show(seed: u64, setup: Setup, steps: Vec<Step>, only: Option<&'static str>) {
    let (setup, steps) = shrink::shrink(setup, steps, |setup, steps| run(setup, steps, Telling::Silent, only).fault);
    println!("\nTWINLEASE_PAIR_SEED={seed} fails. The shortest history found has {} steps:", steps.len());
    println!("{setup:?}");
    for step in &steps {
        println!("    {step:?},");
    }
    let outcome = run(setup, &steps, Telling::Aloud, only);
    println!("=> {}", outcome.fault.unwrap_or_else(|| "passes when it is run again".into()));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")))
}

fn report(plan: &Plan) {
    let report = run_many(plan);
    for (seed, fault, history) in &report.failures {
        println!("seed {seed}: {fault}");
        if let Some((setup, steps)) = history {
            with_loose(&plan.loose, || show(*seed, *setup, steps.clone(), plan.only));
        }
    }
    println!("{report}");
    if let Ok(path) = std::env::var("TWINLEASE_PAIR_REPORT") {
        std::fs::write(path, format!("{report}\n")).expect("the report can be written");
    }
    assert!(report.failures.is_empty(), "{report}");
}

/// The promise of the product, in as many histories as there is time for.
#[test]
fn a_pair_keeps_its_promises_whatever_happens() {
    if let Some(seed) = number("TWINLEASE_PAIR_SEED") {
        let (outcome, history) = run_seed(seed, false, None);
        if let Some((setup, steps)) = history {
            show(seed, setup, steps, None);
        }
        assert_eq!(outcome.fault, None, "seed {seed}");
        return;
    }
    let at_most = number("TWINLEASE_PAIR_SECONDS").map(Duration::from_secs);
    let loose = std::env::var("TWINLEASE_PAIR_LOOSE").map_or(Vec::new(), |names| rules_named(&names));
    let count = number("TWINLEASE_PAIR_SEEDS").unwrap_or(if at_most.is_some() { u64::MAX } else { 100 });
    report(&Plan { first: number("TWINLEASE_PAIR_FIRST").unwrap_or(0), at_most, loose, ..Plan::seeds(count) });
}

/// `W6,W36`: to see what a broken rule leads to.
fn rules_named(names: &str) -> Vec<Rule> {
    let known = scenarios::all().into_iter().flat_map(|scenario| scenario.rules);
    let known: Vec<Rule> = known.copied().collect();
    let named = |name: &str| known.iter().find(|rule| format!("{rule:?}") == name).copied();
    names.split(',').map(|name| named(name).unwrap_or_else(|| panic!("there is no rule {name}"))).collect()
}

/// The judge can see: two servers that know nothing of each other give one address twice.
#[test]
fn two_servers_that_are_no_pair_are_caught() {
    let report = run_many(&Plan { only: Some("DOUBLE"), strangers: true, ..Plan::seeds(200) });
    assert!(!report.failures.is_empty(), "{report}");
}
