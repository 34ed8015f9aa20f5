//! What an open page shows by itself: a lease as it is made, that it is not live any more, and nothing under somebody's hands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::browser::{Browser, Scripts};
use crate::enter;
use crate::house::House;
use crate::pair::{Pair, Side};

/// A page opens its stream after it was loaded.
const OPENED: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(8);
/// The promise is a second; a machine on which other tests run may take longer.
const SOON_MS: i64 = 3000;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 200000000")
}

#[test]
fn a_new_lease_is_on_an_open_page_of_either_twin_without_a_reload() {
    let Some(lab) = enter("live::a_new_lease_is_on_an_open_page_of_either_twin_without_a_reload") else { return };
    let house = House::new(&lab, "live");
    house.device("phone").start(&["hostname=phone"]);
    let browser = Browser::signed_in(&house, Scripts::On);
    for (side, name) in [(Side::A, "tablet"), (Side::B, "kettle")] {
        browser.visit(side, "/devices");
        browser.wait_until_it_says("#found", "phone", SOON);
        std::thread::sleep(OPENED);
        browser.run(&format!(
            "window.isSame = true; window.seen = null;
             new MutationObserver(() => {{
               if (!window.seen && document.getElementById('found').textContent.includes('{name}')) window.seen = Date.now();
             }}).observe(document.body, {{ childList: true, subtree: true, characterData: true }});"
        ));
        let lease = house.device(name).start(&[&format!("hostname={name}")]);
        let has_it_ms = now_ms();
        let address = lease.address().parse().expect("an address");
        house.twins.wait_until("this twin has it too", SOON, || house.twins.holders(side).contains_key(&address));
        browser.wait_until_it_says("#found", name, SOON);
        assert_eq!(browser.run("return window.isSame"), true, "the page was not loaded anew");
        let late_ms = browser.run("return window.seen").as_i64().expect("it was seen") - has_it_ms;
        println!("{name} was on the page of {side:?} {late_ms} ms after its client said that it has its lease");
        assert!(late_ms < SOON_MS, "{late_ms} ms");
    }
    browser.assert_content();
}

#[test]
fn a_page_whose_server_is_gone_says_so_and_asks_for_the_password_when_it_is_back() {
    let Some(lab) = enter("live::a_page_whose_server_is_gone_says_so_and_asks_for_the_password_when_it_is_back") else {
        return;
    };
    let mut house = House::new(&lab, "gone");
    let browser = Browser::signed_in(&house, Scripts::On);
    browser.visit(Side::A, "/devices");
    std::thread::sleep(OPENED);
    assert!(!browser.has("body.is-stale"));
    house.twins.kill(Side::A);
    browser.wait_until_it_says("#not-live", "Not live since", SOON);
    assert!(browser.has("body.is-stale"), "what is not live is grey");
    house.twins.start(Side::A);
    house.twins.wait_until_together();
    // It tries again every few seconds; sessions end with the server.
    browser.find("input[type=password]");
    browser.sign_in();
    assert_eq!(browser.path(), "/devices", "where it was");
}

#[test]
fn a_row_that_somebody_is_at_stays_as_it_is_until_they_leave_it() {
    let Some(lab) = enter("live::a_row_that_somebody_is_at_stays_as_it_is_until_they_leave_it") else { return };
    let house = House::new(&lab, "focus");
    let lease = house.device("phone").start(&["hostname=phone"]);
    let browser = Browser::signed_in(&house, Scripts::On);
    browser.visit(Side::A, "/devices");
    browser.wait_until_it_says("#found", "phone", SOON);
    std::thread::sleep(OPENED);
    let mac = lab.mac("phone");
    let row = format!("device-{}", mac.replace(':', "-"));
    browser.run(&format!("const row = document.getElementById('{row}'); row.mark = 'mine'; row.querySelector('input').focus();"));
    // The row changes, and another one comes.
    house.twins.ask(Side::B, &["reservations", "add", lease.address(), "--mac", &mac, "--name", "phone"]);
    house.device("tablet").start(&["hostname=tablet"]);
    browser.wait_until_it_says("#found", "tablet", SOON);
    let at_work = browser.run(&format!(
        "const row = document.getElementById('{row}');
         return [row.mark, row.contains(document.activeElement), row.textContent.includes('Kept')];"
    ));
    assert_eq!(at_work, serde_json::json!(["mine", true, false]));
    browser.run("document.activeElement.blur();");
    browser.wait_until_it_says(&format!("#{row}"), "Kept", SOON);
    browser.assert_content();
}

#[test]
fn the_page_of_a_device_and_every_tab_of_activity_go_on_by_themselves() {
    let Some(lab) = enter("live::the_page_of_a_device_and_every_tab_of_activity_go_on_by_themselves") else { return };
    let mut house = House::new(&lab, "follow");
    let lease = house.device("phone").start(&["hostname=phone"]);
    let mac = lab.mac("phone");
    let browser = Browser::signed_in(&house, Scripts::On);
    let active = house.twins.active();
    let is_same = || assert_eq!(browser.run("return window.isSame"), true, "{} was loaded anew", browser.path());
    let open = |path: &str| {
        browser.visit(active, path);
        std::thread::sleep(OPENED);
        browser.run("window.isSame = true;");
    };

    open("/activity");
    browser.wait_until_it_says("#feed", "phone", SOON);
    browser.click("#feed li:last-child summary");
    let row = browser.run("return document.querySelector('#feed details[open]').closest('li').id");
    let row = row.as_str().expect("rows have ids");
    house.device("tablet").start(&["hostname=tablet"]);
    browser.wait_until_it_says("#feed", "tablet", SOON);
    assert!(browser.has(&format!("#{row} details[open]")), "what somebody has opened stays open: {}", browser.text("#feed"));
    is_same();

    open(&format!("/devices/{}", mac.replace(':', "-")));
    browser.fill("#note", "mine");
    browser.run("document.activeElement.blur();");
    house.twins.ask(active.other(), &["reservations", "add", lease.address(), "--mac", &mac, "--name", "phone"]);
    browser.wait_until_it_says("#device-about", "Kept", SOON);
    assert_eq!(browser.value("#note"), "mine", "a form that somebody fills in is left alone");
    is_same();
    // Overtaken, it says so, and what was typed is there still; nothing takes it away.
    browser.click(".keep-form button.primary");
    browser.wait_until_it_says("main", "Somebody else has changed this meanwhile", SOON);
    std::thread::sleep(OPENED * 3);
    assert_eq!(browser.value("#note"), "mine");

    open("/activity/changes");
    house.twins.ask(active.other(), &["reservations", "remove", "phone"]);
    browser.wait_until_it_says("#feed li:first-child", "phone", SOON);
    is_same();

    open("/activity/log");
    browser.run("document.querySelector('#feed li').mark = 'first';");
    house.device("kettle").start(&["hostname=kettle"]);
    browser.wait_until_it_says("#feed li:first-child", &lab.mac("kettle"), SOON);
    let place = browser.run("return [...document.querySelectorAll('#feed li')].findIndex((row) => row.mark === 'first')");
    assert!(place.as_i64().is_some_and(|place| place > 0), "the lines that were there moved down as they are: {place}");
    is_same();

    open("/activity/system");
    house.twins.kill(active.other());
    browser.wait_until_it_says("#feed li:first-child", "Twins", SOON);
    is_same();
    browser.assert_content();
}
