//! DOES. The loop around the pure `protocol`, and the sockets, files, clocks and threads that it needs.

pub mod server;
pub mod handle;
pub mod live;
pub mod control;
pub mod report;
pub mod metrics;
pub mod disk;
pub mod alive;
pub mod oui;
pub mod log;
pub mod syslog;
pub mod journal;
pub mod presence;
pub mod clock;
pub mod store;
pub mod links;
pub mod socket;
pub mod arp;
pub mod who_has;
pub mod doubled;
pub mod rivals;
pub mod surroundings;
pub mod alerts;
#[cfg(test)]
pub mod stand_in;
pub mod led;
pub mod locate;
pub mod drill;
pub mod partner;
pub mod twin;
pub mod appliance;
pub mod update;

// What sockets are made of.
pub mod served;
pub mod outbox;
pub mod batch;
pub mod frame;
pub mod packet;
pub mod port;
pub mod watch;
