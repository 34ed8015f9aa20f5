//! A house for tests: settings as in a file, leases and questions as a test wants them.

use std::{collections::HashMap, net::Ipv4Addr, sync::Arc, time::Duration};

use crate::{
    protocol::{
        Node,
        explain::{Asked, Decision, Outcome, Silence, Step},
        lease::{Binding, BindingState, ClientId, HwAddr, Version},
        time::{Epoch, Time},
    },
    runtime::{
        clock::{Clock, Reading, WallTrust},
        presence::Known,
    },
    settings::parse::parse,
    web::House,
};

pub const HOME: &str = r#"
[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.100-192.0.2.109"]
[subnet.options]
router = "192.0.2.1"
dns = ["192.0.2.53"]
[[reservation]]
mac = "00:1b:a9:00:53:20"
address = "192.0.2.31"
name = "printer"
note = "In the study"
"#;

pub fn house(settings: &str, bindings: Vec<Binding>) -> House {
    let settings = parse(settings).expect("the settings of a test are right");
    let clock = Clock::resume(None, &Reading::take(WallTrust::Always), WallTrust::Always).0;
    let now = clock.now() + Duration::from_secs(1_000_000);
    let node = Node::new(settings.clone(), bindings.clone(), Epoch(1), now);
    let mut house = House {
        host: "attic".into(),
        twin_name: None,
        revision: 0,
        now,
        clock,
        settings,
        bindings,
        status: node.status(now),
        to_reconcile: Vec::new(),
        around: Default::default(),
        drill_checks: Vec::new(),
        same: None,
        last_drill: None,
        update: Default::default(),
        asked: HashMap::new(),
        known: HashMap::new(),
        drawn: Default::default(),
    };
    house.bindings.sort_unstable_by_key(|binding| binding.address);
    house
}

pub fn mac(text: &str) -> HwAddr {
    text.parse().expect("a MAC of a test")
}

pub fn address(text: &str) -> Ipv4Addr {
    text.parse().expect("an address of a test")
}

/// Leased a minute ago by a device that calls itself so.
pub fn lease(hw: &str, at: &str, name: Option<&str>) -> Binding {
    let hw = mac(hw);
    Binding {
        address: address(at),
        client: ClientId::Hardware(hw),
        hw,
        state: BindingState::Leased,
        since: Time(999_000_000),
        expiry: Time::NEVER,
        epoch: Epoch(1),
        generation: 1,
        version: Version::default(),
        host_name: name.map(Into::into),
    }
}

/// It asked and was not answered, because the pool is full.
pub fn refused(house: &mut House, hw: &str, name: Option<&str>) {
    let network = house.settings.subnets[0].network;
    let why = Silence::PoolFull { network, size: 10, aside: 0, is_half: false };
    let (at, hw) = (house.now, mac(hw));
    let decision = Decision {
        at,
        hw,
        name: name.map(Into::into),
        asked: Asked::Discover,
        xid: 7,
        steps: vec![Step::NotKept],
        outcome: Outcome::Silent { why },
        repeats: 779,
        last_at: at,
    };
    house.asked.insert(hw, Arc::new(decision));
}

/// Heard for the first time so long ago.
pub fn first_heard(house: &mut House, hw: &str, ago: Duration) {
    let wall = house.clock.wall_of(house.now).duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let ms = |ago: Duration| i64::try_from((wall - ago).as_millis()).expect("a moment of this age");
    let hw = mac(hw);
    house.known.insert(hw, Known { hw, first_wall_ms: ms(ago), last_wall_ms: ms(Duration::ZERO) });
}
