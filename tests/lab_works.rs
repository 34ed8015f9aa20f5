//! The lab itself: hosts reach each other, links break and heal, nothing of a world is seen outside it.
//!
//! Needs no DHCP server; other test files bring ours.

mod lab;

use std::time::{Duration, Instant};

use lab::{Kind, enter_or_skip, wait_until};

const PING: [&str; 7] = ["busybox", "ping", "-c", "1", "-W", "1", "192.0.2.2"];

#[test]
fn hosts_on_one_bridge_reach_each_other_until_the_link_is_cut() {
    let Some(lab) = enter_or_skip("hosts_on_one_bridge_reach_each_other_until_the_link_is_cut") else { return };
    lab.bridge("lan");
    lab.host("one", "lan", &["192.0.2.1/24", "mac=02:00:00:00:00:01"]);
    lab.host("two", "lan", &["192.0.2.2/24"]);
    assert_eq!(lab.mac("one"), "02:00:00:00:00:01");
    lab.exec("one", &PING);

    for (break_it, repair_it) in
        [(vec!["cut", "two"], vec!["heal", "two"]), (vec!["part", "one", "two"], vec!["join", "one", "two"])]
    {
        lab.lab(&break_it);
        assert!(lab.try_lab(&[&["exec", "one"], &PING[..]].concat()).is_err(), "{break_it:?} lets packets through");
        lab.lab(&repair_it);
        wait_until("the ping comes back", Duration::from_secs(5), || {
            lab.try_lab(&[&["exec", "one"], &PING[..]].concat()).is_ok()
        });
    }

    lab.lab(&["link-down", "two"]);
    let carrier = || lab.exec("two", &["ip", "-o", "link", "show", "dev", "eth0"]);
    wait_until("two sees no carrier", Duration::from_secs(2), || carrier().contains("NO-CARRIER"));
}

#[test]
fn a_deaf_host_misses_broadcasts_and_hears_what_is_sent_to_it() {
    let Some(lab) = enter_or_skip("a_deaf_host_misses_broadcasts_and_hears_what_is_sent_to_it") else { return };
    lab.bridge("lan");
    lab.host("one", "lan", &["192.0.2.1/24"]);
    lab.host("two", "lan", &["192.0.2.2/24"]);
    // The first request of arping goes to everybody.
    let is_heard = || lab.try_lab(&["exec", "one", "busybox", "arping", "-c", "1", "-w", "1", "-I", "eth0", "192.0.2.2"]).is_ok();
    lab.exec("one", &PING);
    assert!(is_heard());
    lab.lab(&["deafen", "two"]);
    assert!(!is_heard(), "a broadcast arrives");
    lab.exec("one", &PING);
    lab.lab(&["hear", "two"]);
    wait_until("it hears again", Duration::from_secs(3), is_heard);
}

#[test]
fn a_router_joins_two_segments() {
    let Some(lab) = enter_or_skip("a_router_joins_two_segments") else { return };
    lab.bridge("lan");
    lab.bridge("far");
    lab.host("router", "lan", &["192.0.2.2/24"]);
    lab.leg("router", "far", &["198.51.100.1/24"]);
    lab.lab(&["route", "router"]);
    lab.host("near", "lan", &["192.0.2.9/24"]);
    lab.host("away", "far", &["198.51.100.9/24"]);
    lab.exec("near", &["ip", "route", "add", "default", "via", "192.0.2.2"]);
    lab.exec("away", &["ip", "route", "add", "default", "via", "198.51.100.1"]);
    lab.exec("near", &["busybox", "ping", "-c", "1", "-W", "2", "198.51.100.9"]);
}

#[test]
fn a_daemon_dies_with_its_handle() {
    let Some(lab) = enter_or_skip("a_daemon_dies_with_its_handle") else { return };
    lab.bridge("lan");
    lab.host("one", "lan", &[]);
    let daemon = lab.daemon("one", &["sleep", "1000"]);
    let process = format!("/proc/{}", daemon.pid());
    wait_until("sleep runs", Duration::from_secs(2), || {
        std::fs::read_to_string(format!("{process}/cmdline")).is_ok_and(|line| line.starts_with("sleep\0"))
    });
    drop(daemon);
    assert!(!std::path::Path::new(&process).exists());
}

/// The client's failure is told with its reason and in the time that was asked for.
#[test]
fn a_client_without_a_server_says_that_it_has_no_lease() {
    let Some(lab) = enter_or_skip("a_client_without_a_server_says_that_it_has_no_lease") else { return };
    lab.bridge("lan");
    lab.host("one", "lan", &[]);
    let client = lab.client(Kind::Udhcpc, "one");
    let before = Instant::now();
    let said = client.attempt("start", &["timeout=2"]).expect_err("nobody can have answered");
    assert!(said.contains("has no new lease after 2 s"), "{said}");
    assert!(before.elapsed() < Duration::from_secs(10));
    assert_eq!(client.show()["state"], "none");
    client.stop();
}
