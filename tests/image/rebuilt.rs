//! A box whose data partition is gone gets everything from its twin.

use std::time::Duration;

use crate::{
    PASSWORD,
    card::{self, Data},
    crafted::{Plug, mac},
    home, lab,
    lab::wait_until,
    pi::{BOOT, Pi},
    power::wait_for_offer,
    visitor::Visitor,
};

/// The rule that keeps a box silent which may have forgotten promises ends after this at the latest.
const SETTINGS: &str = r#"
[server]
probe = false
[twin]
mclt = "1m"
[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.100-192.0.2.199"]
"#;
const DEVICES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_box_without_its_data_starts_and_gets_everything_from_its_twin() {
    let Some(lab) = lab::enter_or_skip("rebuilt::a_box_without_its_data_starts_and_gets_everything_from_its_twin") else {
        return;
    };
    home(&lab);
    let addresses = ["192.0.2.2", "192.0.2.3"];
    let pis = [("one", addresses[0]), ("two", addresses[1])].map(|(name, address)| {
        let pi = Pi::set_up(&lab, name, "pair", &format!("{address}/24"));
        pi.put("home.toml", SETTINGS);
        pi
    });
    for pi in &pis {
        pi.start(&["virt"]);
    }
    for pi in &pis {
        pi.wait_for_log("this one is together with its twin");
    }
    let plug = Plug::at("laptop");
    for number in 0..DEVICES {
        wait_until("a device is served", BOOT, || plug.dora(mac(number), PATIENCE).is_some());
    }
    let [one, two] = &pis;
    let known = Visitor::signed_in(addresses[0], PASSWORD).devices();
    assert_eq!(known.len(), DEVICES as usize, "{known:?}");

    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise_into = |piece: &mut [u8]| {
        for eight in piece.chunks_exact_mut(8) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            eight.copy_from_slice(&noise.to_le_bytes());
        }
    };
    let made_anew =
        "The data partition could not be repaired and was made anew. Leases and settings come from the twin, where there is one.";
    let missing = "The card has no data partition. This one serves from memory and what its twin tells.";
    for (what, said) in [("zeros", made_anew), ("noise", made_anew), ("missing", missing)] {
        two.stop();
        match what {
            "zeros" => card::overwrite(two, |piece| piece.fill(0)),
            "noise" => card::overwrite(two, &mut noise_into),
            _ => card::take_away(two),
        }
        let begin = two.start(&["virt"]);
        let status = two.status(said);
        assert!(two.log().contains(said), "the screen has the same sentence");
        assert!(!status.contains("repaired as far as that is possible"), "{status}");
        two.wait_for_log("this one is together with its twin");
        println!("data partition {what}: equal to its twin {:.1} s after power on", begin.elapsed().as_secs_f32());
        let visitor = Visitor::signed_in(addresses[1], PASSWORD);
        wait_until("it lists what its twin lists", PATIENCE, || visitor.devices() == known);
        // The other one dies before anything else happens: this one knows enough to go on.
        one.stop();
        let has_its_own = |address: String| known.iter().any(|row| row.contains(&address) && row.contains("00:16:00:00:00:07"));
        wait_until("it serves alone, and knows who has what", BOOT, || {
            plug.dora(mac(7), PATIENCE).is_some_and(|ack| has_its_own(format!("\"{}\"", ack.yiaddr)))
        });
        one.start(&["virt"]);
        one.wait_for_log("this one is together with its twin");
        if what != "missing" {
            two.stop();
            assert_eq!(Data::of(two).leases().map(|leases| leases.len()), Some(DEVICES as usize), "on the card anew");
            two.start(&["virt"]);
            two.wait_for_log("this one is together with its twin");
        }
    }
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_data_partition_grows_to_its_card_also_when_it_was_made_anew() {
    let Some(lab) = lab::enter_or_skip("rebuilt::a_data_partition_grows_to_its_card_also_when_it_was_made_anew") else { return };
    home(&lab);
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.2/24");
    // Blocks of 1 KiB: as earlier images had them.
    for what in ["as flashed", "zeros", "small blocks"] {
        match what {
            "zeros" => card::overwrite(&pi, |piece| piece.fill(0)),
            "small blocks" => Data::make_anew(&pi, &["-b", "1024", "-E", "resize=2097152"]),
            _ => {}
        }
        pi.start(&["virt"]);
        pi.wait_for_log("the data partition has 444 MB now");
        assert_eq!(pi.log().contains("was made anew"), what == "zeros", "{}", pi.log());
        pi.stop();
        let (file_system, partition) = Data::of(&pi).sizes();
        assert_eq!((file_system, partition), (444 << 20, 444 << 20), "{what}");
        pi.start(&["virt"]);
        wait_for_offer(&pi, &Plug::at("laptop"));
        assert!(!pi.log().contains("the data partition has"), "once: {}", pi.log());
        pi.stop();
    }
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_version_on_trial_erases_nothing() {
    let Some(lab) = lab::enter_or_skip("rebuilt::a_version_on_trial_erases_nothing") else { return };
    home(&lab);
    let pi = Pi::set_up(&lab, "one", "plain", "192.0.2.2/24");
    pi.put("TRIAL.TXT", "slot=2\r\nback=3\r\ntries=0\r\n");
    card::overwrite(&pi, |piece| piece.fill(0xA5));
    pi.start(&["virt"]);
    wait_for_offer(&pi, &Plug::at("laptop"));
    assert!(pi.log().contains("The version on trial cannot use the data partition, and leaves it as it is."), "{}", pi.log());
    pi.stop();
    assert!(pi.take("TRIAL.TXT").contains("tries=1"), "the trial goes on");
    assert!(card::all(&pi, |piece| piece.iter().all(|byte| *byte == 0xA5)), "what was there is there");
}
