//! Sockets on loopback, and a ring of each test's own.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use socket2::{Domain, Socket, Type};

use super::*;
use crate::{
    protocol::Command,
    runtime::{alerts::receivers::silence, stand_in},
    settings::{
        Record, Settings,
        alerts::{Alerts, SyslogProtocol},
    },
};

const PATIENCE: Duration = Duration::from_secs(5);

fn ring() -> &'static Mutex<Kept> {
    Box::leak(Box::new(Mutex::new(Kept::new())))
}

fn say(ring: &Mutex<Kept>, numbers: std::ops::Range<usize>) {
    for number in numbers {
        locked(ring).keep(&format!("2026-11-22T17:32:16.123456Z  INFO line {number}"));
    }
}

/// What is logged is kept, a line at a time.
struct Words(&'static Mutex<Kept>);

impl io::Write for Words {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        locked(self.0).keep(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(to: SocketAddr, protocol: SyslogProtocol) -> Syslog {
    Syslog { host: to.ip().to_string(), port: to.port(), protocol, log: true }
}

fn udp_receiver() -> (UdpSocket, Syslog) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let settings = settings(socket.local_addr().expect("bound"), SyslogProtocol::Udp);
    (socket, settings)
}

/// All that waits there, after the first.
fn datagrams(socket: &UdpSocket) -> Vec<String> {
    let mut bytes = [0; 2048];
    let mut lines = Vec::new();
    while let Ok(length) = socket.recv(&mut bytes) {
        lines.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        socket.set_nonblocking(true).expect("a socket");
    }
    socket.set_nonblocking(false).expect("a socket");
    lines
}

fn listen(at: &str) -> TcpListener {
    let listener = TcpListener::bind(at).expect("loopback");
    listener.set_nonblocking(true).expect("a socket");
    listener
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("somebody has connected");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    stream
}

/// What is there to be read by now.
fn heard(mut stream: &TcpStream) -> Vec<u8> {
    let (mut all, mut bytes) = (Vec::new(), [0; 65536]);
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        all.extend(&bytes[..count]);
    }
    all
}

/// Whole messages; the last one may be cut off.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while let Some(blank) = bytes.iter().position(|byte| *byte == b' ') {
        let count = std::str::from_utf8(&bytes[..blank]).expect("digits").parse::<usize>().expect("a count");
        let Some(message) = bytes.get(blank + 1..blank + 1 + count) else { break };
        messages.push(String::from_utf8_lossy(message).into_owned());
        bytes = &bytes[blank + 1 + count..];
    }
    messages
}

/// The numbers of `say`.
fn numbers(messages: &[String]) -> Vec<usize> {
    messages.iter().filter_map(|line| line.split_once(" - line ")?.1.parse().ok()).collect()
}

#[test]
fn a_line_goes_with_its_date_and_its_level_and_without_both_in_its_words() {
    for (line, sent) in [
        (
            "2026-11-22T17:32:16.123456Z  WARN the disk is full mac=02:00",
            "<28>1 2026-11-22T17:32:16.123456Z pia twinlease - log - the disk is full mac=02:00",
        ),
        ("2026-11-22T17:32:16.1234567Z ERROR it hangs", "<27>1 2026-11-22T17:32:16.123456Z pia twinlease - log - it hangs"),
        ("2026-11-22T17:32:16Z  INFO all is well", "<30>1 2026-11-22T17:32:16.000000Z pia twinlease - log - all is well"),
        ("2026-11-22T17:32:16Z DEBUG a step", "<31>1 2026-11-22T17:32:16.000000Z pia twinlease - log - a step"),
        ("2026-11-22T17:32:16Z TRACE a step", "<31>1 2026-11-22T17:32:16.000000Z pia twinlease - log - a step"),
        ("2026-11-22T17:32:16Z twinlease starts", "<30>1 2026-11-22T17:32:16.000000Z pia twinlease - log - twinlease starts"),
        ("2026-13-22T17:32:16Z  WARN no such month", "<28>1 - pia twinlease - log - 2026-13-22T17:32:16Z  WARN no such month"),
        ("2026-11-22  WARN no time", "<28>1 - pia twinlease - log - 2026-11-22  WARN no time"),
        ("-002026-11-22T17:32:16Z  INFO x", "<30>1 - pia twinlease - log - -002026-11-22T17:32:16Z  INFO x"),
        ("thread panicked at x.rs:1", "<30>1 - pia twinlease - log - thread panicked at x.rs:1"),
        ("", "<30>1 - pia twinlease - log - "),
    ] {
        assert_eq!(of_line("pi a", line), sent);
    }
}

