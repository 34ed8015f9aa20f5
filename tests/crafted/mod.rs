//! Hand-made DHCP clients: messages by the byte, sent and heard on a host of the lab, and our own server under test.
#![allow(dead_code, reason = "every test file uses its own part of this module")]

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::Socket;
use twinlease::runtime::{frame, links, packet};

use crate::lab::{Daemon, Lab, wait_until};

pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const DECLINE: u8 = 4;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;
pub const RELEASE: u8 = 7;
pub const INFORM: u8 = 8;

pub type Mac = [u8; 6];

/// A MAC of a vendor's (not "private") that no host of the lab has.
pub fn mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    [0x00, 0x16, a, b, c, d]
}

// ---- messages -------------------------------------------------------------------------------------------

/// A request of a client; only what a test sets differs from a plain one.
#[derive(Clone, Debug)]
pub struct Query {
    pub kind: u8,
    pub mac: Mac,
    pub xid: u32,
    /// Seconds since the client began to ask, as it says.
    pub secs: u16,
    pub broadcast: bool,
    pub ciaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    /// After option 53, in this order.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Query {
    pub fn new(kind: u8, mac: Mac) -> Query {
        let xid = u32::from_be_bytes([mac[2], mac[3], mac[4], mac[5]]).wrapping_mul(0x9E37_79B1);
        let (none, options) = (Ipv4Addr::UNSPECIFIED, Vec::new());
        Query { kind, mac, xid, secs: 0, broadcast: false, ciaddr: none, giaddr: none, options }
    }

    /// The REQUEST that takes up an offer.
    pub fn select(mac: Mac, offer: &Answer) -> Query {
        let server = offer.option(54).expect("an offer names its server").to_vec();
        Query::new(REQUEST, mac).option(50, &offer.yiaddr.octets()).option(54, &server)
    }

    pub fn option(mut self, code: u8, value: &[u8]) -> Query {
        self.options.push((code, value.to_vec()));
        self
    }

    pub fn via(self, giaddr: Ipv4Addr) -> Query {
        Query { giaddr, ..self }
    }

    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = vec![1, 1, 6, u8::from(!self.giaddr.is_unspecified())];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend(self.secs.to_be_bytes());
        bytes.extend([if self.broadcast { 0x80 } else { 0 }, 0]);
        for address in [self.ciaddr, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, self.giaddr] {
            bytes.extend(address.octets());
        }
        bytes.extend(self.mac);
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99, 53, 1, self.kind]);
        for (code, value) in &self.options {
            bytes.extend([*code, u8::try_from(value.len()).expect("one option holds 255 bytes")]);
            bytes.extend(value);
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(300), 0);
        bytes
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub kind: u8,
    pub xid: u32,
    pub mac: Mac,
    pub yiaddr: Ipv4Addr,
    /// In the order of the wire, repeated ones apart.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl Answer {
    pub fn read(payload: &[u8]) -> Option<Answer> {
        if payload.len() < 240 || payload[0] != 2 {
            return None;
        }
        let mut options = Vec::new();
        let mut rest = &payload[240..];
        while let [code, len, tail @ ..] = rest {
            match code {
                0 => rest = &rest[1..],
                255 => break,
                code => {
                    options.push((*code, tail.get(..usize::from(*len))?.to_vec()));
                    rest = &tail[usize::from(*len)..];
                }
            }
        }
        let kind = options.iter().find(|option| option.0 == 53).map_or(0, |option| option.1[0]);
        let four = |at: usize| <[u8; 4]>::try_from(&payload[at..at + 4]).expect("four bytes");
        let mac = payload[28..34].try_into().expect("six bytes");
        Some(Answer { kind, xid: u32::from_be_bytes(four(4)), mac, yiaddr: four(16).into(), options })
    }

    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|option| option.0 == code).map(|option| &option.1[..])
    }

    pub fn lease_secs(&self) -> u32 {
        u32::from_be_bytes(self.option(51).expect("a lease time").try_into().expect("four bytes"))
    }
}

// ---- a plug in the wall ---------------------------------------------------------------------------------

