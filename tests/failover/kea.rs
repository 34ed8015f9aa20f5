//! Kea 3.0.4 as a pair, by its HA hook: the measure for ours, and the proof that these tests can fail.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crafted::{Mac, fresh_folder, on_host};
use crate::lab::Lab;
use crate::pair::{Pair, Processes, Side, mac_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    HotStandby,
    LoadBalancing,
}

/// How soon it gives its partner up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// As its own template says.
    Template,
    /// The fastest settings under which it still works.
    Aggressive,
}

pub struct Kea<'l> {
    lab: &'l Lab,
    mode: Mode,
    haste: Haste,
    programs: PathBuf,
    folders: [PathBuf; 2],
    processes: Processes,
}

const LISTENER_PORT: u16 = 8001;

impl<'l> Kea<'l> {
    /// `None`, said loudly, where Kea was not fetched.
    pub fn new(lab: &'l Lab, name: &str, mode: Mode, haste: Haste) -> Option<Kea<'l>> {
        let Some((programs, hooks)) = programs() else {
            eprintln!("SKIPPED Kea beside it: not fetched (run scripts/peers)");
            return None;
        };
        let folders = Side::BOTH.map(|side| fresh_folder(&format!("kea-{name}-{}", side.host())));
        for side in Side::BOTH {
            let folder = &folders[side as usize];
            let settings = settings(side, mode, haste, folder, &hooks);
            std::fs::write(folder.join("kea.json"), settings.to_string()).expect("target/tmp can be written");
        }
        Some(Kea { lab, mode, haste, programs, folders, processes: Processes::default() })
    }

    /// The state that its HA hook is in; `None` while it cannot be asked.
    fn state(&self, side: Side) -> Option<String> {
        // Asked on its own host: a cut cable shall not hide it.
        on_host(side.host(), || {
            let to = SocketAddr::from((side.address(), LISTENER_PORT));
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(300)).ok()?;
            stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
            let body = json!({ "command": "ha-heartbeat", "service": ["dhcp4"] }).to_string();
            let length = body.len();
            write!(
                stream,
                "POST / HTTP/1.1\r\nHost: kea\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let answer: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1)?).ok()?;
            Some(answer[0]["arguments"]["state"].as_str()?.to_owned())
        })
    }
}

impl Pair for Kea<'_> {
    fn label(&self) -> String {
        let mode = match self.mode {
            Mode::HotStandby => "hot-standby",
            Mode::LoadBalancing => "load-balancing",
        };
        let haste = match self.haste {
            Haste::Template => "template settings",
            Haste::Aggressive => "aggressive settings",
        };
        format!("Kea 3.0.4 {mode}, {haste}")
    }

    fn processes(&self) -> &Processes {
        &self.processes
    }

    fn processes_mut(&mut self) -> &mut Processes {
        &mut self.processes
    }

    fn start(&mut self, side: Side) {
        let folder = &self.folders[side as usize];
        // A killed one leaves its process id behind, and refuses to start where another process has it now.
        let _ = std::fs::remove_file(folder.join("kea.kea-dhcp4.pid"));
        let folder = text(folder);
        let mut words = vec!["env".to_owned(), "KEA_LOCKFILE_DIR=none".to_owned()];
        words.extend(["KEA_PIDFILE_DIR", "KEA_DHCP_DATA_DIR", "KEA_LOG_FILE_DIR"].map(|name| format!("{name}={folder}")));
        words.extend([text(&self.programs.join("kea-dhcp4")), "-c".into(), format!("{folder}/kea.json")]);
        self.processes.start(self.lab, side, &words);
    }

    fn is_together(&self) -> bool {
        let wanted = match self.mode {
            Mode::HotStandby => "hot-standby",
            Mode::LoadBalancing => "load-balancing",
        };
        Side::BOTH.into_iter().all(|side| self.state(side).as_deref() == Some(wanted))
    }

    fn active(&self) -> Side {
        Side::A
    }

