//! What only the flashed image needs: its card, clock, network, lights and watchdog. DHCP is served without any of it.

pub mod address;
pub mod boot;
pub mod button;
pub mod card;
pub mod follow;
pub mod gpio;
pub mod intent;
pub mod lights;
pub mod name;
pub mod network;
pub mod reset;
pub mod screen;
pub mod timekeeper;
pub mod watchdog;
