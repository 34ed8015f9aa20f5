//! What an owner does most, counted in clicks from Home: with scripts on a laptop, and without them on a phone.

use std::time::Duration;

use crate::browser::{Browser, Scheme, Scripts};
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
fn every_task_is_done_within_its_clicks_on_a_phone_without_scripts() {
    let Some(lab) = enter("tasks::every_task_is_done_within_its_clicks_on_a_phone_without_scripts") else { return };
    let house = House::new(&lab, "phone");
    let browser = Browser::signed_in(&house, Scripts::Off);
    browser.look_as(360, Scheme::Dark);
    tasks(&house, &browser, Scripts::Off);
}

fn tasks(house: &House<'_>, browser: &Browser, scripts: Scripts) {
    house.furnish();
    browser.home();
    browser.wait_until_it_says("#house", "printer", SOON);
    find_a_device(house, browser, scripts);
    see_whether_failover_is_all_right(browser);
    keep_an_address(house, browser);
    see_why(browser);
    add_a_device(browser);
    see_what_is_free(browser);
    take_a_change_back(browser);
    move_in(house, browser, scripts);
    browser.assert_content();
}

/// Without scripts the form has to be sent.
fn find_a_device(house: &House<'_>, browser: &Browser, scripts: Scripts) {
    let mac = house.lab.mac("printer");
    for wanted in ["prin", &mac[9..].replace(':', "-"), &mac[9..].replace(':', "").to_uppercase()] {
        browser.home();
        if scripts == Scripts::On {
            browser.press("body", "/");
            assert_eq!(browser.run("return document.activeElement.id"), "q", "`/` leads to the box");
        }
        browser.fill("#q", wanted);
        if scripts == Scripts::Off {
            browser.click_words("//main", "Find");
        }
        browser.wait_until_it_says("#found", "printer", SOON);
        assert!(!browser.text("#found").contains("phone"), "`{wanted}` is the printer's: {}", browser.text("#found"));
        assert_eq!(browser.clicks(), u32::from(scripts == Scripts::Off), "to find `{wanted}`");
    }
}

fn see_whether_failover_is_all_right(browser: &Browser) {
    for page in ["/", "/devices", "/map", "/activity", "/twins", "/settings"] {
        browser.go(page);
        browser.wait_until_it_says("#state", "Both twins healthy.", SOON);
    }
}

fn keep_an_address(house: &House<'_>, browser: &Browser) {
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
    browser.click(".keep-form button.primary");
    browser.wait_for_notice("10.77.0.57 is kept for printer");
    assert_eq!(browser.clicks(), 2, "to keep another address");
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
