//! The lab for Rust tests: a test runs again inside a private world of namespaces and drives hosts and clients.
//!
//! ```ignore
//! mod lab;
//! #[test]
//! fn a_client_gets_a_lease() {
//!     let Some(lab) = lab::enter_or_skip("a_client_gets_a_lease") else { return };
//!     lab.bridge("lan");
//!     lab.host("server", "lan", &["192.0.2.1/24"]);
//!     …
//! }
//! ```
//! Outside, `enter_or_skip` runs this very test once more inside `scripts/lab enter`, takes over its verdict and
//! returns `None`. Inside, it returns the `Lab`. Each test has a world of its own, so tests run in parallel and
//! may use the same names and addresses. Without root and user namespaces the test is skipped, loudly.
#![allow(dead_code, reason = "every test file uses its own part of this module")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Set to the test's name inside its world, and to the part of it that runs there.
const INSIDE: &str = "TWINLEASE_IN_LAB";
const PART: &str = "TWINLEASE_IN_LAB_PART";
/// `scripts/lab enter` where no namespace can be made.
const SKIPPED: i32 = 77;
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The program itself gives the disk 30 s to take what waits.
const CLOSE_PATIENCE: Duration = Duration::from_secs(45);

/// A private world. Exists only inside one; its end is the end of the test's process.
pub struct Lab {
    script: PathBuf,
    folder: PathBuf,
}

/// Call first in a test, with the test's full name (`module::name` when it sits in a module).
///
/// Panics outside when the test failed inside.
pub fn enter_or_skip(test_name: &str) -> Option<Lab> {
    enter_parts_or_skip(test_name, 1, 1).map(|(lab, _)| lab)
}

/// The same for a test whose parts mostly sleep and share nothing: each runs in a world of its own, `at_once` of them at
/// one time, begun in order. Inside, the number of the part comes with the lab.
pub fn enter_parts_or_skip(test_name: &str, parts: usize, at_once: usize) -> Option<(Lab, usize)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lab");
    if std::env::var(INSIDE).as_deref() == Ok(test_name) {
        let folder = std::env::var_os("LAB_DIR").expect("scripts/lab enter sets LAB_DIR");
        let part = std::env::var(PART).ok().and_then(|part| part.parse().ok()).expect("set together with the name");
        return Some((Lab { script, folder: folder.into() }, part));
    }
    let next = AtomicUsize::new(0);
    let take_turns = || {
        while let Some(part) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&part| part < parts) {
            run_in_world(&script, test_name, part);
        }
    };
    // Each thread lives as long as its worlds, which die with it. A panic in one comes out of the scope.
    std::thread::scope(|scope| {
        for _ in 1..at_once.min(parts) {
            scope.spawn(take_turns);
        }
        take_turns();
    });
    None
}

/// This very test once more in a new world; takes over its verdict and its words.
fn run_in_world(script: &Path, test_name: &str, part: usize) {
    let this_binary = std::env::current_exe().expect("the test binary has a path");
    let output = Command::new(script)
        .args(["enter", "--"])
        .arg(this_binary)
        .args(["--exact", test_name, "--nocapture", "--include-ignored"])
        .env(INSIDE, test_name)
        .env(PART, part.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: cannot start: {error}", script.display()));
    let words = both_outputs(&output);
    if output.status.code() == Some(SKIPPED) {
        // Straight to the terminal: `cargo test` hides what a passing test prints.
        say_past_the_capture(&format!("SKIPPED {test_name}: needs root or user namespaces (run ./scripts/test)\n"));
        return;
    }
    assert!(output.status.success(), "{test_name} failed in the lab ({}):\n{words}", output.status);
    assert!(words.contains("1 passed"), "no test is named {test_name}; enter_or_skip needs its full name:\n{words}");
    print!("{words}");
}

impl Lab {
    /// The world's folder, `$LAB_DIR`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a host: its logs, its clients' state.
    pub fn host_folder(&self, host: &str) -> PathBuf {
        self.folder.join(host)
    }

    /// Any `scripts/lab` command; returns what it printed. Panics when it fails: a lab that does not work is no
    /// expected trouble.
    pub fn lab(&self, words: &[&str]) -> String {
        self.try_lab(words).unwrap_or_else(|said| panic!("scripts/lab {}: {said}", words.join(" ")))
    }

    /// The same where failing is part of the test; `Err` holds all that it said.
    pub fn try_lab(&self, words: &[&str]) -> Result<String, String> {
        let output = self.command(words).output().expect("scripts/lab starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(both_outputs(&output))
        }
    }

    pub fn bridge(&self, name: &str) {
        self.lab(&["bridge", name]);
    }

    /// A host with its leg eth0 on `bridge`; `more` is `ADDR/LEN` and `mac=MAC`, each as wanted.
    pub fn host(&self, name: &str, bridge: &str, more: &[&str]) {
        self.lab(&[&["host", name, bridge], more].concat());
    }

    /// One more leg for a host: eth1, eth2, …
    pub fn leg(&self, host: &str, bridge: &str, more: &[&str]) {
        self.lab(&[&["leg", host, bridge], more].concat());
    }

    pub fn mac(&self, host: &str) -> String {
        self.lab(&["mac", host]).trim().to_owned()
    }

    /// Runs a command on a host to its end; returns its standard output. Panics when it fails.
    pub fn exec(&self, host: &str, command: &[&str]) -> String {
        self.lab(&[&["exec", host], command].concat())
    }

    /// A command on a host, to be run as the caller likes.
    pub fn on(&self, host: &str, command: &[&str]) -> Command {
        self.command(&[&["exec", host], command].concat())
    }

    /// Starts a program on a host that runs until the `Daemon` is dropped; its words go to a file.
    pub fn daemon(&self, host: &str, command: &[&str]) -> Daemon {
        let name = Path::new(command[0]).file_name().expect("a program has a name").to_string_lossy().into_owned();
        let log = self.host_folder(host).join(format!("{name}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("the host's folder is there");
        let child = self
            .on(host, command)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be cloned"))
            .stderr(file)
            .spawn()
            .expect("scripts/lab starts");
        Daemon { child, name, log }
    }

    /// A real DHCP client on a host's eth0.
    pub fn client(&self, kind: Kind, host: &str) -> Client<'_> {
        Client { lab: self, kind: kind.name(), host: host.to_owned() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(words);
        command
    }
}

/// A running program; killed by -9 at drop. Shows its last words when the test is failing.
pub struct Daemon {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Daemon {
    /// `scripts/lab exec` becomes the program, so this is the program's own process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `signal` is a name as `kill` knows it: TERM, INT, HUP, USR1, STOP, …
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill starts");
        assert!(status.success(), "{} ({pid}) is gone already:\n{}", self.name, self.log());
    }

    /// As a crash or `kill -9` ends it.
    pub fn kill(&mut self) {
        // Gone already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// TERM, then its exit status; panics when it does not end in time.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let mut status = None;
        wait_until("the daemon ends after TERM", CLOSE_PATIENCE, || {
            status = self.child.try_wait().expect("the child is ours");
            status.is_some()
        });
        status.expect("wait_until saw it")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- {} said ({}):\n{}", self.name, self.log.display(), last_lines(&self.log(), 60));
        }
    }
}

/// The four clients that the lab can drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Udhcpc,
    Dhclient,
    Dhcpcd,
    Networkd,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Udhcpc, Kind::Dhclient, Kind::Dhcpcd, Kind::Networkd];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Udhcpc => "udhcpc",
            Kind::Dhclient => "dhclient",
            Kind::Dhcpcd => "dhcpcd",
            Kind::Networkd => "networkd",
        }
    }
}