#[test]
fn whatever_stands_in_a_line_it_stays_one_line_and_bounded() {
    let line = format!("2026-11-22T17:32:16Z  INFO {}", "ä\n\r\0\x1b[1m\u{85}".repeat(500));
    let sent = of_line("a\nb", &line);
    assert!(sent.starts_with("<30>1 2026-11-22T17:32:16.000000Z ab twinlease - log - ä   "), "{sent}");
    assert!((1397..=1400).contains(&sent.len()) && !sent.chars().any(char::is_control), "{}", sent.len());
}

#[test]
fn datagrams_arrive_in_order_each_line_once() {
    let (ring, (socket, to)) = (ring(), udp_receiver());
    let mut forwarder = Forwarder::new(ring);
    let now = Instant::now();
    say(ring, 0..3);
    assert_eq!(forwarder.look(now, Some(&to)), LOOK_INTERVAL);
    locked(ring).keep("2026-11-22T17:32:17Z ERROR line 3");
    forwarder.look(now, Some(&to));
    forwarder.look(now, Some(&to));
    let lines = datagrams(&socket);
    assert_eq!(numbers(&lines), [0, 1, 2, 3]);
    assert!(lines[0].starts_with("<30>1 2026-11-22T17:32:16.123456Z ") && lines[3].starts_with("<27>1 "), "{lines:?}");
}

#[test]
fn a_storm_goes_in_pieces_and_what_the_memory_forgets_meanwhile_is_counted() {
    let (ring, (socket, to)) = (ring(), udp_receiver());
    let mut forwarder = Forwarder::new(ring);
    let now = Instant::now();
    say(ring, 0..120);
    let mut pieces = Vec::new();
    for wait in [BREATH, BREATH, LOOK_INTERVAL] {
        assert_eq!(forwarder.look(now, Some(&to)), wait);
        pieces.push(numbers(&datagrams(&socket)).len());
    }
    assert_eq!(pieces, [50, 50, 20]);
    say(ring, 120..20_000);
    let first = locked(ring).since(0)[0].0;
    assert!(first > 120);
    assert_eq!(forwarder.look(now, Some(&to)), BREATH);
    let lines = datagrams(&socket);
    assert!(
        lines[0].starts_with("<28>1 2026-11-22T17:32:16.123456Z ")
            && lines[0].contains(&format!(" - log - {} lines of the log before this", first - 120)),
        "{}",
        lines[0]
    );
    assert_eq!(numbers(&lines), (first..first + 50).collect::<Vec<_>>());
}

#[test]
fn what_is_switched_off_sends_nothing_and_begins_with_what_is_said_after_it_is_on() {
    let (ring, (socket, to)) = (ring(), udp_receiver());
    let mut forwarder = Forwarder::new(ring);
    let now = Instant::now();
    for step in 0..2 {
        say(ring, step * 10..step * 10 + 4);
        forwarder.look(now, None);
        say(ring, step * 10 + 4..step * 10 + 6);
        forwarder.look(now, Some(&to));
        assert_eq!(numbers(&datagrams(&socket)), [step * 10 + 4, step * 10 + 5]);
    }
    let (elsewhere, changed) = udp_receiver();
    say(ring, 20..22);
    forwarder.look(now, Some(&changed));
    assert_eq!(numbers(&datagrams(&elsewhere)), [20, 21]);
    forwarder.look(now, None);
    say(ring, 22..24);
    forwarder.look(now, None);
    for socket in [socket, elsewhere] {
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        assert!(datagrams(&socket).is_empty());
    }
}

