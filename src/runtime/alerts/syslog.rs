//! Remote syslog (RFC 5424), one datagram or one counted message on TCP (RFC 6587 §3.4.1).

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    time::Duration,
};

use super::Message;
use crate::settings::alerts::{Syslog, SyslogProtocol};

const PATIENCE: Duration = Duration::from_secs(5);
/// Every receiver takes 2048 bytes (RFC 5425 §4.3.1), and one datagram of this size crosses every network whole.
const BYTES_MAX: usize = 1400;
/// `daemon`.
const FACILITY: u8 = 3;

pub fn send(syslog: &Syslog, message: &Message) -> Result<String, String> {
    let Syslog { host, port, protocol } = syslog;
    let addresses = (host.as_str(), *port).to_socket_addrs();
    let addresses: Vec<SocketAddr> = addresses
        .map_err(|error| format!("Nobody knows the syslog server {host} ({error}). Look at its name, and at this server's DNS."))?
        .collect();
    let line = line(message);
    let sent = match protocol {
        SyslogProtocol::Udp => {
            addresses.first().ok_or(io::ErrorKind::NotFound.into()).and_then(|address| datagram(*address, &line))
        }
        SyslogProtocol::Tcp => stream(&addresses, &line),
    };
    sent.map_err(|error| format!("The syslog server {host}, port {port}, cannot be reached ({error})."))?;
    Ok(match protocol {
        SyslogProtocol::Udp => format!("Sent to {host}, port {port}. UDP has no answer: look there whether it has arrived."),
        SyslogProtocol::Tcp => format!("The syslog server {host} has taken it."),
    })
}

fn datagram(to: SocketAddr, line: &str) -> io::Result<()> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.send(line.as_bytes()).map(drop)
}

fn stream(to: &[SocketAddr], line: &str) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in to {
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.write_all(format!("{} {line}", line.len()).as_bytes())?;
                return stream.shutdown(std::net::Shutdown::Write);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `<27>1 TIME HOST twinlease - twin-silent - text`
fn line(message: &Message) -> String {
    let severity = match (message.is_over(), message.urgent) {
        (true, _) => 5,
        (false, true) => 3,
        (false, false) => 4,
    };
    // Printable ASCII without a space (§6).
    let host: String = message.node.chars().filter(char::is_ascii_graphic).take(255).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let text: String = message.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let Message { at, event, .. } = message;
    let mut line = format!("<{}>1 {at} {host} twinlease - {event} - {}: {text}", FACILITY * 8 + severity, message.title);
    line.truncate(line.floor_char_boundary(BYTES_MAX));
    line
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener};

    use super::*;
    use crate::runtime::alerts::receivers::silence;

    fn message() -> Message {
        Message::test("pi a", "2026-01-01T00:00:00Z".into())
    }

    fn settings(port: u16, protocol: SyslogProtocol) -> Syslog {
        Syslog { host: "127.0.0.1".into(), port, protocol }
    }

    const EXPECTED: &str = "<28>1 2026-01-01T00:00:00Z pia twinlease - test - pi a: this is a test: Alerts of";

    #[test]
    fn a_datagram_arrives_as_rfc_5424_has_it() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let port = receiver.local_addr().expect("bound").port();
        send(&settings(port, SyslogProtocol::Udp), &message()).expect("it leaves");
        let mut bytes = [0; 2048];
        receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        let length = receiver.recv(&mut bytes).expect("it arrives");
        let line = String::from_utf8_lossy(&bytes[..length]);
        assert!(line.starts_with(EXPECTED), "{line}");
    }

    #[test]
    fn on_tcp_the_length_stands_first() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let taken = std::thread::spawn(move || {
            let mut text = String::new();
            listener.accept().expect("a connection").0.read_to_string(&mut text).expect("text");
            text
        });
        send(&settings(port, SyslogProtocol::Tcp), &message()).expect("it is taken");
        let text = taken.join().expect("no panic");
        let (length, line) = text.split_once(' ').expect("a length");
        assert_eq!(length.parse::<usize>(), Ok(line.len()));
        assert!(line.starts_with(EXPECTED), "{line}");
    }

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let long = Message { text: "ä\n\0".repeat(5000), ..message() };
        let line = line(&long);
        assert!(line.len() <= BYTES_MAX && !line.chars().any(char::is_control));
    }

    #[test]
    fn nobody_at_the_other_end_is_a_sentence() {
        let refusal = send(&settings(silence().port(), SyslogProtocol::Tcp), &message()).expect_err("nobody is there");
        assert!(refusal.contains("cannot be reached"), "{refusal}");
    }
}
