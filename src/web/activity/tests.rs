//! The pages with what strangers can put into them, and with nothing at all.

use std::sync::Arc;

use super::*;
use crate::{
    protocol::{
        explain::{Asked, Decision, Outcome, Silence, Step as Reason},
        lease::HwAddr,
        node::Noted,
        replica::Edited,
        time::Time,
    },
    runtime::{
        journal::{Kind, Note},
        store::Step,
    },
    settings::{Identifier, Record, Reservation, access::Access},
    web::{House, devices::example, guard::Guards, scratch::Scratch, shell::Shell},
};

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{0}";

fn house() -> House {
    example::house("", Vec::new())
}

fn shell() -> Shell {
    Shell::outside(&house(), "Activity")
}

fn decision(nth: u8, name: &str, repeats: u32) -> Arc<Decision> {
    let network = "192.0.2.0/24".parse().expect("a network");
    Arc::new(Decision {
        at: Time(1000),
        hw: HwAddr::ethernet([2, 0, 0, 0, 0, nth]),
        name: Some(name.into()),
        asked: Asked::Discover,
        xid: 7,
        steps: vec![Reason::NotKept],
        outcome: Outcome::Silent { why: Silence::PoolFull { network, size: 50, aside: 0, is_half: false } },
        repeats,
        last_at: Time(1000 + 13 * 3_600_000),
    })
}

fn step(id: u64, by: &str, name: &str) -> Step {
    let kept = |address: u8| {
        Record::Reservation(Reservation {
            identifier: Identifier::Mac(HwAddr::ethernet([2, 0, 0, 0, 0, 1])),
            address: [192, 0, 2, address].into(),
            name: Some(name.into()),
            note: None,
            options: Default::default(),
            force_broadcast: false,
            echo_client_id: true,
        })
    };
    let (before, after) = (Some(kept(5)), Some(kept(6)));
    let edited = Edited { by: by.into(), wall_ms: 1_700_000_000_000 };
    let noted = Noted { id, step: id, edited, on_twin: true, key: kept(5).key(), before, after };
    Step { id, wall_ms: 1_700_000_000_000, by: by.into(), on_twin: true, records: vec![noted], total: 1 }
}

fn is_tame(html: &str) {
    assert!(!html.contains("<script>alert") && !html.contains("\"'&"), "{html}");
    assert!(html.contains("&#60;script&#62;alert(1)"), "what it says is shown: {html}");
}

#[test]
fn what_strangers_wrote_is_text() {
    is_tame(&devices::page_of(shell(), &house(), &[decision(1, HOSTILE, 0)], "", "", 0));
    is_tame(&changes::page_of(shell(), vec![step(1, HOSTILE, HOSTILE)], "", None));
    is_tame(&changes::page_of(shell(), vec![], HOSTILE, Some(HOSTILE.into())));
    let note = Note { kind: Kind::Rival, text: HOSTILE.into(), first_wall_ms: 0, last_wall_ms: 0, times: 1 };
    is_tame(&system::page_of(shell(), vec![(None, note)], ""));
    // Into the fields and the addresses of the next page too.
    let many: Vec<_> = (0..60).map(|nth| decision(nth, "x\"><b>y", 0)).collect();
    let html = devices::page_of(shell(), &house(), &many, "x\"><b>", "", 1);
    assert!(!html.contains("\"><b>") && html.contains("q=x%22%3E%3Cb%3E"), "{html}");
}

#[test]
fn repeats_are_told_once_and_how_often() {
    let html = devices::page_of(shell(), &house(), &[decision(1, "tv", 779)], "", "", 0);
    assert!(html.contains("780 times in 13 h, never answered") && html.contains("is full, 50 of 50"), "{html}");
    assert!(html.contains("no address is kept for it") && html.contains("/devices/02-00-00-00-00-01"), "{html}");
}

#[test]
fn the_feed_is_found_by_name_mac_and_words_page_by_page() {
    let decisions: Vec<_> = (0..120).map(|nth| decision(nth, if nth == 7 { "tv" } else { "lamp" }, 0)).collect();
    let rows =
        |q: &str, page| devices::page_of(shell(), &house(), &decisions, q, "trouble", page).matches("<li id=\"row-").count();
    assert_eq!((rows("TV", 1), rows("02-00-00-00-00-07", 1), rows("pool", 1), rows("printer", 1)), (1, 1, PAGE_ROWS, 0));
    assert_eq!((rows("", 0), rows("", 3), rows("", 99)), (PAGE_ROWS, 20, 20));
    let html = devices::page_of(shell(), &house(), &decisions, "", "", 2);
    assert!(html.contains("page=1\"") && html.contains("page=3\""), "{html}");
}

