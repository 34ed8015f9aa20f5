//! What the box is called on the network, and that browsers find it by that name.

use std::{path::Path, time::Duration};

use mdns_sd::{ServiceDaemon, ServiceInfo};

use super::network;
use crate::runtime::partner::identity;

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
    let no_properties: &[(&str, &str)] = &[];
    let dashboard = ServiceInfo::new("_http._tcp.local.", name, &format!("{name}.local."), (), 80, no_properties)?;
    daemon.register(dashboard.enable_addr_auto())?;
    Ok(daemon)
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
