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

mod batch;
mod frame;
pub mod outbox;
mod packet;
mod port;
mod served;
mod watch;
