//! DOES. Sockets, files, clocks and threads around the pure `protocol`.

pub mod clock;
pub mod store;
