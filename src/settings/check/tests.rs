use super::*;
use crate::{
    protocol::lease::HwAddr,
    settings::{
        Identifier, Pool, Server,
        options::{OptionDefinition, OptionKind},
    },
};

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn range(first: &str, last: &str) -> AddressRange {
    AddressRange { first: ip(first), last: ip(last) }
}

fn subnet(network: &str) -> Subnet {
    Subnet {
        network: network.parse().unwrap(),
        interface: None,
        pools: Vec::new(),
        exclusions: Vec::new(),
        lease: Default::default(),
        options: OptionSet::new(),
    }
}

fn reservation(last_byte: u8, address: &str, name: &str) -> Reservation {
    Reservation {
        identifier: Identifier::Mac(HwAddr::ethernet([0xa4, 0xcf, 0x12, 0x9b, 0, last_byte])),
        address: ip(address),
        name: Some(name.into()),
        note: None,
        options: OptionSet::new(),
        force_broadcast: false,
        echo_client_id: true,
    }
}

/// One network 192.0.2.0/24 with the router .1 and the pool .100-.199.
fn home() -> Settings {
    let mut network = subnet("192.0.2.0/24");
    network.pools.push(Pool { range: range("192.0.2.100", "192.0.2.199"), options: OptionSet::new() });
    network.options.insert(ROUTER, OptionValue::IpList(vec![ip("192.0.2.1")]));
    Settings { subnets: vec![network], ..Settings::default() }
}

fn with(change: impl FnOnce(&mut Settings)) -> Vec<Finding> {
    let mut settings = home();
    change(&mut settings);
    check(&settings)
}

/// The only finding.
fn text(change: impl FnOnce(&mut Settings)) -> String {
    let findings = with(change);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings[0].text.clone()
}

fn pool(first: &str, last: &str) -> Vec<Pool> {
    vec![Pool { range: range(first, last), options: OptionSet::new() }]
}

#[test]
fn a_plain_home_is_all_right() {
    assert_eq!(check(&home()), []);
    assert_eq!(check(&Settings::default()), []);
}

#[test]
fn subnets_lie_apart() {
    let overlap = with(|s| s.subnets.insert(0, subnet("192.0.0.0/16")));
    assert_eq!(
        overlap[0].text,
        "Subnet 192.0.2.0/24 lies inside subnet 192.0.0.0/16. Make 192.0.0.0/16 smaller, or remove one of the two."
    );
    assert_eq!(overlap[0].place, Place::Subnet(1));
    assert!(text(|s| s.subnets.push(subnet("192.0.2.0/24"))).contains("already there"));
    let nested_twice = with(|s| s.subnets = ["10.0.0.0/8", "10.1.0.0/16", "10.9.0.0/24", "11.0.0.0/24"].map(subnet).to_vec());
    assert_eq!(nested_twice.iter().map(|finding| finding.place).collect::<Vec<_>>(), [Place::Subnet(1), Place::Subnet(2)]);
}

#[test]
fn subnets_are_of_a_kind_that_devices_live_in() {
    assert!(text(|s| s.subnets = vec![subnet("10.0.0.0/7")]).contains("/8 to /30"));
    assert!(text(|s| s.subnets = vec![subnet("192.0.2.0/31")]).contains("/8 to /30"));
    assert!(text(|s| s.subnets = vec![subnet("192.0.2.1/24")]).contains("Write 192.0.2.0/24"));
    assert!(text(|s| s.subnets = vec![subnet("127.0.0.0/8")]).contains("no device can have"));
    assert!(text(|s| s.subnets = vec![subnet("224.0.0.0/24")]).contains("no device can have"));
}

#[test]
fn pools_lie_inside_their_network_and_apart() {
    assert!(
        text(|s| s.subnets[0].pools = pool("198.51.100.1", "198.51.100.9"))
            .contains("Choose addresses from 192.0.2.1 to 192.0.2.254.")
    );
    assert!(text(|s| s.subnets[0].pools = pool("192.0.2.200", "192.0.2.255")).ends_with("Write 192.0.2.200-192.0.2.254."));
    assert!(with(|s| s.subnets[0].pools = pool("192.0.2.0", "192.0.2.9"))[0].text.ends_with("Write 192.0.2.1-192.0.2.9."));
    assert!(text(|s| s.subnets[0].pools = pool("192.0.2.9", "192.0.2.5")).contains("ends before it begins"));
    assert!(
        text(|s| s.subnets[0].pools.extend(pool("192.0.2.199", "192.0.2.210"))).contains("overlaps pool 192.0.2.100-192.0.2.199")
    );
    // The long one reaches over the short one to the third.
    let over = with(|s| {
        s.subnets[0].pools =
            [pool("192.0.2.10", "192.0.2.90"), pool("192.0.2.20", "192.0.2.30"), pool("192.0.2.80", "192.0.2.95")].concat()
    });
    assert_eq!(over.len(), 2);
}

