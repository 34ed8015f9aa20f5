//! Both cards of a pair are updated in place, from the file that is flashed: one whose program works, and one whose program does not.
//!
//! In the general machine: the emulated Pi's adapter is missing in some starts, and nobody does again those that a box does by itself.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{
    PASSWORD,
    card::Data,
    crafted::{Plug, mac},
    home, image, lab,
    lab::wait_until,
    pi::{BOOT, Pi},
    visitor::Visitor,
};

/// Devices that ask again and again meanwhile.
const DEVICES: u32 = 5;
const ANSWER: Duration = Duration::from_secs(2);
/// A device that has waited for so long has noticed something, also on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);
/// For what a box does on its own, step by step: two of them write, read back and start on two cores that others use, too.
const UPDATE: Duration = Duration::from_secs(20 * 60);

const PAGE: &str = "/settings/updates";

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn both_are_updated_over_the_link_and_one_that_does_not_work_goes_back() {
    let name = "update::both_are_updated_over_the_link_and_one_that_does_not_work_goes_back";
    let Some(lab) = lab::enter_or_skip(name) else { return };
    home(&lab);
    let addresses = ["192.0.2.2", "192.0.2.3"];
    let pis = [("one", addresses[0]), ("two", addresses[1])]
        .map(|(name, address)| Pi::set_up(&lab, name, "pair", &format!("{address}/24")));
    Pi::start_all(&pis.each_ref(), &["virt"]);
    for pi in &pis {
        pi.wait_for_log("this one is together with its twin");
    }
    let plug = Plug::at("laptop");
    wait_until("a device is served", BOOT, || plug.dora(mac(0), ANSWER).is_some());

    let longest = while_devices_ask(&plug, || {
        let begin = approve(addresses[0], "next");
        // Each says so when both run it.
        for pi in &pis {
            wait_for(pi, "The update to ", " is done.");
        }
        println!("update: both run the new build {:.0} s after the word", begin.elapsed().as_secs_f32());
    });
    println!("update: no device of {DEVICES} waited longer than {:.1} s", longest.as_secs_f32());
    assert!(longest < WAIT_MAX, "{longest:?}");
    for pi in &pis {
        assert_eq!(starts(pi), 2, "{}: once when it was switched on, once anew", pi.name);
        assert_eq!(slot(pi), "3", "{}", pi.name);
        assert!(!pi.has("TRIAL.TXT"), "{}: it has proven itself", pi.name);
        assert!(pi.log().contains("runs well and stays."), "{}", pi.log());
    }

    let longest = while_devices_ask(&plug, || {
        let begin = approve(addresses[0], "broken");
        wait_until("one of the two has gone back", UPDATE, || {
            pis.iter().any(|pi| pi.log().contains("has gone back to the version"))
        });
        println!("update: one that does not work was left {:.0} s after the word", begin.elapsed().as_secs_f32());
        for pi in &pis {
            wait_for(pi, "The update to ", " has stopped.");
        }
    });
    println!("update: meanwhile no device waited longer than {:.1} s", longest.as_secs_f32());
    assert!(longest < WAIT_MAX, "{longest:?}");
    let tried = usize::from(starts(&pis[1]) > 2);
    let (tried, spared) = (&pis[tried], &pis[1 - tried]);
    // Three times in earnest; at the fourth start it goes back, and starts once more.
    assert_eq!((starts(tried), starts(spared)), (2 + 4 + 1, 2));
    assert_eq!(
        tried.log().matches("ended with code").count(),
        0,
        "a program on trial that ends is no reason to try it once more"
    );
    for pi in &pis {
        assert_eq!(slot(pi), "3", "{}: what has worked runs", pi.name);
        assert!(!pi.has("TRIAL.TXT"), "{}: it is known what became of the trial", pi.name);
    }
    let why = format!("was started 3 times on {} and never said that all is well", tried.name);
    tried.status(&why);
    let visitors = addresses.map(|address| Visitor::signed_in(address, PASSWORD));
    for visitor in &visitors {
        let page = visitor.get(PAGE);
        assert!(page.contains(&why), "{page}");
        wait_until("both are well again", BOOT, || visitor.get("/").contains("Both twins healthy"));
    }
    wait_until("the two show the same devices", BOOT, || visitors[0].devices() == visitors[1].devices());
    for pi in &pis {
        pi.stop();
    }
    let [one, two] = pis.each_ref().map(|pi| Data::of(pi).leases().expect("a database"));
    assert_eq!(one, two, "on both cards");
    assert!((0..DEVICES).all(|device| one.values().any(|holder| *holder == mac(device))), "{one:?}");
}

/// On the page of a box, as a person does it. Since when it is under way.
fn approve(address: &str, file: &str) -> Instant {
    let visitor = Visitor::signed_in(address, PASSWORD);
    let begin = Instant::now();
    let answer = visitor.upload("/settings/updates/file", &image(&format!("{file}.img.xz")));
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let page = visitor.get(PAGE);
    println!("update: the file was sent and read through {:.0} s after", begin.elapsed().as_secs_f32());
    let sum = page.split_once("name=\"sha256\" value=\"").and_then(|(_, rest)| rest.split('"').next());
    let sum = sum.unwrap_or_else(|| panic!("no file is offered: {page}"));
    let mut begin = Instant::now();
    // While the two have lost each other for a moment, as on a busy machine, it is refused.
    wait_until("the update may begin", BOOT, || {
        begin = Instant::now();
        visitor.post(PAGE, &format!("sha256={sum}&anyway=yes")).starts_with("HTTP/1.1 303")
    });
    begin
}

fn wait_for(pi: &Pi, before: &str, after: &str) {
    let is_said = |log: &str| log.lines().any(|line| line.contains(before) && line.contains(after));
    wait_until(&format!("{} says `{before}…{after}`", pi.name), UPDATE, || is_said(&pi.log()));
}

/// The longest that one of them had to wait for an address; each keeps its own.
fn while_devices_ask(plug: &Plug, meanwhile: impl FnOnce()) -> Duration {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut longest, mut own) = (Duration::ZERO, [None; DEVICES as usize]);
            for number in (0..DEVICES).cycle() {
                let begin = Instant::now();
                let acked = loop {
                    match plug.dora(mac(number), ANSWER) {
                        Some(acked) => break acked,
                        None => assert!(begin.elapsed() < UPDATE, "nobody answers any more"),
                    }
                };
                longest = longest.max(begin.elapsed());
                let before = own[number as usize].replace(acked.yiaddr);
                assert!(before.is_none_or(|before| before == acked.yiaddr), "{before:?}, now {}", acked.yiaddr);
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
            longest
        });
        meanwhile();
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn starts(pi: &Pi) -> usize {
    pi.log().matches("Booting Linux on physical CPU").count()
}

fn slot(pi: &Pi) -> String {
    let text = pi.take("autoboot.txt");
    text.trim().strip_prefix("boot_partition=").unwrap_or_else(|| panic!("{text}")).to_owned()
}
