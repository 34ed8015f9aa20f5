//! The flashed card in emulated Raspberry Pis 3B, and in a general machine with the same kernel and processor where many starts are needed:
//! `scripts/test --image` builds the images and runs this. What comes out of a box is judged from outside: its pins, its card, its network.
//!
//! An emulated Pi is about ten times slower than one: the times that are printed are upper bounds.

#[path = "../chromium/mod.rs"]
mod chromium;
#[path = "../crafted/mod.rs"]
mod crafted;
#[path = "../lab/mod.rs"]
mod lab;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use lab::Lab;

mod card;
mod light;
mod pi;
mod visitor;
mod window;

mod button;
mod figures;
mod first;
mod hang;
mod pair;
mod power;
mod rebuilt;
mod setup;
mod update;
mod worn;

/// Two boxes, one home.
const SETTINGS: &str = r#"
[lease]
default = "1h"

[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.100-192.0.2.199"]
"#;
const PASSWORD: &str = "four words in a row";

/// Where `scripts/test --image` has put the images.
fn image(name: &str) -> PathBuf {
    let folder = std::env::var_os("TWINLEASE_IMAGES").expect("scripts/test --image says where the images are");
    Path::new(&folder).join(name)
}

/// A segment with a laptop; the world itself has a leg there, too, from which it looks at pages.
fn home(lab: &Lab) {
    lab.bridge("lan");
    lab.host("laptop", "lan", &[]);
    // A bridge takes another MAC when a port comes, unless it was given one: its neighbours would talk to nobody for seconds.
    for words in ["link set lan address 02:00:5e:00:53:09", "address add 192.0.2.9/24 dev lan"] {
        let status = Command::new("ip").args(words.split(' ')).status().expect("ip starts");
        assert!(status.success(), "the world's own leg has no address");
    }
}
