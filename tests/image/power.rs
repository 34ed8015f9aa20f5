//! The power goes at any moment, and what the card has not been told to flush goes with it.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::{
    card::Data,
    crafted::{ACK, DISCOVER, Mac, OFFER, Plug, Query, REQUEST, mac},
    home, lab,
    lab::wait_until,
    pi::{BOOT, Pi},
};

/// `TWINLEASE_POWER_CUTS` says how often, of both worlds together.
const CUTS: usize = 4;
/// Each a world of its own, with one box.
const WORLDS: usize = 2;
/// Devices that ask at the same time.
const ASKING: usize = 4;
const PATIENCE: Duration = Duration::from_secs(2);
/// In each life that serves.
const LEASES_MIN: usize = 12;
/// What was on its way when the power went has arrived by then.
const IN_FLIGHT: Duration = Duration::from_millis(300);

/// Room for all who ask in all rounds.
const SETTINGS: &str = r#"
[server]
probe = false
[lease]
default = "12h"
[[subnet]]
network = "10.77.0.0/16"
pools = ["10.77.1.0-10.77.250.255"]
"#;

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn what_was_acknowledged_is_on_the_card_however_often_the_power_goes() {
    let name = "power::what_was_acknowledged_is_on_the_card_however_often_the_power_goes";
    let Some((lab, world)) = lab::enter_parts_or_skip(name, WORLDS, WORLDS) else { return };
    let cuts = std::env::var("TWINLEASE_POWER_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(CUTS) / WORLDS;
    let mut chance = Chance::new(world as u64);
    println!("world {world}: the chances follow from {}", chance.0);
    home(&lab);
    let pi = Pi::set_up(&lab, "one", "plain", "10.77.0.1/16");
    pi.put("home.toml", SETTINGS);
    let plugs: Vec<Plug> = (0..ASKING).map(|_| Plug::at("laptop")).collect();
    let crowd = Crowd::default();
    let (mut starts, mut lives) = (Vec::new(), Vec::new());
    for cut in 1..=cuts {
        let begin = pi.start(&["virt", "volatile"]);
        // Every fourth comes before anybody is served.
        if cut % 4 == 2 {
            let life = chance.between(1000, 9000);
            std::thread::sleep(Duration::from_millis(life));
            pi.stop();
            lives.push(format!("{life} ms after power on"));
        } else {
            wait_for_offer(&pi, &plugs[0]);
            starts.push(begin.elapsed().as_secs_f32());
            let life = chance.between(500, 5000);
            let before = crowd.count();
            crowd.ask_while(&plugs, || {
                std::thread::sleep(Duration::from_millis(life));
                // On a busy machine too short for a load.
                wait_until("some are served", BOOT, || crowd.count() >= before + LEASES_MIN);
                pi.stop();
            });
            lives.push(format!("{life} ms of service"));
        }
        crowd.check(&pi, &format!("world {world}, cut {cut} ({})", lives[cut - 1]));
    }
    let leases = crowd.leases.lock().expect("no thread is left").clone();
    println!(
        "power: world {world}, {cuts} cuts ({}): {} leases acknowledged, none lost; power on to the first OFFER {starts:.1?} s",
        lives.join(", "),
        leases.len()
    );
    assert!(leases.len() > 5 * cuts, "the load was too small to show anything: {}", leases.len());
    pi.start(&["virt", "volatile"]);
    wait_for_offer(&pi, &plugs[0]);
    let (address, mac) = leases.iter().next().expect("there are some");
    assert_eq!(plugs[0].dora(*mac, PATIENCE).map(|ack| ack.yiaddr), Some(*address), "it has its address as before");
}

/// Power on to the first answer. Panics when the box does not start.
pub fn wait_for_offer(pi: &Pi, plug: &Plug) {
    let begin = Instant::now();
    while plug.ask(&Query::new(DISCOVER, mac(0xFFFF_FFFF)), &[OFFER], Duration::from_millis(250)).is_none() {
        assert!(begin.elapsed() < BOOT, "{} does not serve:\n{}", pi.name, pi.log());
    }
}

/// Devices, and what each of them was promised.
#[derive(Default)]
pub struct Crowd {
    pub leases: Mutex<HashMap<Ipv4Addr, Mac>>,
    next: AtomicU32,
}

impl Crowd {
    /// New ones ask, and every fourth says again what it has, until `meanwhile` is over.
    pub fn ask_while(&self, plugs: &[Plug], meanwhile: impl FnOnce()) {
        let is_over = AtomicBool::new(false);
        let is_over = &is_over;
        std::thread::scope(|scope| {
            for plug in plugs {
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        self.ask(plug);
                    }
                });
            }
            meanwhile();
            std::thread::sleep(IN_FLIGHT);
            is_over.store(true, Ordering::Relaxed);
        });
    }

    fn count(&self) -> usize {
        self.leases.lock().expect("nobody panics with it").len()
    }

    fn ask(&self, plug: &Plug) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let known = (number % 4 == 3).then(|| {
            let leases = self.leases.lock().expect("nobody panics with it");
            leases.iter().nth(number as usize % leases.len().max(1)).map(|(address, mac)| (*address, *mac))
        });
        let acked = match known.flatten() {
            // As after a restart of the device (INIT-REBOOT).
            Some((address, mac)) => plug.ask(&Query::new(REQUEST, mac).option(50, &address.octets()), &[ACK], PATIENCE),
            None => plug.dora(mac(0x0100_0000 + number), PATIENCE),
        };
        if let Some(ack) = acked {
            let before = self.leases.lock().expect("nobody panics with it").insert(ack.yiaddr, ack.mac);
            assert!(
                before.is_none_or(|before| before == ack.mac),
                "{} went to {before:02x?} and to {:02x?}",
                ack.yiaddr,
                ack.mac
            );
        }
    }

    /// Every promise is on the card.
    fn check(&self, pi: &Pi, when: &str) {
        let stored = Data::of(pi).leases();
        for (address, mac) in self.leases.lock().expect("no thread is left").iter() {
            let stored = stored.as_ref().unwrap_or_else(|| panic!("{when}: there is no database"));
            assert_eq!(stored.get(address), Some(mac), "{when}: the lease of {address}");
        }
    }
}

/// Another sequence each time; told, so that it can be looked into.
struct Chance(u64);

impl Chance {
    fn new(salt: u64) -> Chance {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
        Chance((now ^ (salt << 60)) | 1)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low)
    }
}