    /// The last line of an address in the file counts.
    fn holders(&self, side: Side) -> HashMap<Ipv4Addr, Mac> {
        let file = std::fs::read_to_string(self.folders[side as usize].join("leases.csv")).unwrap_or_default();
        let mut found = HashMap::new();
        for line in file.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let (Some(address), Some(mac), Some(lifetime)) = (fields.first(), fields.get(1), fields.get(3)) else { continue };
            let (Ok(address), Some(mac)) = (address.parse(), mac_of(mac)) else { continue };
            if *lifetime == "0" {
                found.remove(&address)
            } else {
                found.insert(address, mac)
            };
        }
        found
    }

    fn patience(&self) -> Duration {
        match self.haste {
            Haste::Template => Duration::from_secs(150),
            Haste::Aggressive => Duration::from_secs(60),
        }
    }

    fn arrival_interval(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn words(&self) -> String {
        let states = Side::BOTH.map(|side| format!("{side:?} is in state {:?}", self.state(side)));
        let logs = Side::BOTH.map(|side| self.processes.log(side).lines().rev().take(15).collect::<Vec<_>>().join("\n"));
        states.into_iter().chain(logs).collect::<Vec<_>>().join("\n")
    }
}

fn programs() -> Option<(PathBuf, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/peers");
    let said = |word: &str| {
        let output = Command::new(&script).arg(word).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let programs = PathBuf::from(said("path")?);
    programs.join("kea-dhcp4").exists().then_some(())?;
    Some((programs, said("hooks")?))
}

fn settings(side: Side, mode: Mode, haste: Haste, folder: &Path, hooks: &str) -> Value {
    let url = |side: Side| format!("http://{}:{LISTENER_PORT}/", side.address());
    let (mode, role_of_b) = match mode {
        Mode::HotStandby => ("hot-standby", "standby"),
        Mode::LoadBalancing => ("load-balancing", "secondary"),
    };
    let mut pair = json!({
        "this-server-name": side.host(),
        "mode": mode,
        "multi-threading": { "enable-multi-threading": true, "http-dedicated-listener": true },
        "peers": [
            { "name": "a", "url": url(Side::A), "role": "primary", "auto-failover": true },
            { "name": "b", "url": url(Side::B), "role": role_of_b, "auto-failover": true },
        ],
    });
    // The delays of its own template are its defaults, but for the second.
    let delays = match haste {
        Haste::Template => {
            json!({ "heartbeat-delay": 10_000, "max-response-delay": 60_000, "max-ack-delay": 5_000, "max-unacked-clients": 5 })
        }
        Haste::Aggressive => {
            json!({ "heartbeat-delay": 500, "max-response-delay": 2_000, "max-ack-delay": 500, "max-unacked-clients": 0 })
        }
    };
    pair.as_object_mut().expect("an object").extend(delays.as_object().expect("an object").clone());
    // In load-balancing each server gives from a pool of its own for each half of the clients.
    let pools = if mode == "load-balancing" {
        json!([
            { "pool": "10.77.1.0 - 10.77.100.255", "client-class": "HA_a" },
            { "pool": "10.77.101.0 - 10.77.200.255", "client-class": "HA_b" },
        ])
    } else {
        json!([{ "pool": "10.77.1.0 - 10.77.200.255" }])
    };
    json!({ "Dhcp4": {
        "interfaces-config": { "interfaces": ["eth0"], "dhcp-socket-type": "raw" },
        "lease-database": { "type": "memfile", "persist": true, "name": folder.join("leases.csv"), "lfc-interval": 0 },
        "multi-threading": { "enable-multi-threading": true, "thread-pool-size": 2 },
        "valid-lifetime": 3600,
        "hooks-libraries": [
            { "library": format!("{hooks}/libdhcp_lease_cmds.so") },
            { "library": format!("{hooks}/libdhcp_ha.so"), "parameters": { "high-availability": [pair] } },
        ],
        "subnet4": [{ "id": 1, "subnet": "10.77.0.0/16", "pools": pools,
            "option-data": [{ "name": "routers", "data": "10.77.0.1" }] }],
        "loggers": [{ "name": "kea-dhcp4", "severity": "WARN", "output-options": [{ "output": "stderr" }] }],
    } })
}

fn text(path: &Path) -> String {
    path.to_str().expect("the tests' paths are text").to_owned()
}
