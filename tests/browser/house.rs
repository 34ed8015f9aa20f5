//! A house with twins, their dashboards and some devices. The browser runs in the world's own network, which has a leg on
//! the same segment.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::lab::{Client, Kind, Lab, wait_until};
use crate::pair::{Pair, Side};
use crate::twins::Twins;

pub struct House<'l> {
    pub lab: &'l Lab,
    pub twins: Twins<'l>,
    /// Ports for the browsers' drivers.
    next_port: AtomicU16,
}

/// A small network, as a home has it.
pub const SETTINGS: &str = r#"
[lease]
default = "1h"
[[subnet]]
network = "10.77.0.0/24"
pools = ["10.77.0.100-10.77.0.199"]
[subnet.options]
router = "10.77.0.254"
dns = ["10.77.0.254"]
"#;

impl<'l> House<'l> {
    /// Both twins run, together, with their dashboards.
    pub fn new(lab: &'l Lab, name: &str) -> House<'l> {
        let mut house = House::dark(lab, name, SETTINGS);
        house.twins.start_both();
        house.wait_for_pages(&Side::BOTH);
        house
    }

    /// As `new`, each started from a card: a folder that stands for one.
    pub fn with_cards(lab: &'l Lab, name: &str, cards: &[PathBuf; 2]) -> House<'l> {
        let mut house = House::dark(lab, name, SETTINGS);
        for (side, card) in Side::BOTH.into_iter().zip(cards) {
            let card = card.to_str().expect("the tests' paths are text").to_owned();
            house.twins.own_flags[side as usize] = vec!["--card-folder".into(), card];
        }
        house.twins.start_both();
        house.wait_for_pages(&Side::BOTH);
        house
    }

    /// Only A, which has no twin.
    pub fn of_one(lab: &'l Lab, name: &str, settings: &str) -> House<'l> {
        let mut house = House::dark(lab, name, settings);
        house.twins.key = None;
        house.twins.start(Side::A);
        house.wait_for_pages(&[Side::A]);
        house
    }

    /// Both run as they come from the shop: nothing is set up, and they are no twins.
    pub fn new_in_the_box(lab: &'l Lab, name: &str) -> House<'l> {
        let mut house = House::dark(lab, name, SETTINGS);
        (house.twins.settings, house.twins.key, house.twins.finds_by_itself) = (None, None, true);
        Side::BOTH.into_iter().for_each(|side| house.twins.start(side));
        house.wait_for_pages(&Side::BOTH);
        house
    }

    fn dark(lab: &'l Lab, name: &str, settings: &str) -> House<'l> {
        lab.bridge("lan");
        for side in Side::BOTH {
            lab.host(side.host(), "lan", &[&format!("{}/24", side.address())]);
        }
        // A bridge takes another MAC when a port comes, unless it was given one: its neighbours would talk to nobody for seconds.
        for words in ["link set lan address 02:00:5e:00:53:09", "address add 10.77.0.9/24 dev lan"] {
            let status = Command::new("ip").args(words.split(' ')).status().expect("ip starts");
            assert!(status.success(), "the world's own leg has no address");
        }
        let mut twins = Twins::new(lab, &format!("browser-{name}"), settings);
        twins.web = "0.0.0.0:80";
        House { lab, twins, next_port: AtomicU16::new(9515) }
    }

    pub fn wait_for_pages(&self, sides: &[Side]) {
        for side in sides {
            wait_until("the dashboard answers", Duration::from_secs(20), || {
                std::net::TcpStream::connect((side.address(), 80)).is_ok()
            });
        }
    }

    pub fn port(&self) -> u16 {
        self.next_port.fetch_add(1, Ordering::Relaxed)
    }

    /// A device on the LAN; its client is started by the caller.
    pub fn device(&self, host: &str) -> Client<'l> {
        self.lab.host(host, "lan", &[]);
        self.lab.client(Kind::Udhcpc, host)
    }

    /// Three devices with leases.
    pub fn furnish(&self) {
        for name in ["phone", "printer", "tv"] {
            self.device(name).start(&[&format!("hostname={name}")]);
        }
    }
}
