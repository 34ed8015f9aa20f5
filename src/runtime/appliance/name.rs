//! What the box is called on the network, and that browsers find it by that name.

use std::{path::Path, time::Duration};

use mdns_sd::{ServiceDaemon, ServiceInfo};

use super::network;
use crate::{
    protocol::{failover::State, node::Status},
    runtime::partner::identity,
};

/// Without `.local`.
const COMMON: &str = "twinlease";
/// An adapter on USB needs a moment to be found.
const MAC_TRIES: u32 = 50;
const MAC_PAUSE: Duration = Duration::from_millis(100);

/// `twinlease-1a2b`, by the board's serial number, else by its network adapter: two boxes from one image differ.
pub fn own() -> String {
    let number = identity::hardware_serial(Path::new("/")).or_else(|| {
        (0..MAC_TRIES).find_map(|_| {
            let mac = network::mac();
            if mac.is_none() {
                std::thread::sleep(MAC_PAUSE);
            }
            mac
        })
    });
    number.map_or_else(|| "twinlease".into(), |number| from_number(&number))
}

fn from_number(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase()).collect();
    let last: String = digits[digits.len().saturating_sub(4)..].iter().collect();
    if last.is_empty() { "twinlease".into() } else { format!("twinlease-{last}") }
}

/// `NAME.local`, for as long as the daemon is kept.
pub fn announce(name: &str) -> mdns_sd::Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new()?;
    daemon.register(dashboard(name)?)?;
    Ok(daemon)
}

fn dashboard(name: &str) -> mdns_sd::Result<ServiceInfo> {
    let no_properties: &[(&str, &str)] = &[];
    let dashboard = ServiceInfo::new("_http._tcp.local.", name, &format!("{name}.local."), (), 80, no_properties)?;
    Ok(dashboard.enable_addr_auto())
}

/// `twinlease.local`, which one of the two boxes has: the one that answers the devices.
pub struct Common {
    daemon: ServiceDaemon,
    is_here: bool,
}

impl Common {
    pub fn new(daemon: ServiceDaemon) -> Common {
        Common { daemon, is_here: false }
    }

    /// Tried again with the next call where it fails.
    pub fn set(&mut self, shall_be_here: bool) {
        if self.is_here == shall_be_here {
            return;
        }
        let told = dashboard(COMMON).and_then(|common| {
            if shall_be_here { self.daemon.register(common) } else { self.daemon.unregister(common.get_fullname()).map(|_| ()) }
        });
        match told {
            Ok(()) => self.is_here = shall_be_here,
            Err(error) => tracing::warn!("{COMMON}.local is not told of: {error}"),
        }
    }
}

/// Who is found by the name that both boxes share: the one that answers, or whoever is alone.
pub fn is_common_here(status: &Status) -> bool {
    match &status.twin {
        None => true,
        Some(twin) => match twin.state {
            State::Normal => twin.is_active,
            State::Alone | State::CommunicationsInterrupted | State::PartnerDown => true,
            State::Reconcile | State::Startup | State::Recover | State::ShuttingDown | State::Drilled => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_told_apart_by_the_end_of_their_numbers() {
        assert_eq!(from_number("10000000AbCdEf12"), "twinlease-ef12");
        assert_eq!(from_number("52:54:00:12:34:57"), "twinlease-3457");
        assert_eq!(from_number(""), "twinlease");
    }
}
