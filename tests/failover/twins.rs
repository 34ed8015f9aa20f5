//! Our own pair: two processes with a data folder each and one pair key.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::crafted::{Mac, fresh_folder, program, run, said};
use crate::lab::Lab;
use crate::pair::{Pair, Processes, Side, mac_of};

pub const LINK_PORT: u16 = 8067;

/// What a pair needs to know, beside its settings.
pub struct Twins<'l> {
    lab: &'l Lab,
    label: &'static str,
    /// Where each listens for the other.
    listen: fn(Side) -> Ipv4Addr,
    pub folders: [PathBuf; 2],
    /// `None`: nothing is set up.
    pub settings: Option<PathBuf>,
    /// `None`: they are no twins until somebody pairs them.
    pub key: Option<PathBuf>,
    /// Variables of each node's environment.
    pub environment: [Vec<(String, String)>; 2],
    /// Each is told no address, neither its own nor the other's.
    pub finds_by_itself: bool,
    /// Where browsers find the dashboard.
    pub web: &'static str,
    /// More words of `twinlease run`.
    pub flags: Vec<String>,
    /// Words of one of the two alone.
    pub own_flags: [Vec<String>; 2],
    processes: Processes,
}

pub const SETTINGS: &str = r#"
[lease]
default = "1h"
[[subnet]]
network = "10.77.0.0/16"
pools = ["10.77.1.0-10.77.200.255"]
[subnet.options]
router = "10.77.0.1"
"#;

impl<'l> Twins<'l> {
    pub fn new(lab: &'l Lab, name: &str, settings: &str) -> Twins<'l> {
        let folders = Side::BOTH.map(|side| fresh_folder(&format!("twin-{name}-{}", side.host())));
        let write = |file: &str, text: &str| {
            let path = lab.folder().join(file);
            std::fs::write(&path, text).expect("the world's folder can be written");
            Some(path)
        };
        let settings = write("pair.toml", settings);
        let key = write("pair.key", "correct horse battery staple of the lab\n");
        Twins {
            lab,
            label: "twinlease",
            listen: Side::address,
            folders,
            settings,
            key,
            environment: [Vec::new(), Vec::new()],
            finds_by_itself: false,
            web: "off",
            flags: vec!["--trust-clock".into()],
            own_flags: [Vec::new(), Vec::new()],
            processes: Processes::default(),
        }
    }

    /// They talk on the link of their own instead of the LAN.
    pub fn on_own_link(mut self) -> Self {
        self.listen = Side::link_address;
        self
    }

    pub fn command(&self, side: Side, words: &[&str]) -> Output {
        run(&program(), &self.folders[side as usize], words)
    }

    /// `twinlease WORDS…`, which must succeed; what it printed.
    pub fn ask(&self, side: Side, words: &[&str]) -> String {
        let output = self.command(side, words);
        assert!(output.status.success(), "{side:?}: twinlease {}: {}", words.join(" "), said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the node says of itself as one of two (`twinlease status --json`); `Null` while it cannot be asked.
    pub fn status(&self, side: Side) -> Value {
        let report: Value = serde_json::from_slice(&self.command(side, &["status", "--json"]).stdout).unwrap_or_default();
        report["twin"].clone()
    }

    pub fn state(&self, side: Side) -> String {
        self.status(side)["state"].as_str().unwrap_or("unknown").to_owned()
    }

    /// Polls until `condition` holds; fails with what both said last.
    pub fn wait_until(&self, what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < within, "waited {within:?} in vain until {what}\n{}", self.words());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn is_paired(&self) -> bool {
        Side::BOTH.into_iter().all(|side| self.status(side).is_object())
    }

    pub fn digests_agree(&self) -> bool {
        let [a, b] = Side::BOTH.map(|side| self.status(side)["digest"].clone());
        !a.is_null() && a == b
    }
}

impl Pair for Twins<'_> {
    fn label(&self) -> String {
        self.label.into()
    }

    fn processes(&self) -> &Processes {
        &self.processes
    }

    fn processes_mut(&mut self) -> &mut Processes {
        &mut self.processes
    }

    fn start(&mut self, side: Side) {
        let text = |path: &Path| path.to_str().expect("the tests' paths are text").to_owned();
        let at = |side: Side| format!("{}:{LINK_PORT}", (self.listen)(side));
        let mut words = Vec::new();
        let environment = &self.environment[side as usize];
        words.extend((!environment.is_empty()).then(|| "env".to_owned()));
        words.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        words.extend([text(&program()), "run".into(), "--data".into(), text(&self.folders[side as usize])]);
        for (switch, file) in [("--settings", &self.settings), ("--pair-key-file", &self.key)] {
            words.extend(file.iter().flat_map(|file| [switch.into(), text(file)]));
        }
        // Where a test wants pages, its flags say so.
        words.extend(["--web-listen", self.web, "--web-tls-listen", "off"].map(Into::into));
        if !self.finds_by_itself {
            words.extend(["--twin-listen".into(), at(side), "--twin".into(), at(side.other())]);
        }
        words.extend(self.flags.iter().chain(&self.own_flags[side as usize]).cloned());
        self.processes.start(self.lab, side, &words);
    }

    fn is_together(&self) -> bool {
        Side::BOTH.into_iter().all(|side| self.state(side) == "normal") && self.digests_agree()
    }

    fn active(&self) -> Side {
        if self.status(Side::A)["is_active"] == true { Side::A } else { Side::B }
    }

    fn holders(&self, side: Side) -> HashMap<Ipv4Addr, Mac> {
        let output = self.command(side, &["leases", "--all", "--json"]);
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let leased = rows.iter().filter(|row| row["state"] == "leased");
        leased.filter_map(|row| Some((row["address"].as_str()?.parse().ok()?, mac_of(row["mac"].as_str()?)?))).collect()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn arrival_interval(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn words(&self) -> String {
        let of = |side: Side| {
            let log = self.processes.log(side);
            // Not what it said of each device.
            let last: Vec<&str> = log.lines().rev().filter(|line| !line.contains("device=")).take(25).collect();
            format!("{side:?}: {}\n{}", self.status(side), last.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        Side::BOTH.map(of).join("\n")
    }
}
