use super::*;
use crate::protocol::{
    alerts::{Ledger, Phase, Voice},
    failover::Rank,
    node::{PartnerStatus, SubnetStatus, TwinStatus},
    time::Time,
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
    Status {
        serving: true,
        interfaces: vec!["eth0".into()],
        trouble: None,
        notices: Vec::new(),
        not_listening: Vec::new(),
        subnets: vec![SubnetStatus { network: "192.0.2.0/24".into(), pool_size: 100, pool_used: 10, turned_away: false }],
        commits_waiting: 0,
        outcomes: Default::default(),
        malformed: Default::default(),
        twin: Some(TwinStatus {
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
        }),
    }
}

const CLOCK: ClockFacts = ClockFacts { trusted: true, up_for: Duration::from_secs(60), skew: None };

static DISK: DiskFacts =
    DiskFacts { free_bytes: Some(1 << 30), worn_percent: Some(10), is_near_its_end: false, is_damaged: false };

fn kinds<'a>(status: &'a Status, change: impl FnOnce(&mut Facts<'a>)) -> Vec<Kind> {
    let mut facts = Facts {
        status,
        pool_percent_max: 90,
        in_conflict: &[],
        doubled: &[],
        clones: &[],
        rivals: &[],
        disk: &DISK,
        backup_age: Some(Duration::from_secs(3600)),
        clock: CLOCK,
        update: None,
    };
    change(&mut facts);
    findings(&facts).into_iter().map(|finding| finding.kind).collect()
}

fn changed(change: impl FnOnce(&mut Status, &mut TwinStatus)) -> Status {
    let mut status = well();
    let mut twin = status.twin.take().expect("it has one");
    change(&mut status, &mut twin);
    status.twin = Some(twin);
    status
}

fn partner(twin: &mut TwinStatus) -> &mut PartnerStatus {
    twin.partner.as_mut().expect("it has one")
}

#[test]
fn a_pair_that_is_well_has_nothing_to_tell() {
    assert_eq!(kinds(&well(), |_| {}), []);
    let alone = Status { twin: None, ..well() };
    assert_eq!(kinds(&alone, |_| {}), [], "nor has one that never had a twin");
}

#[test]
fn a_twin_that_is_dead_deaf_or_in_trouble_is_told() {
    assert_eq!(kinds(&changed(|_, twin| partner(twin).in_contact = false), |_| {}), [Kind::TwinSilent]);
    assert_eq!(kinds(&changed(|_, twin| twin.partner = None), |_| {}), [Kind::TwinSilent], "never heard since the start");
    assert_eq!(kinds(&changed(|_, twin| partner(twin).is_deaf = true), |_| {}), [Kind::TwinUnwell]);
    assert_eq!(kinds(&changed(|_, twin| partner(twin).in_trouble = true), |_| {}), [Kind::TwinUnwell]);
    assert_eq!(kinds(&changed(|_, twin| twin.is_level = Some(false)), |_| {}), [Kind::TwinUnwell]);
    let told = changed(|status, twin| {
        (twin.state, twin.is_serving, status.serving) = (State::ShuttingDown, false, false);
        partner(twin).in_contact = false;
    });
    assert_eq!(kinds(&told, |_| {}), [], "one that the admin has shut down is silent because of that");
}

#[test]
fn declared_down_is_still_silent() {
    let status = changed(|_, twin| {
        twin.state = State::PartnerDown;
        partner(twin).in_contact = false;
    });
    assert_eq!(kinds(&status, |_| {}), [Kind::TwinSilent], "two days later somebody must still hear of it");
}

#[test]
fn a_drill_and_a_goodbye_are_no_alert() {
    let drill = changed(|_, twin| (partner(twin).in_contact, partner(twin).drill_secs_left) = (false, Some(60)));
    assert_eq!(kinds(&drill, |_| {}), []);
    let drilled = changed(|status, twin| {
        (twin.state, twin.is_serving, status.serving) = (State::Drilled, false, false);
        partner(twin).in_contact = false;
    });
    assert_eq!(kinds(&drilled, |_| {}), [], "nor is it told by the one that plays dead");
    let unpaired = changed(|_, twin| (twin.is_unpaired, partner(twin).in_contact) = (true, false));
    assert_eq!(kinds(&unpaired, |_| {}), []);
}

#[test]
fn one_that_answers_nobody_says_so_unless_it_has_no_settings() {
    let status = changed(|status, _| (status.serving, status.interfaces) = (false, Vec::new()));
    assert_eq!(kinds(&status, |_| {}), [Kind::NotServing]);
    let blank = changed(|status, _| (status.serving, status.subnets) = (false, Vec::new()));
    assert_eq!(kinds(&blank, |_| {}), []);
}

