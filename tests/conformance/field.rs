//! "What clients do in the field".

use std::time::Duration;

use twinlease::protocol::{
    Destination,
    explain::{Outcome, Silence, Step},
    lease::BindingState,
    limit::{MAX_PER_WINDOW, WINDOW},
};

use super::{
    net::{ALICE, BOB, CAROL, HOME, Net, SERVER, ip},
    packet::{Mac, Packet, REQUEST},
};

const KEPT: &str = "[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"\nname = \"box\"";

fn home_with(more: &str) -> Net {
    Net::with(&format!("{HOME}{more}"))
}

#[test]
fn windows_toggles_the_b_flag_and_is_followed() {
    let mut net = Net::home();
    for i in 0..4 {
        let offer = net.at(i * 4).discover(ALICE).expect_offer(ip("192.0.2.10"));
        assert!(matches!(offer.reply.to, Destination::Frame { .. }));
    }
    net.at(20).send(&Packet::discover(ALICE).broadcast_flag()).expect_offer(ip("192.0.2.10")).expect_to(Destination::Broadcast);
}

#[test]
fn early_microsoft_clients_get_their_nuls_back() {
    let mut net = home_with("domain = \"example.org\"\n");
    let with_nul = net.send(&Packet::discover(ALICE).option(12, b"WIN95\0").wants(&[12, 15])).offer();
    assert_eq!((with_nul.text(12).as_deref(), with_nul.text(15).as_deref()), (Some("WIN95\0"), Some("example.org\0")));
    let without = net.send(&Packet::discover(BOB).option(12, b"tux").wants(&[12, 15])).offer();
    assert_eq!((without.text(12).as_deref(), without.text(15).as_deref()), (Some("tux"), Some("example.org")));
}

#[test]
fn jetdirect_finds_t1_and_t2_in_the_offer() {
    let offer = Net::home().send(&Packet::discover(ALICE).wants(&[1, 3])).offer();
    assert!(offer.number(58).is_some() && offer.number(59).is_some());
}

#[test]
fn boot_roms_get_66_and_67_with_a_nul_and_others_without() {
    let mut net = home_with("tftp-server-name = \"192.0.2.9\"\nboot-file = \"pxelinux.0\"\n");
    let rom = net.send(&Packet::discover(ALICE).option(60, b"PXEClient:Arch:00007").wants(&[66, 67])).offer();
    assert_eq!((rom.text(66).as_deref(), rom.text(67).as_deref()), (Some("192.0.2.9\0"), Some("pxelinux.0\0")));
    let other = net.send(&Packet::discover(BOB).wants(&[67])).offer();
    assert_eq!(other.text(67).as_deref(), Some("pxelinux.0"));
}

#[test]
fn no_lease_is_refused_for_a_name() {
    let long = [b'x'; 255];
    let names: [(&[u8], Option<&str>, Option<&str>); 7] = [
        (b"", None, None),
        (b"\0\0", None, None),
        (b"ESP_1234", Some("ESP_1234"), Some("ESP-1234")),
        ("Tom\u{2019}s iPhone".as_bytes(), Some("Tom\u{2019}s iPhone"), Some("Toms-iPhone")),
        (b"caf\xe9", Some("caf\u{fffd}"), Some("caf")),
        (b"<script>\x07", Some("<script>"), Some("script")),
        (&long, Some(&"x".repeat(255)), Some(&"x".repeat(63))),
    ];
    for (i, (sent, shown, label)) in names.into_iter().enumerate() {
        let mut net = Net::home();
        let discover = Packet::discover([0, 0x16, 0x3e, 0, 2, i as u8]).option(12, sent).wants(&[12]);
        let offer = net.send(&discover).offer();
        let mirrored = offer.text(12).map(|text| text.trim_end_matches('\0').to_string());
        assert_eq!(mirrored.as_deref(), label, "{sent:?}");
        let address = net.lease_by(&discover);
        assert_eq!(net.record(address).host_name.as_deref(), shown, "{sent:?}");
    }
}

#[test]
fn an_esp_that_leaves_out_61_when_it_renews_is_recognised() {
    let mut net = Net::home();
    let discover = Packet::discover(ALICE).id(b"\x01\x00\x16\x3e\x00\x00\xa1");
    let address = net.lease_by(&discover);
    net.at(3600).renew(ALICE, address).expect_ack(address);
    assert_eq!(net.node.leases().len(), 1);
    assert!(net.last_decision(ALICE).steps.contains(&Step::RecognisedByAddress { address }));
    net.at(7200).send(&Packet::renew(ALICE, SERVER, address).id(b"\x01\x00\x16\x3e\x00\x00\xa1")).expect_ack(address);
}

