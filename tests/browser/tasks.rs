//! What an owner does most, counted in clicks from Home: with scripts on a laptop, and without them on a phone.

use std::time::Duration;

use crate::browser::{Browser, Scheme, Scripts};
use crate::crafted::{DISCOVER, OFFER, Plug, Query, mac};
use crate::enter;
use crate::house::House;
use crate::pair::Side;

const SOON: Duration = Duration::from_secs(8);

/// Devices as another system's table has them.
const TABLE: &str = "mac,ipaddr,hostname\n02:00:5e:00:53:31,10.77.0.31,camera\n02:00:5e:00:53:32,10.77.0.32,scales\n";

#[test]
fn every_task_is_done_within_its_clicks_on_a_laptop() {
    let Some(lab) = enter("tasks::every_task_is_done_within_its_clicks_on_a_laptop") else { return };
    let house = House::new(&lab, "laptop");
    let browser = Browser::signed_in(&house, Scripts::On);
    browser.look_as(1280, Scheme::Light);
    tasks(&house, &browser, Scripts::On);
}

#[test]
fn every_task_is_done_within_its_clicks_on_a_phone() {
    let Some(lab) = enter("tasks::every_task_is_done_within_its_clicks_on_a_phone") else { return };
    let house = House::new(&lab, "handy");
    let browser = Browser::signed_in(&house, Scripts::On);
    browser.look_as(360, Scheme::Light);
    tasks(&house, &browser, Scripts::On);
}

#[test]
fn every_task_is_done_within_its_clicks_on_a_laptop_without_scripts() {
    let Some(lab) = enter("tasks::every_task_is_done_within_its_clicks_on_a_laptop_without_scripts") else { return };
    let house = House::new(&lab, "desk");
    let browser = Browser::signed_in(&house, Scripts::Off);
    browser.look_as(1280, Scheme::Dark);
    tasks(&house, &browser, Scripts::Off);
}

#[test]
fn every_task_is_done_within_its_clicks_on_a_phone_without_scripts() {
    let Some(lab) = enter("tasks::every_task_is_done_within_its_clicks_on_a_phone_without_scripts") else { return };
    let house = House::new(&lab, "phone");
    let browser = Browser::signed_in(&house, Scripts::Off);
    browser.look_as(360, Scheme::Dark);
    tasks(&house, &browser, Scripts::Off);
    tag_several(&house, &browser);
}

fn tasks(house: &House<'_>, browser: &Browser, scripts: Scripts) {
    house.furnish();
    browser.home();
    browser.wait_until_it_says("#house", "printer", SOON);
    find_a_device(house, browser, scripts);
    see_whether_failover_is_all_right(browser);
    keep_an_address(house, browser, scripts);
    keep_several(house, browser);
    see_why(browser);
    add_a_device(browser);
    see_what_is_free(browser);
    take_a_change_back(browser);
    move_in(house, browser, scripts);
    browser.assert_content();
}

fn find_a_device(house: &House<'_>, browser: &Browser, scripts: Scripts) {
    let mac = house.lab.mac("printer");
    for wanted in ["prin", &mac[9..].replace(':', "-"), &mac[9..].replace(':', "").to_uppercase()] {
        find(browser, scripts, wanted);
    }
}

/// Without scripts the form has to be sent.
fn find(browser: &Browser, scripts: Scripts, wanted: &str) {
    browser.home();
    if scripts == Scripts::On {
        browser.press("body", "/");
        assert_eq!(browser.run("return document.activeElement.id"), "q", "`/` leads to the box");
    }
    browser.fill("#q", wanted);
    if scripts == Scripts::Off {
        browser.click_words("//main", "Find");
    }
    browser.find("#found a[href^='/devices/']");
    browser.wait_until_it_says("#found", "printer", SOON);
    assert!(!browser.text("#found").contains("phone"), "`{wanted}` is the printer's: {}", browser.text("#found"));
    assert_eq!(browser.clicks(), u32::from(scripts == Scripts::Off), "to find `{wanted}`");
}

