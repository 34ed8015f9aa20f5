//! The store against real files: what is read back, what is refused, what survives.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
};

use super::*;
use crate::{
    protocol::{
        Commit, CommitId,
        lease::{BindingState, ClientId, HwAddr},
        time::{Epoch, Time},
    },
    runtime::journal::Kind,
    settings::{
        AddressRange, Identifier, LeaseOverrides, Pool, Record, RecordKey, Reservation, Server, Subnet, options::OptionValue,
    },
};

mod diary;
mod history;
mod pair;

/// A folder of its own for each test, gone when the test has passed.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("twinlease-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Folder(env::temp_dir().join(name))
    }

    fn database(&self) -> PathBuf {
        self.0.join("twinlease.db")
    }

    fn open(&self) -> (Store, Loaded) {
        open(&self.0, WallTrust::Kernel).expect("opens")
    }

    fn refusal(&self) -> String {
        match open(&self.0, WallTrust::Kernel) {
            Ok(_) => panic!("it opened"),
            Err(error) => error.to_string(),
        }
    }

    /// Changes the closed database with SQL of the test's own, as an accident or another program might.
    fn tamper(&self, sql: &str) {
        let connection = Connection::open(self.database()).expect("opens");
        connection.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").expect("set");
        connection.execute_batch(sql).expect("tampers");
    }

    /// Garbage over the first page of this table or index.
    fn trample_root_of(&self, name: &str) {
        let connection = Connection::open(self.database()).expect("opens");
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let page: u32 = connection.query_row(root, [name], |row| row.get(0)).expect("it is there");
        drop(connection);
        let mut bytes = fs::read(self.database()).expect("is there");
        let (page, size) = (page as usize, PAGE_BYTES as usize);
        bytes[(page - 1) * size..page * size].fill(0xa5);
        fs::write(self.database(), bytes).expect("writes");
    }

    /// Garbage over every page but the first ones.
    fn trample(&self) {
        let mut bytes = fs::read(self.database()).expect("is there");
        let from = bytes.len() / 3;
        bytes[from..].fill(0x5a);
        fs::write(self.database(), bytes).expect("writes");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn hw(nth: u32) -> HwAddr {
    let [a, b, c, d] = nth.to_be_bytes();
    HwAddr::ethernet([0x02, 0, a, b, c, d])
}

fn lease(nth: u32) -> Binding {
    Binding {
        address: Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 77, 0, 0)) + nth),
        client: ClientId::Hardware(hw(nth)),
        hw: hw(nth),
        state: BindingState::Leased,
        since: Time(1000),
        expiry: Time(3_600_000),
        epoch: Epoch(1),
        generation: nth,
        version: Version { first: u64::from(nth), second: 2 },
        host_name: Some("printer".into()),
    }
}

fn reservation(nth: u32, address: u8) -> Reservation {
    Reservation {
        identifier: Identifier::Mac(hw(nth)),
        address: Ipv4Addr::new(192, 0, 2, address),
        name: Some("nas".into()),
        note: None,
        options: [(42, OptionValue::IpList(vec![Ipv4Addr::new(192, 0, 2, 1)]))].into(),
        force_broadcast: true,
        echo_client_id: false,
    }
}

fn subnet(network: &str) -> Subnet {
    Subnet {
        network: network.parse().expect("a network"),
        interface: Some("eth0".into()),
        pools: vec![Pool {
            range: AddressRange { first: Ipv4Addr::new(192, 0, 2, 10), last: Ipv4Addr::new(192, 0, 2, 99) },
            options: [(3, OptionValue::IpList(vec![Ipv4Addr::new(192, 0, 2, 1)]))].into(),
        }],
        exclusions: Vec::new(),
        lease: LeaseOverrides::default(),
        options: [(15, OptionValue::Text("home.arpa".into()))].into(),
    }
}

fn commit(id: u64, bindings: impl IntoIterator<Item = Binding>) -> Commit {
    Commit { id: CommitId(id), changes: bindings.into_iter().map(Change::Bind).collect() }
}

fn start(store: Store) -> (StoreHandle, Receiver<Report>) {
    let (told, reports) = mpsc::channel();
    (store.start(move |report| drop(told.send(report))).expect("a thread"), reports)
}

fn next(reports: &Receiver<Report>) -> Report {
    reports.recv_timeout(Duration::from_secs(20)).expect("a report")
}

