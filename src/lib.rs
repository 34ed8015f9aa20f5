//! twinlease: DHCPv4 for a home or a small office that survives a dead Raspberry Pi.
//!
//! `protocol` decides, `runtime` does, `web` shows. `protocol` and `settings` are pure: they read no clock, open no
//! socket or file and take no lock.

pub mod protocol;
pub mod runtime;
pub mod settings;
pub mod web;
