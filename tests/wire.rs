//! The wire rules, judged from outside: packets made by scapy, answers read from the cable byte by byte.
//!
//! The rules are in tests/wire/rules.py. scapy comes from PyPI into the user's cache folder (tests/wire/venv);
//! where there is no Python, the test is skipped and says so.

mod crafted;
mod lab;

use std::path::Path;
use std::process::{Command, Stdio};

use crafted::{Server, fresh_folder, program, said};

/// From the venv to the world, where there is no network to fetch anything.
const PYTHON: &str = "TWINLEASE_SCAPY_PYTHON";
/// `tests/wire/venv` where scapy cannot be had.
const SKIPPED: i32 = 77;

/// The letters fill the options that rules.py asks for where replies shall grow.
fn settings() -> String {
    let custom =
        [(224, "L", 250), (225, "M", 100), (226, "S", 50), (227, "A", 200), (228, "B", 200), (229, "C", 200), (230, "D", 200)];
    let custom: String = custom
        .map(|(code, letter, len)| format!("{code} = {{ type = \"text\", value = \"{}\" }}\n", letter.repeat(len)))
        .concat();
    format!(
        r#"
[server]
probe = false
bootp = true

[options]
dns = ["192.0.2.1"]
domain = "home.arpa"
ntp = ["192.0.2.1"]
routes = [{{ to = "198.51.100.0/24", via = "192.0.2.254" }}]
{custom}
[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.50-192.0.2.97"]
[subnet.options]
router = "192.0.2.254"

[[subnet]]
network = "198.51.100.0/24"
pools = ["198.51.100.50-198.51.100.99"]

[[reservation]]
mac = "00:16:00:00:00:63"
address = "192.0.2.99"

[[reservation]]
mac = "00:16:00:00:00:62"
address = "192.0.2.98"
force-broadcast = true
"#
    )
}

#[test]
fn wire_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    if std::env::var_os(PYTHON).is_none() {
        let made = Command::new(folder.join("venv")).stderr(Stdio::inherit()).output().expect("bash is there");
        if made.status.code() == Some(SKIPPED) {
            // venv has told why, past the harness's capture.
            return;
        }
        assert!(made.status.success(), "tests/wire/venv failed: {}", said(&made));
        let python = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        // SAFETY: the only test of this program, and no other thread reads the environment now.
        unsafe { std::env::set_var(PYTHON, python) };
    }
    let Some(lab) = lab::enter_or_skip("wire_rules") else { return };
    lab.bridge("lan");
    lab.host("server", "lan", &["192.0.2.1/24"]);
    lab.host("relay", "lan", &["192.0.2.2/24"]);
    lab.host("client", "lan", &[]);
    let server = Server::start(&lab, "server", &program(), &fresh_folder("wire"), Some(&settings()));
    let python = std::env::var_os(PYTHON).expect("set outside");
    let rules = Command::new(python).arg("-B").arg(folder.join("rules.py")).output().expect("python starts");
    println!("{}", said(&rules));
    assert!(rules.status.success(), "some rules are broken, see above");
    let counts = server.counts();
    assert!(counts.get("hardware address longer than 16 bytes").is_some_and(|&count| count >= 3), "{counts:?}");
    assert!(counts.get("not a request (op is not 1)").is_some_and(|&count| count >= 1), "{counts:?}");
}
