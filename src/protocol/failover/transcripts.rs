//! Two nodes, step by step, as a capture would show them. The simulation tries everything; this shows what is meant.

mod history;
mod drill;
mod house;

use std::time::Duration;

use super::{Rank, State};
use crate::protocol::{Command, TwinCommand, lease::BindingState};
use house::{A, B, House};

const FULL: u32 = 600;
const MCLT: u32 = 120;

#[test]
fn two_that_start_are_together_within_a_second() {
    let mut house = House::new();
    house.wait(Duration::from_millis(900));
    assert_eq!(house.states(), [State::Normal, State::Normal]);
}

#[test]
fn a_full_lease_waits_for_the_twins_disk_and_no_longer() {
    let mut house = House::together();
    house.hold_link();
    let asked = house.client(1).asks(A);
    house.client(1).takes(A, asked.address);
    house.expect_silence(1);
    house.let_link_go();
    let acked = house.expect_ack(1);
    assert_eq!((acked.address, acked.secs), (asked.address, FULL));
    assert_eq!(house.record(B, acked.address).state, BindingState::Leased);
}

#[test]
fn a_change_on_its_way_is_no_difference_between_the_two() {
    let mut house = House::together();
    for number in 1..4 {
        let offered = house.client(number).asks(A).address;
        house.client(number).takes(A, offered);
        for _ in 0..40 {
            house.wait(Duration::from_millis(10));
            assert!(![house.is_level(A), house.is_level(B)].contains(&Some(false)));
        }
    }
    house.wait(Duration::from_secs(1));
    assert_eq!([house.is_level(A), house.is_level(B)], [Some(true); 2]);
}

#[test]
fn a_silent_twin_costs_lease_time_and_not_the_lease() {
    let mut house = House::together();
    let offered = house.own_offer(1, A);
    house.cut();
    house.client(1).takes(A, offered);
    house.wait(Duration::from_millis(250));
    let acked = house.expect_ack(1);
    assert_eq!((acked.address, acked.secs), (offered, MCLT));
}

#[test]
fn what_the_owner_does_not_confirm_is_undone_and_the_client_asks_anew() {
    let mut house = House::together();
    let offered = house.foreign_offer(1, A);
    assert_eq!(Rank::of(offered), Rank::Second);
    house.cut();
    house.client(1).takes(A, offered);
    house.wait(Duration::from_millis(250));
    house.expect_nak(1);
    assert_eq!(house.record(A, offered).state, BindingState::Free);
}

#[test]
fn a_client_for_whom_the_owners_word_came_too_late_is_offered_an_address_of_this_nodes_own() {
    let mut house = House::together();
    let offered = house.foreign_offer(1, A);
    house.hold_link();
    house.client(1).takes(A, offered);
    house.wait(Duration::from_millis(250));
    house.expect_nak(1);
    assert_eq!(house.states()[A], State::Normal, "late is not gone");
    let again = house.client(1).asks(A);
    assert_eq!(Rank::of(again.address), Rank::First);
    house.client(1).takes(A, again.address);
    house.wait(Duration::from_millis(250));
    assert_eq!(house.expect_ack(1).address, again.address);
}

#[test]
fn a_dead_active_is_noticed_and_the_waiting_client_is_answered_at_once() {
    let mut house = House::together();
    house.kill(A);
    house.client(1).asks_all();
    house.expect_silence(1);
    house.wait(Duration::from_millis(1800));
    let offered = house.expect_offer(1);
    assert_eq!(offered.server, Some(house.address(B)));
    assert_eq!(house.states()[B], State::CommunicationsInterrupted);
}

#[test]
fn a_deaf_active_is_noticed_though_its_heart_beats() {
    let mut house = House::together();
    house.wait(Duration::from_secs(5));
    house.client(1).asks_only(B);
    house.expect_silence(1);
    house.wait(Duration::from_millis(1100));
    assert_eq!(house.expect_offer(1).server, Some(house.address(B)));
}

#[test]
fn a_twin_that_looks_for_other_servers_is_not_deaf_for_not_hearing_itself() {
    let mut house = House::together();
    house.wait(Duration::from_secs(5));
    house.client(1).probes(B);
    house.wait(Duration::from_millis(1100));
    house.expect_silence(1);
}

