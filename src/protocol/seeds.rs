//! Runs a property from one seed after the other. A failure names its seed and the shortest case found.
//!
//! `TWINLEASE_SEEDS=10000` tries more seeds than the default, `TWINLEASE_SEED=17` only that one.

use std::{cell::Cell, panic, sync::Once};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

/// `run` panics where the property does not hold. It is given the case, and whether it shall print what happens.
pub fn for_seeds<S: Strategy>(default_count: u64, strategy: &S, run: impl Fn(&S::Value, Telling)) {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse().expect("a number"));
    let seeds = match number("TWINLEASE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TWINLEASE_SEEDS").unwrap_or(default_count),
    };
    for seed in seeds {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
        let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let outcome = runner.run(strategy, |case| silently(|| run(&case, Telling::Silent)).map_err(TestCaseError::fail));
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(_, case)) => {
                println!("TWINLEASE_SEED={seed} fails. The shortest case found:");
                run(&case, Telling::Aloud);
                panic!("seed {seed} failed once and passed when it was run again: {case:#?}");
            }
            Err(TestError::Abort(why)) => panic!("seed {seed}: {why}"),
        }
    }
}

/// A panic comes back as what it says, and is said nowhere else: shrinking has hundreds of them.
pub fn silently<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    thread_local!(static IS_SILENT: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            if !IS_SILENT.get() {
                usual(what)
            }
        }));
    });
    let before = IS_SILENT.replace(true);
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(run));
    IS_SILENT.set(before);
    outcome.map_err(|what| {
        let text = what.downcast_ref::<String>().cloned();
        text.or_else(|| what.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
    })
}

/// Whether a run prints what happens, line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Silent,
    Aloud,
}
