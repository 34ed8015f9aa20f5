//! What a pair keeps on disk: read back, aged, dissolved; a database from before there were pairs; the twin's snapshots.

use super::*;
use crate::{
    protocol::{
        failover::{Doubt, Forgot, GivenUp, Memory, Rank},
        replica::{Edited, Entry, Other},
    },
    settings::{
        LeaseTimes, Twin,
        access::{Access, LOCKED},
        alerts::Alerts,
    },
};

fn memory() -> Memory {
    Memory {
        rank: Rank::Second,
        partner_down: None,
        shut_down: true,
        forgot: None,
        unpaired: true,
        served_unknowing: true,
        one_forgot: None,
        counted_down: true,
        partner: Some("a5".into()),
        own_number: 7,
        doubt: Doubt::Above(7),
        partner_number: 7,
        longest_mclt: Duration::from_secs(3600),
        longest_lease: Duration::from_secs(86_400),
        partner_mclt: Duration::from_secs(1800),
        partner_lease: Duration::from_secs(43_200),
    }
}

fn entry(record: Record, first: u64, second: u64) -> Entry {
    let edited = Some(Edited { by: "dashboard".into(), wall_ms: 1_700_000_000_000 });
    Entry { key: record.key(), version: Version { first, second }, record: Some(record), other: None, also: Vec::new(), edited }
}

fn entries() -> Vec<Entry> {
    let twin = Record::Twin(Twin { active: Rank::Second, ..Twin::default() });
    let kept = entry(Record::Reservation(reservation(1, 5)), 40, 2);
    vec![
        entry(Record::Lease(LeaseTimes::default()), 3, 0),
        Entry { other: Some(Other { record: None, also: Vec::new() }), ..entry(twin, 1, 41) },
        Entry { record: None, edited: None, ..entry(Record::Subnet(subnet("192.0.2.0/24")), 1, 1) },
        Entry {
            other: Some(Other { record: Some(Record::Reservation(reservation(1, 6))), also: vec![None] }),
            also: vec![Some(Record::Reservation(reservation(1, 7)))],
            ..kept
        },
    ]
}

fn given_up(nth: u32) -> GivenUp {
    let Binding { address, generation, version, .. } = lease(nth);
    GivenUp { address, generation, version }
}

#[test]
fn what_a_pair_knows_is_read_back_and_goes_with_the_pair() {
    let folder = Folder::new();
    let (mut store, loaded) = folder.open();
    assert!(loaded.memory.is_none() && loaded.entries.is_empty() && loaded.given_up.is_empty());
    let mut changes: Vec<Change> = entries().into_iter().rev().map(Box::new).map(Change::Setting).collect();
    changes.extend([
        Change::GiveUp(given_up(2)),
        Change::GiveUp(given_up(1)),
        Change::Pair(Some(memory())),
        Change::Bind(lease(9)),
    ]);
    store.commit_now(&changes).expect("commits");
    drop(store);

    let (mut store, loaded) = folder.open();
    assert_eq!(loaded.memory, Some(memory()));
    assert_eq!(loaded.entries, entries());
    assert_eq!(loaded.given_up, [given_up(1), given_up(2)]);
    assert_eq!(loaded.newest_version, Version { first: 40, second: 41 }, "settings count too");
    // Written again, a row takes the place of the one before.
    let again = Entry { version: Version { first: 3, second: 50 }, record: None, ..entries()[0].clone() };
    let newer = GivenUp { generation: 9, ..given_up(1) };
    let later = Memory { shut_down: false, ..memory() };
    let changes = [Change::Setting(Box::new(again.clone())), Change::GiveUp(newer), Change::Pair(Some(later.clone()))];
    store.commit_now(&changes).expect("commits");
    drop(store);

    let (mut store, loaded) = folder.open();
    assert_eq!((&loaded.entries[0], loaded.entries.len()), (&again, 4));
    assert_eq!(loaded.given_up, [newer, given_up(2)]);
    assert_eq!(loaded.memory, Some(later));
    store.commit_now(&[Change::Pair(None)]).expect("commits");
    drop(store);

    let (_, loaded) = folder.open();
    assert!(loaded.memory.is_none() && loaded.entries.is_empty() && loaded.given_up.is_empty());
    assert_eq!(loaded.bindings, [lease(9)], "the leases stay");
}