#[test]
fn apart_each_gives_from_its_own_half_only() {
    let mut house = House::together();
    house.cut();
    house.wait(Duration::from_secs(2));
    assert_eq!(house.states(), [State::CommunicationsInterrupted; 2]);
    for client in 1..=3 {
        let (a, b) = (house.full_lease(client, A), house.full_lease(client + 10, B));
        assert_eq!((Rank::of(a), Rank::of(b)), (Rank::First, Rank::Second));
    }
    house.heal();
    house.wait(Duration::from_secs(3));
    assert_eq!(house.states(), [State::Normal; 2]);
    assert_eq!(house.table(A), house.table(B));
}

#[test]
fn what_has_run_out_goes_through_both_hands_before_another_gets_it() {
    let mut house = House::together();
    let address = house.full_lease(1, A);
    house.wait(Duration::from_secs(u64::from(FULL) + 10));
    let record = house.record(A, address);
    assert_eq!((record.state, record.generation), (BindingState::Free, 2));
    assert_eq!(house.table(A), house.table(B));
}

#[test]
fn the_standby_takes_over_the_role_when_it_is_told_to() {
    let mut house = House::together();
    house.command(B, Command::Twin(TwinCommand::Switch)).expect("it is a normal operation");
    house.wait(Duration::from_millis(100));
    house.client(1).asks_all();
    assert_eq!(house.expect_offer(1).server, Some(house.address(B)));
}

#[test]
fn a_goodbye_is_a_declaration_and_the_one_who_said_it_waits_for_contact() {
    let mut house = House::together();
    house.command(A, Command::Twin(TwinCommand::ShutDown)).expect("it serves");
    house.wait(Duration::from_millis(600));
    assert_eq!(house.states()[B], State::PartnerDown);
    house.kill(A);
    house.cut();
    house.start(A);
    house.wait(Duration::from_secs(30));
    assert_eq!(house.states()[A], State::Recover, "silent until contact");
    house.client(1).asks_only(A);
    house.expect_silence(1);
    house.heal();
    house.wait(Duration::from_secs(2));
    assert_eq!(house.states(), [State::Normal; 2]);
}

#[test]
fn a_wiped_disk_is_filled_again_and_silent_for_the_lead_time() {
    let mut house = House::together();
    let address = house.full_lease(1, A);
    house.kill(B);
    house.wipe(B);
    house.start(B);
    house.wait(Duration::from_secs(5));
    assert_eq!(house.states(), [State::Reconcile, State::Recover]);
    assert_eq!(house.record(B, address).state, BindingState::Leased, "it knows already, and still waits");
    house.wait(Duration::from_secs(u64::from(MCLT) + 5));
    assert_eq!(house.states(), [State::Normal; 2]);
}

#[test]
fn an_old_copy_put_back_is_noticed_without_a_mark() {
    let mut house = House::together();
    let old = house.disk_copy(B);
    house.full_lease(1, B);
    house.full_lease(2, B);
    house.wait(Duration::from_secs(1));
    house.kill(B);
    house.put_back(B, old);
    house.start(B);
    house.wait(Duration::from_secs(2));
    assert_eq!(house.states()[B], State::Recover);
}

#[test]
fn a_power_cut_of_the_whole_house_is_no_rollback() {
    let mut house = House::together();
    let addresses = [house.full_lease(1, A), house.full_lease(2, A)];
    house.kill(A);
    house.kill(B);
    house.start(A);
    house.wait(Duration::from_millis(400));
    house.start(B);
    house.wait(Duration::from_millis(1500));
    assert_eq!(house.states(), [State::Normal; 2]);
    for address in addresses {
        assert_eq!(house.record(A, address), house.record(B, address));
    }
}

#[test]
fn a_declared_twins_half_is_given_after_the_lead_time_and_in_a_new_generation() {
    let mut house = House::together();
    house.kill(A);
    house.wait(Duration::from_secs(2));
    house.command(B, Command::Twin(TwinCommand::DeclareDown)).expect("it is out of reach");
    let own: Vec<_> = (1..=3).map(|client| house.full_lease(client, B)).collect();
    assert!(own.iter().all(|address| Rank::of(*address) == Rank::Second));
    house.client(9).asks_only(B);
    house.expect_silence(9);
    house.wait(Duration::from_secs(u64::from(MCLT) + 10));
    let taken = house.full_lease(9, B);
    assert_eq!((Rank::of(taken), house.record(B, taken).generation), (Rank::First, 2));
}