#[test]
fn a_change_shows_who_before_and_after_and_how_to_take_it_back() {
    let html = changes::page_of(shell(), vec![step(41, "Home Assistant", "nas")], "", None);
    assert!(html.contains("Home Assistant, on the twin") && html.contains("changed the kept address 192.0.2.6 (nas)"), "{html}");
    assert!(html.contains("action=\"/activity/changes/41/revert\""), "{html}");
    assert!(html.contains("192.0.2.5") && html.matches("<dt").count() == 1, "{html}");
    let mut access = step(42, "dashboard", "nas");
    access.records[0].key = crate::settings::RecordKey::Access;
    (access.records[0].before, access.records[0].after) = (None, Some(Record::Access(Access::default())));
    let html = changes::page_of(shell(), vec![access], "", None);
    assert!(html.contains("who may sign in") && !html.contains("/revert"), "{html}");
}

#[test]
fn many_changes_at_once_are_one_row_with_the_way_to_all_of_them() {
    let mut import = step(1, "command line", "nas");
    import.records.push(import.records[0].clone());
    import.total = 240;
    let html = changes::page_of(shell(), vec![import], "", None);
    assert!(html.contains("changed 240 settings at once") && html.contains("and 238 more"), "{html}");
    let many: Vec<_> = (1..=PAGE_ROWS as u64 + 1).rev().map(|id| step(id, "x", "nas")).collect();
    let html = changes::page_of(shell(), many, "na s", None);
    assert!(html.contains("q=na%20s&#38;before=2") && !html.contains("id=\"change-1\""), "{html}");
}

#[test]
fn the_log_is_shown_latest_first_is_searched_and_does_nothing() {
    let lines = ["2026-11-22T10:24:20Z  INFO starts", "2026-11-22T10:24:21Z  WARN the link", HOSTILE];
    let html = log::page_of(shell(), &lines, "");
    is_tame(&html);
    let places = ["alert(1)", "the link", "starts"].map(|words| html.find(words));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{html}");
    assert_eq!(html.matches("mono trouble").count(), 1, "{html}");
    let html = log::page_of(shell(), &lines, "LINK");
    assert!(html.contains("the link") && !html.contains("starts"), "{html}");
    let many: Vec<String> = (0..400).map(|number| format!("line {number}.")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let html = log::page_of(shell(), &many, "");
    assert!(
        html.contains("line 399.") && !html.contains("line 99.") && html.contains("100 older lines are in the file"),
        "{html}"
    );
}

#[test]
fn where_nothing_is_each_page_says_what_will_be_there() {
    let pages = [
        (devices::page_of(shell(), &house(), &[], "", "", 0), "Nobody has asked yet"),
        (devices::page_of(shell(), &house(), &[], "x", "", 0), "Nothing like that"),
        (changes::page_of(shell(), vec![], "", None), "Nothing was changed yet"),
        (changes::page_of(shell(), vec![], "x", None), "Nothing like that"),
        (system::page_of(shell(), vec![], ""), "Nothing happened yet"),
        (log::page_of(shell(), &[], ""), "Nothing was said yet"),
        (log::page_of(shell(), &["a line"], "x"), "Nothing like that"),
    ];
    for (html, told) in pages {
        assert!(html.contains(told), "{told}: {html}");
        assert_eq!(html.matches("aria-current=\"page\"").count(), 1, "{html}");
    }
}

#[tokio::test]
async fn the_newest_page_is_live_and_an_earlier_one_stays_as_it_is() {
    let mut browser = Scratch::claimed(Guards::ALL);
    browser.sign_in().await;
    let pages = [
        ("/activity", "activity"),
        ("/activity?q=tv&page=1", "activity"),
        ("/activity?page=2", ""),
        ("/activity/system", "system"),
        ("/activity/system?before=9", ""),
        ("/activity/changes", "changes"),
        ("/activity/changes?before=9", ""),
        ("/activity/log", "log"),
    ];
    for (path, name) in pages {
        let told = browser.get(path).await;
        assert!(told.body.contains(&format!("data-page=\"{name}\"")), "{path}: {}", told.body);
    }
}

#[test]
fn rows_are_known_again_while_others_come_above_them() {
    let before = row_ids([30, 20, 20, 10]);
    let after = row_ids([40, 30, 20, 20, 10]);
    assert_eq!(before, after[1..]);
    assert_ne!(before[1], before[2]);
}