#[test]
fn since_when_the_twin_is_down_ages_as_a_lease_does() {
    let folder = Folder::new();
    let at = |reading: &Reading| open_at(&folder.0, WallTrust::Always, reading).expect("opens");
    let before = Reading::take(WallTrust::Always);
    let (mut store, loaded) = at(&before);
    let since = loaded.clock.now() + Duration::from_secs(3600);
    let stamp = Some((since, Epoch(1)));
    let down = Memory { partner_down: stamp, one_forgot: stamp, ..memory() };
    let binding = Binding { expiry: since, ..lease(1) };
    store.commit_now(&[Change::Pair(Some(down)), Change::Bind(binding)]).expect("commits");
    drop(store);

    let down = |loaded: &Loaded| {
        let memory = loaded.memory.clone().expect("a pair");
        assert_eq!(memory.one_forgot, memory.partner_down, "a loss ages as a declaration does");
        memory.partner_down.expect("down")
    };
    let after = Reading { boot_id: "another".into(), wall_ms: before.wall_ms + 600_000, ..before.clone() };
    let (mut store, loaded) = at(&after);
    let Slept::Known(sleep) = loaded.slept else { panic!("{:?}", loaded.slept) };
    assert_eq!(down(&loaded), (since.earlier(sleep.duration), Epoch(1)));
    assert_eq!(down(&loaded).0, loaded.bindings[0].expiry, "the same as a lease");
    // Written again as it stands in memory, its epoch unchanged.
    store.commit_now(&[Change::Pair(loaded.memory.clone())]).expect("commits");
    drop(store);

    let (_store, loaded) = at(&after);
    assert_eq!(down(&loaded), (since.earlier(sleep.duration), Epoch(1)), "aged only once");
}

#[test]
fn the_mark_of_a_restore_goes_when_nothing_is_forgotten_any_more() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    store.commit_now(&[Change::Pair(Some(memory())), Change::Bind(lease(1))]).expect("commits");
    snapshot::make(&store.place, &Halt::default()).expect("a snapshot");
    drop(store);
    for path in Place::companions(&folder.database()) {
        let _ = fs::remove_file(path);
    }
    let (mut store, loaded) = folder.open();
    assert!(loaded.restored && loaded.memory == Some(memory()), "{loaded:?}");
    let forgot = Memory { forgot: Some(Forgot::Restored), ..memory() };
    store.commit_now(&[Change::Pair(Some(forgot.clone()))]).expect("commits");
    drop(store);
    let (mut store, loaded) = folder.open();
    assert!(loaded.restored && loaded.memory == Some(forgot));
    store.commit_now(&[Change::Pair(Some(memory()))]).expect("commits");
    drop(store);
    assert!(!folder.open().1.restored);
}

/// A database as the first version made it, with a setting and a lease.
fn first_version(folder: &Folder) {
    old_version(folder, 1, &["epoch", "clock", "binding", "setting"]);
}

/// The same as version `version` made it, which had these tables.
fn old_version(folder: &Folder, version: usize, tables: &[&'static str]) {
    let (mut store, _) = folder.open();
    let changes = [Change::Bind(lease(1)), Change::Put(Record::Server(Server { bootp: true, ..Server::default() }))];
    store.commit_now(&changes).expect("commits");
    drop(store);
    let rows = |table: &str| {
        let connection = Connection::open(folder.database()).expect("opens");
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).expect("a table");
        let count = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..count).map(|column| row.get::<_, rusqlite::types::Value>(column)).collect::<rusqlite::Result<Vec<_>>>()
        });
        rows.expect("rows").collect::<rusqlite::Result<Vec<_>>>().expect("values")
    };
    let tables: Vec<_> = tables.iter().map(|table| (table, rows(table))).collect();
    for path in Place::companions(&folder.database()) {
        let _ = fs::remove_file(path);
    }
    let connection = Connection::open(folder.database()).expect("opens");
    for tables in &MIGRATIONS[..version] {
        connection.execute_batch(tables).expect("the tables of that version");
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID).expect("ours");
    connection.pragma_update(None, "user_version", version as i64).expect("that version");
    for (table, rows) in tables {
        for row in rows {
            let marks = vec!["?"; row.len()].join(",");
            let insert = format!("INSERT INTO {table} VALUES ({marks})");
            connection.execute(&insert, rusqlite::params_from_iter(row)).expect("inserts");
        }
    }
}

#[test]
fn a_database_from_before_there_were_pairs_is_brought_up_to_date() {
    let folder = Folder::new();
    first_version(&folder);
    let error = view(&folder.0, WallTrust::Kernel).expect_err("not by looking").to_string();
    assert!(error.contains("start the server once"), "{error}");

    let (mut store, loaded) = folder.open();
    assert!(!loaded.is_new && loaded.notices.is_empty() && loaded.memory.is_none());
    assert_eq!(loaded.bindings, [lease(1)]);
    assert!(loaded.settings.server.bootp);
    let twin = Twin { mclt: Duration::from_secs(600), ..Twin::default() };
    store.commit_now(&[Change::Put(Record::Twin(twin)), Change::Pair(Some(memory()))]).expect("there is room for a pair");
    drop(store);
    let (_, loaded) = folder.open();
    assert_eq!((loaded.settings.twin, loaded.memory), (twin, Some(memory())));
    assert!(loaded.settings.server.bootp);
}

