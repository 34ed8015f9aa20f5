//! What an open page shows by itself: a lease as it is made, that it is not live any more, and nothing under somebody's hands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::browser::{Browser, Scheme, Scripts};
use crate::enter;
use crate::house::House;
use crate::lab::wait_until;
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

/// In one world: it takes longer to make one than to look.
#[test]
fn open_pages_go_on_by_themselves_and_leave_alone_what_somebody_is_at() {
    let Some(lab) = enter("live::open_pages_go_on_by_themselves_and_leave_alone_what_somebody_is_at") else { return };
    let house = House::new(&lab, "live");
    let phone = house.device("phone").start(&["hostname=phone"]);
    let browser = Browser::signed_in(&house, Scripts::On);
    a_new_lease_is_on_an_open_page_of_either_twin_without_a_reload(&house, &browser);
    a_row_that_somebody_is_at_stays_as_it_is_until_they_leave_it(&house, &browser, phone.address());
    the_map_goes_on_and_leaves_a_focused_cell_and_a_drag_alone(&house, &browser);
    browser.assert_content();
}

fn a_new_lease_is_on_an_open_page_of_either_twin_without_a_reload(house: &House<'_>, browser: &Browser) {
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

fn a_row_that_somebody_is_at_stays_as_it_is_until_they_leave_it(house: &House<'_>, browser: &Browser, address: &str) {
    browser.visit(Side::A, "/devices");
    browser.wait_until_it_says("#found", "phone", SOON);
    std::thread::sleep(OPENED);
    let mac = house.lab.mac("phone");
    let row = format!("device-{}", mac.replace(':', "-"));
    browser.run(&format!("const row = document.getElementById('{row}'); row.mark = 'mine'; row.querySelector('input').focus();"));
    // The row changes, and another one comes.
    house.twins.ask(Side::B, &["reservations", "add", address, "--mac", &mac, "--name", "phone"]);
    house.device("radio").start(&["hostname=radio"]);
    browser.wait_until_it_says("#found", "radio", SOON);
    let at_work = browser.run(&format!(
        "const row = document.getElementById('{row}');
         return [row.mark, row.contains(document.activeElement), row.textContent.includes('Kept')];"
    ));
    assert_eq!(at_work, serde_json::json!(["mine", true, false]));
    browser.run("document.activeElement.blur();");
    browser.wait_until_it_says(&format!("#{row}"), "Kept", SOON);
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

/// Dispatches what a mouse does, at the cell of this address.
fn mouse(browser: &Browser, kind: &str, last: u8, is_pressed: bool) {
    let place = browser.run(&format!(
        "const cell = document.querySelector('[data-last=\"{last}\"]');
         cell.scrollIntoView({{ block: 'center' }});
         const box = cell.getBoundingClientRect();
         return [box.x + box.width / 2, box.y + box.height / 2];"
    ));
    let is_button = if kind == "mouseMoved" { "none" } else { "left" };
    let parameters = serde_json::json!({
        "type": kind, "x": place[0], "y": place[1], "button": is_button, "buttons": u8::from(is_pressed), "clickCount": 1,
    });
    browser.cdp("Input.dispatchMouseEvent", parameters);
}

fn the_map_goes_on_and_leaves_a_focused_cell_and_a_drag_alone(house: &House<'_>, browser: &Browser) {
    browser.look_as(1280, Scheme::Light);
    let keep = |last: u8| {
        let words = [&format!("10.77.0.{last}"), "--mac", &format!("02:00:5e:00:53:{last:02x}"), "--name", "lamp"];
        house.twins.ask(Side::B, &[&["reservations", "add"], words.as_slice()].concat());
    };
    let class = |last: u8| {
        let class = browser.run(&format!("return document.querySelector('[data-last=\"{last}\"]').classList[1]"));
        class.as_str().map(ToOwned::to_owned).unwrap_or_default()
    };
    let wait_for = |last: u8, wanted: &str| wait_until(&format!(".{last} is {wanted}"), SOON, || class(last) == wanted);
    browser.visit(Side::A, "/map");
    std::thread::sleep(OPENED);
    browser.run(
        "window.isSame = true; window.seen = null;
         const count = () => document.querySelectorAll('#addresses .map .leased').length;
         const before = count();
         new MutationObserver(() => {
           if (!window.seen && count() > before) window.seen = Date.now();
         }).observe(document.body, { childList: true, subtree: true, attributes: true });",
    );
    let lease = house.device("clock").start(&["hostname=clock"]);
    let has_it_ms = now_ms();
    let last: u8 = lease.address().rsplit('.').next().and_then(|last| last.parse().ok()).expect("an address");
    wait_for(last, "leased");
    let late_ms = browser.run("return window.seen").as_i64().expect("it was seen") - has_it_ms;
    println!("the lease was on the map {late_ms} ms after its client said that it has it");
    assert!(late_ms < SOON_MS, "{late_ms} ms");

    // At a cell by keys: it stays, the others go on.
    browser.run("const cell = document.querySelector('.map [data-last=\"150\"]'); cell.mark = 'mine'; cell.focus();");
    keep(150);
    keep(151);
    wait_for(151, "absent");
    let at_work = browser.run("const cell = document.activeElement; return [cell.mark, cell.classList[1]];");
    assert_eq!(at_work, serde_json::json!(["mine", "free"]));
    browser.run("document.activeElement.blur();");
    wait_for(150, "absent");

    // While somebody drags, nothing moves; what was dragged over stays marked.
    mouse(browser, "mousePressed", 160, true);
    mouse(browser, "mouseMoved", 163, true);
    let picked = || browser.run("return document.querySelectorAll('[data-picked]').length");
    assert_eq!(picked(), 4, "{}", browser.text("#range-said"));
    keep(161);
    house.twins.wait_until("both know", SOON, || house.twins.ask(Side::A, &["reservations", "list"]).contains("10.77.0.161"));
    std::thread::sleep(OPENED);
    assert_eq!((class(161).as_str(), picked()), ("free", 4.into()));
    mouse(browser, "mouseReleased", 163, false);
    wait_for(161, "absent");
    assert_eq!((picked(), browser.value("#from"), browser.value("#to")), (4.into(), "10.77.0.160".into(), "10.77.0.163".into()));
    assert_eq!(browser.run("return window.isSame"), true, "the page was not loaded anew");

    browser.click_words("//main", "As list");
    std::thread::sleep(OPENED);
    house.twins.ask(Side::B, &["reservations", "remove", "10.77.0.161"]);
    wait_until("the list goes on, too", SOON, || browser.text("#at-161").contains("free"));
}