#[test]
fn an_esp_says_its_name_in_the_request_only() {
    let mut net = Net::home();
    let address = net.discover(ALICE).offer().yiaddr();
    let ack = net.send(&Packet::select(ALICE, SERVER, address).option(12, b"ESP_ABC").wants(&[12])).ack();
    assert_eq!(ack.text(12).as_deref(), Some("ESP-ABC"));
    assert_eq!(net.record(address).host_name.as_deref(), Some("ESP_ABC"));
    net.at(3600).renew(ALICE, address).ack();
    assert_eq!(net.record(address).host_name.as_deref(), Some("ESP_ABC"), "a renewal without name keeps it");
}

#[test]
fn an_esp_renews_to_0_0_0_0() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    let renewal = Packet::of(REQUEST, ALICE).ciaddr(address).from(address).to(ip("0.0.0.0"));
    net.at(3600).send(&renewal).expect_ack(address).expect_to(Destination::Client(address));
}

#[test]
fn an_apple_tv_asks_twice_and_then_declines() {
    let mut net = Net::home();
    let first = net.discover(ALICE).offer().yiaddr();
    net.send(&Packet { xid: 9, ..Packet::discover(ALICE) }).expect_offer(first);
    net.request(ALICE, first).expect_ack(first);
    net.decline(ALICE, first).expect_silence();
    let second = net.at(10).lease(ALICE);
    assert_ne!(second, first);
    net.at(3600).renew(ALICE, second).expect_ack(second);
}

#[test]
fn a_boot_rom_and_the_system_after_it_are_one_device_with_one_reservation() {
    let mut net = home_with(KEPT);
    let kept = ip("192.0.2.50");
    let with_id = Packet::discover(ALICE).id(b"\xff\x3e\x00\x00\xa1\x00\x01duid");
    assert_eq!(net.lease_by(&Packet::discover(ALICE).option(60, b"PXEClient")), kept);
    assert_eq!(net.at(60).lease_by(&with_id), kept);
    net.at(120).send(&Packet::renew(ALICE, SERVER, kept).id(b"\xff\x3e\x00\x00\xa1\x00\x01duid")).expect_ack(kept);
    // Next morning the other way round.
    assert_eq!(net.at(40_000).lease_by(&Packet::discover(ALICE).option(60, b"PXEClient")), kept);
    assert_eq!(net.at(40_060).lease_by(&with_id), kept);
    assert_eq!(net.node.leases().len(), 1);
}

fn clone_of(mac: Mac) -> Packet {
    Packet::discover(mac).id(b"\xff\x00\x00\x00\x01same")
}

#[test]
fn clones_that_are_both_live_get_an_address_each_and_are_reported() {
    let mut net = Net::home();
    let first = net.lease_by(&clone_of(ALICE));
    net.uses(ALICE, first);
    let second = net.at(60).lease_by(&clone_of(BOB));
    assert_ne!(first, second);
    assert!(net.why(BOB).contains("its client-id is in use by 00:16:3e:00:00:a1 too"), "{}", net.why(BOB));
    assert!(net.logged.iter().any(|decision| decision.steps.contains(&Step::CloneOf { hw: net.record(first).hw })), "an alert");
    // From now on each has its own life.
    for (mac, address) in [(ALICE, first), (BOB, second)] {
        net.at(3600).send(&Packet::renew(mac, SERVER, address).id(b"\xff\x00\x00\x00\x01same")).expect_ack(address);
        net.send(&clone_of(mac)).expect_offer(address);
    }
    net.send(&Packet::renew(BOB, SERVER, first).id(b"\xff\x00\x00\x00\x01same")).expect_nak();
    net.send(&Packet::release(BOB, SERVER, second).id(b"\xff\x00\x00\x00\x01same")).expect_silence();
    assert_eq!((net.state(first), net.state(second)), (BindingState::Leased, BindingState::Released));
}

#[test]
fn a_client_id_that_moved_to_another_card_keeps_its_address() {
    let mut net = Net::home();
    net.same_device = vec![ALICE, BOB];
    let address = net.lease_by(&clone_of(ALICE));
    // Nobody answers under it any more: the laptop is in its dock.
    assert_eq!(net.at(60).lease_by(&clone_of(BOB)), address);
    assert_eq!(net.record(address).hw.mac(), Some(BOB));
}