/// Runs `work` on a thread inside the network of a host; sockets opened there stay there.
pub fn on_host<T: Send>(host: &str, work: impl FnOnce() -> T + Send) -> T {
    let path = format!("/run/netns/{host}");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let network = std::fs::File::open(&path).expect("the lab has made this host");
            // SAFETY: a live descriptor of a network namespace; only this short-lived thread moves.
            let moved = unsafe { libc::setns(std::os::fd::AsRawFd::as_raw_fd(&network), libc::CLONE_NEWNET) };
            assert_eq!(moved, 0, "setns {path}: {}", std::io::Error::last_os_error());
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Raw frames on eth0 of a host. Hears only what DHCP servers answer.
pub struct Plug {
    socket: Socket,
    own: Mac,
}

impl Plug {
    pub fn at(host: &str) -> Plug {
        on_host(host, || {
            let interfaces = links::list().expect("rtnetlink works in the lab");
            let eth0 = interfaces.into_iter().find(|interface| interface.name == "eth0").expect("a host has eth0");
            let socket = packet::open_receiver(eth0.index, packet::ETHER_TYPE_IPV4, &packet::REPLY_FILTER).expect("root");
            socket.set_nonblocking(false).expect("a socket option");
            socket.set_recv_buffer_size(4 << 20).expect("a socket option");
            Plug { socket, own: eth0.mac.expect("a veth has a MAC") }
        })
    }

    /// As a client without an address sends it: from 0.0.0.0, to everybody.
    pub fn send(&self, query: &Query) {
        self.send_frame(&broadcast_frame(query.mac, &query.payload()));
    }

    /// As a client with an address sends it to one server.
    pub fn send_from(&self, from: Ipv4Addr, to: Ipv4Addr, to_mac: Mac, query: &Query) {
        let mut bytes = Vec::new();
        let payload = query.payload();
        let udp =
            frame::Udp { from: SocketAddrV4::new(from, 68), to: SocketAddrV4::new(to, 67), identification: 1, payload: &payload };
        frame::append_frame(&mut bytes, query.mac, to_mac, &udp).expect("it fits");
        self.send_frame(&bytes);
    }

    /// False: the cable is full.
    pub fn send_frame(&self, bytes: &[u8]) -> bool {
        match self.socket.send(bytes) {
            Ok(_) => true,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN)) => false,
            Err(error) => panic!("a frame cannot be sent: {error}"),
        }
    }

    /// The next answer with this xid and kind.
    pub fn hear(&self, xid: u32, kinds: &[u8], within: Duration) -> Option<Answer> {
        let deadline = Instant::now() + within;
        loop {
            let answer = self.next(deadline.saturating_duration_since(Instant::now()))?;
            if answer.xid == xid && kinds.contains(&answer.kind) {
                return Some(answer);
            }
        }
    }

    /// The next answer to anybody.
    pub fn next(&self, within: Duration) -> Option<Answer> {
        let deadline = Instant::now() + within;
        let mut buffer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a socket option");
            let Ok(length) = (&self.socket).read(&mut buffer) else { continue };
            let answer = frame::parse(&buffer[..length]).and_then(|parsed| Answer::read(parsed.payload));
            if answer.is_some() {
                return answer;
            }
        }
    }

    pub fn ask(&self, query: &Query, kinds: &[u8], within: Duration) -> Option<Answer> {
        self.send(query);
        self.hear(query.xid, kinds, within)
    }

    /// DISCOVER, OFFER, REQUEST, ACK. `None` as soon as one answer fails to come in time.
    pub fn dora(&self, mac: Mac, within: Duration) -> Option<Answer> {
        let offer = self.ask(&Query::new(DISCOVER, mac), &[OFFER], within)?;
        self.ask(&Query::select(mac, &offer), &[ACK], within)
    }
}

pub fn broadcast_frame(from: Mac, payload: &[u8]) -> Vec<u8> {
    let udp = frame::Udp {
        from: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 67),
        identification: 1,
        payload,
    };
    let mut bytes = Vec::new();
    frame::append_frame(&mut bytes, from, frame::BROADCAST_MAC, &udp).expect("it fits");
    bytes
}

// ---- our server -----------------------------------------------------------------------------------------

