//! DOES. Sockets, interfaces and probes around the pure `protocol`.

pub mod arp;
pub mod batch;
pub mod frame;
pub mod links;
pub mod outbox;
pub mod packet;
pub mod port;
pub mod rivals;
pub mod served;
pub mod socket;
pub mod watch;
