//! Where the dashboard listens, as it is written on the command line.

use std::net::{IpAddr, SocketAddr};

/// `None`: off.
#[derive(Debug, Clone, Copy)]
pub struct Listen(pub Option<SocketAddr>);

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

pub fn http(text: &str) -> Result<Listen, String> {
    listen(text, HTTP)
}

pub fn https(text: &str) -> Result<Listen, String> {
    listen(text, HTTPS)
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

/// Where https is to be found if nothing was said of it: beside http. Whoever names another port for that has a reason, and
/// opens nothing else by it; `off` is about http alone.
pub fn beside(http: &[Listen]) -> Vec<SocketAddr> {
    let named: Vec<SocketAddr> = http.iter().filter_map(|listen| listen.0).collect();
    if named.is_empty() {
        return vec![SocketAddr::from(([0, 0, 0, 0], HTTPS))];
    }
    named.into_iter().filter(|address| address.port() == HTTP).map(|address| SocketAddr::new(address.ip(), HTTPS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_stands_beside_http_unless_that_has_a_port_of_its_own() {
        let of = |words: &[&str]| {
            let listens: Vec<Listen> = words.iter().map(|text| http(text).expect("an address")).collect();
            beside(&listens).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&["0.0.0.0:80"]), ["0.0.0.0:443"], "the default");
        assert_eq!(of(&["192.0.2.1"]), ["192.0.2.1:443"]);
        assert_eq!(of(&["192.0.2.1", "[2001:db8::1]:80"]), ["192.0.2.1:443", "[2001:db8::1]:443"]);
        assert_eq!(of(&["127.0.0.1:8080"]), [""; 0]);
        assert_eq!(of(&["off"]), ["0.0.0.0:443"], "no plain http");
    }
}
