//! Leases, kept addresses and questions, merged into devices.

use super::*;
use crate::web::devices::example::{HOME, address, house, lease, mac, refused};

const PRINTER: &str = "00:1b:a9:00:53:20";
const TV: &str = "00:00:5e:00:53:11";

fn device<'h>(house: &'h House, id: &str) -> Device<'h> {
    find(&gather(house), &id.parse().expect("an id")).unwrap_or_else(|| panic!("{id} is not listed"))
}

#[test]
fn a_lease_and_the_kept_address_of_one_mac_are_one_device() {
    let house = house(HOME, vec![lease(PRINTER, "192.0.2.31", Some("BRW001")), lease(TV, "192.0.2.100", Some("tv"))]);
    assert_eq!(gather(&house).len(), 2);
    let printer = device(&house, PRINTER);
    assert_eq!((printer.name(), printer.own_name()), (Some("printer"), Some("BRW001")));
    assert_eq!(printer.standing(house.now), Standing::Leased);
    assert!(printer.kept.is_some() && device(&house, TV).kept.is_none());
}

#[test]
fn a_kept_address_that_was_never_asked_for_waits() {
    let house = house(HOME, Vec::new());
    let printer = device(&house, PRINTER);
    assert_eq!((printer.standing(house.now), printer.heard()), (Standing::Waiting, None));
    assert_eq!(printer.address(house.now), Some(address("192.0.2.31")));
}

#[test]
fn a_kept_address_does_not_go_to_whoever_holds_it_meanwhile() {
    let house = house(HOME, vec![lease(TV, "192.0.2.31", Some("tv"))]);
    assert!(device(&house, TV).kept.is_none());
    assert_eq!(device(&house, PRINTER).standing(house.now), Standing::Waiting);
    assert_eq!(at_address(&gather(&house), house.now, address("192.0.2.31")).map(|device| device.called()), Some("tv".into()));
}

#[test]
fn a_device_that_moved_is_listed_once_with_the_address_that_it_holds() {
    let mut old = lease(TV, "192.0.2.100", Some("tv"));
    old.state = BindingState::Released;
    let house = house(HOME, vec![old, lease(TV, "192.0.2.101", Some("tv"))]);
    assert_eq!(gather(&house).len(), 2, "the tv and the printer");
    assert_eq!(device(&house, TV).holds(house.now), Some(address("192.0.2.101")));
}

#[test]
fn several_that_share_a_mac_are_told_apart_by_their_client_id() {
    let of = |id: &[u8], at| Binding { client: ClientId::Given(id.into()), ..lease(TV, at, None) };
    let house = house(HOME, vec![of(b"one", "192.0.2.100"), of(b"two", "192.0.2.101")]);
    let devices = gather(&house);
    let ids: std::collections::BTreeSet<String> = devices.iter().map(|device| device.id.to_string()).collect();
    assert_eq!(ids.len(), devices.len(), "{ids:?}");
    let held: Vec<_> = ["id-6f6e65", "id-74776f"].map(|id| device(&house, id).holds(house.now)).into();
    assert_eq!(held, [Some(address("192.0.2.100")), Some(address("192.0.2.101"))]);
}

#[test]
fn a_client_id_finds_its_lease_whatever_its_mac() {
    let kept = format!("{HOME}[[reservation]]\nclient-id = \"text:boiler\"\naddress = \"192.0.2.40\"\nname = \"boiler\"\n");
    let leased = Binding { client: ClientId::Given(b"boiler".as_slice().into()), ..lease(TV, "192.0.2.40", None) };
    let house = house(&kept, vec![leased]);
    assert_eq!(gather(&house).len(), 2);
    let by_mac = device(&house, TV);
    assert_eq!(by_mac.kept.map(|kept| kept.address), Some(address("192.0.2.40")));
    assert_eq!(device(&house, "id-626f696c6572").id, by_mac.id, "the id of its kept address leads to it");
}

#[test]
fn who_asks_and_gets_nothing_is_listed_and_who_asks_the_twin_is_not() {
    let mut unanswered = house(HOME, Vec::new());
    refused(&mut unanswered, TV, Some("tv"));
    assert_eq!(device(&unanswered, TV).standing(unanswered.now), Standing::Unanswered);
    let mut answered = (*unanswered.asked[&mac(TV)]).clone();
    answered.outcome = Outcome::Silent { why: Silence::TwinAnswers };
    let mut by_twin = house(HOME, Vec::new());
    by_twin.asked.insert(mac(TV), Arc::new(answered));
    assert_eq!(find(&gather(&by_twin), &TV.parse().expect("an id")).map(|device| device.id), None);
}

#[test]
fn an_address_that_rests_and_a_lease_that_is_over_are_not_held() {
    let declined = Binding { state: BindingState::Declined, ..lease(TV, "192.0.2.100", None) };
    let over = Binding { expiry: Time(999_500_000), ..lease("00:00:5e:00:53:12", "192.0.2.101", None) };
    let house = house(HOME, vec![declined, over]);
    let (rests, ended) = (device(&house, TV), device(&house, "00:00:5e:00:53:12"));
    assert_eq!((rests.standing(house.now), rests.holds(house.now)), (Standing::Resting, None));
    assert_eq!((ended.standing(house.now), ended.holds(house.now)), (Standing::Ended, None));
}