#[test]
fn a_pool_is_told_from_the_threshold_on_and_each_by_itself() {
    let pools = |used: &[u64]| {
        let subnets = used.iter().enumerate().map(|(n, used)| SubnetStatus {
            network: format!("10.0.{n}.0/24"),
            pool_size: 100,
            pool_used: *used,
            turned_away: false,
        });
        Status { subnets: subnets.collect(), ..well() }
    };
    assert_eq!(kinds(&pools(&[89]), |_| {}), []);
    assert_eq!(kinds(&pools(&[90, 100, 3]), |_| {}), [Kind::PoolNearlyFull, Kind::PoolNearlyFull]);
    let none = Status {
        subnets: vec![SubnetStatus { network: String::new(), pool_size: 0, pool_used: 0, turned_away: false }],
        ..well()
    };
    assert_eq!(kinds(&none, |_| {}), [], "kept addresses only: nothing can be full");
}

#[test]
fn disks_backups_clocks_rivals_and_conflicts_are_told() {
    let is_well = well();
    let full = DiskFacts { free_bytes: Some(1 << 20), ..DiskFacts::default() };
    assert_eq!(kinds(&is_well, |facts| facts.disk = &full), [Kind::Disk]);
    let worn = DiskFacts { worn_percent: Some(90), ..DiskFacts::default() };
    assert_eq!(kinds(&is_well, |facts| facts.disk = &worn), [Kind::Disk]);
    assert_eq!(kinds(&Status { trouble: Some("the disk is full".into()), ..well() }, |_| {}), [Kind::Disk]);
    assert_eq!(kinds(&is_well, |facts| facts.backup_age = Some(BACKUP_LATE)), [Kind::BackupLate]);
    assert_eq!(kinds(&is_well, |facts| facts.backup_age = None), [], "it has just started");
    let up = ClockFacts { up_for: FIRST_BACKUP_LATE, ..CLOCK };
    assert_eq!(kinds(&is_well, |facts| (facts.backup_age, facts.clock) = (None, up)), [Kind::BackupLate]);
    assert_eq!(kinds(&is_well, |facts| facts.clock.trusted = false), [Kind::ClockWrong]);
    assert_eq!(kinds(&is_well, |facts| facts.clock.skew = Some(Duration::from_secs(61))), [Kind::ClockWrong]);
    let conflict = [Ipv4Addr::new(192, 0, 2, 9)];
    assert_eq!(kinds(&is_well, |facts| facts.in_conflict = &conflict), [Kind::Conflict]);
    let doubled = ["192.0.2.2 is an address of this server, and another machine has it, too.".to_owned()];
    assert_eq!(kinds(&is_well, |facts| facts.doubled = &doubled), [Kind::Conflict]);
    let rivals = ["A DHCP server answers at 192.0.2.254.".to_owned()];
    assert_eq!(kinds(&is_well, |facts| facts.rivals = &rivals), [Kind::Rival]);
    let clones = [HwAddr::ethernet([2, 0, 0, 0, 0, 1])];
    assert_eq!(kinds(&is_well, |facts| facts.clones = &clones), [Kind::Clones]);
    let damaged = DiskFacts { is_damaged: true, ..DiskFacts::default() };
    assert_eq!(kinds(&is_well, |facts| facts.disk = &damaged), [Kind::Disk]);
    let edits = changed(|_, twin| twin.to_reconcile = vec!["Both changed printer.".into()]);
    assert_eq!(kinds(&edits, |_| {}), [Kind::ToReconcile]);
}

#[test]
fn a_failed_update_is_told_by_whoever_knows_of_it() {
    let is_well = well();
    let why = "9.0.0 was started 3 times on b, so b has gone back to the version of before.";
    for scope in [Scope::Own, Scope::Shared] {
        assert_eq!(kinds(&is_well, |facts| facts.update = Some((scope, why))), [Kind::UpdateFailed]);
    }
    let mut ledger = Ledger::default();
    let mut told = |secs: u64, scope: Option<Scope>| {
        let mut found = Vec::new();
        kinds(&is_well, |facts| {
            facts.update = scope.map(|scope| (scope, why));
            found = findings(facts);
        });
        let alerts = ledger.step(Time(secs * 1000), found, Voice::Own);
        alerts.into_iter().map(|alert| (alert.phase, alert.text)).collect::<Vec<_>>()
    };
    assert_eq!(told(1, Some(Scope::Shared)), [], "the active tells what both know");
    let began = told(2, Some(Scope::Own));
    assert!(matches!(began.as_slice(), [(Phase::Begins, text)] if text.starts_with(why)), "{began:?}");
    assert_eq!(told(4, Some(Scope::Own)), [], "once");
    assert_eq!(told(6, None), [], "it may come back at once");
    let over = told(400, None);
    assert!(matches!(over.as_slice(), [(Phase::Over, _)]), "an all-clear: {over:?}");
}

#[test]
fn of_a_pair_that_is_well_one_speaks_and_of_any_other_both_do() {
    assert!(speaks(&well()));
    assert!(!speaks(&changed(|_, twin| twin.is_active = false)));
    assert!(speaks(&changed(|_, twin| (twin.is_active, partner(twin).in_contact) = (false, false))), "the survivor");
    let apart = changed(|_, twin| (twin.is_active, twin.state) = (false, State::CommunicationsInterrupted));
    assert!(speaks(&apart));
    assert!(speaks(&Status { twin: None, ..well() }));
}
