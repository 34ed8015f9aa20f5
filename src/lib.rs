//! twinlease: DHCPv4 for a home or a small office that survives a dead Raspberry Pi.
//!
//! `protocol` decides, `runtime` does, `web` shows. `protocol` and `settings` are pure: they read no clock, open no
//! socket or file and take no lock. They build without the rest (`--no-default-features`): so the simulation is built
//! quickly, and nothing of the rest can creep into them.

pub mod protocol;
#[cfg(feature = "program")]
pub mod runtime;
pub mod settings;
#[cfg(feature = "program")]
pub mod web;
