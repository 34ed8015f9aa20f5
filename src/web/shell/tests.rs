//! The sentence, for every way in which the pair can stand.

use super::*;
use crate::{
    protocol::{
        failover::Rank,
        node::{PartnerStatus, TwinStatus},
    },
    web::devices::example,
};

fn house(twin: Option<TwinStatus>) -> House {
    let mut house = example::house(example::HOME, Vec::new());
    house.twin_name = Some("cellar".into());
    house.status.serving = twin.as_ref().is_none_or(|twin| twin.is_serving);
    house.status.interfaces = vec!["eth0".into()];
    house.status.twin = twin;
    house
}

fn twin(state: State, is_active: bool, silent_ms: u64) -> TwinStatus {
    let in_contact = silent_ms < 1500;
    TwinStatus {
        rank: Rank::First,
        state,
        state_told: state.to_string(),
        since_secs: 10,
        is_active,
        is_serving: !matches!(state, State::Recover | State::ShuttingDown | State::Startup),
        forgot: None,
        wait_secs: None,
        partner: Some(PartnerStatus {
            state: State::Normal,
            in_contact,
            silent_ms,
            is_deaf: false,
            in_trouble: false,
            drill_secs_left: None,
        }),
        unconfirmed: 0,
        is_level: in_contact.then_some(true),
        digest: String::new(),
        repairs: 0,
        alone_in_secs: None,
        is_unpaired: false,
        to_reconcile: Vec::new(),
    }
}

#[test]
fn the_sentence_names_who_answers() {
    let told = |twin: TwinStatus| sentence(&house(Some(twin)));
    assert_eq!(told(twin(State::Normal, true, 100)), "Both twins healthy. attic is answering.");
    assert_eq!(told(twin(State::Normal, false, 100)), "Both twins healthy. cellar is answering.");
    assert_eq!(
        told(twin(State::CommunicationsInterrupted, true, 250_000)),
        "attic is answering alone: cellar silent for 4 min. Your devices keep working."
    );
    assert_eq!(
        told(twin(State::PartnerDown, true, u64::MAX)),
        "attic is answering alone: cellar counts as down. Your devices keep working."
    );
    assert_eq!(told(twin(State::Startup, true, 100)), "attic is learning from cellar, which is answering.");
    assert_eq!(told(twin(State::Reconcile, true, 100)), "attic is answering, and compares notes with cellar.");
    let mut learns = twin(State::Reconcile, true, 100);
    learns.partner.as_mut().expect("it is heard").state = State::Recover;
    assert_eq!(told(learns), "cellar is learning from attic, which is answering.");
    assert_eq!(
        told(twin(State::Recover, true, 9000)),
        "attic may have forgotten leases and waits for cellar. It answers nobody."
    );
    assert_eq!(sentence(&house(None)), "attic is answering. It has no twin.");
}

#[test]
fn the_sentence_says_when_nobody_answers() {
    let mut house = house(None);
    house.status.serving = false;
    assert_eq!(sentence(&house), "Nobody is answering DHCP.");
    let mut cut = super::tests::house(Some(twin(State::CommunicationsInterrupted, true, 9000)));
    cut.status.interfaces.clear();
    assert_eq!(sentence(&cut), "Nobody is answering DHCP.");
    house.status.subnets.clear();
    assert_eq!(sentence(&house), "No network is set up yet, so nobody is answered.");
}

#[test]
fn whoever_hears_no_devices_is_not_said_to_answer() {
    let mut deaf = twin(State::Normal, false, 100);
    if let Some(partner) = &mut deaf.partner {
        partner.is_deaf = true;
    }
    assert_eq!(sentence(&house(Some(deaf))), "cellar hears no devices. attic is answering.");
    let mut cut = house(Some(twin(State::Normal, true, 100)));
    cut.status.interfaces.clear();
    assert_eq!(sentence(&cut), "attic hears no devices. cellar is answering.");
}

#[test]
fn a_change_that_the_twin_has_not_got_yet_says_where_it_is() {
    let apart = || house(Some(twin(State::CommunicationsInterrupted, true, 9000)));
    let told = |text: &str, undo, house: House| Notice { text: text.into(), undo }.told_where(&house).text;
    let here_only = "Saved on attic only: cellar is not reachable. Nothing to do; cellar gets it when it is back.";
    assert_eq!(told("Saved.", Some(4), apart()), here_only);
    assert_eq!(told("It is kept.", Some(4), apart()), format!("It is kept. {here_only}"));
    assert_eq!(told("Nobody answered.", None, apart()), "Nobody answered.", "no change");
    assert_eq!(told("Saved.", Some(4), house(Some(twin(State::Normal, true, 100)))), "Saved.");
    assert_eq!(told("Saved.", Some(4), house(None)), "Saved.");
}