#[test]
fn what_earlier_runs_have_left_is_not_sent() {
    let (ring, (socket, to)) = (ring(), udp_receiver());
    say(ring, 1..3);
    locked(ring).precede(&["2026-11-22T17:32:15Z  INFO line 0".to_owned()]);
    Forwarder::new(ring).look(Instant::now(), Some(&to));
    assert_eq!(numbers(&datagrams(&socket)), [1, 2]);
}

#[test]
fn on_tcp_a_receiver_that_dies_and_comes_back_has_every_line_once() {
    let ring = ring();
    let listener = listen("127.0.0.1:0");
    let address = listener.local_addr().expect("bound");
    let to = settings(address, SyslogProtocol::Tcp);
    let mut forwarder = Forwarder::new(ring);
    let mut now = Instant::now();
    say(ring, 0..10);
    forwarder.look(now, Some(&to));
    let stream = accepted(&listener);
    say(ring, 10..20);
    forwarder.look(now, Some(&to));
    let before = messages(&heard(&stream));
    drop((stream, listener));
    // Nobody is there for a while.
    for _ in 0..5 {
        say(ring, 20..21);
        now += PAUSE_MAX;
        assert_eq!(forwarder.look(now, Some(&to)), LOOK_INTERVAL);
    }
    let listener = listen(&address.to_string());
    now += PAUSE_MAX;
    forwarder.look(now, Some(&to));
    let after = messages(&heard(&accepted(&listener)));
    assert_eq!(numbers(&before), (0..20).collect::<Vec<_>>());
    assert_eq!(numbers(&after), [20; 5]);
}

#[test]
fn what_a_receiver_had_not_taken_when_it_died_is_sent_to_the_next_one() {
    let ring = ring();
    // It has room for a part only, and never reads.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.set_reuse_address(true).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("loopback");
    socket.listen(1).expect("a listener");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("bound");
    let to = settings(address, SyslogProtocol::Tcp);
    let mut forwarder = Forwarder::new(ring);
    let mut now = Instant::now();
    say(ring, 0..1500);
    while forwarder.look(now, Some(&to)) == BREATH {}
    let stream = accepted(&listener);
    thread::sleep(Duration::from_millis(300));
    let mut bytes = vec![0; 1 << 20];
    let taken = stream.peek(&mut bytes).expect("a part of it");
    let before = messages(&bytes[..taken]);
    drop((stream, listener));
    let listener = listen(&address.to_string());
    for _ in 0..3 {
        now += PAUSE_MAX;
        while forwarder.look(now, Some(&to)) == BREATH {}
    }
    let after = messages(&heard(&accepted(&listener)));
    assert!(before.len() > 3 && after.len() > 3, "{} and {}", before.len(), after.len());
    assert_eq!(numbers(&[before, after].concat()), (0..1500).collect::<Vec<_>>());
}

#[test]
fn an_outage_is_said_when_it_begins_and_when_it_is_over_and_feeds_on_itself_never() {
    let ring = ring();
    let address = silence();
    let to = settings(address, SyslogProtocol::Tcp);
    let mut forwarder = Forwarder::new(ring);
    let mut now = Instant::now();
    let said = || locked(ring).since(0).iter().map(|(_, line)| line.to_string()).collect::<Vec<_>>();
    // What the forwarder says is a line of the log that it follows.
    let log = tracing_subscriber::fmt().with_writer(move || Words(ring)).with_ansi(false).with_target(false).finish();
    tracing::subscriber::with_default(log, || {
        say(ring, 0..1);
        for _ in 0..100 {
            now += Duration::from_secs(1);
            forwarder.look(now, Some(&to));
        }
        let words = said();
        assert_eq!(words.len(), 2, "{words:?}");
        assert!(words[1].contains(" WARN the log is not sent on: The syslog server 127.0.0.1, port "), "{words:?}");

        let listener = listen(&address.to_string());
        let mut received = Vec::new();
        let mut stream = None;
        for _ in 0..100 {
            now += Duration::from_secs(1);
            forwarder.look(now, Some(&to));
            if stream.is_none() {
                stream = listener.accept().ok().map(|(stream, _)| stream);
            }
        }
        let stream = stream.expect("it has connected");
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
        received.extend(messages(&heard(&stream)));
        assert_eq!(said().len(), 3, "{:?}", said());
        assert_eq!(received.len(), 3, "{received:?}");
        assert!(received[2].contains("the log reaches the syslog server 127.0.0.1 again"), "{received:?}");
    });
}

