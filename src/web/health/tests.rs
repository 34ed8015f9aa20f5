use super::*;
use crate::protocol::{
    failover::{Rank, State},
    node::{PartnerStatus, SubnetStatus, TwinStatus},
};

fn well() -> Status {
    let partner = PartnerStatus {
        state: State::Normal,
        in_contact: true,
        silent_ms: 100,
        is_deaf: false,
        in_trouble: false,
        drill_secs_left: None,
    };
    let twin = TwinStatus {
        rank: Rank::First,
        state: State::Normal,
        state_told: String::new(),
        since_secs: 10,
        is_active: true,
        is_serving: true,
        forgot: None,
        wait_secs: None,
        is_unpaired: false,
        alone_in_secs: None,
        partner: Some(partner),
        unconfirmed: 0,
        is_level: Some(true),
        digest: String::new(),
        repairs: 0,
        to_reconcile: Vec::new(),
    };
    Status {
        serving: true,
        interfaces: vec!["eth0".into()],
        trouble: None,
        notices: Vec::new(),
        not_listening: Vec::new(),
        subnets: vec![SubnetStatus { network: "192.0.2.0/24".into(), pool_size: 100, pool_used: 100, turned_away: false }],
        commits_waiting: 0,
        outcomes: Default::default(),
        malformed: Default::default(),
        twin: Some(twin),
    }
}

#[test]
fn one_that_could_answer_is_well_and_with_its_twin_too() {
    assert_eq!((trouble(&well(), false), trouble(&well(), true)), (None, None));
    let changing = TwinStatus { is_level: None, ..well().twin.expect("it has one") };
    assert_eq!(trouble(&Status { twin: Some(changing), ..well() }, true), None, "a change is just on its way");
}

#[test]
fn one_that_answers_nobody_or_promises_nothing_is_not_well() {
    assert!(trouble(&Status { serving: false, ..well() }, false).is_some());
    let secret = "`/var/lib/secret` is full".to_owned();
    let why = trouble(&Status { trouble: Some(secret), ..well() }, false).expect("it is in trouble");
    assert!(!why.contains("secret"), "no path for strangers");
}

#[test]
fn a_lost_deaf_or_differing_twin_counts_only_where_the_pair_is_asked_for() {
    let changes: [fn(&mut TwinStatus); 6] = [
        |twin| twin.partner = None,
        |twin| twin.partner.as_mut().expect("it has one").in_contact = false,
        |twin| twin.partner.as_mut().expect("it has one").is_deaf = true,
        |twin| twin.partner.as_mut().expect("it has one").in_trouble = true,
        |twin| twin.state = State::Reconcile,
        |twin| twin.is_level = Some(false),
    ];
    for (nth, change) in changes.into_iter().enumerate() {
        let mut twin = well().twin.expect("it has one");
        change(&mut twin);
        let status = Status { twin: Some(twin), ..well() };
        assert_eq!(trouble(&status, false), None, "{nth}");
        assert!(trouble(&status, true).is_some(), "{nth}");
    }
    assert!(trouble(&Status { twin: None, ..well() }, true).is_some());
}
