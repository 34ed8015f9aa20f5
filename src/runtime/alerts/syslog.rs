//! Remote syslog: one datagram, or one message on a connection of its own.

use std::{
    io::{self, Write},
    net::{Shutdown, SocketAddr},
};

use super::Message;
use crate::{
    runtime::syslog,
    settings::alerts::{Syslog, SyslogProtocol},
};

pub fn send(to: &Syslog, message: &Message) -> Result<String, String> {
    let Syslog { host, port, protocol, log: _ } = to;
    let addresses = syslog::addresses(to)?;
    let line = line(message);
    let sent = match protocol {
        SyslogProtocol::Udp => {
            addresses.first().ok_or(io::ErrorKind::NotFound.into()).and_then(|address| datagram(*address, &line))
        }
        SyslogProtocol::Tcp => stream(&addresses, &line),
    };
    sent.map_err(|error| syslog::unreached(to, &error))?;
    Ok(match protocol {
        SyslogProtocol::Udp => format!("Sent to {host}, port {port}. UDP has no answer: look there whether it has arrived."),
        SyslogProtocol::Tcp => format!("The syslog server {host} has taken it."),
    })
}

fn datagram(to: SocketAddr, line: &str) -> io::Result<()> {
    let socket = syslog::socket(to)?;
    socket.connect(to)?;
    socket.send(line.as_bytes()).map(drop)
}

fn stream(to: &[SocketAddr], line: &str) -> io::Result<()> {
    let mut stream = syslog::connect(to)?;
    stream.write_all(syslog::counted(line).as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

/// `<27>1 TIME HOST twinlease - twin-silent - text`
fn line(message: &Message) -> String {
    let severity = match (message.is_over(), message.urgent) {
        (true, _) => 5,
        (false, true) => 3,
        (false, false) => 4,
    };
    let Message { at, node, event, title, text, .. } = message;
    syslog::line(severity, at, node, event, &format!("{title}: {text}"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, UdpSocket},
        time::Duration,
    };

    use super::*;
    use crate::runtime::alerts::receivers::silence;

    fn message() -> Message {
        Message::test("pi a", "2026-01-01T00:00:00Z".into())
    }

    fn settings(port: u16, protocol: SyslogProtocol) -> Syslog {
        Syslog { host: "127.0.0.1".into(), port, protocol, log: false }
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
        assert!(line.len() <= syslog::BYTES_MAX && !line.chars().any(char::is_control));
    }

    #[test]
    fn nobody_at_the_other_end_is_a_sentence() {
        let refusal = send(&settings(silence().port(), SyslogProtocol::Tcp), &message()).expect_err("nobody is there");
        assert!(refusal.contains("cannot be reached"), "{refusal}");
    }
}