/// twinlease on a host of the lab; killed at drop.
pub struct Server {
    pub daemon: Daemon,
    pub program: PathBuf,
    pub data: PathBuf,
}

impl Server {
    /// Starts it, with settings the first time, and waits until it answers.
    pub fn start(lab: &Lab, host: &str, program: &Path, data: &Path, settings: Option<&str>) -> Server {
        Server::start_with(lab, host, program, data, settings, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(
        lab: &Lab,
        host: &str,
        program: &Path,
        data: &Path,
        settings: Option<&str>,
        environment: &[(&str, &Path)],
    ) -> Server {
        let server = Server::launch(lab, host, program, data, settings, environment);
        wait_until("the server serves", Duration::from_secs(20), || {
            server.status().is_some_and(|status| status["serving"] == true)
        });
        server
    }

    fn launch(
        lab: &Lab,
        host: &str,
        program: &Path,
        data: &Path,
        settings: Option<&str>,
        environment: &[(&str, &Path)],
    ) -> Server {
        let text = |path: &Path| path.to_str().expect("the tests' paths are text").to_owned();
        let mut words = Vec::new();
        words.extend((!environment.is_empty()).then(|| "env".to_owned()));
        words.extend(environment.iter().map(|(name, value)| format!("{name}={}", text(value))));
        words.extend([text(program), "run".into(), "--trust-clock".into(), "--data".into(), text(data)]);
        words.extend(["--web-listen", "off", "--web-tls-listen", "off"].map(Into::into));
        if let Some(settings) = settings {
            let file = lab.folder().join(format!("{host}.toml"));
            std::fs::write(&file, settings).expect("the world's folder can be written");
            words.extend(["--settings".into(), text(&file)]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Server { daemon: lab.daemon(host, &words), program: program.into(), data: data.into() }
    }

    /// Any command of the command line, on this server's data.
    pub fn command(&self, words: &[&str]) -> Output {
        run(&self.program, &self.data, words)
    }

    /// `None`: it does not run (yet).
    pub fn status(&self) -> Option<Value> {
        serde_json::from_slice(&self.command(&["status", "--json"]).stdout).ok()
    }

    /// Every record of an address, running or not.
    pub fn leases(&self) -> Vec<Value> {
        let output = self.command(&["leases", "--all", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }

    pub fn why(&self, what: &str) -> String {
        said(&self.command(&["why", what]))
    }

    /// How often each outcome and each cause of a drop was counted.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let status = self.status().expect("the server runs");
        let groups = [&status["outcomes"], &status["malformed"]];
        let pairs = groups.iter().flat_map(|group| group.as_object().into_iter().flatten());
        pairs.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).expect("the server runs");
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
        line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).expect("a figure in kB")
    }
}

pub fn run(program: &Path, data: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(words).arg("--data").arg(data).env("TWINLEASE_DATA", data);
    command.output().expect("twinlease starts")
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The program that cargo built for this test run; or the one that TWINLEASE_PROGRAM names, as it is shipped.
pub fn program() -> PathBuf {
    shipped_program().unwrap_or_else(|| env!("CARGO_BIN_EXE_twinlease").into())
}

pub fn shipped_program() -> Option<PathBuf> {
    std::env::var_os("TWINLEASE_PROGRAM").map(Into::into)
}

/// An empty folder on a real disk, for one test.
pub fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("target/tmp can be written");
    folder
}

/// The library tests/preload/NAME.c, to be put before a server by LD_PRELOAD: it lies to the server about its disk or its
/// clocks. Its first lines say how it is told what to do. `None`, said loudly: this machine has no C compiler.
pub fn preload(name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/preload/{name}.c"));
    // Several test programs may build it at once: each moves its own into place. In worlds of their own they have the same number.
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.so"));
    let moment = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    let ours = library.with_extension(format!("{}-{moment}", std::process::id()));
    let Ok(status) = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&ours).arg(&source).arg("-ldl").status()
    else {
        eprintln!("SKIPPED a part: no C compiler (cc) for {}", source.display());
        return None;
    };
    assert!(status.success(), "{} does not compile", source.display());
    std::fs::rename(&ours, &library).expect("target/tmp can be written");
    Some(library)
}