#[test]
fn one_that_closes_every_connection_at_once_is_one_outage_and_not_asked_all_the_time() {
    let ring = ring();
    let listener = listen("127.0.0.1:0");
    let to = settings(listener.local_addr().expect("bound"), SyslogProtocol::Tcp);
    let mut forwarder = Forwarder::new(ring);
    let mut now = Instant::now();
    let log = tracing_subscriber::fmt().with_writer(move || Words(ring)).with_ansi(false).with_target(false).finish();
    let mut connections = 0;
    tracing::subscriber::with_default(log, || {
        for number in 0..600 {
            say(ring, number..number + 1);
            now += Duration::from_secs(1);
            forwarder.look(now, Some(&to));
            connections += listener.incoming().map_while(Result::ok).count();
        }
    });
    let own = locked(ring).since(0).iter().filter(|(_, line)| !line.contains(" line ")).count();
    assert_eq!(own, 1, "{:?}", locked(ring).since(0));
    assert!((10..25).contains(&connections), "{connections}");
}

#[test]
fn pauses_between_tries_grow_to_a_minute_and_an_outage_ends_when_it_has_gone_well_for_a_while() {
    let start = Instant::now();
    let at = |secs| start + Duration::from_secs(secs);
    let mut health = Health::new();
    let mut tries = Vec::new();
    for secs in 0..300 {
        if health.is_due(at(secs)) {
            tries.push(secs);
            assert_eq!(health.fails(at(secs)), tries.len() == 1);
        }
    }
    assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    assert!(!health.goes_well(at(400)) && !health.goes_well(at(409)));
    assert!(!health.fails(at(409)), "it is the same outage");
    assert!(!health.goes_well(at(500)) && health.goes_well(at(510)) && !health.goes_well(at(600)));
    assert!(health.fails(at(601)), "it is another one");
    assert_eq!(health.next_try, Some(at(602)));
}

#[test]
fn it_follows_the_settings_without_a_restart_and_says_its_last_words() {
    let folder = std::env::temp_dir().join(format!("twinlease-log-forward-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let (handle, _archive) = stand_in::serve(&folder, &Settings::default(), Vec::new());
    let (ring, (socket, to)) = (ring(), udp_receiver());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let put = |syslog: &Syslog| {
        let alerts = Alerts { syslog: Some(syslog.clone()), quiet: true, ..Alerts::default() };
        runtime.block_on(handle.submit(Command::Put(Record::Alerts(alerts)))).expect("it runs").expect("it is good");
    };
    socket.set_read_timeout(Some(LOOK_INTERVAL * 3 / 2)).expect("a time-out");
    let arrives = |number| {
        say(ring, number..number + 1);
        !datagrams(&socket).is_empty()
    };
    let becomes = |is_on| (0..20).any(|number| arrives(number) == is_on);
    let forwarding = start_with(handle.clone(), ring).expect("a thread");
    assert!(!arrives(0));
    for _ in 0..2 {
        put(&to);
        assert!(becomes(true));
        put(&Syslog { log: false, ..to.clone() });
        assert!(becomes(false));
    }
    put(&to);
    assert!(becomes(true));
    datagrams(&socket);
    say(ring, 99..100);
    drop(forwarding);
    assert_eq!(numbers(&datagrams(&socket)), [99]);
    let _ = fs::remove_dir_all(&folder);
}
