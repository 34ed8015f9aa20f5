//! The journal and presence: in the next transaction, bounded, and never at the cost of a commit.

use super::*;
use crate::runtime::{
    journal::{Kind, Note},
    presence::{DAYS_KEPT, Day},
    store::diary::NOTES_KEPT,
};

fn texts(notes: &[(Option<u64>, Note)]) -> Vec<(bool, &str, u32)> {
    notes.iter().map(|(id, note)| (id.is_some(), note.text.as_str(), note.times)).collect()
}

fn heard(store: &Store, nth: u32) {
    store.archive().presence.listen().device(hw(nth));
}

#[test]
fn notes_are_seen_at_once_and_written_with_the_next_commit() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let archive = store.archive();
    archive.journal.note(Kind::Pair, "one");
    archive.journal.note(Kind::Disk, "two");
    assert_eq!(texts(&archive.notes(9, None, None, "").expect("reads")), [(false, "two", 1), (false, "one", 1)]);
    store.commit_now(&[Change::Bind(lease(1))]).expect("commits");
    archive.journal.note(Kind::Disk, "two");
    let notes = archive.notes(9, None, None, "").expect("reads");
    assert_eq!(texts(&notes), [(false, "two", 1), (true, "two", 1), (true, "one", 1)]);
    assert_eq!(texts(&archive.notes(9, notes[1].0, None, "").expect("reads")), [(true, "one", 1)]);
    assert_eq!(archive.notes(9, None, Some(Kind::Pair), "").expect("reads").len(), 1);
    assert_eq!(archive.notes(9, None, None, " TW").expect("reads").len(), 2);
    store.commit_now(&[]).expect("commits");
    assert_eq!(texts(&archive.notes(9, None, None, "").expect("reads")), [(true, "two", 2), (true, "one", 1)], "folded");
}

#[test]
fn failed_sign_ins_are_counted_though_others_come_between() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    let journal = store.archive().journal;
    for from in ["a", "b", "a", "b", "a"] {
        journal.note(Kind::SignInFailed, from);
        store.commit_now(&[]).expect("commits");
    }
    assert_eq!(texts(&store.archive().notes(9, None, None, "").expect("reads")), [(true, "b", 2), (true, "a", 3)]);
}

#[test]
fn what_is_closed_in_order_loses_no_note_and_no_hour() {
    let folder = Folder::new();
    let (store, _) = folder.open();
    let archive = store.archive();
    let (handle, _reports) = start(store);
    archive.journal.note(Kind::Run, "stops");
    archive.presence.listen().device(hw(7));
    let day = archive.presence_of(hw(7)).expect("reads");
    assert_eq!(day.len(), 1, "seen before it is written");
    handle.close();
    let (store, _) = folder.open();
    assert_eq!(texts(&store.archive().notes(9, None, None, "").expect("reads")), [(true, "stops", 1)]);
    assert_eq!(store.archive().presence_of(hw(7)).expect("reads"), day);
    assert!(store.archive().presence.of(hw(7)).is_some_and(|known| known.first_wall_ms > 0));
}

#[test]
fn the_newest_five_thousand_notes_and_thirty_one_days_are_kept() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    heard(&store, 1);
    store.is_closing = true;
    store.commit_now(&[]).expect("commits");
    let today = store.archive().presence_of(hw(1)).expect("reads")[0].day;
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
         INSERT INTO journal SELECT i, 'run', i, 0, 0, 1 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO presence SELECT hw, {today} - i, 1 FROM n, device;
         INSERT INTO presence VALUES (x'0102', {today}, 1)"
    );
    store.connection.execute_batch(&sql).expect("rows of long ago");
    // As after a start: another day, to look for what is old.
    store.diary = Diary::new(crate::runtime::store::diary::known(&store.connection).expect("reads"));
    store.archive().journal.note(Kind::Run, "now");
    heard(&store, 2);
    store.commit_now(&[]).expect("commits");
    let count = |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, u32>(0)).expect("a number");
    assert_eq!(count("SELECT count(*) FROM journal"), NOTES_KEPT);
    let days = store.archive().presence_of(hw(1)).expect("reads");
    assert_eq!((days.len(), days[0].day), (DAYS_KEPT as usize, today + 1 - DAYS_KEPT));
    assert_eq!(count("SELECT count(*) FROM presence WHERE hw = x'0102'"), 0, "of a device that nobody knows any more");
}

#[test]
fn hours_of_one_day_are_joined() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    store.is_closing = true;
    heard(&store, 1);
    store.commit_now(&[]).expect("commits");
    let day = store.archive().presence_of(hw(1)).expect("reads")[0].day;
    store.connection.execute("UPDATE presence SET hours = CASE hours WHEN 1 THEN 2 ELSE 1 END", []).expect("another hour");
    let other = store.archive().presence_of(hw(1)).expect("reads")[0].hours;
    let (mut store, _) = {
        drop(store);
        folder.open()
    };
    store.is_closing = true;
    heard(&store, 1);
    let seen = store.archive().presence_of(hw(1)).expect("reads");
    store.commit_now(&[]).expect("commits");
    let written = store.archive().presence_of(hw(1)).expect("reads");
    assert_eq!(seen, written);
    assert!(written.iter().any(|Day { day: d, hours }| *d >= day && hours & other == other || *d > day), "{written:?}");
}

#[test]
fn a_note_that_the_schema_refuses_costs_no_commit() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    store
        .connection
        .execute_batch("CREATE TRIGGER t BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'no'); END")
        .expect("made");
    store.archive().journal.note(Kind::Run, "refused");
    store.commit_now(&[Change::Bind(lease(1))]).expect("commits all the same");
    drop(store);
    assert_eq!(folder.open().1.bindings, [lease(1)]);
}

#[test]
fn what_a_failing_disk_did_not_take_is_written_later() {
    let folder = Folder::new();
    let (mut store, _) = folder.open();
    store.archive().journal.note(Kind::Run, "kept");
    heard(&store, 1);
    store.is_closing = true;
    let refused = Change::Bind(Binding { host_name: Some("x".repeat(300).into()), ..lease(1) });
    store.commit_now(&[refused]).expect_err("refused");
    assert_eq!(texts(&store.archive().notes(9, None, None, "").expect("reads")), [(false, "kept", 1)]);
    store.commit_now(&[]).expect("commits");
    assert_eq!(texts(&store.archive().notes(9, None, None, "").expect("reads")), [(true, "kept", 1)]);
    assert!(store.archive().presence.unwritten(hw(1)).is_empty());
    assert_eq!(store.archive().presence_of(hw(1)).expect("reads").len(), 1);
}
