//! Two cards of one image in two Pis: they find each other, and what becomes of the house when one dies.

use std::time::{Duration, Instant};

use crate::{
    PASSWORD,
    card::Data,
    home, lab,
    lab::{Kind, wait_until},
    pi::{BOOT, Pi},
    visitor::Visitor,
    window::Window,
};

/// For what a light shall say: the longest of the looks, twice, and what a box needs to notice.
const LIGHT: Duration = Duration::from_secs(240);

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn two_cards_of_one_image_find_each_other_and_serve_on_when_one_dies() {
    let Some(lab) = lab::enter_or_skip("pair::two_cards_of_one_image_find_each_other_and_serve_on_when_one_dies") else { return };
    home(&lab);
    lab.host("phone", "lan", &[]);
    let addresses = ["192.0.2.2", "192.0.2.3"];
    let pis = [("one", addresses[0]), ("two", addresses[1])]
        .map(|(name, address)| Pi::set_up(&lab, name, "pair", &format!("{address}/24")));
    let begin = Pi::start_all(&pis.each_ref(), &[]);
    let client = lab.client(Kind::Udhcpc, "laptop");
    let lease = client
        .attempt("start", &["timeout=480"])
        .map(|_| client.lease())
        .unwrap_or_else(|said| panic!("{said}\n{}\n{}", pis[0].log(), pis[1].log()));
    println!("pair, two Pi 3B: power on to the first lease {:.1} s", begin.elapsed().as_secs_f32());
    for pi in &pis {
        pi.wait_for_log("this one is together with its twin");
    }
    println!("pair, two Pi 3B: power on to twins {:.1} s", begin.elapsed().as_secs_f32());
    for pi in &pis {
        let setup = pi.take("setup.txt");
        assert!(!setup.contains(PASSWORD) && setup.contains("pair-key = "), "the password is taken out: {setup}");
        wait_until("its light is in STATUS.TXT", BOOT, || pi.take("STATUS.TXT").contains("in contact"));
        assert!(pi.take("STATUS.TXT").contains("Nothing is wrong."), "{}", pi.take("STATUS.TXT"));
    }
    let visitors = addresses.map(|address| Visitor::signed_in(address, PASSWORD));
    let dies = answering(&visitors, &pis);
    let (dying, other) = (&pis[dies], &pis[1 - dies]);
    wait_for_lights([(dying, "active"), (other, "standby")]);

    let window = Window::open(&lab.folder().join("browser"));
    window.go(&format!("http://{}/", addresses[1 - dies]));
    window.sign_in(PASSWORD);
    window.wait_until_it_says("#state", "Both twins healthy");
    dying.stop();
    let killed = Instant::now();
    client.attempt("renew", &["timeout=240"]).unwrap_or_else(|said| panic!("{said}\n{}", other.log()));
    println!("pair, two Pi 3B: one is dead, renewed after {:.1} s", killed.elapsed().as_secs_f32());
    assert_eq!(client.lease().address(), lease.address());
    let phone = lab.client(Kind::Udhcpc, "phone");
    let new = phone.start(&["timeout=240"]);
    println!("pair, two Pi 3B: one is dead, a new device was served {:.1} s after", killed.elapsed().as_secs_f32());
    assert_eq!(new.server(), addresses[1 - dies]);
    assert_ne!(new.address(), lease.address());
    window.wait_until_it_says("#state", &format!("{} is answering alone", other.name));
    other.wait_for_light("twin lost", LIGHT);

    let back = dying.start(&[]);
    dying.wait_for_log("this one is together with its twin");
    println!("pair, two Pi 3B: the dead one is switched on and equal after {:.1} s", back.elapsed().as_secs_f32());
    window.wait_until_it_says("#state", "Both twins healthy");
    // Who was signed in on the one that died is so no longer.
    let visitors = addresses.map(|address| Visitor::signed_in(address, PASSWORD));
    let leased = [lease.address(), new.address()];
    let known = visitors[dies].devices();
    assert!(leased.iter().all(|address| known.iter().any(|row| row.contains(&format!("\"{address}\"")))), "{known:?}");
    wait_until("the two show the same devices", BOOT, || visitors[0].devices() == visitors[1].devices());
    let active = answering(&visitors, &pis);
    wait_for_lights([(&pis[active], "active"), (&pis[1 - active], "standby")]);
    for pi in &pis {
        pi.stop();
    }
    let [one, two] = pis.each_ref().map(|pi| Data::of(pi).leases().expect("a database"));
    assert_eq!(one, two, "on both cards");
    assert!(leased.iter().all(|address| one.contains_key(&address.parse().expect("an address"))), "{one:?}");
}

/// At the same time.
fn wait_for_lights(codes: [(&Pi, &str); 2]) {
    std::thread::scope(|scope| {
        for (pi, code) in codes {
            scope.spawn(move || pi.wait_for_light(code, LIGHT));
        }
    });
}

/// Which of the two answers devices, as both say.
fn answering(visitors: &[Visitor; 2], pis: &[Pi; 2]) -> usize {
    let says = |visitor: &Visitor, pi: &Pi| visitor.get("/").contains(&format!("Both twins healthy. {} is answering", pi.name));
    let mut found = None;
    wait_until("both say who answers", BOOT, || {
        found = (0..2).find(|which| visitors.iter().all(|visitor| says(visitor, &pis[*which])));
        found.is_some()
    });
    found.expect("seen just now")
}
