//! The real binary on a host of the lab: started, asked through its own command line, and never silently dead.
#![allow(dead_code, reason = "every test file uses its own part of this module")]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Daemon, Lab, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_twinlease");

/// Several servers on one host would fight over its ports.
const NO_WEB: [&str; 4] = ["--web-listen", "off", "--web-tls-listen", "off"];

/// A running twinlease. Its data folder is its host's.
pub struct Node<'l> {
    lab: &'l Lab,
    host: &'static str,
    folder: PathBuf,
    pub daemon: Daemon,
}

impl<'l> Node<'l> {
    /// Starts it and waits until it serves.
    pub fn serve(lab: &'l Lab, host: &'static str, settings: &str) -> Node<'l> {
        let node = Node::start(lab, host, "data", settings);
        node.wait_until_it_serves(&["eth0"]);
        node
    }

    /// Starts it on the data folder `data` of its host and waits for nothing.
    pub fn start(lab: &'l Lab, host: &'static str, data: &str, settings: &str) -> Node<'l> {
        let folder = lab.host_folder(host).join(data);
        std::fs::create_dir_all(&folder).expect("the host's folder is there");
        let file = folder.join("settings.toml");
        std::fs::write(&file, settings).expect("the lab has room");
        let words = [PROGRAM, "run", "--data", text(&folder), "--settings", text(&file)];
        let daemon = lab.daemon(host, &[&words[..], &NO_WEB].concat());
        Node { lab, host, folder, daemon }
    }

    pub fn wait_until_it_serves(&self, interfaces: &[&str]) {
        wait_until(&format!("the server on {} serves {interfaces:?}", self.host), Duration::from_secs(10), || {
            self.serving() == interfaces
        });
    }

    /// The interfaces that it says it serves; none while it cannot be reached.
    pub fn serving(&self) -> Vec<String> {
        let status = self.try_command(&["status", "--json"]).unwrap_or_else(|said| said);
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        status["interfaces"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Takes over other settings; all that is not in them goes.
    pub fn import(&self, settings: &str) {
        let file = self.folder.join("import.toml");
        std::fs::write(&file, settings).expect("the lab has room");
        self.command(&["import", text(&file)]);
    }

    /// `twinlease WORDS…` on its host; what it printed. Panics when its exit code is not 0.
    pub fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|said| panic!("twinlease {}: {said}", words.join(" ")))
    }

    /// `Err`: what it printed, with an exit code that is not 0.
    pub fn try_command(&self, words: &[&str]) -> Result<String, String> {
        let mut command = self.lab.on(self.host, &[&[PROGRAM], words].concat());
        let output = command.env("TWINLEASE_DATA", &self.folder).output().expect("scripts/lab starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(said) } else { Err(said + &String::from_utf8_lossy(&output.stderr)) }
    }

    /// The row of `leases --all --json` of an address.
    pub fn lease(&self, address: &str) -> Option<Value> {
        let rows: Value = serde_json::from_str(&self.command(&["leases", "--all", "--json"])).expect("leases prints JSON");
        rows.as_array().expect("a list").iter().find(|row| row["address"] == address).cloned()
    }

    /// `leased`, `released`, …, or `none` where nothing is known.
    pub fn state_of(&self, address: &str) -> String {
        self.lease(address).map_or("none".into(), |row| row["state"].as_str().expect("a word").to_owned())
    }

    /// The decisions about a device, latest first.
    pub fn why(&self, what: &str) -> Vec<Decision> {
        let stories = self.try_command(&["why", "--json", what]).unwrap_or_else(|said| said);
        let stories: Value = serde_json::from_str(&stories).unwrap_or_else(|error| panic!("why {what}: {error}: {stories}"));
        let decisions = stories[0]["decisions"].as_array().cloned().unwrap_or_default();
        decisions.into_iter().map(Decision).collect()
    }

    /// The latest decision about a device.
    pub fn last_word(&self, what: &str) -> Decision {
        self.why(what).into_iter().next().unwrap_or_else(|| panic!("the server knows nothing of {what}"))
    }

    /// Ends the test if the server is gone or has panicked.
    pub fn assert_well(&mut self) {
        assert!(self.daemon.is_running(), "the server has ended:\n{}", self.daemon.log());
        assert!(!self.daemon.log().contains("panicked"), "the server has panicked:\n{}", self.daemon.log());
    }
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("the lab's paths are ASCII")
}

/// One decision of `why --json`.
#[derive(Debug)]
pub struct Decision(pub Value);

impl Decision {
    /// `discover`, `select`, `init-reboot`, `renew`, `rebind`, `release`, …: what the packet was on the wire.
    pub fn asked(&self) -> &str {
        self.0["data"]["asked"].as_str().expect("a word")
    }

    /// `acked`, `naked`, `released`, `silent`, …
    pub fn outcome(&self) -> &str {
        self.0["data"]["outcome"].as_object().and_then(|outcome| outcome.keys().next()).expect("an outcome has a name")
    }

    /// What it was about: the fields of the outcome.
    pub fn about(&self, field: &str) -> &Value {
        &self.0["data"]["outcome"][self.outcome()][field]
    }

    /// The way that led to it, one sentence a line.
    pub fn steps(&self) -> String {
        let steps = self.0["steps"].as_array().expect("a list");
        steps.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
    }
}
