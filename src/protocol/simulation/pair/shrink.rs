//! Cuts a history that went wrong down to what it takes.

use super::step::{Setup, Step};

/// Runs again at most.
const MAX_RUNS: u32 = 3000;

/// `fails` gives what goes wrong in a history, if anything does.
pub fn shrink(setup: Setup, steps: Vec<Step>, fails: impl Fn(Setup, &[Step]) -> Option<String>) -> (Setup, Vec<Step>) {
    let Some(first) = fails(setup, &steps) else { return (setup, steps) };
    let wanted = kind(&first).to_string();
    let (mut setup, mut steps, mut runs) = (setup, steps, 0);
    let mut still_fails = |setup: Setup, steps: &[Step]| {
        runs += 1;
        runs <= MAX_RUNS && fails(setup, steps).is_some_and(|what| kind(&what) == wanted)
    };
    loop {
        let before = (setup, steps.len());
        let Setup { addresses, lease_secs, mclt_secs, both_may_be_lost, assumes, .. } = setup;
        let quiet = Setup { addresses, lease_secs, mclt_secs, both_may_be_lost, assumes, ..Setup::QUIET };
        let candidates = [
            quiet,
            Setup { loss_permille: 0, ..setup },
            Setup { drift_ppm: [0, 0], ..setup },
            Setup { disk_ms: Setup::QUIET.disk_ms, ..setup },
            Setup { link_ms: Setup::QUIET.link_ms, ..setup },
            Setup { addresses: 2, ..setup },
            Setup { balanced: false, ..setup },
        ];
        for candidate in candidates {
            if candidate != setup && still_fails(candidate, &steps) {
                setup = candidate;
            }
        }
        let mut size = (steps.len() / 2).max(1);
        loop {
            let mut at = 0;
            while at < steps.len() {
                let mut fewer = steps.clone();
                fewer.drain(at..(at + size).min(steps.len()));
                if still_fails(setup, &fewer) {
                    steps = fewer;
                } else {
                    at += size;
                }
            }
            if size == 1 {
                break;
            }
            size /= 2;
        }
        if before == (setup, steps.len()) {
            return (setup, steps);
        }
    }
}

/// `DOUBLE: …` → `DOUBLE`.
pub fn kind(what: &str) -> &str {
    what.split(':').next().unwrap_or(what)
}
