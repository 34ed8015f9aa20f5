//! Every row of the leaflet's table, and who wins where two are true.

use std::collections::BTreeMap;

use super::*;
use crate::protocol::{
    failover::Rank,
    node::{PartnerStatus, SubnetStatus, TwinStatus},
};

fn alone() -> Status {
    Status {
        serving: true,
        interfaces: vec!["eth0".into()],
        trouble: None,
        notices: Vec::new(),
        not_listening: Vec::new(),
        subnets: vec![SubnetStatus { network: "192.0.2.0/24".into(), pool_size: 100, pool_used: 1, turned_away: false }],
        commits_waiting: 0,
        outcomes: BTreeMap::new(),
        malformed: BTreeMap::new(),
        twin: None,
    }
}

/// One of two, in this state, with the twin in contact where the state says so.
fn paired(state: State, is_active: bool) -> Status {
    let in_contact = match state {
        State::Normal | State::Reconcile => true,
        State::Alone
        | State::Startup
        | State::Recover
        | State::CommunicationsInterrupted
        | State::PartnerDown
        | State::ShuttingDown
        | State::Drilled => false,
    };
    let is_serving = match state {
        State::Alone | State::Normal | State::CommunicationsInterrupted | State::PartnerDown | State::Reconcile => true,
        State::Startup | State::Recover | State::ShuttingDown | State::Drilled => false,
    };
    let partner = PartnerStatus {
        state: State::Normal,
        in_contact,
        silent_ms: 0,
        is_deaf: false,
        in_trouble: false,
        drill_secs_left: None,
    };
    let twin = TwinStatus {
        rank: Rank::First,
        state,
        state_told: state.to_string(),
        since_secs: 1,
        is_active,
        is_serving,
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
    Status { serving: is_serving, twin: Some(twin), ..alone() }
}

fn with(mut status: Status, change: impl FnOnce(&mut Status)) -> Status {
    change(&mut status);
    status
}

fn twin_with(status: Status, change: impl FnOnce(&mut TwinStatus)) -> Status {
    with(status, |status| change(status.twin.as_mut().expect("a twin")))
}

fn partner_with(status: Status, change: impl FnOnce(&mut PartnerStatus)) -> Status {
    twin_with(status, |twin| change(twin.partner.as_mut().expect("a partner")))
}

#[test]
fn every_state_has_its_sign() {
    use State::*;
    let quiet = Around::default();
    let rows = [
        ("alone", alone(), quiet, Sign::Active),
        ("no settings", with(alone(), |s| (s.serving, s.subnets) = (false, vec![])), quiet, Sign::NotConfigured),
        ("no interface", with(alone(), |s| (s.serving, s.interfaces) = (false, vec![])), quiet, Sign::Fault),
        ("starts, and no interface", with(paired(Startup, true), |s| s.interfaces.clear()), quiet, Sign::Fault),
        ("disk full", with(alone(), |s| s.trouble = Some("full".into())), quiet, Sign::Fault),
        ("active", paired(Normal, true), quiet, Sign::Active),
        ("standby", paired(Normal, false), quiet, Sign::Standby),
        ("starts", paired(Startup, true), quiet, Sign::Syncing),
        ("cut", paired(CommunicationsInterrupted, false), quiet, Sign::TwinLost),
        ("declared", paired(PartnerDown, true), quiet, Sign::TwinLost),
        ("back", paired(Reconcile, true), quiet, Sign::Syncing),
        ("rebuilds", partner_with(paired(Recover, false), |p| p.in_contact = true), quiet, Sign::Syncing),
        ("forgot, and nobody to ask", paired(Recover, false), quiet, Sign::Fault),
        ("in a drill", paired(Drilled, true), quiet, Sign::Drilled),
        ("told to stop", paired(ShuttingDown, true), quiet, Sign::Off),
        ("the twin's disk", partner_with(paired(Normal, true), |p| p.in_trouble = true), quiet, Sign::TwinLost),
        ("the twin is deaf", partner_with(paired(Normal, false), |p| p.is_deaf = true), quiet, Sign::TwinLost),
        ("not level", twin_with(paired(Normal, true), |t| t.is_level = Some(false)), quiet, Sign::Syncing),
        ("to reconcile", twin_with(paired(Normal, true), |t| t.to_reconcile = vec!["x".into()]), quiet, Sign::Conflict),
        ("a new one gets its settings", with(paired(Reconcile, false), |s| s.subnets.clear()), quiet, Sign::Syncing),
        ("both without settings", with(paired(Normal, false), |s| s.subnets.clear()), quiet, Sign::NotConfigured),
        ("rival", alone(), Around { has_rival: true, ..quiet }, Sign::Conflict),
        ("sought", paired(Normal, true), Around { is_sought: true, ..quiet }, Sign::Locating),
        ("boots", alone(), Around { phase: Phase::Booting, ..quiet }, Sign::Booting),
        ("updates", paired(Normal, true), Around { phase: Phase::Updating, ..quiet }, Sign::Updating),
        ("ended", alone(), Around { phase: Phase::Ended, ..quiet }, Sign::Off),
    ];
    for (name, status, around, expected) in rows {
        assert_eq!(sign(&status, around), expected, "{name}");
    }
}

#[test]
fn the_more_urgent_sign_wins() {
    let quiet = Around::default();
    let everything = Around { is_sought: true, has_rival: true, ..quiet };
    let troubled = with(paired(State::CommunicationsInterrupted, true), |s| s.trouble = Some("full".into()));
    assert_eq!(sign(&troubled, everything), Sign::Locating, "somebody stands in front of it");
    assert_eq!(sign(&troubled, Around { phase: Phase::Updating, ..everything }), Sign::Updating, "the power must stay on");
    assert_eq!(sign(&troubled, Around { is_sought: false, ..everything }), Sign::Fault);
    let lost = twin_with(paired(State::PartnerDown, true), |t| t.to_reconcile = vec!["x".into()]);
    assert_eq!(sign(&lost, quiet), Sign::TwinLost, "a choice can wait, a dead twin should not");
    assert_eq!(sign(&lost, Around { has_rival: true, ..quiet }), Sign::Conflict);
}

const SIGNS: [Sign; 12] = [
    Sign::Booting,
    Sign::NotConfigured,
    Sign::Active,
    Sign::Standby,
    Sign::TwinLost,
    Sign::Syncing,
    Sign::Updating,
    Sign::Conflict,
    Sign::Fault,
    Sign::Locating,
    Sign::Drilled,
    Sign::Off,
];

/// On and off in 100 ms, as a light that knows no more than that.
fn rhythm(sign: Sign) -> String {
    let pattern = pattern(sign);
    let lit = |nth: u32| pattern.at(Duration::from_millis(50) * nth).0 >= 128;
    (0..160).map(|nth| if lit(nth) { '#' } else { '.' }).collect()
}

#[test]
fn the_rhythm_alone_tells_the_sign_and_what_is_well_moves() {
    for (i, a) in SIGNS.iter().enumerate() {
        for b in &SIGNS[i + 1..] {
            assert_ne!(rhythm(*a), rhythm(*b), "{a:?} and {b:?}");
        }
    }
    for sign in SIGNS {
        let moves = rhythm(sign).contains('#') && rhythm(sign).contains('.');
        assert_eq!(moves, !matches!(sign, Sign::Booting | Sign::Off), "{sign:?}");
    }
}

#[test]
fn the_rhythms_are_those_of_the_table() {
    let cycles = |sign| {
        let rhythm = rhythm(sign);
        let flashes = rhythm.as_bytes().windows(2).filter(|pair| pair == b".#").count();
        (flashes, pattern(sign).length().as_millis())
    };
    assert_eq!(cycles(Sign::Active), (1, 4000), "one dip between two beginnings in 8 s");
    assert_eq!(cycles(Sign::Standby), (1, 4000));
    assert_eq!(cycles(Sign::NotConfigured), (7, 1000));
    assert_eq!(cycles(Sign::Fault).1, 200);
    assert_eq!(cycles(Sign::Syncing).1, 2000);
    for (sign, count) in [(Sign::TwinLost, 2), (Sign::Updating, 3), (Sign::Conflict, 4), (Sign::Locating, 3)] {
        assert_eq!(pattern(sign).steps.iter().filter(|step| step.from == FULL).count(), count, "{sign:?}");
    }
    assert!(pattern(Sign::Active).steps[0].ms > 10 * pattern(Sign::Active).steps[1].ms);
}

#[test]
fn a_fade_goes_evenly_up_and_down() {
    let fade = pattern(Sign::Syncing);
    let level = |ms| fade.at(Duration::from_millis(ms)).0;
    assert_eq!([0, 500, 1000, 1500, 2000].map(level), [0, 127, 255, 128, 0]);
}

#[test]
fn the_line_shows_the_light_and_what_follows() {
    let standby = pattern(Sign::Standby);
    let line = standby.line(Duration::ZERO, false);
    assert_eq!(line, format!("● ██{}", "▁".repeat(38)));
    assert_eq!(standby.line(Duration::from_millis(3900), false), format!("○ ▁██{}", "▁".repeat(37)));
    assert!(pattern(Sign::Fault).line(Duration::ZERO, true).starts_with("\x1b[91m●"));
}

#[test]
fn a_signs_word_is_the_one_that_scripts_read() {
    for sign in Sign::ALL {
        assert_eq!(serde_json::to_value(sign).expect("a word"), sign.word());
    }
}