fn see_whether_failover_is_all_right(browser: &Browser) {
    for page in ["/", "/devices", "/map", "/activity", "/twins", "/settings"] {
        browser.go(page);
        browser.wait_until_it_says("#state", "Both twins healthy.", SOON);
    }
}

fn keep_an_address(house: &House<'_>, browser: &Browser, scripts: Scripts) {
    let kept = || house.twins.ask(Side::A, &["reservations", "list"]);
    browser.home();
    browser.click("#house button[aria-label='Keep the address of printer']");
    browser.wait_for_notice("printer");
    assert_eq!(browser.clicks(), 1, "to keep the address that it has");
    assert!(kept().contains("printer"), "{}", kept());
    browser.click_words("//main", "Undo");
    browser.wait_for_notice("Taken back");
    assert!(!kept().contains("printer"), "{}", kept());

    browser.home();
    browser.click_words("//*[@id='house']", "printer");
    browser.fill("#address", ".57");
    browser.fill("#note", "In the study");
    browser.click(".keep-form button.primary");
    browser.wait_for_notice("10.77.0.57 is kept for printer");
    assert_eq!(browser.clicks(), 2, "to keep another address");
    for wanted in [".57", "STUDY"] {
        find(browser, scripts, wanted);
    }
}

/// One change, one Undo; refused where one of them was changed since.
fn keep_several(house: &House<'_>, browser: &Browser) {
    let kept = || house.twins.ask(Side::A, &["reservations", "list"]);
    let keep = || {
        browser.home();
        browser.click_words("//nav", "Devices");
        for name in ["phone", "tv"] {
            browser.click(&format!("input[aria-label='Tick {name}']"));
        }
        browser.click_words("//main", "Keep the ticked");
        browser.wait_for_notice("2 devices keep their addresses: ");
        assert_eq!(browser.clicks(), 4, "to keep two: the list, two ticks and Keep");
    };
    keep();
    assert!(kept().contains("phone") && kept().contains("tv"), "{}", kept());
    browser.click_words("//main", "Undo");
    browser.wait_for_notice("Taken back: changed 2 settings at once.");
    assert!(!kept().contains("phone") && !kept().contains("tv") && kept().contains("printer"), "{}", kept());

    keep();
    house.twins.ask(Side::B, &["reservations", "remove", "tv"]);
    house.twins.wait_until("A knows", SOON, || !kept().contains("tv"));
    browser.click_words("//main", "Undo");
    browser.find("main [role=alert]");
    let refusal = browser.text("main [role=alert]");
    assert!(refusal.contains("are not taken back together"), "{refusal}");
    assert!(kept().contains("phone"), "{}", kept());
    house.twins.ask(Side::B, &["reservations", "remove", "phone"]);
}

/// One change, one Undo: also the addresses that were kept with it.
fn tag_several(house: &House<'_>, browser: &Browser) {
    let export = || house.twins.ask(Side::A, &["export"]);
    let before = export();
    browser.home();
    browser.click_words("//nav", "Devices");
    for name in ["phone", "printer"] {
        browser.click(&format!("input[aria-label='Tick {name}']"));
    }
    browser.fill("#tag", "two words");
    browser.click_words("//main", "Tag the ticked");
    assert!(browser.text("#tag-error").contains("is no tag"), "{}", browser.text("main"));
    assert_eq!(browser.all("td.tick input:checked").len(), 2, "the ticks are there still");
    browser.fill("#tag", "Study");
    browser.click_words("//main", "Tag the ticked");
    browser.wait_for_notice("2 devices have the tag #study: ");
    assert_eq!(browser.all("a.badge.tag[href='/devices?q=%23study']").len(), 2);
    assert!(export().contains("#study"), "{}", export());
    browser.click_words("//main", "Undo");
    browser.wait_for_notice("Taken back");
    assert_eq!(export(), before);
    browser.assert_content();
}

