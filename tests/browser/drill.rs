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

#[test]
fn a_drill_from_the_command_line_is_the_same_and_one_that_a_restart_cuts_off_is_told_as_such() {
    let Some(lab) = enter("drill::a_drill_from_the_command_line_is_the_same_and_one_that_a_restart_cuts_off_is_told_as_such")
    else {
        return;
    };
    let mut house = House::new(&lab, "line");
    let active = house.twins.active();
    let soon = Duration::from_secs(10);
    let said = |house: &House<'_>, words: &[&str]| {
        let output = house.twins.command(active, &[&["twin", "drill"], words].concat());
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), told)
    };
    for (words, part) in [
        (&["--watch"][..], "There was no drill on this one yet"),
        (&["--abort"], "in no drill"),
        (&[], "Say --yes, if so."),
        (&["--for", "5", "--yes"], "Choose 30 s to 10 min."),
    ] {
        let (code, told) = said(&house, words);
        assert!(code == Some(1) && told.contains(part), "{words:?}: {code:?} {told}");
    }

    let (code, told) = std::thread::scope(|scope| {
        let (house, said) = (&house, &said);
        let drill = scope.spawn(move || said(house, &["--yes"]));
        house.twins.wait_until("it plays dead", soon, || house.twins.state(active) == "drilled");
        let (code, told) = said(house, &["--yes"]);
        assert!(code == Some(1) && told.contains("No drill now."), "{code:?} {told}");
        // Time for the twin to take over.
        std::thread::sleep(Duration::from_secs(4));
        assert_eq!(said(house, &["--abort"]).0, Some(0));
        drill.join().expect("it ends with the drill")
    });
    assert_eq!(code, Some(0), "{told}");
    for part in ["The drill has begun.", "The twin took over after", "0 devices lost.", "ended early", "together again"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains("Started by: command line."), "{told}");
    let (code, json) = said(&house, &["--watch", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).expect("only JSON");
    assert_eq!((code, &report["by"], &report["cut_off"]), (Some(0), &"command line".into(), &false.into()), "{json}");

    house.twins.wait_until("both are together again", soon, || house.twins.is_together());
    house.twins.wait_until("a drill may begin", soon, || said(&house, &["--for", "60", "--yes", "--no-watch"]).0 == Some(0));
    std::thread::sleep(Duration::from_secs(4));
    house.twins.kill(active);
    house.twins.start(active);
    house.twins.wait_until_together();
    let (code, told) = said(&house, &["--watch"]);
    assert!(code == Some(1) && told.contains("was started again") && told.contains("Took over in"), "{code:?} {told}");
    let browser = Browser::signed_in(&house, Scripts::Off);
    browser.visit(active, "/twins");
    browser.wait_until_it_says("#drill", "what came then is not known", soon);
    assert!(!browser.text("#drill").contains("not been together since"), "{}", browser.text("#drill"));
}
