//! What a client saw acknowledged is on the disk, however the server ended: kill -9, SIGTERM, a full disk, a damaged file.
//!
//! The load comes from a relay with many clients behind it. It keeps account of every ACK, and is the judge: after
//! each round the server's leases are compared with what the clients saw. `TWINLEASE_KILL_ROUNDS=200` kills more
//! often than the 20 times of a usual run.

mod crafted;
mod lab;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crafted::{
    ACK, Answer, DISCOVER, Mac, NAK, OFFER, Plug, Query, REQUEST, Server, fresh_folder, mac, on_host, preload, program, run, said,
};
use lab::{Lab, wait_until};

const ROUNDS: usize = 20;
/// Clients that ask at the same time.
const WINDOW: usize = 64;
/// A client whose question stays open for so long has lost it.
const PATIENCE: Duration = Duration::from_millis(1500);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const POOL_SIZE: u32 = 250 * 256;
const NEW_PER_ROUND: u32 = 5000;

const SETTINGS: &str = r#"
[[subnet]]
network = "10.77.0.0/16"
pools = ["10.77.1.0-10.77.250.255"]
[subnet.options]
router = "10.77.0.1"
"#;

fn world(lab: &Lab) {
    lab.bridge("lan");
    lab.host("server", "lan", &["10.77.0.1/16"]);
    lab.host("relay", "lan", &["10.77.0.2/16"]);
    lab.host("client", "lan", &[]);
}

// ---- ends ----------------------------------------------------------------------------------------------