#[test]
fn what_is_written_is_read_back() {
    let folder = Folder::new();
    let (mut store, loaded) = folder.open();
    assert!(loaded.is_new && loaded.bindings.is_empty() && !loaded.restored && loaded.trouble.is_none());
    assert_eq!(loaded.settings, Settings::default());
    let other = HwAddr::new(32, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]).expect("16 bytes");
    let bindings = [
        lease(1),
        Binding { client: ClientId::Given([1, 2, 3].into()), state: BindingState::Free, host_name: None, ..lease(2) },
        Binding { client: ClientId::Clone([9; 40].into(), other), state: BindingState::Declined, ..lease(3) },
        Binding { client: ClientId::Hardware(other), hw: hw(7), state: BindingState::Tentative, ..lease(4) },
        Binding { client: ClientId::Given([].into()), expiry: Time::NEVER, state: BindingState::Released, ..lease(5) },
    ];
    let mut settings = Settings { server: Server { bootp: true, ..Server::default() }, ..Settings::default() };
    for record in [
        Record::Subnet(subnet("192.0.2.0/24")),
        Record::Subnet(subnet("198.51.100.0/24")),
        Record::Reservation(reservation(1, 5)),
        Record::Reservation(Reservation { identifier: Identifier::ClientId(vec![0, 255]), ..reservation(1, 4) }),
        Record::Reservation(Reservation { identifier: Identifier::CircuitId(vec![]), ..reservation(1, 6) }),
    ] {
        settings.put(record);
    }
    let mut changes: Vec<Change> = settings.records().into_iter().map(Change::Put).collect();
    changes.extend(bindings.iter().cloned().map(Change::Bind));
    store.commit_now(&changes).expect("commits");
    drop(store);

    let (mut store, loaded) = folder.open();
    assert_eq!(loaded.settings, settings);
    assert_eq!(loaded.bindings, bindings);
    assert_eq!(loaded.newest_version, Version { first: 5, second: 2 });
    assert!(!loaded.is_new);
    settings.remove(&RecordKey::Subnet("192.0.2.0/24".parse().expect("a network")));
    settings.remove(&RecordKey::Reservation(Identifier::Mac(hw(1))));
    settings.remove(&RecordKey::Server);
    let removals = [
        Change::Remove(RecordKey::Subnet("192.0.2.0/24".parse().expect("a network"))),
        Change::Remove(RecordKey::Reservation(Identifier::Mac(hw(1)))),
        Change::Remove(RecordKey::Server),
    ];
    store.commit_now(&removals).expect("commits");
    drop(store);
    assert_eq!(folder.open().1.settings, settings);
}

#[test]
fn reservations_may_exchange_their_addresses_in_one_commit() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let put = |nth, address| Change::Put(Record::Reservation(reservation(nth, address)));
    store.commit_now(&[put(1, 5), put(2, 6)]).expect("commits");
    store.commit_now(&[put(1, 6), put(2, 5)]).expect("exchanges");
    assert!(store.commit_now(&[put(3, 5)]).is_err(), "an address is reserved once");
    drop(store);
    assert_eq!(folder.open().1.settings.reservations, [reservation(2, 5), reservation(1, 6)]);
}

fn reading(boot: &str, boottime_ms: i64, wall_ms: i64, wall_trusted: bool) -> Reading {
    Reading { boot_id: boot.into(), boottime_ms, wall_ms, wall_trusted }
}

#[test]
fn a_reboot_ages_what_was_stamped_before_it_and_only_once() {
    let folder = Folder::new();
    let at = |reading: &Reading| open_at(&folder.0, WallTrust::Always, reading).expect("opens");
    let before = Reading::take(WallTrust::Always);
    let (mut store, loaded) = at(&before);
    let now = loaded.clock.now();
    let old = Binding { since: now, expiry: now + Duration::from_secs(3600), ..lease(1) };
    let endless = Binding { expiry: Time::NEVER, ..lease(2) };
    store.commit_now(&[Change::Bind(old.clone()), Change::Bind(endless)]).expect("commits");
    drop(store);

    // Another boot, ten minutes later by the wall clock.
    let after = Reading { boot_id: "another".into(), wall_ms: before.wall_ms + 600_000, ..before.clone() };
    let (mut store, loaded) = at(&after);
    let Slept::Known(sleep) = loaded.slept else { panic!("{:?}", loaded.slept) };
    assert_eq!((sleep.before, loaded.clock.epoch()), (Epoch(2), Epoch(2)));
    let aged = loaded.bindings[0].clone();
    assert_eq!(aged.expiry, old.expiry.earlier(sleep.duration));
    assert_eq!(loaded.bindings[1].expiry, Time::NEVER);
    // Written again as it stands in memory, its epoch unchanged; and one of this boot.
    let fresh = Binding { epoch: Epoch(2), ..lease(3) };
    let aged = Binding { generation: 9, ..aged };
    store.commit_now(&[Change::Bind(aged.clone()), Change::Bind(fresh.clone())]).expect("commits");
    drop(store);

    let (_, loaded) = at(&after);
    assert_eq!(loaded.slept, Slept::SameBoot);
    assert_eq!((&loaded.bindings[0], &loaded.bindings[2]), (&aged, &fresh));
}

