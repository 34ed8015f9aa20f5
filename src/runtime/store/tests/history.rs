//! The history of changes: written with the change or not at all, bounded, read beside the writer.

use super::*;
use crate::{
    protocol::{node::Noted, replica::Edited},
    runtime::store::history::CHANGES_KEPT,
};

fn note(id: u64, step: u64, by: &str, host: u8) -> Change {
    let after = Some(Record::Reservation(reservation(u32::from(host), host)));
    let key = after.as_ref().expect("just made").key();
    let edited = Edited::new(by, 1_700_000_000_000 + id as i64);
    Change::Noted(Box::new(Noted { id, step, edited, on_twin: false, key, before: None, after }))
}

fn archive(folder: &Folder) -> Archive {
    Archive::new(&folder.0, Default::default(), Default::default(), Default::default())
}

fn ids(steps: &[Step]) -> Vec<u64> {
    steps.iter().map(|step| step.id).collect()
}

#[test]
fn changes_are_read_beside_the_writer_newest_first_page_by_page() {
    let folder = Folder::new();
    let (mut store, loaded) = folder.open();
    assert_eq!(loaded.newest_change, 0);
    let archive = archive(&folder);
    assert_eq!(archive.changes(10, None, "").expect("reads"), []);
    store.commit_now(&[note(1, 1, "dashboard", 5)]).expect("commits");
    store.commit_now(&[note(2, 2, "attic", 6), note(3, 2, "attic", 7)]).expect("commits");
    store.commit_now(&[note(7, 7, "dashboard", 8)]).expect("commits");
    let all = archive.changes(10, None, "").expect("reads");
    assert_eq!(ids(&all), [7, 2, 1]);
    assert_eq!((all[1].by.as_str(), all[1].total, all[1].wall_ms), ("attic", 2, 1_700_000_000_003));
    assert_eq!(all[1].records.iter().map(|noted| noted.id).collect::<Vec<_>>(), [2, 3], "as they were made");
    assert_eq!(ids(&archive.changes(1, None, "").expect("reads")), [7]);
    assert_eq!(ids(&archive.changes(1, Some(7), "").expect("reads")), [2]);
    assert_eq!(ids(&archive.changes(10, None, " ATTIC ").expect("reads")), [2]);
    assert_eq!(ids(&archive.changes(10, None, "02:00:00:00:00:07").expect("reads")), [2], "by one of its records");
    assert_eq!(archive.changes(10, None, "nobody").expect("reads"), []);
    let step = archive.step(2).expect("reads").expect("is there");
    assert_eq!((step.records.len(), step.reversals().len()), (2, 2));
    assert_eq!(archive.step(3).expect("reads"), None, "no step begins there");
    drop(store);
    assert_eq!(folder.open().1.newest_change, 7);
}

#[test]
fn a_step_of_thousands_is_listed_in_part_and_read_whole() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let notes: Vec<Change> = (1..=1000).map(|id| note(id, 1, "command line", id as u8)).collect();
    store.commit_now(&notes).expect("commits");
    let listed = &archive(&folder).changes(5, None, "").expect("reads")[0];
    assert_eq!((listed.total, listed.records.len(), listed.records[0].id), (1000, crate::runtime::store::archive::LISTED_MAX, 1));
    assert_eq!(archive(&folder).step(1).expect("reads").expect("there").records.len(), 1000);
}

#[test]
fn the_newest_five_thousand_are_kept() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    for first in [1, 3001] {
        let notes: Vec<Change> = (first..first + 3000).map(|id| note(id, id, "", 9)).collect();
        store.commit_now(&notes).expect("commits");
    }
    let count = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, u32>(0)).expect("a number");
    assert_eq!((count("SELECT count(*) FROM change"), count("SELECT min(id) FROM change")), (CHANGES_KEPT as u32, 1001));
}

#[test]
fn a_change_that_the_disk_refuses_takes_its_history_with_it() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let change = Change::Put(Record::Reservation(reservation(1, 5)));
    // A row that the schema refuses, last in the same commit.
    let refused = Change::Bind(Binding { host_name: Some("x".repeat(300).into()), ..lease(1) });
    store.commit_now(&[note(1, 1, "dashboard", 5), change.clone(), refused]).expect_err("the last row is refused");
    assert_eq!(archive(&folder).changes(10, None, "").expect("reads"), []);
    store.commit_now(&[note(2, 2, "dashboard", 5), change]).expect("commits");
    drop(store);
    // What a crash leaves is what was committed: both.
    let (_, loaded) = folder.open();
    assert_eq!((loaded.settings.reservations.len(), loaded.newest_change), (1, 2));
}

#[test]
fn a_change_of_nobody_knows_when_counts_from_its_arrival() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let Change::Noted(noted) = note(1, 1, "", 5) else { unreachable!() };
    store.commit_now(&[Change::Noted(Box::new(Noted { edited: Edited::default(), ..*noted }))]).expect("commits");
    let step = archive(&folder).step(1).expect("reads").expect("there");
    assert!(step.wall_ms > 1_700_000_000_000, "{}", step.wall_ms);
}