#[test]
fn edits_on_either_reach_the_other_and_contradictions_are_kept() {
    let mut house = House::together();
    house.reserve(A, "02:00:00:00:00:07", "192.0.2.10", "desk").expect("it is free");
    house.wait(Duration::from_millis(100));
    assert_eq!(house.kept_names(A), house.kept_names(B));
    house.cut();
    house.wait(Duration::from_secs(2));
    house.rename(A, "02:00:00:00:00:07", "desk-a");
    house.rename(B, "02:00:00:00:00:07", "desk-b");
    house.heal();
    house.wait(Duration::from_secs(3));
    assert_eq!((house.kept_names(A), house.kept_names(B)), (vec!["desk-a".to_owned()], vec!["desk-a".to_owned()]));
    for node in [A, B] {
        assert_eq!(house.to_reconcile(node).len(), 1, "both versions are kept until somebody chooses");
    }
    assert_eq!(house.states(), [State::Normal; 2]);
}

#[test]
fn one_that_was_counted_as_down_is_silent_until_it_has_pulled_though_contact_was_short() {
    let mut house = House::together();
    house.kill(A);
    house.wait(Duration::from_secs(2));
    house.command(B, Command::Twin(TwinCommand::DeclareDown)).expect("it is out of reach");
    house.wait(Duration::from_secs(u64::from(MCLT) + 10));
    // It hears that it was counted as down, and then nothing more: what its twin has given meanwhile is unknown to it.
    house.start(A);
    house.cut_towards(B);
    house.wait(Duration::from_millis(600));
    house.cut();
    house.wait(Duration::from_secs(30));
    assert_eq!(house.states(), [State::Recover, State::PartnerDown]);
    house.kill(A);
    house.start(A);
    house.wait(Duration::from_secs(30));
    assert_eq!(house.states()[A], State::Recover, "nor after another start");
    house.heal();
    house.wait(Duration::from_secs(2));
    assert_eq!(house.states(), [State::Normal; 2]);
}

/// One that has served with a twin, and has given a lease that the twin knows.
fn unpaired() -> House {
    let mut house = House::together();
    house.full_lease(1, A);
    house.kill(B);
    house.wait(Duration::from_secs(2));
    house.command(A, Command::Twin(TwinCommand::Unpair)).expect("it serves");
    assert_eq!(house.states()[A], State::PartnerDown);
    house
}

#[test]
fn one_that_is_unpaired_is_one_alone_when_nothing_of_the_twin_can_be_in_force() {
    let mut house = unpaired();
    house.wait(Duration::from_secs(u64::from(FULL)));
    house.client(2).asks_until_served(A);
    let offered = house.expect_offer(2).address;
    house.client(2).takes(A, offered);
    assert_eq!(house.expect_ack(2).secs, MCLT, "as any declaration has it");
    assert_eq!(house.states()[A], State::PartnerDown);
    house.wait(Duration::from_secs(u64::from(MCLT) + 15));
    assert_eq!((house.states()[A], house.status(A)), (State::Alone, None));
    assert!(!house.remembers_a_twin(A));
    let (own, other) = (house.full_lease(3, A), house.full_lease(4, A));
    assert_ne!(Rank::of(own), Rank::of(other), "all addresses are its own now");
    house.client(5).asks(A);
    house.kill(A);
    house.start(A);
    assert_eq!(house.states()[A], State::Alone, "and so it stays");
    house.client(1).asks(A);
}

#[test]
fn one_that_is_unpaired_listens_to_nobody_and_counts_on_over_a_restart() {
    let mut house = unpaired();
    house.wait(Duration::from_secs(100));
    let before = house.status(A).and_then(|status| status.alone_in_secs).expect("a wait");
    // Whoever it was: the link would not let it in.
    house.start(B);
    house.wait(Duration::from_secs(3));
    assert_eq!(house.states()[A], State::PartnerDown);
    house.kill(B);
    house.kill(A);
    house.start(A);
    house.wait(Duration::from_millis(500));
    assert_eq!(house.states()[A], State::PartnerDown, "it looks for nobody");
    let after = house.status(A).and_then(|status| status.alone_in_secs).expect("a wait");
    assert!((after + 3..=after + 5).contains(&before), "{before} s, then {after} s");
    house.wait(Duration::from_secs(after + 2));
    assert_eq!(house.states()[A], State::Alone);
}