#[test]
fn no_acked_lease_is_lost_when_the_server_is_killed_under_load() {
    let Some(lab) = lab::enter_or_skip("no_acked_lease_is_lost_when_the_server_is_killed_under_load") else { return };
    world(&lab);
    let data = fresh_folder("killed");
    // Every other round writes as a slow card does: the moment between a promise and its being on disk is long, and
    // a promise that leaves too early is found out.
    let library = preload("failing_disk");
    let pause_us = Path::new("300");
    let slow = match &library {
        Some(library) => vec![("LD_PRELOAD", library.as_path()), ("SLOW_WRITE_US", pause_us), ("FAILING_FOLDER", &data)],
        None => Vec::new(),
    };
    let relay = Relay::at("relay");
    let mut account = Account::default();
    let rounds = std::env::var("TWINLEASE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut settings = Some(SETTINGS);
    for round in 0..rounds {
        let environment = if round % 2 == 0 { &slow[..] } else { &[] };
        let mut server = Server::start_with(&lab, "server", &program(), &data, settings.take(), environment);
        account.check(&server, &format!("before round {round}"));
        // Another moment each time: in the middle of a commit, of a copied log, of a start.
        let life = Duration::from_millis(400 + 137 * (round as u64 % 7));
        account.new_left = POOL_SIZE / 2 / rounds as u32;
        relay.load_while(&mut account, || {
            std::thread::sleep(life);
            server.daemon.kill();
        });
        // The database of the dead server tells the same, before a start could repair anything.
        account.check(&server, &format!("after kill {round}"));
    }
    println!("{} kills, {account}", rounds);
    assert!(account.acks > 20 * rounds as u64, "the load was too small to show anything: {account}");
}

#[test]
fn sigterm_under_load_ends_cleanly_and_a_stopped_server_goes_on() {
    let Some(lab) = lab::enter_or_skip("sigterm_under_load_ends_cleanly_and_a_stopped_server_goes_on") else { return };
    world(&lab);
    let data = fresh_folder("terminated");
    let relay = Relay::at("relay");
    let mut account = Account::default();
    let mut settings = Some(SETTINGS);
    for round in 0..3 {
        let mut server = Server::start(&lab, "server", &program(), &data, settings.take());
        let mut status = None;
        relay.load_while(&mut account, || {
            std::thread::sleep(Duration::from_millis(700));
            server.daemon.signal("STOP");
            std::thread::sleep(Duration::from_millis(800));
            server.daemon.signal("CONT");
            std::thread::sleep(Duration::from_millis(700));
            status = Some(server.daemon.terminate());
        });
        assert_eq!(status.and_then(|status| status.code()), Some(0), "round {round}: {}", server.daemon.log());
        assert!(server.daemon.log().contains("twinlease stops"));
        // The log stays, empty, so that the next start needs no room for it.
        let log = std::fs::metadata(data.join("twinlease.db-wal")).map_or(0, |log| log.len());
        assert_eq!(log, 0, "a clean end leaves all in one file");
        account.check(&server, &format!("after SIGTERM {round}"));
    }
    println!("{account}");
    assert!(account.acks > 100, "the load was too small to show anything: {account}");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_with_the_pid_of_the_first() {
    let Some(lab) = lab::enter_or_skip("a_second_server_on_the_same_folder_is_refused_with_the_pid_of_the_first") else { return };
    world(&lab);
    let server = Server::start(&lab, "server", &program(), &fresh_folder("twice"), Some(SETTINGS));
    let second = run(&server.program, &server.data, &["run"]);
    assert_eq!(second.status.code(), Some(3));
    let words = said(&second);
    assert!(words.contains("in use") && words.contains(&format!("process {}", server.daemon.pid())), "{words}");
    assert!(Plug::at("client").dora(mac(1), PATIENCE).is_some(), "the first one serves as before");
}

// ---- the disk fills -------------------------------------------------------------------------------------

#[test]
fn a_full_disk_stops_new_promises_only_and_heals_by_itself() {
    let Some(lab) = lab::enter_or_skip("a_full_disk_stops_new_promises_only_and_heals_by_itself") else { return };
    // Before the host is made: a host sees the mounts of its birth.
    let data = lab.folder().join("small");
    std::fs::create_dir(&data).expect("the world's folder can be written");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(&data).status();
    assert!(mounted.is_ok_and(|status| status.success()));
    world(&lab);
    let ballast = data.join("ballast");
    let server = Server::start(&lab, "server", &program(), &data, Some(SETTINGS));
    let (relay, client) = (Relay::at("relay"), Plug::at("client"));
    let mut account = Account::default();

    let known = client.dora(mac(0xAAAA), PATIENCE).expect("the disk has room");
    relay.load_while(&mut account, || {
        std::thread::sleep(Duration::from_millis(600));
        fill(&ballast);
        wait_until("the server sees that its disk is full", Duration::from_secs(30), || trouble(&server).is_some());
    });
    assert_eq!(trouble(&server).as_deref(), Some("the disk is full"));
    account.check(&server, "while the disk is full");

    // Who has a lease is told again that it has it, and no longer than it is on disk.
    // As after a restart (INIT-REBOOT): a renewal is answered by unicast, which needs a kernel that answers ARP.
    let reboot = Query::new(REQUEST, mac(0xAAAA)).option(50, &known.yiaddr.octets());
    let again = client.ask(&reboot, &[ACK, NAK], PATIENCE).expect("known clients are answered from memory");
    assert_eq!((again.kind, again.yiaddr), (ACK, known.yiaddr));
    assert!(again.lease_secs() <= known.lease_secs(), "{} > {}", again.lease_secs(), known.lease_secs());
    // Nobody else gets a promise, and the reason can be seen. What little fits into the log's file is taken all the
    // same, once a second: the load uses that up.
    relay.load_while(&mut account, || {
        wait_until("a new device is told nothing, and why", Duration::from_secs(20), || {
            let offer = client.ask(&Query::new(DISCOVER, mac(0xBBBB)), &[OFFER], Duration::from_millis(300));
            let why = server.why("00:16:00:00:bb:bb");
            offer.is_none() && why.contains("the disk is full") && why.contains("not answered")
        });
        wait_until("`status` tells it", Duration::from_secs(20), || {
            let status = server.command(&["status"]);
            status.status.code() == Some(1) && said(&status).contains("Nothing new is promised: the disk is full")
        });
    });
    account.check(&server, "after a while with a full disk");

    std::fs::remove_file(&ballast).expect("it was there");
    wait_until("service recovers by itself", Duration::from_secs(10), || trouble(&server).is_none());
    wait_until("a new client is served", Duration::from_secs(10), || client.dora(mac(0xCCCC), PATIENCE).is_some());
    println!("{account}");

    // Again and again under load, with a kill while it is full; and a start on a full disk.
    let mut server = server;
    for round in 0..3 {
        relay.load_while(&mut account, || {
            std::thread::sleep(Duration::from_millis(300));
            fill(&ballast);
            std::thread::sleep(Duration::from_millis(400));
            server.daemon.kill();
        });
        account.check(&server, &format!("killed on a full disk, round {round}"));
        server = Server::start(&lab, "server", &program(), &data, None);
        account.check(&server, &format!("started on a full disk, round {round}"));
        std::fs::remove_file(&ballast).expect("it was there");
        wait_until("service recovers by itself", Duration::from_secs(10), || trouble(&server).is_none());
    }
    assert!(account.acks > 100, "the load was too small to show anything: {account}");
}

/// A card that wears out turns read-only in the middle of work; a failing one refuses to sync.
#[test]
fn a_disk_that_turns_read_only_or_fails_under_load_loses_nothing_that_was_acked() {
    let name = "a_disk_that_turns_read_only_or_fails_under_load_loses_nothing_that_was_acked";
    let Some(lab) = lab::enter_or_skip(name) else { return };
    let Some(library) = preload("failing_disk") else {
        eprintln!("SKIPPED {name}: no C compiler (cc)");
        return;
    };
    world(&lab);
    let data = fresh_folder("failing");
    let switch = data.with_extension("switch");
    let _ = std::fs::remove_file(&switch);
    let environment = [("LD_PRELOAD", library.as_path()), ("FAILING_DISK", &switch), ("FAILING_FOLDER", &data)];
    let mut server = Server::start_with(&lab, "server", &program(), &data, Some(SETTINGS), &environment);
    let (relay, client) = (Relay::at("relay"), Plug::at("client"));
    let mut account = Account::default();
    let known = client.dora(mac(0xAAAA), PATIENCE).expect("the disk is sound");
    for (what, errno) in [("read-only", libc::EROFS), ("failing", libc::EIO)] {
        relay.load_while(&mut account, || {
            std::thread::sleep(Duration::from_millis(500));
            std::fs::write(&switch, errno.to_string()).expect("a file can be written");
            wait_until("the server sees that its disk fails", Duration::from_secs(10), || trouble(&server).is_some());
            std::thread::sleep(Duration::from_millis(1500));
        });
        let sentence = trouble(&server).unwrap_or_else(|| panic!("{what}: healed without a cure"));
        println!("{what}: {sentence}");
        assert!(sentence.contains("cannot be written"), "{what}: {sentence}");
        let reboot = Query::new(REQUEST, mac(0xAAAA)).option(50, &known.yiaddr.octets());
        let again = client.ask(&reboot, &[ACK, NAK], PATIENCE).expect("known clients are answered from memory");
        assert_eq!((again.kind, again.yiaddr), (ACK, known.yiaddr));
        assert!(client.ask(&Query::new(DISCOVER, mac(0xBBBB)), &[OFFER], Duration::from_millis(500)).is_none());
        assert!(server.why("00:16:00:00:bb:bb").contains("cannot be written"));
        account.check(&server, what);
        std::fs::remove_file(&switch).expect("it was there");
        wait_until("service recovers by itself", Duration::from_secs(10), || trouble(&server).is_none());
        relay.load_while(&mut account, || std::thread::sleep(Duration::from_millis(300)));
        account.check(&server, &format!("healed after {what}"));
        // And what was told from memory alone is not more than what a start finds.
        server.daemon.kill();
        account.check(&server, &format!("killed after {what}"));
        server = Server::start_with(&lab, "server", &program(), &data, None, &environment);
        account.check(&server, &format!("started after {what}"));
    }
    println!("{account}");
}

/// Takes every byte that is left.
fn fill(ballast: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(ballast).expect("a file can be made");
    while file.write_all(&[0; 4096]).is_ok() {}
}

fn trouble(server: &Server) -> Option<String> {
    let status = server.status().expect("the server runs");
    status["trouble"].as_str().map(str::to_owned)
}

// ---- files that cannot be used --------------------------------------------------------------------------

#[test]
fn a_damaged_database_is_set_aside_and_the_newest_snapshot_used() {
    let Some(lab) = lab::enter_or_skip("a_damaged_database_is_set_aside_and_the_newest_snapshot_used") else { return };
    world(&lab);
    let data = fresh_folder("damaged");
    let relay = Relay::at("relay");
    let mut account = Account::default();
    let mut server = Server::start(&lab, "server", &program(), &data, Some(SETTINGS));
    relay.load_while(&mut account, || std::thread::sleep(Duration::from_millis(800)));
    server.daemon.terminate();
    drop(server);
    let database = data.join("twinlease.db");
    let sound = std::fs::read(&database).expect("it is there");
    let pages = sound.len() / 2048;
    assert!(pages > 8, "too small to be damaged in several places");

    let overwrite = |ranges: &[(usize, usize)]| {
        let mut bytes = sound.clone();
        for &(at, len) in ranges {
            bytes[at..at + len].fill(0xA5);
        }
        bytes
    };
    let damages = [
        ("the header", overwrite(&[(0, 100)])),
        ("the first page", overwrite(&[(100, 1900)])),
        ("every second page", overwrite(&(1..pages / 2).map(|page| (page * 4096, 600)).collect::<Vec<_>>())),
        ("all of it", vec![0xA5; sound.len()]),
        ("cut in the middle", sound[..sound.len() / 2 + 100].to_vec()),
    ];
    for (what, bytes) in damages {
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).expect("a folder can be made");
        std::fs::write(&database, &bytes).expect("a file can be written");
        // Without a snapshot: refused, and every byte kept.
        let refused =
            lab.on("server", &[program().to_str().expect("text"), "run", "--data", data.to_str().expect("text")]).output();
        let refused = refused.expect("twinlease starts");
        assert_eq!(refused.status.code(), Some(3), "{what}: {}", said(&refused));
        assert!(!said(&refused).contains("panicked"), "{what}: {}", said(&refused));
        assert!(said(&refused).contains("Nothing was changed"), "{what}: {}", said(&refused));
        assert_eq!(std::fs::read(&database).expect("still there"), bytes, "{what}: the file was changed");

        let snapshots = data.join("snapshots");
        std::fs::create_dir(&snapshots).expect("a folder can be made");
        std::fs::write(snapshots.join("2026-01-01.db"), &sound).expect("a file can be written");
        let server = Server::start(&lab, "server", &program(), &data, None);
        account.check(&server, what);
        let aside = std::fs::read_dir(&data).expect("a folder").filter_map(Result::ok);
        let aside: Vec<_> = aside.filter(|entry| entry.file_name().to_string_lossy().contains(".damaged-")).collect();
        assert_eq!(aside.len(), 1, "{what}: {aside:?}");
        assert_eq!(std::fs::read(aside[0].path()).expect("a file"), bytes, "{what}: kept as it was");
        let notices = server.status().expect("it runs")["notices"].to_string();
        assert!(notices.contains("2026-01-01.db") && notices.contains("damaged"), "{what}: {notices}");
    }
}

#[test]
fn a_newer_or_foreign_database_is_refused_and_not_touched() {
    let Some(lab) = lab::enter_or_skip("a_newer_or_foreign_database_is_refused_and_not_touched") else { return };
    world(&lab);
    for (name, sql, sentence) in [
        ("newer", "PRAGMA application_id = 0x74774c73; PRAGMA user_version = 99; CREATE TABLE t (a)", "has version 99"),
        ("foreign", "CREATE TABLE recipes (name); INSERT INTO recipes VALUES ('soup')", "belongs to another program"),
    ] {
        let data = fresh_folder(name);
        let database = data.join("twinlease.db");
        rusqlite::Connection::open(&database).and_then(|db| db.execute_batch(sql)).expect("SQLite works");
        let before = std::fs::read(&database).expect("a file");
        for words in [&["run"][..], &["leases"], &["check"]] {
            let mut command = lab.on("server", &[program().to_str().expect("text")]);
            command.args(words);
            // `check` takes the folder as its argument.
            if words == ["check"] {
                command.arg(&data)
            } else {
                command.arg("--data").arg(&data)
            };
            let output = command.output().expect("twinlease starts");
            assert!(!output.status.success(), "{name} {words:?}: {}", said(&output));
            assert!(said(&output).contains(sentence), "{name} {words:?}: {}", said(&output));
        }
        assert_eq!(std::fs::read(&database).expect("a file"), before, "{name}: changed");
    }
}

// ---- the load and its judge -----------------------------------------------------------------------------

/// What all clients saw.
#[derive(Default)]
struct Account {
    /// By address: who was told last that it has it, and until when at least.
    leases: HashMap<Ipv4Addr, (Mac, SystemTime)>,
    /// In the order of the first ACKs.
    addresses: Vec<Ipv4Addr>,
    doubles: Vec<String>,
    acks: u64,
    renewals: u64,
    next_client: u32,
    /// New clients that may still ask in this round; then all renew.
    new_left: u32,
}

impl Account {
    /// `asked`: when the client sent its REQUEST, before which the promised time cannot have begun.
    fn acked(&mut self, answer: &Answer, asked: SystemTime) {
        let expiry = asked + Duration::from_secs(answer.lease_secs().into());
        self.acks += 1;
        match self.leases.insert(answer.yiaddr, (answer.mac, expiry)) {
            Some((other, _)) if other != answer.mac => {
                self.doubles.push(format!("{} went to {other:02x?} and to {:02x?}", answer.yiaddr, answer.mac));
            }
            Some(_) => self.renewals += 1,
            None => self.addresses.push(answer.yiaddr),
        }
    }

    /// Every lease that a client saw is on record, for that client and for that long; no address went to two.
    fn check(&self, server: &Server, when: &str) {
        assert!(self.doubles.is_empty(), "{when}: {}", self.doubles.join("\n"));
        let rows = server.leases();
        let rows: HashMap<&str, _> = rows.iter().filter_map(|row| Some((row["address"].as_str()?, row))).collect();
        for (address, (mac, expiry)) in &self.leases {
            let row = rows.get(address.to_string().as_str()).unwrap_or_else(|| panic!("{when}: the lease of {address} is lost"));
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            assert_eq!(row["mac"], mac, "{when}: {row}");
            assert_eq!(row["state"], "leased", "{when}: {row}");
            let until: jiff::Timestamp = row["expires"].as_str().and_then(|text| text.parse().ok()).expect("a date");
            // Rounded to whole seconds there.
            let earliest = *expiry - Duration::from_secs(1);
            assert!(SystemTime::from(until) >= earliest, "{when}: {row} ends before {earliest:?}, which was promised");
        }
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (addresses, clients) = (self.leases.len(), self.next_client);
        write!(f, "{} ACKs, of them {} renewals, {addresses} addresses, {clients} clients that asked", self.acks, self.renewals)
    }
}

/// A relay and the clients behind it.
struct Relay {
    socket: UdpSocket,
}

enum Waiting {
    Offer,
    Ack,
}

impl Relay {
    fn at(host: &str) -> Relay {
        let socket = on_host(host, || UdpSocket::bind(SocketAddrV4::new(RELAY, 67)).expect("nobody else is here"));
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket option");
        Relay { socket }
    }

    /// New clients ask, and some renew, for as long as `meanwhile` runs; then what is still on its way is taken in.
    fn load_while(&self, account: &mut Account, meanwhile: impl FnOnce()) {
        let over = AtomicBool::new(false);
        let account = Mutex::new(account);
        std::thread::scope(|scope| {
            scope.spawn(|| self.load(&mut account.lock().expect("one thread at a time"), &over));
            meanwhile();
            over.store(true, Ordering::Relaxed);
        });
    }

    fn load(&self, account: &mut Account, over: &AtomicBool) {
        if account.new_left == 0 {
            account.new_left = NEW_PER_ROUND;
        }
        let mut open: HashMap<u32, (Instant, SystemTime, Waiting)> = HashMap::new();
        let mut buffer = [0; 2048];
        let mut quiet = 0;
        // At the end: until nothing has come for two timeouts in a row.
        while !over.load(Ordering::Relaxed) || quiet < 2 {
            open.retain(|_, (since, ..)| since.elapsed() < PATIENCE);
            while !over.load(Ordering::Relaxed) && open.len() < WINDOW {
                let client = account.next_client;
                account.next_client += 1;
                let query = self.next_query(account, client);
                let waiting = if query.kind == DISCOVER { Waiting::Offer } else { Waiting::Ack };
                // Noted before it leaves.
                open.insert(query.xid, (Instant::now(), SystemTime::now(), waiting));
                self.send(&query);
            }
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else {
                quiet += 1;
                continue;
            };
            quiet = 0;
            let Some(answer) = Answer::read(&buffer[..length]) else { continue };
            match (answer.kind, open.get(&answer.xid).map(|entry| &entry.2)) {
                (OFFER, Some(Waiting::Offer)) => {
                    open.insert(answer.xid, (Instant::now(), SystemTime::now(), Waiting::Ack));
                    self.send(&Query::select(answer.mac, &answer).via(RELAY));
                }
                // Late or not: it was promised.
                (ACK, _) => {
                    let asked = open.remove(&answer.xid).map(|entry| entry.1);
                    account.acked(&answer, asked.unwrap_or_else(|| SystemTime::now() - 2 * PATIENCE));
                }
                (NAK, _) => drop(open.remove(&answer.xid)),
                _ => {}
            }
        }
    }

    /// Every fourth renews what an earlier one has.
    fn next_query(&self, account: &mut Account, client: u32) -> Query {
        if (client % 4 == 3 || account.new_left == 0) && !account.addresses.is_empty() {
            // Spread out: one device is answered 30 times in 5 s at most.
            let ciaddr = account.addresses[client as usize % account.addresses.len()];
            return Query { ciaddr, ..Query::new(REQUEST, account.leases[&ciaddr].0).via(RELAY) };
        }
        account.new_left = account.new_left.saturating_sub(1);
        Query::new(DISCOVER, mac(0x0100_0000 + client)).via(RELAY)
    }

    fn send(&self, query: &Query) {
        // Lost like any packet where the server is gone: the kernel tells it as an error of a later call.
        let _ = self.socket.send_to(&query.payload(), SocketAddrV4::new(SERVER, 67));
    }
}