#[test]
fn a_sleep_learned_later_is_one_update() {
    let folder = Folder::new();
    let before = reading("a", 0, 1_780_000_000_000, true);
    let (mut store, _) = open_at(&folder.0, WallTrust::Kernel, &before).expect("opens");
    store.commit_now(&[Change::Bind(lease(1))]).expect("commits");
    rows::write_stamp(&store.connection, &store.clock.stamp_at(&before)).expect("a stamp with a trusted clock");
    drop(store);

    let woken = reading("b", 0, 5000, false);
    let (store, loaded) = open_at(&folder.0, WallTrust::Kernel, &woken).expect("opens");
    assert_eq!((loaded.slept, loaded.bindings[0].expiry), (Slept::Unknown, lease(1).expiry));
    let mut clock = loaded.clock;
    let sleep = clock.confirm(&reading("b", 1000, 1_780_000_061_000, true)).expect("known now");
    assert_eq!(sleep, Sleep { before: Epoch(2), duration: Duration::from_secs(60) });
    let (handle, reports) = start(store);
    handle.set_slept(sleep, clock);
    let aged = Binding { expiry: lease(2).expiry.earlier(sleep.duration), ..lease(2) };
    handle.commit([commit(1, [aged.clone()])]).expect("room");
    assert_eq!(next(&reports), Report::Committed { up_to: CommitId(1) });
    handle.close();

    let (_, loaded) = open_at(&folder.0, WallTrust::Kernel, &reading("b", 2000, 0, false)).expect("opens");
    assert_eq!(loaded.bindings[0].expiry, lease(1).expiry.earlier(sleep.duration));
    assert_eq!(loaded.bindings[1].expiry, aged.expiry);
}

#[test]
fn commits_are_reported_in_order() {
    let folder = Folder::new();
    let (handle, reports) = start(folder.open().0);
    for id in 1..=500 {
        handle.commit([commit(id, [lease(id as u32)])]).expect("room");
    }
    let (mut up_to, mut transactions) = (0, 0);
    while up_to < 500 {
        let Report::Committed { up_to: CommitId(next_up_to) } = next(&reports) else { panic!("not committed") };
        assert!(next_up_to > up_to);
        (up_to, transactions) = (next_up_to, transactions + 1);
    }
    assert!(transactions < 500, "what waits is committed together");
    handle.close();
    assert_eq!(folder.open().1.bindings.len(), 500);
}

#[test]
fn nothing_is_written_after_a_failure_until_the_sender_says_resume() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let (handle, reports) = start(store);
    // No such epoch: the schema refuses it.
    let defect = Binding { epoch: Epoch(99), ..lease(2) };
    for (id, binding) in [(1, lease(1)), (2, defect), (3, lease(3))] {
        handle.commit([commit(id, [binding])]).expect("room");
    }
    let (mut failed, mut recovered) = (Vec::new(), false);
    while !recovered {
        match next(&reports) {
            Report::Committed { up_to } => assert_eq!(up_to, CommitId(1)),
            Report::Failed { ids, trouble: StoreTrouble::Other(_) } => failed.extend(ids.start().0..=ids.end().0),
            Report::Recovered => recovered = true,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, [2, 3]);
    handle.commit([commit(4, [lease(4)])]).expect("room");
    assert!(matches!(next(&reports), Report::Failed { ids, .. } if ids == (CommitId(4)..=CommitId(4))));
    handle.resume();
    handle.commit([commit(5, [lease(5)])]).expect("room");
    assert_eq!(next(&reports), Report::Committed { up_to: CommitId(5) });
    handle.close();
    let kept: Vec<Ipv4Addr> = folder.open().1.bindings.iter().map(|binding| binding.address).collect();
    assert_eq!(kept, [lease(1).address, lease(5).address]);
}

