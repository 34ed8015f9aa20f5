//! Tells people who look at no page. What is told and when, `protocol::alerts` decides; here it is looked at, put into
//! words for each channel, and sent until it has arrived.
//!
//! ```text
//!  node, link, disk, snapshots, probe ── watch ──► rules, ledger ──► a queue for each channel ──► webhook, ntfy, mail, syslog
//! ```
//!
//! All of it on threads of its own: a mail server that hangs costs an alert, never a packet.

pub mod board;
pub mod channel;
pub mod probe;
mod mail;
mod post;
mod queue;
mod syslog;
mod watch;

pub use board::{Board, ChannelState, Delivery, OpenAlert, SeenRival};
pub use channel::{Channel, Message};
pub use watch::start;

#[cfg(test)]
pub(super) mod receivers;