#[test]
fn a_pool_does_not_give_the_router_away_unless_it_is_excluded() {
    let covering = pool("192.0.2.1", "192.0.2.9");
    assert!(text(|s| s.subnets[0].pools = covering.clone()).contains("covers the router 192.0.2.1"));
    let excluded = with(|s| {
        s.subnets[0].pools = covering.clone();
        s.subnets[0].exclusions = vec![range("192.0.2.1", "192.0.2.1")];
    });
    assert_eq!(excluded, []);
}

#[test]
fn exclusions_lie_inside_their_network() {
    assert!(text(|s| s.subnets[0].exclusions = vec![range("192.0.3.1", "192.0.3.1")]).contains("not inside subnet 192.0.2.0/24"));
    assert!(text(|s| s.subnets[0].exclusions = vec![range("192.0.2.9", "192.0.2.1")]).contains("ends before it begins"));
}

#[test]
fn the_router_is_within_reach() {
    let router = |address: &str| OptionSet::from([(ROUTER, OptionValue::IpList(vec![ip(address)]))]);
    assert!(
        text(|s| s.subnets[0].options = router("198.51.100.1"))
            .contains("nobody could reach it. Choose one from 192.0.2.1 to 192.0.2.254.")
    );
    assert!(text(|s| s.subnets[0].options = router("192.0.2.255")).contains("nobody could reach it"));
    assert!(text(|s| s.subnets[0].pools[0].options = router("198.51.100.1")).contains("of pool 192.0.2.100-192.0.2.199"));
    let general = text(|s| {
        s.options = router("192.0.2.1");
        s.subnets[0].options = OptionSet::new();
        s.subnets.push(subnet("198.51.100.0/24"));
    });
    assert!(
        general
            .ends_with("which devices of 198.51.100.0/24 cannot reach. Set `router` in [subnet.options] of each subnet instead.")
    );
}

#[test]
fn two_reservations_never_share_an_address() {
    let kept = text(|s| s.reservations = vec![reservation(1, "192.0.2.31", "printer"), reservation(2, "192.0.2.31", "tv")]);
    assert_eq!(kept, "192.0.2.31 is already kept for *printer*. Choose .32 (free), or change *printer*.");
    let next_is_taken = text(|s| {
        s.reservations =
            vec![reservation(1, "192.0.2.31", "printer"), reservation(2, "192.0.2.31", "tv"), reservation(3, "192.0.2.32", "pc")];
    });
    assert!(next_is_taken.contains("Choose .33 (free)"));
}

#[test]
fn a_device_keeps_one_address() {
    let twice = text(|s| s.reservations = vec![reservation(1, "192.0.2.31", "printer"), reservation(1, "192.0.2.32", "printer")]);
    assert_eq!(
        twice,
        "a4:cf:12:9b:00:01 has the kept address 192.0.2.31 already. A device has one: change that one, or remove it."
    );
}

#[test]
fn a_reserved_address_is_one_that_a_device_can_have() {
    let at = |address: &str| text(|s| s.reservations = vec![reservation(1, address, "tv")]);
    assert!(at("198.51.100.7").contains("198.51.100.7 for *tv* lies in no subnet."));
    assert!(at("192.0.2.255").ends_with("Choose another, for example .254 (free)."));
    assert!(at("192.0.2.0").contains("which no device can have. Choose another, for example .2 (free)."));
    assert!(at("192.0.2.1").contains("is the router's address. Choose another, for example .2 (free)."));
}

#[test]
fn reserved_addresses_may_be_excluded_or_in_a_pool() {
    let findings = with(|s| {
        s.subnets[0].exclusions = vec![range("192.0.2.150", "192.0.2.150")];
        s.reservations = vec![reservation(1, "192.0.2.150", "printer"), reservation(2, "192.0.2.110", "tv")];
    });
    assert_eq!(findings, []);
}