#[test]
fn the_queue_is_bounded_and_opens_again() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    // Another writer holds the database, so that nothing gets through.
    let blocker = Connection::open(folder.database()).expect("opens");
    blocker.execute_batch("BEGIN IMMEDIATE").expect("blocks");
    let (handle, reports) = start(store);
    let refused = (1..=100_000).find(|&id| handle.commit([commit(id, [lease(id as u32)])]).is_err()).expect("bounded");
    assert!(refused <= 16_384 + 1 && handle.backlog() <= 16_384, "{refused}");
    blocker.execute_batch("ROLLBACK").expect("lets go");
    while next(&reports) != Report::Recovered {}
    assert!(handle.commit([commit(200_000, [lease(1)])]).is_err(), "not before `resume`");
    handle.resume();
    handle.commit([commit(200_001, [lease(1)])]).expect("room again");
    assert_eq!(next(&reports), Report::Committed { up_to: CommitId(200_001) });
    handle.close();
    assert_eq!(folder.open().1.bindings.len() as u64, refused - 1);
}

#[test]
fn closing_does_not_wait_for_the_check_beside_it_and_leaves_no_log() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let many: Vec<Change> = (1..=60_000).map(|nth| Change::Bind(lease(nth))).collect();
    store.commit_now(&many).expect("commits");
    drop(store);
    let (store, _) = folder.open();
    // The check reads all of it, which takes longer than all that follows.
    let (handle, reports) = start(store);
    handle.commit([commit(1, [lease(1)])]).expect("room");
    assert_eq!(next(&reports), Report::Committed { up_to: CommitId(1) });
    handle.close();
    let log = fs::metadata(&Place::companions(&folder.database())[1]).map_or(0, |log| log.len());
    assert_eq!(log, 0, "the last connection to close empties the log: it must be the writer's");
    assert!(!is_damaged(&folder.0), "a check that was broken off proves nothing");
}

#[test]
fn a_reader_may_look_while_the_server_runs() {
    let folder = Folder::new();
    assert!(matches!(view(&folder.0, WallTrust::Kernel), Err(StoreError::Missing(_))));
    let (handle, reports) = start(folder.open().0);
    handle.commit([commit(1, [lease(1)])]).expect("room");
    next(&reports);
    assert_eq!(view(&folder.0, WallTrust::Kernel).expect("reads").bindings, [lease(1)]);
    handle.close();
    assert_eq!(view(&folder.0, WallTrust::Kernel).expect("reads a closed one too").bindings, [lease(1)]);
}

#[test]
fn one_that_has_gone_back_to_an_older_version_takes_the_snapshot_from_before() {
    let folder = Folder::new();
    drop(folder.open());
    assert_eq!(leave_newer(&folder.0).expect("looks"), None, "it is not newer");
    back_up_now(&folder.0).expect("a snapshot");
    folder.tamper("PRAGMA user_version = 7");
    let told = leave_newer(&folder.0).expect("set aside").expect("a sentence");
    assert!(told.contains("twinlease.db.newer-"), "{told}");
    let (_, loaded) = folder.open();
    assert!(loaded.restored, "it may have forgotten promises, and says so to its twin");

    let without = Folder::new();
    drop(without.open());
    without.tamper("PRAGMA user_version = 7");
    assert_eq!(leave_newer(&without.0).expect("looks"), None, "with nothing in its place it is left alone");
    assert!(without.refusal().contains("has version 7"));
}

#[test]
fn what_cannot_be_used_is_refused_with_a_sentence_and_left_alone() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let sentence = folder.refusal();
    assert!(sentence.contains(&format!("in use by another twinlease (process {})", std::process::id())), "{sentence}");
    drop(store);

    folder.tamper("PRAGMA user_version = 7");
    let before = fs::read(folder.database()).expect("is there");
    let sentence = folder.refusal();
    assert!(sentence.contains("has version 7, and this twinlease knows versions up to 4"), "{sentence}");
    folder.tamper("PRAGMA user_version = 1; PRAGMA application_id = 5");
    assert!(folder.refusal().contains("belongs to another program"), "{}", folder.refusal());
    assert_eq!(before.len(), fs::read(folder.database()).expect("is there").len());

    fs::remove_file(folder.database()).expect("removes");
    fs::create_dir(folder.database()).expect("makes");
    assert!(folder.refusal().contains("is a folder"), "{}", folder.refusal());

    let file = Folder::new();
    fs::write(&file.0, "").expect("writes");
    assert!(file.refusal().contains("is a file"), "{}", file.refusal());
    fs::remove_file(&file.0).expect("removes");
}

