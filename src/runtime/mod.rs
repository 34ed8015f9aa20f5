//! DOES. The loop around the pure `protocol`, and the sockets, files, clocks and threads that it needs.

pub mod arp;
pub mod clock;
pub mod control;
pub mod handle;
pub mod links;
pub mod log;
pub mod report;
pub mod rivals;
pub mod server;
pub mod socket;
pub mod store;

pub mod batch;
pub mod frame;
pub mod outbox;
pub mod packet;
pub mod port;
pub mod served;
pub mod watch;
