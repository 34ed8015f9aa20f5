//! Every answer and every silence leaves a decision, in sentences that a person understands.

use twinlease::protocol::explain::{MAX_PER_DEVICE, Outcome, Silence};

use super::{
    net::{ALICE, BOB, Disk, HOME, Net, SERVER, STRANGER, ip},
    packet::{INFORM, Packet},
};

/// The story of one device, as `twinlease why` tells it.
#[test]
fn the_story_of_a_device_reads_as_it_happened() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:b0\"\naddress = \"192.0.2.50\"\nname = \"nas\"");
    let mut net = Net::with(&toml);
    net.uses(STRANGER, ip("192.0.2.10"));
    let address = net.lease_by(&Packet::discover(ALICE).option(12, b"laptop").option(51, &[0, 0, 0, 5]));
    net.reboot(ALICE, ip("192.0.2.50")).expect_nak();
    net.decline(ALICE, address).expect_silence();
    let expected = "  \
  asked for an address (DISCOVER)
    network 192.0.2.0/24, where it was heard
    no address is kept for it
    192.0.2.10 is the next free address of 192.0.2.0/24
    00:16:3e:00:00:ee answered under 192.0.2.10
    192.0.2.11 is the next free address of 192.0.2.0/24
    nobody answered under 192.0.2.11 within 200 ms
    it asked for 5 s; the settings allow 2 min
  → offered 192.0.2.11 for 2 min
  took up an offer (REQUEST)
    network 192.0.2.0/24, where it was heard
    192.0.2.11 was offered to it a moment ago
    it asked for 5 s; the settings allow 2 min
    on disk after 0 ms
  → given 192.0.2.11 for 2 min
  came back and asked for the address it had (REQUEST, INIT-REBOOT)
    network 192.0.2.0/24, where it was heard
  → told to ask anew (NAK): 192.0.2.50 is not its address, 192.0.2.11 is
  declined an address (DECLINE)
    on disk after 0 ms
  → 192.0.2.11 rests for 24 h
";
    assert_eq!(net.why(ALICE), expected);
    assert_eq!(net.last_decision(ALICE).name, None);
}

#[test]
fn a_reservation_names_the_device() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:b0\"\naddress = \"192.0.2.50\"\nname = \"nas\"");
    let mut net = Net::with(&toml);
    net.discover(BOB).expect_offer(ip("192.0.2.50"));
    assert!(net.why(BOB).contains("192.0.2.50 is kept for it as nas"), "{}", net.why(BOB));
    assert_eq!(net.last_decision(BOB).name.as_deref(), Some("nas"));
    net.send(&Packet::discover(ALICE).option(50, &[192, 0, 2, 50])).offer();
    assert!(net.why(ALICE).contains("it asked for 192.0.2.50, which it cannot have: it is kept for nas"), "{}", net.why(ALICE));
}

#[test]
fn every_silence_has_its_sentence() {
    let mut net = Net::home_and("[server]\nauthoritative = false");
    net.reboot(ALICE, ip("192.0.2.15")).expect_silence();
    net.send(&Packet::of(3, ALICE)).expect_silence();
    net.send(&Packet::select(ALICE, ip("192.0.2.2"), ip("192.0.2.15"))).expect_silence();
    net.release(ALICE, ip("192.0.2.15")).expect_silence();
    net.send(&Packet::of(INFORM, ALICE)).expect_silence();
    net.send(&Packet::discover(ALICE).on(9)).expect_silence();
    let sentences = [
        "not answered: its lease is not known here, and this server is not set as authoritative",
        "not answered: it says neither which address it wants nor from whom",
        "not answered: it chose another server, 192.0.2.2",
        "not answered: the address is not its own",
        "not answered: it gave no address to answer to",
        "not answered: this server has no address on that interface",
    ];
    let why = net.why(ALICE);
    let outcomes: Vec<&str> = why.lines().filter_map(|line| line.strip_prefix("  → ")).collect();
    assert_eq!(outcomes, sentences);
}

#[test]
fn the_same_again_is_folded_and_logged_at_powers_of_ten() {
    let mut net = Net::with("[[subnet]]\nnetwork = \"192.0.2.0/24\"");
    for i in 0..=1000 {
        net.at(i * 10).discover(ALICE).expect_silence();
    }
    let decision = net.last_decision(ALICE);
    assert_eq!(decision.repeats, 1000);
    assert!(matches!(decision.outcome, Outcome::Silent { why: Silence::NoPool { .. } }));
    let logged: Vec<u32> = net.logged.iter().map(|decision| decision.repeats).collect();
    assert_eq!(logged, [0, 10, 100, 1000]);
}

#[test]
fn a_device_has_its_last_decisions_and_no_more() {
    let mut net = Net::home();
    for i in 0..50 {
        let own = ip(&format!("192.0.2.{}", 100 + i));
        net.at(i * 10).send(&Packet::of(INFORM, ALICE).ciaddr(own)).ack();
    }
    let kept = net.why(ALICE).matches("→").count();
    assert_eq!(kept, MAX_PER_DEVICE);
    assert!(net.why(ALICE).ends_with("→ options sent to 192.0.2.149\n"));
}

#[test]
fn the_memory_of_decisions_is_bounded_whatever_the_number_of_devices() {
    let mut net = Net::with("[[subnet]]\nnetwork = \"192.0.2.0/24\"");
    for i in 0..10_000u32 {
        let [_, a, b, c] = i.to_be_bytes();
        net.discover([0, 0x16, 0x3e, a, b, c]).expect_silence();
    }
    let devices = net.node.explain().devices().count();
    assert_eq!(devices, twinlease::protocol::explain::MAX_DECISIONS);
    assert_eq!(net.node.status(twinlease::protocol::time::Time(0)).outcomes["silent-no-pool"], 10_000);
}

#[test]
fn made_up_senders_push_out_no_device_that_was_heard_more_than_once() {
    let mut net = Net::with("[[subnet]]\nnetwork = \"192.0.2.0/24\"");
    net.discover(ALICE).expect_silence();
    net.later(std::time::Duration::from_secs(1)).discover(ALICE).expect_silence();
    for i in 0..10_000u32 {
        let [_, a, b, c] = i.to_be_bytes();
        net.discover([0, 0x16, 0x3e, a, b, c]).expect_silence();
    }
    assert!(!net.why(ALICE).is_empty());
}

/// Where all others were heard again and again, the new one is the only one that was heard once.
#[test]
fn who_is_new_is_remembered_though_the_memory_is_full() {
    let mut net = Net::with("[[subnet]]\nnetwork = \"192.0.2.0/24\"");
    for i in 0..twinlease::protocol::explain::MAX_DECISIONS as u32 {
        let [_, a, b, c] = i.to_be_bytes();
        for _ in 0..2 {
            net.discover([0, 0x16, 0x3e, a, b, c]).expect_silence();
        }
    }
    net.discover(BOB).expect_silence();
    assert!(net.node.explain().devices().any(|hw| hw.mac() == Some(BOB)));
}

#[test]
fn an_ack_says_how_long_the_disk_took() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let address = net.discover(ALICE).offer().yiaddr();
    net.request(ALICE, address).expect_silence();
    net.later(std::time::Duration::from_millis(35)).commits_all().ack();
    assert!(net.why(ALICE).contains("on disk after 35 ms"), "{}", net.why(ALICE));
    assert_eq!(net.record(address).hw.mac(), Some(ALICE));
    assert_eq!(SERVER, ip("192.0.2.1"));
}