#[test]
fn a_client_id_that_moved_to_another_card_may_answer_for_itself() {
    let mut net = Net::home();
    net.same_device = vec![ALICE, BOB];
    let address = net.lease_by(&clone_of(ALICE));
    net.uses(BOB, address);
    assert_eq!(net.at(60).lease_by(&clone_of(BOB)), address);
}

#[test]
fn a_client_id_that_moves_between_offer_and_request_is_not_naked() {
    let mut net = Net::home();
    net.same_device = vec![ALICE, BOB];
    let address = net.lease_by(&clone_of(ALICE));
    net.at(60).send(&clone_of(ALICE)).expect_offer(address);
    net.at(65).send(&clone_of(BOB)).expect_offer(address);
    net.send(&Packet::select(BOB, SERVER, address).id(b"\xff\x00\x00\x00\x01same")).expect_ack(address);
}

#[test]
fn a_clone_that_cannot_be_asked_for_gets_an_address_of_its_own() {
    let mut net = Net::home_and("[server]\nprobe = false");
    let first = net.lease_by(&clone_of(ALICE));
    assert_ne!(net.lease_by(&clone_of(BOB)), first);
}

#[test]
fn a_private_mac_gets_a_shorter_lease_where_that_is_set() {
    let private: Mac = [0xda, 0x16, 0x3e, 0, 0, 1];
    let mut net = Net::home_and("[server]\nprivate-mac-lease = \"2h\"");
    assert_eq!(net.discover(private).offer().lease_secs(), 7200);
    assert!(net.why(private).contains("private MAC: lease shortened to 2 h"));
    assert_eq!(net.send(&Packet::discover(private).option(51, &[0, 0, 14, 16])).offer().lease_secs(), 3600);
    assert_eq!(net.discover(ALICE).offer().lease_secs(), 43_200);
    assert_eq!(Net::home().discover(private).offer().lease_secs(), 43_200);
}

#[test]
fn a_private_mac_with_a_reservation_is_no_stranger() {
    let kept = "[[reservation]]\nmac = \"da:16:3e:00:00:01\"\naddress = \"192.0.2.50\"";
    let mut net = Net::with(&format!("[server]\nprivate-mac-lease = \"2h\"{HOME}{kept}"));
    assert_eq!(net.discover([0xda, 0x16, 0x3e, 0, 0, 1]).offer().lease_secs(), 43_200);
}

#[test]
fn a_storm_of_one_client_is_cut_off_and_does_not_touch_the_others() {
    let mut net = Net::home();
    let mut answered = 0;
    for _ in 0..200 {
        answered += net.discover(ALICE).0.len();
        net.later(Duration::from_millis(10));
    }
    assert!(net.node.explain().outcomes()["silent-too-often"] >= 170, "each is counted");
    assert!(answered <= usize::from(MAX_PER_WINDOW), "{answered}");
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::TooOften });
    net.lease(BOB);
    net.later(WINDOW).discover(ALICE).offer();
}

/// RFC 4390: no hardware address, so the client-id is all that there is.
#[test]
fn a_storm_without_a_hardware_address_is_that_of_its_client_id() {
    let mut net = Net::home();
    let discover = |id: u8| {
        let mut bytes = Packet::discover(ALICE).id(&[0, id]).broadcast_flag().bytes();
        bytes[1] = 32;
        bytes[2] = 0;
        bytes[28..44].fill(0);
        bytes
    };
    let from = |net: &mut Net, id| net.send_bytes(1, ip("0.0.0.0"), ip("255.255.255.255"), &discover(id)).0.len();
    let stormy: usize = (0..100).map(|_| from(&mut net, 1)).sum();
    assert!(stormy <= usize::from(MAX_PER_WINDOW), "{stormy}");
    let others: usize = (2..7).map(|id| from(&mut net, id)).sum();
    assert_eq!(others, 5);
}

#[test]
fn a_nak_loop_is_cut_off() {
    let mut net = Net::home();
    let naks: usize = (0..100).map(|_| net.reboot(CAROL, ip("198.51.100.7")).0.len()).sum();
    assert_eq!(naks, usize::from(MAX_PER_WINDOW));
}

/// Containers on one card (ipvlan) share its MAC and differ by option 61 alone.
#[test]
fn two_client_ids_behind_one_mac_are_two_devices() {
    let mut net = Net::home();
    let address = net.lease_by(&Packet::discover(ALICE).id(&[0, 1, 1]));
    net.send(&Packet::rebind(ALICE, address).id(&[0, 2, 2])).expect_nak();
}