#[test]
fn one_that_is_unpaired_can_be_paired_anew_before_and_after_it_is_alone() {
    for is_alone_by_then in [false, true] {
        let mut house = unpaired();
        if is_alone_by_then {
            house.wait(Duration::from_secs(u64::from(FULL + MCLT) + 15));
        }
        let address = house.full_lease(1, A);
        house.wipe(B);
        house.pair_anew(A);
        house.start(B);
        house.wait(Duration::from_secs(5));
        assert_eq!(house.states()[B], State::Recover, "it knows nothing of what the former twin gave");
        house.wait(Duration::from_secs(u64::from(MCLT) + 5));
        assert_eq!(house.states(), [State::Normal; 2]);
        assert_eq!(house.record(B, address).state, BindingState::Leased);
        house.wait(Duration::from_secs(2 * u64::from(FULL + MCLT)));
        assert_eq!(house.states(), [State::Normal; 2], "the former word counts no more");
    }
}

#[test]
fn one_that_is_unpaired_before_it_knows_what_it_may_have_forgotten_stays_silent() {
    let mut house = House::together();
    house.full_lease(1, A);
    house.kill(A);
    house.kill(B);
    house.wipe(A);
    house.start(A);
    house.command(A, Command::Twin(TwinCommand::Unpair)).expect("it is the admin's word");
    house.wait(Duration::from_secs(2 * u64::from(FULL)));
    assert_eq!(house.states()[A], State::Recover);
    assert!(house.status(A).is_some_and(|status| status.is_unpaired && status.alone_in_secs.is_none()));
}

#[test]
fn while_the_disk_of_the_active_stands_still_the_standby_answers_new_clients() {
    let mut house = House::together();
    house.stall_disk(A);
    let offered = house.own_offer(1, A);
    house.client(1).takes(A, offered);
    // It asks just before anybody can know.
    house.wait(Duration::from_millis(900));
    house.client(2).asks_all();
    assert_eq!(house.servers_heard(2), [A]);
    house.wait(Duration::from_millis(400));
    house.client(3).asks_all();
    let offer = house.expect_offer(3);
    assert_eq!((offer.server, Rank::of(offer.address)), (Some(house.address(B)), Rank::Second));
    house.client(3).takes(B, offer.address);
    house.wait(Duration::from_millis(250));
    assert_eq!(house.expect_ack(3).secs, MCLT, "the other disk cannot confirm it");
    house.client(4).asks_all();
    assert_eq!(house.servers_heard(4), [B], "an offer of the active could only be waited for");
    house.let_disk_go(A);
    assert_eq!(house.expect_ack(1).address, offered);
    house.wait(Duration::from_secs(4));
    house.client(5).asks_all();
    assert_eq!(house.servers_heard(5), [A], "and when its disk is well it answers again");
}

#[test]
fn a_disk_that_is_slow_with_each_commit_is_slow_all_the_time() {
    let mut house = House::together();
    let in_trouble = |house: &House| house.status(B).and_then(|status| status.partner).is_some_and(|partner| partner.in_trouble);
    let mut seen = Vec::new();
    for client in 1..=3 {
        house.stall_disk(A);
        house.client(client).asks_only(A);
        house.client(client).asks_until_served(A);
        let offered = house.expect_offer(client).address;
        house.client(client).takes(A, offered);
        for _ in 0..10 {
            house.wait(Duration::from_millis(250));
            seen.push(in_trouble(&house));
            if seen.len() % 10 == 6 {
                house.let_disk_go(A);
            }
        }
    }
    let first = seen.iter().position(|told| *told).expect("told");
    assert!(first <= 5 && seen[first..].iter().all(|told| *told), "{seen:?}");
    house.wait(Duration::from_secs(4));
    assert!(!in_trouble(&house));
}
