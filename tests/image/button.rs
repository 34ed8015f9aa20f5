//! Without a screen and without a password: the button on the box, and RESET.TXT.

use std::time::Duration;

use crate::{
    PASSWORD,
    crafted::{Plug, mac},
    home, lab,
    lab::wait_until,
    pi::{BOOT, Pi},
    power::wait_for_offer,
    visitor::Visitor,
};

const BUTTON: u8 = 3;
const LIGHT: Duration = Duration::from_secs(90);
const PATIENCE: Duration = Duration::from_secs(5);

fn has_a_password(address: &str) -> bool {
    !Visitor::at(address).get("/claim").starts_with("HTTP/1.1 200")
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_tap_shows_the_address_and_holding_it_forgets_the_password() {
    let Some(lab) = lab::enter_or_skip("button::a_tap_shows_the_address_and_holding_it_forgets_the_password") else { return };
    home(&lab);
    lab.host("router", "lan", &["192.0.2.1/24"]);
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.3/24");
    let setup = pi.take("setup.txt");
    pi.put("setup.txt", &format!("{setup}button = {BUTTON}\r\n"));
    pi.start(&[]);
    pi.status("Address   192.0.2.3");
    pi.wait_for_light("active", LIGHT);
    assert!(has_a_password("192.0.2.3"));

    pi.press(BUTTON, Duration::from_millis(300));
    assert_eq!(pi.flashes(Duration::from_secs(6)), 3, "the last part of the address");
    // Too long for a tap, too short for a reset.
    pi.press(BUTTON, Duration::from_millis(2500));
    assert_eq!(pi.flashes(Duration::from_secs(6)), 0);
    assert!(has_a_password("192.0.2.3"));

    // For what comes after the start that is coming.
    let leases = format!("--dhcp-leasefile={}", lab.host_folder("router").join("leases").display());
    let rival = [
        "dnsmasq",
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--interface=eth0",
        "--dhcp-range=192.0.2.200,192.0.2.210",
    ];
    let _rival = lab.daemon("router", &[&rival[..], &[&leases]].concat());
    pi.press(BUTTON, Duration::from_secs(7));
    pi.wait_for_log("the button was held: password");
    pi.wait_for_log("RESET.TXT: the password of the dashboard is forgotten.");
    wait_until("the pages are there again", BOOT, || pi.log().matches("the network is at eth0").count() == 2);
    assert!(!has_a_password("192.0.2.3"));
    assert!(!pi.has("RESET.TXT"), "followed once");
    pi.wait_for_light("conflict", LIGHT);
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn each_word_in_reset_txt_forgets_what_it_names_once() {
    let Some(lab) = lab::enter_or_skip("button::each_word_in_reset_txt_forgets_what_it_names_once") else { return };
    home(&lab);
    let addresses = ["192.0.2.2", "192.0.2.3"];
    let pis = [("one", addresses[0]), ("two", addresses[1])]
        .map(|(name, address)| Pi::set_up(&lab, name, "pair", &format!("{address}/24")));
    for pi in &pis {
        pi.start(&["virt"]);
    }
    for pi in &pis {
        pi.wait_for_log("this one is together with its twin");
    }
    let plug = Plug::at("laptop");
    wait_until("a device is served", BOOT, || plug.dora(mac(1), PATIENCE).is_some());

    // As STATUS.TXT tells: both are to forget each other, and the key is to go.
    for pi in &pis {
        pi.stop();
        pi.put("RESET.TXT", "unpair\r\n");
        let setup: String = pi
            .take("setup.txt")
            .lines()
            .filter(|line| !line.starts_with("pair-key ="))
            .map(|line| format!("{line}\r\n"))
            .collect();
        pi.put("setup.txt", &setup);
        pi.start(&["virt"]);
        let status = pi.status("RESET.TXT: the twin is forgotten.");
        assert!(!pi.has("RESET.TXT"), "followed once: {status}");
        pi.wait_for_log("this node has no twin any more");
    }
    let [one, two] = &pis;
    two.stop();

    one.stop();
    one.put("RESET.TXT", "something else");
    one.start(&["virt"]);
    one.status("RESET.TXT holds none of the words that are known, so nothing was reset.");
    assert!(has_a_password(addresses[0]) && one.has("RESET.TXT"));

    one.stop();
    one.put("RESET.TXT", "\u{feff}Password\r\n");
    one.start(&["virt"]);
    one.status("RESET.TXT: the password of the dashboard is forgotten.");
    assert!(!has_a_password(addresses[0]) && !one.has("RESET.TXT"));

    one.stop();
    let setup = one.take("setup.txt");
    one.put("setup.txt", &format!("{setup}password = {PASSWORD}\r\n"));
    one.put("RESET.TXT", "factory");
    one.start(&["virt"]);
    one.status("RESET.TXT: everything was forgotten.");
    wait_for_offer(one, &plug);
    let visitor = Visitor::signed_in(addresses[0], PASSWORD);
    assert!(!visitor.devices().iter().any(|row| row.contains("00:16:00:00:00:01")), "{:?}", visitor.devices());
}
