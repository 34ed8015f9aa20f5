//! Times the store on this disk: `cargo run --release --example store_timing -- <folder> [leases]`.
//! Fills a database, upserts random addresses in batches, and loads it again.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    path::PathBuf,
    sync::mpsc,
    time::{Duration, Instant},
};

use twinlease::{
    protocol::{
        Change, Commit, CommitId,
        lease::{Binding, BindingState, ClientId, HwAddr, Version},
        time::{Epoch, Time},
    },
    runtime::{
        clock::WallTrust,
        store::{self, Report},
    },
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder for the database"));
    let leases: u32 = arguments.next().map_or(100_000, |text| text.parse().expect("how many leases"));
    println!("RSS before: {} KiB", rss_kib());
    let started = Instant::now();
    let (mut opened, loaded) = store::open(&folder, WallTrust::Kernel).expect("the database opens");
    println!("open and load {} leases: {:.1} ms, RSS {} KiB", loaded.bindings.len(), ms(started), rss_kib());
    let now = loaded.clock.now();
    drop(loaded);
    println!("RSS without the loaded leases: {} KiB", rss_kib());

    let started = Instant::now();
    for first in (0..leases).step_by(4096) {
        let changes: Vec<Change> = (first..leases.min(first + 4096)).map(|i| bind(i, 1, now)).collect();
        opened.commit_now(&changes).expect("the disk takes it");
    }
    println!("fill {leases} in order, 4096 a transaction: {:.2} µs each", ms(started) * 1000.0 / f64::from(leases));

    let mut random = 0x2545_f491_4f6c_dd1du64;
    for batch in [1u32, 16, 64, 256, 1024] {
        let (rounds, started) = ((20_000 / batch).min(2000), Instant::now());
        let mut slowest = Duration::ZERO;
        for round in 0..rounds {
            let changes: Vec<Change> = (0..batch).map(|_| bind(next(&mut random) % leases, round, now)).collect();
            let began = Instant::now();
            opened.commit_now(&changes).expect("the disk takes it");
            slowest = slowest.max(began.elapsed());
        }
        let each_us = ms(started) * 1000.0 / f64::from(rounds * batch);
        println!(
            "random upserts, {batch} a transaction: {each_us:.2} µs each, {:.2} ms a transaction, slowest {:.2} ms",
            ms(started) / f64::from(rounds),
            slowest.as_secs_f64() * 1000.0
        );
    }

    let (told, reports) = mpsc::channel();
    let handle = opened.start(move |report| drop(told.send((Instant::now(), report)))).expect("a thread");
    let (started, mut sent_at, mut waits) = (Instant::now(), HashMap::new(), Vec::new());
    let (count, mut committed) = (60_000u64, 0u64);
    for id in 1..=count {
        // 20,000 a second, evenly.
        let due = started + Duration::from_micros(id * 50);
        while Instant::now() < due {
            std::thread::sleep(Duration::from_micros(200));
        }
        sent_at.insert(id, Instant::now());
        let commit = Commit { id: CommitId(id), changes: vec![bind(next(&mut random) % leases, 7, now)] };
        handle.commit(commit).expect("the queue has room");
        if id == count / 2 {
            handle.snapshot_now();
        }
    }
    while committed < count {
        match reports.recv().expect("the store is alive") {
            (at, Report::Committed { up_to }) => {
                waits.extend((committed + 1..=up_to.0).map(|id| at - sent_at[&id]));
                committed = up_to.0;
            }
            (_, other) => println!("report: {other:?}"),
        }
    }
    waits.sort();
    let at = |permille: usize| waits[(waits.len() - 1) * permille / 1000].as_secs_f64() * 1000.0;
    println!(
        "one commit each through the thread, 20,000/s, with a snapshot amid: {:.0}/s, waits p50 {:.2} p99 {:.2} max {:.2} ms, RSS {} KiB",
        count as f64 / started.elapsed().as_secs_f64(),
        at(500),
        at(990),
        at(1000),
        rss_kib()
    );
    let started = Instant::now();
    handle.close();
    println!("close: {:.1} ms", ms(started));
    while let Ok((_, report)) = reports.try_recv() {
        println!("report: {report:?}");
    }
    for name in ["twinlease.db", "twinlease.db-wal"] {
        println!("{name}: {} bytes", std::fs::metadata(folder.join(name)).map_or(0, |metadata| metadata.len()));
    }
}

fn bind(nth: u32, generation: u32, now: Time) -> Change {
    let hw = HwAddr::ethernet([0x02, 0, (nth >> 24) as u8, (nth >> 16) as u8, (nth >> 8) as u8, nth as u8]);
    Change::Bind(Binding {
        address: Ipv4Addr::from(0x0a4d_0000 + nth),
        client: ClientId::Hardware(hw),
        hw,
        state: BindingState::Leased,
        since: now,
        expiry: now + Duration::from_secs(43_200),
        epoch: Epoch(1),
        generation,
        version: Version { first: u64::from(generation), second: 0 },
        host_name: Some(format!("device-{nth}").into()),
    })
}

fn next(random: &mut u64) -> u32 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 32) as u32
}

fn ms(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1000.0
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