#[test]
fn a_damaged_database_without_a_snapshot_is_left_alone() {
    for damage in [Folder::trample as fn(&Folder), |folder| fs::write(folder.database(), [b'x'; 9000]).expect("writes")] {
        let folder = Folder::new();
        let (mut store, _) = folder.open();
        store.commit_now(&(0..500).map(|nth| Change::Bind(lease(nth))).collect::<Vec<_>>()).expect("commits");
        drop(store);
        damage(&folder);
        let before = fs::read(folder.database()).expect("is there");
        let sentence = folder.refusal();
        assert!(sentence.contains("is damaged") && sentence.contains("no good snapshot"), "{sentence}");
        assert_eq!(before, fs::read(folder.database()).expect("is there"));
    }
}

#[test]
fn a_damaged_database_is_set_aside_for_the_newest_good_snapshot() {
    let unreadable = |folder: &Folder| folder.tamper("UPDATE binding SET client = x'07' WHERE address % 100 = 1");
    let nonsense = |folder: &Folder| folder.tamper("INSERT INTO setting VALUES ('server', '', '{\"bootp\": 3}')");
    let tableless = |folder: &Folder| folder.tamper("DROP TABLE reservation");
    let gone = |folder: &Folder| fs::remove_file(folder.database()).expect("removes");
    let emptied = |folder: &Folder| fs::write(folder.database(), "").expect("writes");
    type Damage = (&'static str, fn(&Folder));
    let damages: [Damage; 6] = [
        ("trampled", Folder::trample),
        ("unreadable", unreadable),
        ("nonsense", nonsense),
        ("tableless", tableless),
        ("gone", gone),
        ("emptied", emptied),
    ];
    for (name, damage) in damages {
        let folder = Folder::new();
        let (mut store, _) = folder.open();
        store.commit_now(&(0..300).map(|nth| Change::Bind(lease(nth))).collect::<Vec<_>>()).expect("commits");
        let snapshot = snapshot::make(&store.place, &Halt::default()).expect("a snapshot");
        // A newer one, but no good: the older is used.
        fs::write(snapshot.with_file_name("2999-01-01.db"), "no database").expect("writes");
        store.commit_now(&[Change::Bind(lease(1000))]).expect("commits");
        drop(store);
        damage(&folder);

        let (store, loaded) = folder.open();
        assert_eq!(loaded.bindings.len(), 300, "{name}");
        assert!(loaded.restored && !loaded.is_new && loaded.notices.len() == 1, "{name}: {loaded:?}");
        assert!(loaded.notices[0].contains(snapshot.to_str().expect("text")), "{:?}", loaded.notices);
        drop(store);
        let names = fs::read_dir(&folder.0).expect("reads").map(|entry| entry.expect("reads").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        let aside = names.filter(|name| name.contains(".db.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm"));
        assert_eq!(aside.count(), usize::from(name != "gone"), "{name}");
        let (_, again) = folder.open();
        assert!(again.restored && again.notices.is_empty(), "{name}: the mark stays, the notice does not");
    }
}

/// In a table that no start reads, or in the index of one: a mark, and the next start looks.
#[test]
fn damage_that_no_start_reads_costs_no_lease_and_is_mended_at_the_next_start() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    store.archive().journal.note(Kind::Pair, "one");
    store.commit_now(&(0..300).map(|nth| Change::Bind(lease(nth))).collect::<Vec<_>>()).expect("commits");
    drop(store);
    folder.trample_root_of("journal");

    let (mut store, loaded) = folder.open();
    assert!(loaded.notices.is_empty() && !is_damaged(&folder.0), "nobody has read it yet");
    store.archive().journal.note(Kind::Pair, "two");
    store.commit_now(&[Change::Bind(lease(1000))]).expect("a damaged history costs no lease");
    assert!(is_damaged(&folder.0) && damage(&folder.0).expect("reads").is_some());
    let (handle, reports) = start(store);
    let Report::Damaged(sentence) = next(&reports) else { panic!("not seen") };
    assert!(sentence.contains("Start the server again"), "{sentence}");
    handle.close();
    assert!(is_damaged(&folder.0));

    let (mut store, loaded) = folder.open();
    assert_eq!(loaded.bindings.len(), 301);
    assert!(!loaded.restored && !is_damaged(&folder.0), "nothing that counts was lost: {loaded:?}");
    assert!(loaded.notices.len() == 1 && loaded.notices[0].contains("history"), "{:?}", loaded.notices);
    store.archive().journal.note(Kind::Pair, "three");
    store.commit_now(&[Change::Bind(lease(1001))]).expect("commits");
    assert_eq!(store.archive().notes(9, None, None, "three").expect("reads").len(), 1, "a new history");
    assert_eq!(damage(&folder.0).expect("reads"), None);
}

#[test]
fn damage_in_what_counts_is_found_by_the_write_that_meets_it_and_the_snapshot_is_used() {
    for has_snapshot in [true, false] {
        let folder = Folder::new();
        let (mut store, _) = folder.open();
        store.commit_now(&[Change::Bind(lease(1)), Change::Put(Record::Reservation(reservation(1, 5)))]).expect("commits");
        if has_snapshot {
            snapshot::make(&store.place, &Halt::default()).expect("a snapshot");
        }
        drop(store);
        folder.trample_root_of("sqlite_autoindex_reservation_2");

        let (mut store, _) = folder.open();
        let trouble =
            store.commit_now(&[Change::Put(Record::Reservation(reservation(2, 6)))]).expect_err("its index is gone").to_string();
        assert!(trouble.contains("is damaged") && trouble.contains("Start the server again"), "{trouble}");
        drop(store);
        assert!(is_damaged(&folder.0));
        let (_, loaded) = folder.open();
        assert_eq!((loaded.bindings.len(), loaded.settings.reservations.len()), (1, 1));
        assert_eq!((loaded.restored, is_damaged(&folder.0)), (has_snapshot, !has_snapshot));
        assert!(loaded.notices[0].contains(if has_snapshot { "set aside" } else { "no good snapshot" }), "{:?}", loaded.notices);
    }
}

#[test]
fn a_database_that_another_program_holds_is_said_so() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let other = Connection::open(folder.database()).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("takes the lock");
    store.connection.busy_timeout(Duration::from_millis(10)).expect("set");
    let trouble = store.commit_now(&[Change::Bind(lease(1))]).expect_err("held").to_string();
    assert!(trouble.contains("held by another program"), "{trouble}");
    other.execute_batch("ROLLBACK").expect("gives it back");
    store.commit_now(&[Change::Bind(lease(1))]).expect("goes on");
}

