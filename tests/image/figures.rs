//! The figures of the README's table.

use std::{fs, time::Duration};

use crate::{
    PASSWORD,
    crafted::{Plug, mac},
    home, image, lab,
    lab::wait_until,
    pi::Pi,
    power::wait_for_offer,
    visitor::Visitor,
};

const DEVICES: u32 = 100;

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn the_figures_of_the_image() {
    let Some(lab) = lab::enter_or_skip("figures::the_figures_of_the_image") else { return };
    let image_mb = fs::metadata(image("plain.img.xz")).expect("an image").len() as f64 / 1e6;
    println!("figures: the image has {image_mb:.1} MB compressed");
    assert!(image_mb < 60.0);
    home(&lab);
    let plug = Plug::at("laptop");
    for (board, how) in [("Pi 3B", &[][..]), ("virt", &["virt"][..])] {
        let pi = Pi::set_up(&lab, if how.is_empty() { "pi" } else { "virt" }, "plain", "192.0.2.2/24");
        let begin = pi.start(how);
        wait_for_offer(&pi, &plug);
        let first_offer = begin.elapsed();
        for number in 0..DEVICES {
            wait_until("a device is served", Duration::from_secs(30), || {
                plug.dora(mac(number), Duration::from_secs(3)).is_some()
            });
        }
        let memory_mb = Visitor::signed_in("192.0.2.2", PASSWORD).memory_mb();
        println!(
            "figures: {board}, power on to the first OFFER {:.1} s; with {DEVICES} leases and a visitor the program has {memory_mb:.1} MB in memory",
            first_offer.as_secs_f32()
        );
        assert!(memory_mb < 64.0);
        pi.stop();
    }
}