#[test]
fn names_notes_and_identifiers_are_possible_ones() {
    assert!(text(|s| s.reservations = vec![reservation(1, "192.0.2.31", "living room")]).contains("cannot be sent to a device"));
    let noted = |length: usize| Reservation { note: Some("x".repeat(length)), ..reservation(1, "192.0.2.31", "tv") };
    assert!(text(|s| s.reservations = vec![noted(1001)]).contains("1000 are possible"));
    let identified = |identifier: Identifier| Reservation { identifier, ..reservation(1, "192.0.2.31", "tv") };
    assert!(text(|s| s.reservations = vec![identified(Identifier::ClientId(vec![]))]).contains("0 bytes"));
    assert!(text(|s| s.reservations = vec![identified(Identifier::CircuitId(vec![0; 256]))]).contains("256 bytes"));
    assert!(text(|s| s.reservations = vec![identified(Identifier::Mac(HwAddr::new(1, &[2, 3]).unwrap()))]).contains("6 pairs"));
    assert!(text(|s| s.reservations = vec![identified(Identifier::Mac(HwAddr::ethernet([1; 6])))]).contains("multicast"));
}

#[test]
fn lease_times_are_ordered_also_where_a_subnet_changes_one() {
    let secs = Duration::from_secs;
    assert!(
        text(|s| s.lease.min = secs(50_000))
            .contains("`default` (12h) is shorter than `min` (13h53m20s). Choose 13h53m20s to 7d.")
    );
    assert!(text(|s| s.lease.max = secs(3600)).starts_with("In [lease], `default` (12h) is longer than `max` (1h)"));
    let subnet = with(|s| s.subnets[0].lease.max = Some(secs(3600)));
    assert_eq!(subnet[0].place, Place::SubnetLease(0));
    assert!(subnet[0].text.contains("the lease times of subnet 192.0.2.0/24"));
    assert!(text(|s| s.subnets[0].lease.t1_permille = Some(900)).contains("`t1` (0.9) must come before `t2` (0.875)"));
    assert!(text(|s| s.subnets[0].lease.t2_permille = Some(1000)).contains("between 0.001 and 0.999"));
    assert!(with(|s| s.lease.max = secs(u64::from(u32::MAX)))[0].text.contains("136 years"));
    assert!(with(|s| s.lease.min = Duration::from_millis(1500))[0].text.contains("whole seconds"));
}

#[test]
fn the_server_has_possible_times_and_interfaces() {
    let server = |change: fn(&mut Server)| text(|s| change(&mut s.server));
    assert!(server(|s| s.probe = Some(Duration::from_secs(3))).contains("clients do not wait that long"));
    assert!(server(|s| s.probe = Some(Duration::ZERO)).contains("probe = false"));
    assert!(server(|s| s.decline_quarantine = Duration::ZERO).contains("`decline-quarantine` is 0"));
    assert!(server(|s| s.interfaces = vec!["eth0/1".into()]).contains("`ip link`"));
    assert!(server(|s| s.interfaces = vec!["x".repeat(16)]).contains("`ip link`"));
}

#[test]
fn the_pair_has_possible_times() {
    let twin = |change: fn(&mut Twin)| text(|s| change(&mut s.twin));
    let secs = Duration::from_secs;
    assert_eq!(twin(|t| t.mclt = Duration::from_secs(59)), "`mclt` in [twin] is 59s. Choose 1m to 1d.");
    assert!(twin(|t| t.mclt = Duration::from_secs(86_401)).contains("Choose 1m to 1d"));
    assert!(twin(|t| t.mclt = Duration::from_micros(60_000_001)).contains("Round it to 1m."));
    assert_eq!(twin(|t| t.ack_deadline = Duration::ZERO), "`ack-deadline` in [twin] is 0s. Choose 10ms to 2s.");
    assert!(twin(|t| t.ack_deadline = Duration::from_secs(3)).contains("is 3s"));
    assert!(twin(|t| t.assume_partner_down_after = Some(Duration::from_secs(30))).contains("Choose 1m to 30d"));
    let possible =
        Twin { mclt: secs(86_400), ack_deadline: secs(2), assume_partner_down_after: Some(secs(60)), ..Twin::default() };
    assert_eq!(with(|s| s.twin = possible), []);
}

#[test]
fn custom_options_do_not_clash() {
    let defined = |code: u8, name: &str| OptionDefinition { code, name: name.into(), kind: OptionKind::Text };
    let custom = |definitions: Vec<OptionDefinition>| text(|s| s.custom_options = definitions);
    assert!(custom(vec![defined(6, "my-dns")]).contains("code 6 is `dns` already"));
    assert!(custom(vec![defined(51, "my-time")]).contains("set by the server alone"));
    assert!(custom(vec![defined(224, "dns")]).contains("the name is taken"));
    assert!(custom(vec![defined(224, "My Thing")]).contains("small letters"));
    assert!(custom(vec![defined(224, "a"), defined(224, "b")]).contains("code 224 is defined twice"));
    assert!(custom(vec![defined(224, "a"), defined(225, "a")]).contains("`a` is defined twice"));
}