#[test]
fn seven_snapshots_are_kept_and_a_new_one_is_made_when_asked() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let place = store.place.clone();
    for day in 1..=9 {
        store.commit_now(&[Change::Bind(lease(day))]).expect("commits");
        std::thread::sleep(Duration::from_millis(3));
        let made = snapshot::make(&place, &Halt::default()).expect("a snapshot");
        // The oldest by their content get the newest names: names do not count.
        fs::rename(&made, made.with_file_name(format!("2026-01-{:02}.db", 20 - day))).expect("renames");
    }
    let (handle, reports) = start(store);
    handle.snapshot_now();
    let Report::SnapshotMade(path) = next(&reports) else { panic!("no snapshot") };
    handle.close();
    let mut names: Vec<_> =
        fs::read_dir(&place.snapshots).expect("reads").map(|entry| entry.expect("reads").file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 7, "{names:?}");
    assert_eq!(names[0], "2026-01-11.db");
    assert_eq!(names[5], "2026-01-16.db");
    let connection = connect_to_read(&path).expect("opens");
    let (loaded, _) = read_all(&connection, WallTrust::Kernel, &Reading::take(WallTrust::Kernel)).expect("reads");
    assert_eq!(loaded.bindings.len(), 9);
}

#[test]
fn snapshots_that_cannot_be_read_are_not_kept_for_ever() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let place = store.place.clone();
    let made = snapshot::make(&place, &Halt::default()).expect("a snapshot");
    for nth in 0..5 {
        fs::write(made.with_file_name(format!("bad-{nth}.db")), "no database").expect("writes");
        std::thread::sleep(Duration::from_millis(20));
    }
    snapshot::make(&place, &Halt::default()).expect("another one");
    let names = fs::read_dir(&place.snapshots).expect("reads").map(|entry| entry.expect("reads").file_name());
    let mut bad: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("bad-")).collect();
    bad.sort();
    assert_eq!(bad, ["bad-3.db", "bad-4.db"], "the latest are left for a person to look at");
}

#[test]
fn commits_that_are_handed_over_together_are_one_write() {
    let folder = Folder::new();
    let (handle, reports) = start(folder.open().0);
    handle.commit((1..=50).map(|id| commit(id, [lease(id as u32)]))).expect("room");
    assert_eq!(next(&reports), Report::Committed { up_to: CommitId(50) });
    handle.close();
    assert_eq!(folder.open().1.bindings.len(), 50);
}

