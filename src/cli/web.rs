//! Where the dashboard listens, as it is written on the command line.

use std::net::{IpAddr, SocketAddr};

/// `None`: off.
#[derive(Debug, Clone, Copy)]
pub struct Listen(pub Option<SocketAddr>);

pub fn http(text: &str) -> Result<Listen, String> {
    listen(text, 80)
}

pub fn https(text: &str) -> Result<Listen, String> {
    listen(text, 443)
}

fn listen(text: &str, port: u16) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen(None));
    }
    let address = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port)));
    address
        .map(|address| Listen(Some(address)))
        .ok_or_else(|| format!("write an address, like 192.0.2.1 or 0.0.0.0:{port}, or `off`"))
}
