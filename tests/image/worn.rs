//! What a box does without something that others have: a card that can be written, an adapter for the network.

use std::time::{Duration, Instant};

use crate::{
    crafted::{Plug, mac},
    home, lab,
    lab::wait_until,
    pi::{BOOT, Pi},
};

const PATIENCE: Duration = Duration::from_secs(5);
/// The watchdog's time-out is over in this several times.
const HEALTHY: Duration = Duration::from_secs(60);

fn starts(pi: &Pi) -> usize {
    pi.log().matches("Booting Linux on physical CPU").count()
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_box_whose_card_cannot_be_written_serves_from_memory_and_says_so() {
    let Some(lab) = lab::enter_or_skip("worn::a_box_whose_card_cannot_be_written_serves_from_memory_and_says_so") else { return };
    home(&lab);
    let plug = Plug::at("laptop");
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.2/24");
    // Switched off while it was in use, too: what it has last written is then not in order yet, and a check would put it so.
    for (what, number) in [("locked", 1), ("worn", 2), ("sound", 3), ("locked", 4), ("worn", 5)] {
        let how = ["virt", what];
        let begin = pi.start(if what == "sound" { &how[..1] } else { &how });
        wait_until("a device is served", BOOT, || plug.dora(mac(number), PATIENCE).is_some());
        println!("card {what}: serves {:.1} s after power on", begin.elapsed().as_secs_f32());
        let log = pi.log();
        let said =
            log.contains("The data partition cannot be written: the card is worn out or locked. This one serves from memory");
        assert_eq!(said, what != "sound", "{log}");
        for untrue in ["repaired", "made anew", "used as it is", "left as it is", "could not start"] {
            assert!(!log.contains(untrue), "a card that is {what}, and `{untrue}`:\n{log}");
        }
        pi.stop();
    }
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_box_without_a_network_adapter_waits_for_one_and_is_not_started_anew() {
    let Some(lab) = lab::enter_or_skip("worn::a_box_without_a_network_adapter_waits_for_one_and_is_not_started_anew") else {
        return;
    };
    home(&lab);
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.2/24");
    // Its first words come when they are said, not once there is a driver for the port.
    pi.start(&["virt", "watchdog", "no-adapter", "earlycon=pl011,0x9000000"]);
    pi.wait_for_log("Name      one");
    let since = Instant::now();
    while since.elapsed() < HEALTHY {
        assert_eq!(starts(&pi), 1, "{}", pi.log());
        std::thread::sleep(Duration::from_secs(1));
    }
}
