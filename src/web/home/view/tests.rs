//! What Home says in good days and in bad ones.

use std::time::Duration;

use super::*;
use crate::{
    protocol::failover::Rank,
    web::devices::example::{HOME, first_heard, house, lease, refused},
};

const TV: &str = "00:00:5e:00:53:11";

/// As it is on a good day: an interface, no twin.
fn well(bindings: Vec<crate::protocol::lease::Binding>) -> House {
    let mut house = house(HOME, bindings);
    house.status.interfaces = vec!["eth0".into()];
    house.status.serving = true;
    house
}

fn texts(house: &House) -> Vec<String> {
    HomeView::new(house, &Around::default()).problems.into_iter().map(|problem| problem.text).collect()
}

fn with_twin(state: State) -> House {
    let mut house = well(Vec::new());
    house.status.twin = Some(TwinStatus {
        rank: Rank::First,
        state,
        state_told: state.to_string(),
        since_secs: 240,
        is_active: true,
        is_serving: true,
        forgot: None,
        wait_secs: None,
        partner: None,
        unconfirmed: 0,
        is_level: None,
        digest: String::new(),
        repairs: 0,
        to_reconcile: Vec::new(),
        is_unpaired: false,
        alone_in_secs: None,
    });
    house
}

#[test]
fn on_a_good_day_there_is_no_problem() {
    assert_eq!(texts(&well(Vec::new())), Vec::<String>::new());
}

#[test]
fn without_a_network_the_first_thing_is_to_set_one_up() {
    let home = HomeView::new(&house("", Vec::new()), &Around::default());
    assert_eq!(home.problems.len(), 1);
    assert_eq!(home.problems[0].remedy, Some(("/welcome".into(), "Set it up")));
    assert!(home.is_empty && home.pools.is_empty());
}

#[test]
fn every_trouble_is_told_with_its_remedy() {
    let mut house = well(Vec::new());
    house.status.trouble = Some("the disk is full".into());
    house.status.not_listening = vec!["eth1 cannot be listened to: no rights.".into()];
    house.status.notices = vec!["A snapshot took the place of a damaged database.".into()];
    house.status.subnets[0].pool_used = 9;
    refused(&mut house, TV, Some("tv"));
    let told = texts(&house);
    for part in
        ["the disk is full", "eth1 cannot", "nearly full: 9 of 10", "tv asks for an address and gets none", "A snapshot took"]
    {
        assert!(told.iter().any(|text| text.contains(part)), "{part}: {told:?}");
    }
    assert!(told[0].contains("the disk is full"), "what keeps everybody from an address stands first");
    house.status.subnets[0].pool_used = 10;
    assert!(texts(&house).iter().any(|text| text.contains("is full, 10 of 10")));
    house.status.interfaces.clear();
    house.status.not_listening.clear();
    assert!(texts(&house).iter().any(|text| text.contains("No interface of this machine")));
}

#[test]
fn a_device_without_an_address_is_one_click_from_its_reason_and_many_are_a_list() {
    let mut house = well(Vec::new());
    let way = |house: &House| {
        let problems = HomeView::new(house, &Around::default()).problems;
        problems.iter().map(|problem| problem.remedy.clone().expect("a way").0.into_owned()).collect::<Vec<_>>()
    };
    for nth in 1..=3 {
        refused(&mut house, &format!("00:00:5e:00:53:1{nth}"), None);
    }
    assert_eq!(way(&house), ["/devices/00-00-5e-00-53-11", "/devices/00-00-5e-00-53-12", "/devices/00-00-5e-00-53-13"]);
    let mut house = well(Vec::new());
    for nth in 1..=5 {
        refused(&mut house, &format!("00:00:5e:00:53:1{nth}"), None);
    }
    assert_eq!(way(&house), ["/devices?show=unanswered&sort=-heard"]);
    assert!(texts(&house)[0].starts_with("5 devices ask for an address and get none: 00:00:5e:00:53:11, "));
}

#[test]
fn a_silent_twin_is_a_problem_and_a_healthy_one_is_none() {
    assert!(texts(&with_twin(State::CommunicationsInterrupted))[0].contains("silent for 4 min"));
    assert!(texts(&with_twin(State::Normal)).is_empty());
    for state in State::ALL {
        let home = HomeView::new(&with_twin(state), &Around::default());
        assert_eq!(home.twins.len(), 2, "{state:?}");
        assert!(home.twins.iter().all(|twin| !twin.text.is_empty()));
    }
}

#[test]
fn new_is_who_was_first_heard_lately_and_has_no_kept_address() {
    let old = "00:00:5e:00:53:12";
    let printer = "00:1b:a9:00:53:20";
    let mut house = well(vec![
        lease(TV, "192.0.2.100", Some("tv")),
        lease(old, "192.0.2.101", Some("old")),
        lease(printer, "192.0.2.31", None),
    ]);
    first_heard(&mut house, TV, Duration::from_secs(3600));
    first_heard(&mut house, printer, Duration::from_secs(3600));
    first_heard(&mut house, old, Duration::from_secs(30 * 86_400));
    let home = HomeView::new(&house, &Around::default());
    assert_eq!(home.new.iter().map(|row| row.called.as_str()).collect::<Vec<_>>(), ["tv"]);
    assert!(home.new[0].can_keep);
    assert_eq!((home.devices, home.leased, home.kept), (3, 3, 1));
}

#[test]
fn a_pool_is_told_by_its_ends_and_how_much_of_it_is_used() {
    let mut house = well(Vec::new());
    house.status.subnets[0].pool_used = 4;
    let pools = HomeView::new(&house, &Around::default()).pools;
    assert_eq!((pools[0].ranges.as_str(), pools[0].words.as_str()), (".100–.109", "4 of 10 used"));
}
