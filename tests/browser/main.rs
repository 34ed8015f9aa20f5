//! The dashboard in a real browser: chromium against a pair of real servers in namespaces, with real clients behind them.
//!
//! Every page that a test leaves is asked what it complained of: a violation of the content security policy, an error of a
//! script or a file from elsewhere fails the test. `scripts/screens` takes pictures of all pages for looking at.
//!
//! Needs Debian's chromium and chromium-driver (`scripts/packages browser`), and axe-core from npm (`scripts/axe`); where one
//! of them is not there, what needs it is skipped with its name.

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

mod axe;
mod browser;
mod house;

mod drill;
mod every_page;
mod plain;
mod screens;

/// One world at a time: a browser takes what two processors have.
fn enter(test: &str) -> Option<lab::Lab> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !browser::is_there() {
        eprintln!("SKIPPED {test}: needs chromium and chromedriver (scripts/packages browser)");
        return None;
    }
    lab::enter_or_skip(test)
}
