//! Cards that are not as they should be: a sentence says what is wrong and what to do, and nothing is done by halves.

use std::time::Duration;

use crate::{
    PASSWORD,
    card::Data,
    crafted::{Plug, mac},
    home, lab,
    lab::wait_until,
    pi::{BOOT, Pi},
    power::wait_for_offer,
    visitor::Visitor,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Each field wrong once, and what is said of it.
const WRONG: [(&str, &str); 11] = [
    ("name = my box!", "`my box!` cannot be a name on the network."),
    ("address = 192.0.2.0/24", "192.0.2.0 is the first or last address of its network"),
    ("router = 198.51.100.1", "The router 198.51.100.1 is not in this box's network 192.0.2.0/24."),
    ("dns = 1.1.1", "`1.1.1` "),
    ("password = short", "The password is too short."),
    ("pair-key = 1234", "The pair key is too short"),
    ("settings = ../home.toml", "`../home.toml` is no file beside setup.txt."),
    ("led = 99", "`99` is no GPIO number."),
    ("led-rgb = 5,6", "2 pins are named for a light of three colours."),
    ("act-led = perhaps", "`act-led = perhaps` is neither yes nor no."),
    ("button = 17", "GPIO 17 is named twice."),
];
const NOT_USED: &str = "Nothing of setup.txt is used until that is corrected; the box goes on as it was before.";

/// Another box altogether, but for what `wrong` says.
fn other(wrong: &str) -> String {
    let key = wrong.split(' ').next().expect("a key");
    let lines = ["name = other", "address = 192.0.2.77/24", "password = other words in a row"];
    let others: String = lines.iter().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\r\n")).collect();
    format!("{others}{wrong}\r\n")
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_setup_txt_with_anything_wrong_in_it_is_told_of_and_changes_nothing() {
    let Some(lab) = lab::enter_or_skip("setup::a_setup_txt_with_anything_wrong_in_it_is_told_of_and_changes_nothing") else {
        return;
    };
    home(&lab);
    let plug = Plug::at("laptop");
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.2/24");
    let good = pi.take("setup.txt");

    // At the first start of all: it is as one that nobody has set up.
    pi.put("setup.txt", &(good.clone() + "led = 99\r\n"));
    pi.start(&["virt"]);
    let status = pi.status(NOT_USED);
    assert!(status.contains("`99` is no GPIO number.") && status.contains("(not configured)"), "{status}");
    assert!(!status.contains("192.0.2.2") && !status.contains("Name      one"), "{status}");
    assert!(pi.take("setup.txt").contains(PASSWORD), "its author finds it as it was");
    pi.stop();

    pi.put("setup.txt", &good);
    pi.start(&["virt"]);
    let status = pi.status("Address   192.0.2.2");
    assert!(status.contains("Name      one") && !status.contains(NOT_USED), "{status}");
    wait_for_offer(&pi, &plug);
    pi.stop();

    for (wrong, said) in WRONG {
        pi.put("setup.txt", &other(wrong));
        pi.start(&["virt"]);
        let status = pi.status(said);
        assert!(status.contains(NOT_USED), "{wrong}: {status}");
        assert!(status.contains("Name      one\r") && status.contains("Address   192.0.2.2\r"), "{wrong}: {status}");
        assert!(!status.contains("192.0.2.77"), "{wrong}: {status}");
        assert!(pi.log().contains(said), "{wrong}: the screen has the same sentence");
        wait_for_offer(&pi, &plug);
        // Lets in with the password of before, else this panics.
        Visitor::signed_in("192.0.2.2", PASSWORD);
        pi.stop();
    }
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn two_cards_with_different_pair_keys_say_so_and_answer_nobody() {
    let Some(lab) = lab::enter_or_skip("setup::two_cards_with_different_pair_keys_say_so_and_answer_nobody") else { return };
    home(&lab);
    let pis = [("one", "192.0.2.2/24", "apple-apple-apple-apple"), ("two", "192.0.2.3/24", "pear-pear-pear-pear-pear")];
    let pis = pis.map(|(name, address, key)| {
        let pi = Pi::set_up(&lab, name, "plain", address);
        let setup = pi.take("setup.txt");
        pi.put("setup.txt", &format!("{setup}pair-key = {key}\r\n"));
        pi.start(&["virt"]);
        pi
    });
    for pi in &pis {
        let status = pi.status("its pair key is not this node's.");
        assert!(status.contains("has not met the other yet, so it answers nobody"), "{status}");
        assert!(status.contains("(fault)") && status.contains("Twin      none"), "{status}");
        assert!(pi.log().contains("its pair key is not this node's."), "the screen has the same sentence");
    }
    let plug = Plug::at("laptop");
    assert!(plug.dora(mac(1), PATIENCE).is_none(), "nobody may answer before the two know who has what");
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_copied_card_becomes_a_box_of_its_own_and_says_so() {
    let Some(lab) = lab::enter_or_skip("setup::a_copied_card_becomes_a_box_of_its_own_and_says_so") else { return };
    home(&lab);
    let plug = Plug::at("laptop");
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.2/24");
    pi.start(&["virt"]);
    wait_for_offer(&pi, &plug);
    assert!(plug.dora(mac(1), PATIENCE).is_some());
    pi.stop();
    let leases = Data::of(&pi).leases().expect("a database");
    assert_eq!(leases.len(), 1);

    let copy = pi.copied("copy");
    copy.start(&["virt"]);
    let status = copy.status("This card was used in other hardware before");
    assert!(copy.log().contains("This card was used in other hardware before"), "the screen has the same sentence");
    // What its setup.txt names is used as on any first start: it is not a box without a network.
    wait_for_offer(&copy, &plug);
    let page = Visitor::at("192.0.2.2").get("/claim");
    assert!(page.starts_with("HTTP/1.1 200"), "its password was the other one's, and is to be set anew: {page}\n{status}");
    copy.stop();
    assert_eq!(Data::of(&copy).leases().map(|leases| leases.len()), Some(0), "the leases are the other one's");

    // The one it was copied from is what it was.
    pi.start(&["virt"]);
    let status = pi.status("Address   192.0.2.2");
    assert!(!status.contains("other hardware"), "{status}");
    wait_for_offer(&pi, &plug);
    Visitor::signed_in("192.0.2.2", PASSWORD);

    // Beside each other both have one address, and both say so, until one of the two is off.
    copy.start(&["virt"]);
    for pi in [&pi, &copy] {
        let status = pi.status("192.0.2.2 is an address of this server, and another machine (");
        assert!(status.contains("(conflict)"), "{status}");
    }
    copy.stop();
    wait_until("it has its address for itself again", BOOT, || !pi.take("STATUS.TXT").contains("another machine"));

    // It was no copy but has moved, somebody says.
    pi.stop();
    copy.put("RESET.TXT", "adopt\r\n");
    copy.start(&["virt"]);
    copy.status("RESET.TXT: this box is the one that the card was in before.");
    wait_for_offer(&copy, &plug);
    Visitor::signed_in("192.0.2.2", PASSWORD);
    copy.stop();
    assert_eq!(Data::of(&copy).leases(), Some(leases));
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_card_of_a_newer_version_is_not_touched_and_says_so() {
    let Some(lab) = lab::enter_or_skip("setup::a_card_of_a_newer_version_is_not_touched_and_says_so") else { return };
    home(&lab);
    let plug = Plug::at("laptop");
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.2/24");
    pi.start(&["virt"]);
    wait_for_offer(&pi, &plug);
    pi.stop();
    let data = Data::of(&pi);
    let database = data.files().join("twinlease.db");
    let version = |version: i64| {
        let open = rusqlite::Connection::open(&database).expect("a database");
        open.pragma_update(None, "user_version", version).expect("a version");
        // The log is taken in and gone when it is closed.
        open.close().expect("closed");
    };
    version(99);
    let newer = std::fs::read(&database).expect("a file");
    data.replace("twinlease.db", &database);

    pi.start(&["virt"]);
    let status = pi.status("has version 99");
    assert!(status.contains("Nothing was changed. Install the newer twinlease again."), "{status}");
    assert!(status.contains("The server could not start.") && status.contains("(fault)"), "{status}");
    assert!(pi.log().contains("has version 99"), "the screen has the same sentence");
    // It goes on trying, and wears the card no more than once for that.
    wait_until("it tries again", BOOT, || pi.log().matches("it is started again").count() >= 3);
    assert_eq!(pi.take("STATUS.TXT"), status, "written once");
    assert!(plug.dora(mac(1), PATIENCE).is_none());
    pi.stop();
    assert_eq!(std::fs::read(Data::of(&pi).files().join("twinlease.db")).expect("a file"), newer);
}
