//! DHCPv4 on the wire and by the book: decode (lenient), rules (RFC 2131), encode (order, size, padding).

pub mod code;
pub mod decode;
pub mod encode;
pub mod leasequery;
pub mod name;
pub mod reply;
pub mod rules;

pub use decode::{Malformed, Message};