#[test]
fn the_schema_refuses_nonsense() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    for sql in [
        "INSERT INTO binding VALUES (-1, x'01', x'01', 2, 0, 0, 1, 0, 0, 0, NULL)",
        "INSERT INTO binding VALUES (1, x'', x'01', 2, 0, 0, 1, 0, 0, 0, NULL)",
        "INSERT INTO binding VALUES (1, x'01', x'01', 5, 0, 0, 1, 0, 0, 0, NULL)",
        "INSERT INTO binding VALUES (1, x'01', x'01', 2, 0, 0, 9, 0, 0, 0, NULL)",
        "INSERT INTO binding VALUES (1, x'01', x'01', 2, 'soon', 0, 1, 0, 0, 0, NULL)",
        "INSERT INTO setting VALUES ('server', 'x', '{}')",
        "INSERT INTO setting VALUES ('server', '', 'no json')",
        "INSERT INTO setting VALUES ('twin', 'x', '{}')",
        "INSERT INTO setting VALUES ('tvin', '', '{}')",
        "INSERT INTO entry VALUES ('no json', 1, 0, NULL, NULL, NULL, NULL)",
        "INSERT INTO entry VALUES ('\"twin\"', 0, 0, NULL, NULL, NULL, NULL)",
        "INSERT INTO entry VALUES ('\"twin\"', -1, 1, NULL, NULL, NULL, NULL)",
        "INSERT INTO entry VALUES ('\"twin\"', 1, 0, 'no json', NULL, NULL, NULL)",
        "INSERT INTO entry VALUES ('\"twin\"', 1, 0, NULL, 'null', NULL, NULL)",
        "INSERT INTO given_up VALUES (-1, 1, 1, 1)",
        "INSERT INTO given_up VALUES (1, -1, 1, 1)",
        "INSERT INTO given_up VALUES (1, 1, 1, -1)",
        "INSERT INTO pair VALUES (2, '{}', NULL, NULL)",
        "INSERT INTO pair VALUES (1, '[]', NULL, NULL)",
        "INSERT INTO pair VALUES (1, '{}', 1, NULL)",
        "INSERT INTO pair VALUES (1, '{}', NULL, 1)",
        "INSERT INTO pair VALUES (1, '{}', -1, 1)",
        "INSERT INTO pair VALUES (1, '{}', 1, 9)",
        "INSERT INTO reservation VALUES ('mac', x'01', 1, NULL, NULL, '{}', 2, 0)",
    ] {
        assert!(store.connection.execute_batch(sql).is_err(), "{sql}");
    }
}

/// Runs this very test again in a process of its own, with `key` set. Its lines on stderr come back.
fn again(test: &str, key: &str, value: &Path, wrap: &[&str]) -> Command {
    let this = env::current_exe().expect("a test has a file");
    let name = format!("runtime::store::tests::{test}");
    let line = [wrap, &[this.to_str().expect("text"), "--exact", &name, "--nocapture"]].concat();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).env(key, value);
    command
}

#[test]
fn acked_commit_survives_kill_nine() {
    const KEY: &str = "TWINLEASE_TEST_KILL";
    if let Some(folder) = env::var_os(KEY) {
        // The child: commits without end, and says what is durable.
        let (store, loaded) = open(Path::new(&folder), WallTrust::Kernel).expect("opens");
        let (handle, reports) = start(store);
        let first = loaded.bindings.len() as u64 + 1;
        for id in first.. {
            handle.commit([commit(id, [lease(id as u32)])]).expect("room");
            while handle.backlog() > 200 {
                std::thread::yield_now();
            }
            while let Ok(report) = reports.try_recv() {
                let Report::Committed { up_to } = report else { panic!("{report:?}") };
                eprintln!("durable {}", up_to.0);
            }
        }
    }
    let folder = Folder::new();
    for round in 1..=5u64 {
        let mut child = again("acked_commit_survives_kill_nine", KEY, &folder.0, &[]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut durable = 0;
        let mut said = 0;
        let mut lines = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
        for id in lines.by_ref() {
            durable = id;
            said += 1;
            if said >= 20 * round {
                break;
            }
        }
        assert!(said > 0, "the child committed");
        child.kill().expect("SIGKILL");
        durable = lines.last().unwrap_or(durable);
        child.wait().expect("ends");
        let (store, loaded) = folder.open();
        let ids: Vec<u64> = loaded.bindings.iter().map(|binding| u64::from(binding.generation)).collect();
        assert!(ids.len() as u64 >= durable, "round {round}: {durable} were durable, {} are there", ids.len());
        assert!(ids.iter().copied().eq(1..=ids.len() as u64), "round {round}: no gaps");
        drop(store);
    }
}

#[test]
fn a_full_or_read_only_disk_costs_nothing_that_was_durable() {
    const KEY: &str = "TWINLEASE_TEST_DISK";
    let name = "a_full_or_read_only_disk_costs_nothing_that_was_durable";
    if let Some(disk) = env::var_os(KEY) {
        return on_a_small_disk(Path::new(&disk));
    }
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).expect("makes");
    let script = "mount -t tmpfs -o size=2m tmpfs \"$TWINLEASE_TEST_DISK\" && exec \"$@\"";
    let wrap = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"];
    let mut works = Command::new("unshare");
    works.args(["--mount", "--map-root-user", "mount", "-t", "tmpfs", "tmpfs"]).arg(&folder.0);
    if !works.output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED {name}: no right to mount a tmpfs in a namespace of its own");
        return;
    }
    let output = again(name, KEY, &folder.0, &wrap).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    eprintln!("{said}");
}

