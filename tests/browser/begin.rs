//! How an owner begins: the first visit, and a new box in place of a dead one.

use std::time::Duration;

use crate::browser::{Browser, Scheme, Scripts};
use crate::crafted::fresh_folder;
use crate::enter;
use crate::house::House;
use crate::lab::wait_until;
use crate::pair::{Pair, Side};

const SOON: Duration = Duration::from_secs(8);
/// To ask the network for other servers, and to see one that is silent as lost.
const A_WHILE: Duration = Duration::from_secs(20);

/// The one server that the house had.
const ROUTER: [&str; 6] =
    ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--leasefile-ro", "--dhcp-range=10.77.0.200,10.77.0.210,1h"];

/// Its password is that of the first one as soon as it has its settings.
fn signs_in_until_it_lists(browser: &Browser, device: &str) {
    wait_until("the new twin has the devices", A_WHILE, || {
        browser.go("/devices");
        browser.sign_in();
        browser.text("main").contains(device)
    });
}

#[test]
fn the_first_visit_leads_from_nothing_to_twins_that_serve() {
    let Some(lab) = enter("begin::the_first_visit_leads_from_nothing_to_twins_that_serve") else { return };
    let house = House::new_in_the_box(&lab, "first");
    lab.host("router", "lan", &["10.77.0.254/24"]);
    lab.exec("a", &["ip", "route", "add", "default", "via", "10.77.0.254"]);
    let mut router = lab.daemon("router", &ROUTER);
    wait_until("the router serves", SOON, || router.log().contains("IP range"));

    let at_a = Browser::start(&house, Scripts::On);
    at_a.visit(Side::A, "/devices");
    assert_eq!(at_a.path(), "/claim", "nothing is shown before there is a password");
    at_a.screenshot("first-visit-password");
    at_a.sign_in();
    assert_eq!(at_a.path(), "/welcome/found", "it goes on by itself");
    at_a.wait_until_it_says("#rivals", "10.77.0.254", A_WHILE);
    assert!(at_a.text("main").contains("10.77.0.0/24"), "{}", at_a.text("main"));
    at_a.screenshot("first-visit-found");
    router.terminate();
    at_a.click_words("//main", "I switched it off: look again");
    at_a.wait_until_it_says("#rivals", "None answers", A_WHILE);
    at_a.click_words("//main", "Go on");

    assert_eq!((at_a.value("#network"), at_a.value("#router")), ("10.77.0.0/24".into(), "10.77.0.254".into()));
    at_a.screenshot("first-visit-network");
    at_a.click_words("//main", "Give out these addresses");
    at_a.wait_for_notice("Devices in 10.77.0.0/24 get addresses from now on.");
    house.device("phone").start(&["hostname=phone"]);
    at_a.click_words("//main", "Skip this");
    at_a.click_words("//main", "Show a code");
    let code = at_a.text("main .code");
    at_a.screenshot("first-visit-twin");

    let at_b = Browser::start(&house, Scripts::On);
    at_b.visit(Side::B, "/");
    at_b.sign_in();
    at_b.go("/welcome/pair");
    at_b.wait_until_it_says("main", "Heard: a", A_WHILE);
    at_b.fill("#code", &code);
    at_b.click_words("//main", "Pair");
    // Both were claimed: the password of the one that was joined counts, and whoever is signed out is told why.
    at_b.wait_until_it_says("main", "You were signed out because another password counts now", A_WHILE);
    signs_in_until_it_lists(&at_b, "phone");
    at_a.click_words("//main", "Done there? Look");
    at_a.wait_until_it_says("main", "The twin is b", SOON);
    at_a.click_words("//main", "Go on");
    at_a.screenshot("first-visit-done");
    at_a.click_words("//main", "To the drill");
    at_a.wait_until_it_says("#state", "Both twins healthy.", A_WHILE);
    house.twins.wait_until_together();
    for page in [&at_a, &at_b] {
        page.go("/twins");
        assert_eq!(page.path(), "/twins", "nobody is asked again");
        assert!(!page.text("main").contains("changed on both"), "nothing to decide: {}", page.text("main"));
    }
    at_a.assert_content();
    at_b.assert_content();
}

#[test]
fn a_new_box_takes_the_place_of_a_dead_one_in_two_clicks_and_a_code() {
    let Some(lab) = enter("begin::a_new_box_takes_the_place_of_a_dead_one_in_two_clicks_and_a_code") else { return };
    let mut house = House::new(&lab, "replace");
    house.furnish();
    // The new one has no settings but those that it gets.
    (house.twins.key, house.twins.settings) = (None, None);
    for (nth, (scripts, width, scheme)) in
        [(Scripts::On, 1280, Scheme::Light), (Scripts::Off, 360, Scheme::Dark)].into_iter().enumerate()
    {
        let browser = Browser::start(&house, scripts);
        browser.visit(Side::A, "/");
        browser.sign_in();
        browser.look_as(width, scheme);
        replace_the_dead_one(&mut house, &browser, nth);
        browser.assert_content();
    }
    house.device("lamp").start(&[]);
}

/// In one browser, as somebody does who walks from one box to the other.
fn replace_the_dead_one(house: &mut House<'_>, browser: &Browser, nth: usize) {
    let is_offered = || {
        browser.go("/twins");
        browser.text("main").contains("It is off for good")
    };
    let fits = || assert_eq!(browser.overflow_px(), 0, "{} is wider than its window", browser.path());
    house.twins.kill(Side::B);
    if nth == 0 {
        house.twins.wait_until("A is alone", SOON, || house.twins.state(Side::A) == "communications-interrupted");
        assert!(!is_offered(), "one that starts again is not dead: {}", browser.text("main"));
    }
    wait_until("it can be replaced", A_WHILE, is_offered);

    browser.home();
    browser.click_words("//nav", "Twins");
    fits();
    browser.click_words("//main", "It is off for good: replace it");
    let notice = browser.wait_for_notice("The code for the new one is");
    assert_eq!(browser.clicks(), 2, "to replace a dead Pi");
    fits();
    let code: String = notice.chars().filter(char::is_ascii_digit).collect();

    house.twins.folders[Side::B as usize] = fresh_folder(&format!("twin-browser-replace-{nth}"));
    house.twins.start(Side::B);
    house.wait_for_pages(&[Side::B]);
    browser.visit(Side::B, "/");
    fits();
    browser.sign_in();
    browser.go("/welcome/pair");
    fits();
    browser.fill("#code", &code);
    browser.fill("#address", "10.77.0.1");
    browser.click_words("//main", "Pair");
    signs_in_until_it_lists(browser, "printer");
    browser.go("/");
    fits();
    // The dead one may have promised what A never heard of: until that is over the new one is silent (rule 12), and says so.
    browser.wait_until_it_says("#problems", "what it may have forgotten. It takes at most", SOON);
    browser.wait_until_it_says("#state", "b is learning from a, which is answering.", SOON);
    browser.visit(Side::A, "/twins");
    assert_eq!(browser.path(), "/twins", "whoever was signed in on A stays so");
    browser.wait_until_it_says("#state", "b is learning from a, which is answering.", SOON);
}
