//! DHCPv4 on the wire and by the book: decode (lenient), rules (RFC 2131), encode (order, size, padding).

pub mod decode;
pub mod rules;
pub mod leasequery;
pub mod reply;
pub mod encode;
pub mod name;
pub mod code;

pub use decode::{Malformed, Message, PROBE_CLASS};
