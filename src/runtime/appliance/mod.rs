//! What only the flashed image needs: its card, clock, network, lights and watchdog. DHCP is served without any of it.

pub mod card;
pub mod lights;
pub mod network;
pub mod timekeeper;
pub mod watchdog;
