//! What goes to a syslog server is one line of RFC 5424: a datagram, or a counted message on TCP (RFC 6587 §3.4.1).

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    time::Duration,
};

use crate::settings::alerts::Syslog;

pub const PATIENCE: Duration = Duration::from_secs(5);
/// Every receiver takes 2048 bytes (RFC 5425 §4.3.1), and one datagram of this size crosses every network whole.
pub const BYTES_MAX: usize = 1400;
/// `daemon`.
const FACILITY: u8 = 3;

/// `<27>1 TIME HOST twinlease - twin-silent - text`. `at`: RFC 3339, or `-`.
pub fn line(severity: u8, at: &str, node: &str, id: &str, text: &str) -> String {
    // Printable ASCII without a space (§6).
    let host: String = node.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = format!("<{}>1 {at} {host} twinlease - {id} - {text}", FACILITY * 8 + severity);
    line.truncate(line.floor_char_boundary(BYTES_MAX));
    line
}

/// As it stands on TCP.
pub fn counted(line: &str) -> String {
    format!("{} {line}", line.len())
}

/// Blocks for as long as DNS takes. The sentence says what to do.
pub fn addresses(syslog: &Syslog) -> Result<Vec<SocketAddr>, String> {
    let Syslog { host, port, .. } = syslog;
    let addresses = (host.as_str(), *port).to_socket_addrs();
    Ok(addresses
        .map_err(|error| format!("Nobody knows the syslog server {host} ({error}). Look at its name, and at this server's DNS."))?
        .collect())
}

pub fn unreached(Syslog { host, port, .. }: &Syslog, error: &io::Error) -> String {
    format!("The syslog server {host}, port {port}, cannot be reached ({error}).")
}

/// For datagrams to there.
pub fn socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    UdpSocket::bind(any)
}

/// To the first that answers.
pub fn connect(to: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in to {
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(stream) => {
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
