//! Who may come in: the claim of a new device, the password, sessions, tokens; and the gate that asks all of them.

pub mod cookie;
pub mod gate;
mod pages;
pub mod password;
pub mod session;
pub mod throttle;
pub mod token;

use std::sync::Mutex;

pub use pages::routes;

use password::Hasher;
use session::Sessions;
use throttle::Throttle;

/// What is known of those who knock. Of this run only; the hashes are in the settings.
#[derive(Default)]
pub struct Door {
    pub sessions: Sessions,
    pub throttle: Mutex<Throttle>,
    pub hasher: Hasher,
}