#[test]
fn option_values_are_judged_in_every_scope() {
    let bad = OptionSet::from([(26, OptionValue::U16(20))]);
    assert!(text(|s| s.options = bad.clone()).starts_with("`mtu` in [options] is 20"));
    assert!(text(|s| s.subnets[0].options.extend(bad.clone())).starts_with("`mtu` of subnet 192.0.2.0/24 is 20"));
    assert!(text(|s| s.subnets[0].pools[0].options = bad.clone()).starts_with("`mtu` of pool 192.0.2.100-192.0.2.199 is 20"));
    let device = Reservation { options: bad.clone(), ..reservation(1, "192.0.2.31", "tv") };
    assert!(text(|s| s.reservations = vec![device]).starts_with("`mtu` of *tv* is 20"));
}

#[test]
fn options_that_never_fit_a_packet_are_told_where_they_become_too_many() {
    let big = |length: usize| OptionValue::Hex(vec![0; length]);
    let half = MOST_OPTION_BYTES / 2;
    let sum = with(|s| {
        s.options.insert(224, big(half));
        s.subnets[0].options.insert(225, big(half));
    });
    assert_eq!(sum.iter().map(|finding| finding.place).collect::<Vec<_>>(), [Place::Option(Scope::Subnet(0), 225)]);
    assert!(sum[0].text.contains("come to 1") && sum[0].text.contains("Shorten the longest, `225`."), "{}", sum[0].text);
    // The subnet's value stands in the place of the general one: not both.
    let replaced = with(|s| {
        s.options.insert(224, big(half));
        s.subnets[0].options.insert(224, big(half));
    });
    assert_eq!(replaced, []);
}

#[test]
fn a_free_address_is_the_next_one_that_nobody_has() {
    let mut settings = home();
    settings.reservations = vec![reservation(1, "192.0.2.32", "a"), reservation(2, "192.0.2.254", "b")];
    settings.subnets[0].exclusions = vec![range("192.0.2.33", "192.0.2.40")];
    let near = |text: &str| free_address_near(&settings, ip(text), |address| address == ip("192.0.2.41"));
    assert_eq!(near("192.0.2.31"), Some(ip("192.0.2.42")));
    assert_eq!(near("192.0.2.253"), Some(ip("192.0.2.252")));
    assert_eq!(near("198.51.100.1"), None);
    assert_eq!(free_address_near(&settings, ip("192.0.2.9"), |_| true), None);
}

#[test]
fn a_change_is_refused_for_what_it_breaks_and_not_for_what_was_broken() {
    let mut settings = home();
    settings.server.probe = Some(Duration::from_secs(9));
    let printer = reservation(1, "192.0.2.31", "printer");
    let settings = after_add(&settings, Record::Reservation(printer.clone())).unwrap();
    assert_eq!(settings.reservations, std::slice::from_ref(&printer));

    let again =
        after_add(&settings, Record::Reservation(Reservation { address: ip("192.0.2.32"), ..printer.clone() })).unwrap_err();
    assert!(again[0].text.contains("has the kept address 192.0.2.31 already"));
    let moved = after_put(&settings, Record::Reservation(Reservation { address: ip("192.0.2.32"), ..printer.clone() })).unwrap();
    assert_eq!(moved.reservations[0].address, ip("192.0.2.32"));

    let orphaned = after_remove(&settings, &RecordKey::Subnet(settings.subnets[0].network)).unwrap_err();
    assert!(orphaned[0].text.contains("lies in no subnet"));
    let emptied = after_remove(&settings, &RecordKey::Reservation(printer.identifier)).unwrap();
    assert_eq!(after_remove(&emptied, &RecordKey::Subnet(emptied.subnets[0].network)).unwrap().subnets, []);
}

#[test]
fn a_second_trouble_that_reads_the_same_is_refused_too() {
    let same = |last_byte: u8| Record::Reservation(reservation(last_byte, "192.0.2.31", "tv"));
    let mut broken = home();
    broken.reservations = vec![reservation(1, "192.0.2.31", "tv"), reservation(2, "192.0.2.31", "tv")];
    assert_eq!(after_add(&broken, same(3)).unwrap_err().len(), 1);
}

#[test]
fn an_added_record_takes_its_place_in_the_order() {
    let settings = after_add(&home(), Record::Subnet(subnet("10.0.0.0/24"))).unwrap();
    assert_eq!(settings.subnets[0].network.to_string(), "10.0.0.0/24");
    let settings = after_add(&settings, Record::Reservation(reservation(1, "192.0.2.31", "a"))).unwrap();
    let settings = after_add(&settings, Record::Reservation(reservation(2, "10.0.0.7", "b"))).unwrap();
    assert_eq!(settings.reservations[0].name.as_deref(), Some("b"));
}
