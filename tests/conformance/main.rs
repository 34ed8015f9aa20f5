//! dhcp.md, line by line: what goes in, what comes out. Only the public face of `protocol` is used; packets are
//! made by hand here, and every reply is also read by dhcproto, which has no part in the making of it.

mod net;
mod packet;
mod seen;

mod answering;
mod discover;
mod durable;
mod explain;
mod field;
mod intake;
mod optional;
mod options;
mod probe;
mod relay;
mod request;
mod size;
mod storm;
mod what_if;
mod wire;