fn see_why(browser: &Browser) {
    browser.home();
    browser.click_words("//*[@id='house']", "tv");
    assert!(browser.has("section[aria-labelledby=why] ol.steps li"), "{}", browser.text("main"));
    assert_eq!(browser.clicks(), 1, "to see why it has this address");
}

fn add_a_device(browser: &Browser) {
    browser.home();
    browser.click_words("//main", "Add a device");
    browser.fill("#who", "02-00-5E-00-53-40");
    browser.fill("#name", "boiler");
    let proposed = browser.value("#address");
    assert!(proposed.starts_with("10.77.0."), "a free address is proposed, not `{proposed}`");
    browser.click(".keep-form button.primary");
    browser.wait_for_notice(&format!("{proposed} is kept for boiler"));
    assert_eq!(browser.clicks(), 2, "to add a device that is not plugged in yet");
}

fn see_what_is_free(browser: &Browser) {
    browser.home();
    browser.click_words("//nav", "Map");
    assert!(browser.has("a.cell.free"), "{}", browser.text("main"));
    assert_eq!(browser.clicks(), 1, "to see which addresses are free");
}

fn take_a_change_back(browser: &Browser) {
    browser.home();
    browser.click_words("//main", "What was changed");
    assert_eq!(browser.clicks(), 1, "to see what was changed");
    assert!(browser.text(".feed li").contains("boiler"), "{}", browser.text(".feed"));
    browser.click(".feed li:first-child form button");
    browser.wait_for_notice("Taken back");
}

fn move_in(house: &House<'_>, browser: &Browser, scripts: Scripts) {
    let file = house.lab.folder().join("devices.csv");
    std::fs::write(&file, TABLE).expect("the world's folder can be written");
    browser.home();
    browser.click_words("//nav", "Settings");
    browser.click("a[href='/settings/import']");
    browser.press("#file", file.to_str().expect("the tests' paths are text"));
    if scripts == Scripts::Off {
        browser.click_words("//main", "Show what would change");
    }
    browser.wait_until_it_says("main", "2 changes", SOON);
    assert!(browser.text("main").contains("camera"), "a preview: {}", browser.text("main"));
    browser.click_words("//main", "Apply");
    browser.wait_for_notice("Imported");
    assert_eq!(browser.clicks(), 3 + u32::from(scripts == Scripts::Off), "to move in");
    let kept = house.twins.ask(Side::A, &["reservations", "list"]);
    assert!(kept.contains("camera") && kept.contains("scales"), "{kept}");
}

/// A pool of one address, and two devices.
const NARROW: &str = "[lease]\ndefault = \"1h\"\n[[subnet]]\nnetwork = \"10.77.0.0/24\"\npools = [\"10.77.0.100-10.77.0.100\"]\n";

#[test]
fn why_a_device_got_no_address_is_one_click_from_home() {
    let Some(lab) = enter("tasks::why_a_device_got_no_address_is_one_click_from_home") else { return };
    let house = House::of_one(&lab, "narrow", NARROW);
    house.device("phone").start(&["hostname=phone"]);
    lab.host("stranger", "lan", &[]);
    let unheard = Plug::at("stranger").ask(&Query::new(DISCOVER, mac(1)), &[OFFER], Duration::from_secs(2));
    assert!(unheard.is_none(), "there is no address left");
    for (scripts, width, scheme) in [(Scripts::On, 1280, Scheme::Dark), (Scripts::Off, 360, Scheme::Light)] {
        let browser = Browser::start(&house, scripts);
        browser.visit(Side::A, "/");
        browser.sign_in();
        browser.look_as(width, scheme);
        browser.home();
        browser.click_words("//*[@id='problems']", "See why");
        let why = browser.text("#device-why");
        assert!(why.contains("Why is it not answered?") && why.contains("is full, 1 of 1"), "{why}");
        assert_eq!(browser.clicks(), 1, "to see why it got none");
        browser.assert_content();
    }
}
