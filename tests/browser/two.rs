//! Two people, a browser on each twin, and one kept address.

use std::time::Duration;

use crate::browser::{Browser, Scripts};
use crate::enter;
use crate::house::House;
use crate::pair::{Pair, Side};

const SOON: Duration = Duration::from_secs(8);
/// What the twins tell each other every few seconds.
const A_WHILE: Duration = Duration::from_secs(15);

struct Lamp {
    mac: String,
    page: String,
}

/// A lamp whose address is kept, known to both.
fn lamp(house: &House<'_>) -> Lamp {
    let lease = house.device("lamp").start(&["hostname=lamp"]);
    let mac = house.lab.mac("lamp");
    house.twins.ask(Side::A, &["reservations", "add", lease.address(), "--mac", &mac, "--name", "lamp"]);
    let lamp = Lamp { page: format!("/devices/{}", mac.replace(':', "-")), mac };
    for side in Side::BOTH {
        wait_until_named(house, side, &lamp, "lamp");
    }
    lamp
}

fn wait_until_named(house: &House<'_>, side: Side, lamp: &Lamp, name: &str) {
    house.twins.wait_until(&format!("{side:?} calls {} {name}", lamp.mac), SOON, || {
        let kept: serde_json::Value =
            serde_json::from_str(&house.twins.ask(side, &["reservations", "list", "--json"])).unwrap_or_default();
        kept.as_array().is_some_and(|kept| kept.iter().any(|kept| kept["name"] == name))
    });
}

fn rename(browser: &Browser, name: &str) {
    browser.fill("#name", name);
    browser.click(".keep-form button.primary");
}

#[test]
fn the_second_of_two_who_edit_a_kept_address_is_told_and_sees_both_versions() {
    let Some(lab) = enter("two::the_second_of_two_who_edit_a_kept_address_is_told_and_sees_both_versions") else { return };
    let house = House::new(&lab, "two");
    let lamp = lamp(&house);
    let [first, second] = [Side::A, Side::B].map(|side| {
        let browser = Browser::signed_in(&house, Scripts::On);
        browser.visit(side, &lamp.page);
        browser
    });
    rename(&second, "lamp-of-b");
    second.wait_for_notice("is kept for lamp-of-b");
    assert!(!second.text(".notice").contains("only"), "the twin is there: {}", second.text(".notice"));
    wait_until_named(&house, Side::A, &lamp, "lamp-of-b");

    rename(&first, "lamp-of-a");
    first.wait_until_it_says("main", "Somebody else has changed this meanwhile.", SOON);
    let both = first.text("table.clash");
    assert!(both.contains("lamp-of-a") && both.contains("lamp-of-b"), "{both}");
    wait_until_named(&house, Side::B, &lamp, "lamp-of-b");
    first.click_words("//main", "Save mine");
    first.wait_for_notice("is kept for lamp-of-a");
    wait_until_named(&house, Side::B, &lamp, "lamp-of-a");
    first.assert_content();
    second.assert_content();
}

#[test]
fn what_two_edit_while_the_twins_are_apart_says_where_it_is_and_waits_for_a_choice_on_both() {
    let Some(lab) = enter("two::what_two_edit_while_the_twins_are_apart_says_where_it_is_and_waits_for_a_choice_on_both") else {
        return;
    };
    let house = House::new(&lab, "apart");
    let lamp = lamp(&house);
    let browser = Browser::signed_in(&house, Scripts::On);
    let route = |word: &str| {
        for side in Side::BOTH {
            let other = format!("{}/32", side.other().address());
            lab.exec(side.host(), &["ip", "route", word, "blackhole", &other]);
        }
    };
    route("add");
    house.twins.wait_until("both are alone", SOON, || {
        Side::BOTH.into_iter().all(|side| house.twins.state(side) == "communications-interrupted")
    });
    for (side, name) in [(Side::A, "lamp-west"), (Side::B, "lamp-east")] {
        browser.visit(side, &lamp.page);
        rename(&browser, name);
        browser.wait_for_notice(&format!("is kept for {name}"));
        let notice = browser.text(".notice");
        assert!(notice.contains("Saved on") && notice.contains("only:") && notice.contains("is not reachable"), "{notice}");
    }
    route("del");
    house.twins.wait_until_together();
    for side in Side::BOTH {
        browser.visit(side, "/twins");
        browser.wait_until_it_says("#boxes", "changed on both while they were apart", SOON);
        browser.click_words("//*[@id='boxes']", "Choose");
        let versions = browser.text("main");
        assert!(versions.contains("lamp-west") && versions.contains("lamp-east"), "{side:?}: {versions}");
    }
    browser.click_words("//main", "Take this");
    browser.visit(Side::A, "/twins");
    let is_settled = || !browser.text("#boxes").contains("changed on both");
    house.twins.wait_until("it is settled on A too", SOON, is_settled);
    let named = |side: Side| house.twins.ask(side, &["reservations", "list"]);
    assert_eq!(named(Side::A), named(Side::B));
    assert!(named(Side::A).contains("lamp-west") != named(Side::A).contains("lamp-east"), "{}", named(Side::A));
    browser.assert_content();
}

#[test]
fn who_is_new_is_the_same_on_both_though_one_of_them_was_off_when_it_came() {
    let Some(lab) = enter("two::who_is_new_is_the_same_on_both_though_one_of_them_was_off_when_it_came") else { return };
    let mut house = House::new(&lab, "same");
    house.device("phone").start(&["hostname=phone"]);
    let browser = Browser::signed_in(&house, Scripts::On);
    house.twins.kill(Side::B);
    house.twins.wait_until("A answers alone", SOON, || house.twins.state(Side::A) == "communications-interrupted");
    house.device("printer").start(&["hostname=printer"]);
    house.twins.start(Side::B);
    house.twins.wait_until_together();
    house.device("tv").start(&["hostname=tv"]);
    let new_on = |side: Side| {
        browser.visit(side, "/");
        browser.sign_in();
        for name in ["phone", "printer", "tv"] {
            browser.wait_until_it_says("#house [id^=new-]", name, A_WHILE);
        }
        // In their order, and since when they are known.
        browser.run("return [...document.querySelectorAll('#house [id^=new-]')].map((row) => row.id)")
    };
    assert_eq!(new_on(Side::A), new_on(Side::B));
    // And each says when it was heard first.
    let page = format!("/devices/{}", house.lab.mac("printer").replace(':', "-"));
    for side in Side::BOTH {
        browser.visit(side, &page);
        browser.wait_until_it_says("#device-about", "for the first time", SOON);
    }
    browser.assert_content();
}