#[test]
fn a_database_from_before_there_was_access_is_brought_up_to_date() {
    let folder = Folder::new();
    old_version(&folder, 2, &["epoch", "clock", "binding", "setting"]);
    let connection = Connection::open(folder.database()).expect("opens");
    let key = r#"INSERT INTO entry VALUES ('"lease"', 3, 0, NULL, NULL)"#;
    connection.execute(key, []).expect("an entry of then");
    drop(connection);
    let (mut store, loaded) = folder.open();
    assert!(loaded.notices.is_empty() && loaded.settings.server.bootp);
    assert_eq!((loaded.entries.len(), &loaded.entries[0].edited), (1, &None));
    assert_eq!((&loaded.settings.access, &loaded.settings.alerts), (&Access::default(), &Alerts::default()));
    let access = Access { password: Some(LOCKED.into()), tokens: Vec::new() };
    let alerts = Alerts { quiet: true, ..Alerts::default() };
    let changes = [Change::Put(Record::Access(access.clone())), Change::Put(Record::Alerts(alerts.clone()))];
    store.commit_now(&changes).expect("there is room for both");
    drop(store);
    let (mut store, loaded) = folder.open();
    assert_eq!((loaded.settings.access, loaded.settings.alerts), (access, alerts));
    store.commit_now(&[Change::Remove(RecordKey::Access), Change::Remove(RecordKey::Alerts)]).expect("removes");
    drop(store);
    assert_eq!(folder.open().1.settings.access, Access::default());
}

#[test]
fn a_snapshot_from_before_the_update_still_replaces_a_lost_database() {
    let folder = Folder::new();
    first_version(&folder);
    let place = Place::new(&folder.0);
    private_folder(&place.snapshots).expect("makes");
    fs::rename(folder.database(), place.snapshots.join("2026-01-01.db")).expect("moves");
    assert!(newest(&folder.0).expect("a snapshot").ends_with("2026-01-01.db"));
    let (_, loaded) = folder.open();
    assert!(loaded.restored && loaded.settings.server.bootp);
    assert_eq!(loaded.bindings, [lease(1)]);
}

#[test]
fn a_damaged_row_of_the_pair_is_damage() {
    for (sql, told) in [
        ("UPDATE pair SET memory = '{}'", "what is known of the twin"),
        ("UPDATE entry SET body = (SELECT body FROM entry WHERE key = '\"lease\"') WHERE key = '\"twin\"'", "another setting"),
        ("UPDATE entry SET other = '[]' WHERE key = '\"twin\"'", "the shared setting"),
        ("UPDATE given_up SET generation = -1", "damaged"),
    ] {
        let folder = Folder::new();
        let (mut store, _) = folder.open();
        let mut changes: Vec<Change> = entries().into_iter().map(Box::new).map(Change::Setting).collect();
        changes.extend([Change::GiveUp(given_up(1)), Change::Pair(Some(memory()))]);
        store.commit_now(&changes).expect("commits");
        drop(store);
        folder.tamper(sql);
        let refusal = folder.refusal();
        assert!(refusal.contains("is damaged") && refusal.contains(told), "{sql}: {refusal}");
    }
}

#[test]
fn the_newest_two_snapshots_of_the_twin_are_kept_and_never_taken_for_own() {
    let theirs = Folder::new();
    let (mut store, _) = theirs.open();
    let mut sent = Vec::new();
    for nth in 1..=3 {
        store.commit_now(&[Change::Bind(lease(nth))]).expect("commits");
        sent.push(fs::read(snapshot::make(&store.place, &Halt::default()).expect("a snapshot")).expect("reads"));
    }
    let ours = Folder::new();
    let keep = |bytes: &[u8]| keep_twins(&ours.0, bytes);
    let names = || {
        let entries = fs::read_dir(ours.0.join("snapshots/twin")).expect("reads");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("reads").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    };
    let first = keep(&sent[0]).expect("kept");
    assert_eq!(fs::read(&first).expect("reads"), sent[0]);
    assert_eq!(keep(&sent[0]), Ok(first), "the same again");
    keep(&sent[1]).expect("kept");
    assert_eq!(names(), ["000001.db", "000002.db"]);
    keep(&sent[2]).expect("kept");
    assert_eq!(names(), ["000002.db", "000003.db"]);

    for (bytes, told) in [
        (b"<html>".to_vec(), "not kept"),
        (Vec::new(), "not kept"),
        (sent[2][..sent[2].len() / 2].to_vec(), "not kept"),
        (vec![0; 65 << 20], "64 MiB"),
    ] {
        let error = keep(&bytes).expect_err("no snapshot");
        assert!(error.contains(told), "{error}");
    }
    assert_eq!(names(), ["000002.db", "000003.db"], "what was refused leaves nothing behind");
    assert_eq!(newest(&ours.0), None);
    let (_, loaded) = ours.open();
    assert!(loaded.is_new && loaded.bindings.is_empty());
}

#[test]
fn a_snapshot_of_a_newer_twin_is_kept_unread() {
    let theirs = Folder::new();
    drop(theirs.open());
    theirs.tamper("PRAGMA user_version = 99; DROP TABLE binding");
    let ours = Folder::new();
    let bytes = fs::read(theirs.database()).expect("reads");
    assert!(keep_twins(&ours.0, &bytes[..]).expect("kept").ends_with("000001.db"));
}
