//! The control socket and the data folder of a running server, from outside: it outlives whoever hangs up, takes large
//! settings, keeps its data to itself, and leaves no socket file behind. Needs no network and no rights.

use std::{
    fs,
    io::{Read, Write},
    net::Ipv4Addr,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_twinlease");
/// As settings in one message: more than the 2 MB that a web framework takes unless told otherwise.
const MANY: u32 = 20_000;

/// Killed when dropped, with its folder.
struct Server {
    child: Child,
    data: PathBuf,
}

impl Server {
    /// Without a subnet it opens no DHCP socket.
    fn start(name: &str) -> Server {
        let data = std::env::temp_dir().join(format!("twinlease-door-{name}-{}", std::process::id()));
        let child = Command::new(PROGRAM)
            .args(["run", "--web-listen", "off", "--web-tls-listen", "off", "--data"])
            .arg(&data)
            .stderr(Stdio::null())
            .spawn();
        let server = Server { child: child.expect("the program is built"), data };
        wait_until("it answers", || server.say(&["status"]).status.code() == Some(1));
        server
    }

    fn say(&self, words: &[&str]) -> Output {
        Command::new(PROGRAM).args(words).env("TWINLEASE_DATA", &self.data).output().expect("the program is built")
    }

    fn socket(&self) -> UnixStream {
        UnixStream::connect(self.data.join("control.sock")).expect("it listens")
    }

    fn terminate(&mut self) -> Option<i32> {
        // SAFETY: the process is our child and not yet waited for, so its id is no other's.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        self.child.wait().expect("our child").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn the_server_outlives_clients_that_hang_up_before_the_answer() {
    let mut server = Server::start("hang-up");
    for _ in 0..100 {
        let mut socket = server.socket();
        socket.write_all("GET /status HTTP/1.1\r\nHost: twinlease\r\n\r\n".repeat(50).as_bytes()).expect("it listens");
    }
    assert_eq!(server.say(&["status"]).status.code(), Some(1), "it still answers");
    assert_eq!(server.child.try_wait().expect("our child"), None);
}

#[test]
fn settings_of_a_large_network_are_taken_over_and_exported_whole() {
    let server = Server::start("large");
    let mut text = "[[subnet]]\nnetwork = \"10.77.0.0/16\"\npools = [\"10.77.200.0-10.77.200.255\"]\n".to_owned();
    for nth in 0..MANY {
        let [_, _, high, low] = nth.to_be_bytes();
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 77, 1, 0)) + nth);
        text += &format!("[[reservation]]\naddress = \"{address}\"\nmac = \"02:00:00:00:{high:02x}:{low:02x}\"\n");
    }
    let file = server.data.join("large.toml");
    fs::write(&file, text).expect("there is room");
    let file = file.to_str().expect("text");
    let said = server.say(&["import", file]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(server.say(&["export", file]).status.success());
    let exported = fs::read_to_string(file).expect("it is there");
    assert_eq!(exported.matches("[[reservation]]").count(), MANY as usize);
    assert!(!server.data.join("large.toml.making").exists());
}

#[test]
fn an_export_that_does_not_fit_is_told_and_leaves_no_panic() {
    let server = Server::start("full");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
    let said = Command::new(PROGRAM).arg("export").env("TWINLEASE_DATA", &server.data).stdout(full).output().expect("built");
    assert_eq!(said.status.code(), Some(3), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(server.say(&["export", "/dev/full"]).status.code(), Some(3));
}

#[test]
fn nobody_else_reads_who_has_which_device() {
    let server = Server::start("private");
    assert_eq!(mode(&server.data), 0o700);
    for name in ["twinlease.db", "twinlease.db-wal", "twinlease.lock", "control.sock"] {
        assert_eq!(mode(&server.data.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_stopped_server_leaves_no_socket_and_does_not_wait_for_idle_clients() {
    let mut server = Server::start("stopped");
    let mut idle = server.socket();
    let start = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!server.data.join("control.sock").exists());
    assert_eq!(idle.read(&mut [0]).expect("closed, not broken"), 0);
}

#[test]
fn a_server_without_a_twin_says_so_and_what_to_do() {
    let server = Server::start("no-twin");
    let told = |words: &[&str]| {
        let output = server.say(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(told(&["twin", "status"]).contains("no twin. `twinlease twin pair` makes it one of two."));
    let report: serde_json::Value = serde_json::from_str(&told(&["twin", "status", "--json"])).expect("JSON");
    assert!(report["node"].is_null() && report["light"]["sign"] == "not-configured", "{report}");
    for words in [&["twin", "switch"][..], &["twin", "shutdown"], &["twin", "declare-down", "--yes"], &["twin", "serve", "--yes"]]
    {
        assert!(told(words).contains("has no twin"), "{words:?}");
    }
    assert!(told(&["twin", "reconcile", "lease", "--keep", "waiting"]).contains("has no twin"));
    assert!(told(&["twin", "reconcile", "printer", "--keep", "ours"]).contains("names no setting"));
    assert!(server.say(&["twin", "reconcile"]).status.success(), "nothing to decide is well");
    let light = server.say(&["twin", "led"]);
    assert!(String::from_utf8_lossy(&light.stdout).starts_with("● █████▁▁▁▁▁█████"), "{light:?}");
}

#[test]
fn what_may_cost_an_address_twice_is_asked_back() {
    let server = Server::start("asked");
    for (words, what) in [
        (&["twin", "declare-down"][..], "when it starts again it can reach this one"),
        (&["twin", "serve"], "when it starts again it can reach this one"),
        (&["twin", "unpair"], "two devices may get the same address"),
        (&["twin", "replace"], "never comes back"),
        (&["twin", "pair"], "Say the code"),
    ] {
        let output = Command::new(PROGRAM).args(words).env("TWINLEASE_DATA", &server.data).stdin(Stdio::null()).output();
        let output = output.expect("built");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(what), "{words:?}: {said}");
    }
}

#[test]
fn words_that_make_no_sense_are_the_command_lines_fault() {
    let refused = |words: &[&str]| Command::new(PROGRAM).args(words).output().expect("built").status.code() == Some(2);
    assert!(refused(&["run", "--log", "verbose"]));
    assert!(refused(&["probe", "--wait", "nan"]));
    assert!(refused(&["run", "--twin-listen", "attic"]));
    assert!(refused(&["run", "--twin", "192.0.2.2:x"]));
    assert!(refused(&["twin", "pair", "attic"]));
    assert!(refused(&["twin", "pair", "--show-code", "--code", "123456"]));
    assert!(refused(&["twin", "reconcile", "lease"]));
}