fn on_a_small_disk(disk: &Path) {
    let folder = disk.join("data");
    let ballast = disk.join("ballast");
    let (store, _) = open(&folder, WallTrust::Kernel).expect("opens");
    let (handle, reports) = start(store);
    let mut durable = std::collections::BTreeSet::new();
    let mut id = 0;
    // Three rounds: the log hits the end of the disk; so does the copying of the log into the database.
    for ballast_kib in [0, 600, 200] {
        fs::write(&ballast, vec![0; ballast_kib * 1024]).expect("room for the ballast");
        let trouble = loop {
            id += 1;
            handle.commit([commit(id, (0..20).map(|i| lease(id as u32 * 20 + i)))]).expect("room in the queue");
            match next(&reports) {
                Report::Committed { up_to } => assert!(up_to.0 == id && durable.insert(id)),
                Report::Failed { ids, trouble } => {
                    assert_eq!(ids, CommitId(id)..=CommitId(id));
                    break trouble;
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(trouble, StoreTrouble::DiskFull);
        fs::remove_file(&ballast).expect("removes");
        if ballast_kib == 0 {
            remount(disk, "size=4m");
        }
        while next(&reports) != Report::Recovered {}
        handle.resume();
    }
    handle.close();
    remount(disk, "size=16m");
    let (store, loaded) = open(&folder, WallTrust::Kernel).expect("opens");
    assert_eq!(loaded.bindings.len(), durable.len() * 20, "all that was durable, and nothing else");
    drop(store);

    // So far the log alone filled the disk. Full of other things at the start: what is durable is served from, and writing goes on when there is room.
    let mut file = File::create(&ballast).expect("creates");
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    let error = open(&disk.join("fresh"), WallTrust::Kernel).expect_err("no room at all").to_string();
    assert!(error.contains("is full"), "{error}");
    match open(&folder, WallTrust::Kernel) {
        Ok((store, loaded)) => {
            assert_eq!((loaded.trouble, loaded.bindings.len()), (Some(StoreTrouble::DiskFull), durable.len() * 20));
            let (handle, reports) = start(store);
            handle.commit([commit(1, [lease(1)])]).expect("room in the queue");
            assert!(matches!(next(&reports), Report::Failed { trouble: StoreTrouble::DiskFull, .. }));
            fs::remove_file(&ballast).expect("removes");
            assert_eq!(next(&reports), Report::Recovered);
            handle.resume();
            handle.commit([commit(2, [lease(1)])]).expect("room in the queue");
            assert_eq!(next(&reports), Report::Committed { up_to: CommitId(2) });
            handle.close();
            eprintln!("started on a full disk");
        }
        // Where not even SQLite's shared memory finds room.
        Err(error) => {
            assert!(error.to_string().contains("is full"), "{error}");
            fs::remove_file(&ballast).expect("removes");
        }
    }

    remount(disk, "ro");
    let error = open(&folder, WallTrust::Kernel).expect_err("read-only").to_string();
    assert!(error.contains("cannot be written"), "{error}");
}

fn remount(disk: &Path, option: &str) {
    let status = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(disk).status().expect("mount runs");
    assert!(status.success(), "{option}");
}
