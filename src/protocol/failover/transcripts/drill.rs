//! Drills: a node falls silent as if it had died, its twin takes over, and it comes back by itself.

use std::time::Duration;

use super::house::{A, B, House};
use crate::protocol::{Command, TwinCommand, failover::State, lease::BindingState};

const SECS: u32 = 60;

fn drill(house: &mut House, node: usize, secs: u32) -> Result<(), String> {
    house.command(node, Command::Twin(TwinCommand::Drill { secs }))
}

fn drilled() -> House {
    let mut house = House::together();
    drill(&mut house, A, SECS).expect("all is well");
    house
}

#[test]
fn a_drilled_node_is_silent_and_its_twin_takes_over_as_after_a_crash() {
    let mut house = drilled();
    house.client(1).asks_all();
    house.expect_silence(1);
    house.wait(Duration::from_millis(1800));
    assert_eq!(house.expect_offer(1).server, Some(house.address(B)));
    assert_eq!(house.states(), [State::Drilled, State::CommunicationsInterrupted]);
    house.client(2).asks_all();
    assert_eq!(house.expect_offer(2).server, Some(house.address(B)));
}

#[test]
fn a_drill_ends_by_itself_and_both_know_what_happened_meanwhile() {
    let mut house = drilled();
    house.wait(Duration::from_secs(2));
    let address = house.full_lease(1, B);
    house.wait(Duration::from_secs(u64::from(SECS) - 4));
    assert_eq!(house.states()[A], State::Drilled);
    house.wait(Duration::from_secs(5));
    assert_eq!(house.states(), [State::Normal; 2]);
    assert_eq!(house.record(A, address).state, BindingState::Leased);
    assert_eq!(house.table(A), house.table(B));
}

#[test]
fn a_drilled_node_says_nothing_to_its_twin_whatever_it_hears() {
    let mut house = drilled();
    house.hold_link();
    house.reserve(A, "02:00:00:00:07:09", "192.0.2.12", "printer").expect("it keeps its disk");
    house.client(1).asks_all();
    house.wait(Duration::from_secs(10));
    assert_eq!(house.held_of(A), 0);
    assert!(house.held_of(B) > 0, "the twin goes on calling");
}

#[test]
fn what_was_changed_on_the_drilled_one_is_known_to_both_afterwards() {
    let mut house = drilled();
    house.reserve(A, "02:00:00:00:07:09", "192.0.2.12", "printer").expect("it keeps its disk");
    house.wait(Duration::from_secs(10));
    assert_eq!(house.kept_names(B), Vec::<String>::new());
    house.wait(Duration::from_secs(60));
    assert_eq!(house.states(), [State::Normal; 2]);
    assert_eq!(house.kept_names(B), ["printer"]);
}

#[test]
fn a_drill_is_ended_at_any_moment_and_ends_once() {
    for after in [Duration::from_millis(300), Duration::from_secs(20)] {
        let mut house = drilled();
        house.wait(after);
        house.command(A, Command::Twin(TwinCommand::EndDrill)).expect("Abort is always there");
        house.wait(Duration::from_secs(3));
        assert_eq!(house.states(), [State::Normal; 2], "ended after {after:?}");
        let again = house.command(A, Command::Twin(TwinCommand::EndDrill)).expect_err("it is over");
        assert_eq!(again, "This one is in no drill. Nothing to do.");
        house.wait(Duration::from_secs(u64::from(SECS)));
        assert_eq!(house.states(), [State::Normal; 2], "the old end is no end any more");
    }
}

#[test]
fn a_restart_ends_a_drill() {
    let mut house = drilled();
    house.wait(Duration::from_secs(5));
    house.kill(A);
    house.start(A);
    house.wait(Duration::from_secs(3));
    assert_eq!(house.states(), [State::Normal; 2]);
}

#[test]
fn the_twin_knows_that_it_is_a_drill_and_nobody_can_declare_it_down() {
    let mut house = drilled();
    house.wait(Duration::from_secs(10));
    let partner = house.status(B).and_then(|twin| twin.partner).expect("it was heard");
    assert_eq!((partner.in_contact, partner.drill_secs_left), (false, Some(u64::from(SECS) - 10)));
    let refused = house.command(B, Command::Twin(TwinCommand::DeclareDown)).expect_err("it is not off");
    assert_eq!(refused, "The twin is in a drill and comes back by itself in 50 s: it is not off. Nothing was changed.");
    // It died in the drill: when its time is over, the word counts.
    house.kill(A);
    house.wait(Duration::from_secs(51));
    house.command(B, Command::Twin(TwinCommand::DeclareDown)).expect("nobody is there");
}

#[test]
fn no_drill_begins_where_the_twin_could_not_take_over() {
    let mut house = House::together();
    let refused = |house: &mut House, node, secs| drill(house, node, secs).expect_err("no drill");
    assert_eq!(refused(&mut house, A, 29), "A drill of 29 s is not possible. Choose 30 s to 10 min.");
    assert_eq!(refused(&mut house, A, 601), "A drill of 601 s is not possible. Choose 30 s to 10 min.");
    drill(&mut house, A, SECS).expect("all is well");
    assert_eq!(refused(&mut house, A, SECS), "This one is in a drill. End the drill first, or wait until it is over.");
    house.wait(Duration::from_secs(2));
    let apart = "No drill now. The twins are not together: this one is serving, out of reach of its twin.";
    assert_eq!(refused(&mut house, B, SECS), apart, "one at a time");
    house.kill(A);
    house.start(A);
    house.wait(Duration::from_secs(3));
    house.cut();
    house.wait(Duration::from_secs(1));
    house.reserve(A, "02:00:00:00:07:09", "192.0.2.12", "printer").expect("it has a disk");
    assert_eq!(refused(&mut house, A, SECS), "No drill now. The twin does not have everything yet. Wait a few seconds.");
}