/// A client on a host; `scripts/lab.d/client.sh` says what each kind can do. Every method waits for the effect and
/// panics with the client's own words when it fails to come.
pub struct Client<'a> {
    lab: &'a Lab,
    kind: &'static str,
    host: String,
}

impl Client<'_> {
    /// Runs it until it is bound. `settings`: `hostname=…`, `client-id=…`, `arp=yes`, `lease-secs=…`, `timeout=…`.
    pub fn start(&self, settings: &[&str]) -> Lease {
        self.command("start", settings);
        self.lease()
    }

    pub fn renew(&self) -> Lease {
        self.command("renew", &[]);
        self.lease()
    }

    pub fn rebind(&self) -> Lease {
        self.command("rebind", &[]);
        self.lease()
    }

    pub fn reboot(&self) -> Lease {
        self.command("reboot", &[]);
        self.lease()
    }

    pub fn release(&self) {
        self.command("release", &[]);
    }

    pub fn stop(&self) {
        self.command("stop", &[]);
    }

    /// What the client told its script since its start: `bound`, `renew`, `nak`, …
    pub fn events(&self) -> Vec<String> {
        self.command("events", &[]).lines().map(str::to_owned).collect()
    }

    /// What the client itself decoded. Panics when it has no lease.
    pub fn lease(&self) -> Lease {
        let shown = self.show();
        assert_eq!(shown["state"], "bound", "{} on {} has no lease", self.kind, self.host);
        Lease(shown)
    }

    /// The JSON of `scripts/lab client KIND HOST show`.
    pub fn show(&self) -> Value {
        let text = self.command("show", &[]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("show of {}: {error}: {text}", self.kind))
    }

    /// Any client command; `Err` holds all that was said.
    pub fn attempt(&self, command: &str, settings: &[&str]) -> Result<String, String> {
        self.lab.try_lab(&[&["client", self.kind, &self.host, command], settings].concat())
    }

    fn command(&self, command: &str, settings: &[&str]) -> String {
        self.attempt(command, settings).unwrap_or_else(|said| {
            let log = self.attempt("log", &[]).unwrap_or_default();
            panic!("{said}---- {} on {} said:\n{}", self.kind, self.host, last_lines(&log, 40))
        })
    }
}

/// A lease as the client decoded it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease(pub Value);

impl Lease {
    pub fn address(&self) -> &str {
        self.0["address"].as_str().expect("a bound client shows its address")
    }

    pub fn server(&self) -> &str {
        self.0["server"].as_str().expect("a bound client shows its server")
    }

    pub fn lease_secs(&self) -> u64 {
        self.0["lease_secs"].as_u64().expect("a bound client shows its lease time")
    }

    /// `Null` when the client did not get it, or cannot show it.
    pub fn option(&self, code: u8) -> &Value {
        &self.0["options"][code.to_string()]
    }
}

/// Polls until `condition` holds; panics with `what` when the deadline passes.
pub fn wait_until(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {within:?} in vain until {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn both_outputs(output: &Output) -> String {
    let mut words = String::from_utf8_lossy(&output.stdout).into_owned();
    words.push_str(&String::from_utf8_lossy(&output.stderr));
    words
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The test harness captures `print!`, but not what is written to the descriptor itself.
fn say_past_the_capture(sentence: &str) {
    use std::io::Write;
    // A closed standard error is no reason to fail a test that was skipped.
    let _ = std::io::stderr().lock().write_all(sentence.as_bytes());
}
