//! The failover drill from beginning to end: what the page says, what devices of the lab felt, and that it ends by itself.

use std::time::{Duration, Instant};

use crate::browser::{Browser, Scripts};
use crate::crafted::{DISCOVER, OFFER, Plug, Query, mac};
use crate::enter;
use crate::house::House;
use crate::pair::Pair;

const DRILL: Duration = Duration::from_secs(30);
/// The report's moments and a device's are those of two clocks that started at two clicks.
const TOLERANCE_S: f64 = 1.0;

#[test]
fn the_twin_takes_over_and_the_drilled_one_comes_back_though_nobody_looks() {
    let Some(lab) = enter("drill::the_twin_takes_over_and_the_drilled_one_comes_back_though_nobody_looks") else { return };
    let house = House::new(&lab, "drill");
    lab.host("visitor", "lan", &[]);
    let active = house.twins.active();
    let browser = Browser::signed_in(&house, Scripts::On);
    browser.visit(active, "/twins");
    browser.wait_until_it_says("#drill", "The twin could answer alone.", Duration::from_secs(5));
    browser.click("#secs option[value='30']");
    browser.click_words("//main", "Start the drill");
    let began = Instant::now();

    // A device that comes home now.
    let plug = Plug::at("visitor");
    let asked = Instant::now();
    let offer = plug.ask(&Query::new(DISCOVER, mac(1)), &[OFFER], Duration::from_secs(6)).expect("somebody answers");
    let waited_s = asked.elapsed().as_secs_f64();
    assert_eq!(offer.option(54), Some(&active.other().address().octets()[..]), "the twin answers");

    browser.wait_until_it_says("#drill", "took over after", Duration::from_secs(5));
    browser.wait_until_it_says("#state", "A drill is on", Duration::from_secs(5));
    browser.visit(active.other(), "/twins");
    browser.wait_until_it_says("#drill", "is in a drill", Duration::from_secs(5));
    browser.assert_content();
    drop(browser);
    for number in 2..6 {
        let offer = plug.ask(&Query::new(DISCOVER, mac(number)), &[OFFER], Duration::from_secs(1));
        assert!(offer.is_some(), "device {number} is answered at once");
    }

    house.twins.wait_until("both are together again", DRILL + Duration::from_secs(10), || house.twins.is_together());
    assert!(began.elapsed() + Duration::from_secs(2) >= DRILL, "it did not end early: {:?}", began.elapsed());
    let browser = Browser::signed_in(&house, Scripts::On);
    browser.visit(active, "/twins");
    let waited = browser.wait_until_it_says("#drill", "devices lost.", Duration::from_secs(5));
    let said = browser.text("#drill");
    println!("{said}\n(a device of the lab waited {waited_s:.1} s; shown after {waited:?})");
    assert!(said.contains("0 devices lost."), "{said}");
    let took_over_s: f64 = said
        .split("Took over in ")
        .nth(1)
        .and_then(|rest| rest.split(" s;").next())
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or_else(|| panic!("no take-over in: {said}"));
    assert!((took_over_s - waited_s).abs() < TOLERANCE_S, "the report says {took_over_s} s, a device waited {waited_s} s");
    assert!(said.contains("Started by: dashboard."), "{said}");
    browser.assert_content();
}

#[test]
fn a_drill_is_aborted_on_the_drilled_one_and_refused_where_nobody_could_take_over() {
    let Some(lab) = enter("drill::a_drill_is_aborted_on_the_drilled_one_and_refused_where_nobody_could_take_over") else {
        return;
    };
    let mut house = House::new(&lab, "abort");
    let active = house.twins.active();
    let browser = Browser::signed_in(&house, Scripts::Off);
    browser.visit(active, "/twins");
    browser.click_words("//main", "Start the drill");
    browser.wait_until_it_says("#drill", "plays dead now", Duration::from_secs(3));
    browser.wait_until_it_says("#drill", "took over after", Duration::from_secs(6));
    browser.click_words("//main", "Abort the drill");
    house.twins.wait_until("both are together again", Duration::from_secs(10), || house.twins.is_together());

    house.twins.kill(active.other());
    browser.wait_until_it_says("#drill", "The twins are not together", Duration::from_secs(6));
    assert!(!browser.has("form[action='/twins/drill']"), "no button where a drill is not possible");
}
