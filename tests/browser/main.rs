//! The dashboard in a real browser: chromium against a pair of real servers in namespaces, with real clients behind them.
//!
//! Every page that a test leaves is asked what it complained of: a violation of the content security policy, an error of a
//! script or a file from elsewhere fails the test. `scripts/screens` takes pictures of all pages for looking at.
//!
//! Needs Debian's chromium and chromium-driver (`scripts/packages browser`), and axe-core from npm (`scripts/axe`); where one
//! of them is not there, what needs it is skipped with its name.

#[path = "../chromium/mod.rs"]
mod chromium;
#[path = "../crafted/mod.rs"]
mod crafted;
#[path = "../lab/mod.rs"]
mod lab;
#[path = "../failover/pair.rs"]
#[allow(dead_code, reason = "the failover tests use the rest")]
mod pair;
#[path = "../failover/twins.rs"]
#[allow(dead_code, reason = "the failover tests use the rest")]
mod twins;

use std::sync::{Condvar, Mutex, PoisonError};

mod axe;
mod browser;
mod house;

mod begin;
mod drill;
mod every_page;
mod hostile;
mod live;
mod plain;
mod screens;
mod tasks;
mod two;
mod update;

/// So many worlds at one time: a browser takes what a processor has, and waits about as often as it works.
const AT_ONCE: u32 = 2;

static UNDER_WAY: (Mutex<u32>, Condvar) = (Mutex::new(0), Condvar::new());

/// One of the worlds that may be there at one time.
struct Turn;

impl Turn {
    fn take() -> Turn {
        let (count, ended) = &UNDER_WAY;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *ended.wait_while(count, |count| *count >= AT_ONCE).unwrap_or_else(PoisonError::into_inner) += 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *UNDER_WAY.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        UNDER_WAY.1.notify_one();
    }
}

fn enter(test: &str) -> Option<lab::Lab> {
    let _turn = Turn::take();
    if !browser::is_there() {
        eprintln!("SKIPPED {test}: needs chromium and chromedriver (scripts/packages browser)");
        return None;
    }
    lab::enter_or_skip(test)
}
