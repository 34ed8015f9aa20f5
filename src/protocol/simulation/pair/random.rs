//! Random runs. Each switches off a random set of kinds of events and scales the others (swarm testing), or starts from
//! the first half of a history that is known to lead deep.

use super::{
    scenarios,
    step::{A, B, Clock, DRILL_SECS, DiskDoes, Does, Edit, Fate, Kinds, LinkDoes, POOL, PowerDoes, Reach, Setup, Step, Which},
    world::{CLIENTS, World, mix},
};
use crate::protocol::{TwinCommand, replica::Keep, seeds::Telling};

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6a09_e667_f3bc_c909))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())]
    }
}

/// Kinds of events, with how often they happen where nothing is scaled.
const CLASSES: [(Class, u32); 22] = [
    (Class::Acquire, 24),
    (Class::Rebind, 12),
    (Class::Reboot, 6),
    (Class::Again, 6),
    (Class::GiveBack, 5),
    (Class::Offers, 3),
    (Class::Cut, 8),
    (Class::Hold, 8),
    (Class::Mend, 12),
    (Class::Held, 14),
    (Class::Stall, 6),
    (Class::DiskFails, 2),
    (Class::DiskMends, 8),
    (Class::Off, 8),
    (Class::On, 22),
    (Class::Wipe, 2),
    (Class::Copy, 2),
    (Class::Restore, 3),
    (Class::Clock, 6),
    (Class::Pause, 4),
    (Class::Admin, 4),
    (Class::Twin, 10),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Acquire,
    Rebind,
    Reboot,
    Again,
    GiveBack,
    Offers,
    Cut,
    Hold,
    Mend,
    Held,
    Stall,
    DiskFails,
    DiskMends,
    Off,
    On,
    Wipe,
    Copy,
    Restore,
    Clock,
    Pause,
    Admin,
    Twin,
}

/// A run as it came about: `run` takes the same steps again.
pub struct History {
    pub setup: Setup,
    pub steps: Vec<Step>,
    pub world: World,
}

pub fn generate(seed: u64, strangers: bool, only: Option<&'static str>) -> History {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let prefix = random.one_in(3).then(|| scenarios::random_prefix(&mut random));
    let setup = match &prefix {
        Some((setup, _)) => Setup { salt: seed, both_may_be_lost: false, strangers, ..*setup },
        None => Setup { strangers, ..random_setup(&mut random, seed) },
    };
    let mut world = World::new(setup, Telling::Silent);
    world.only = only;
    for step in prefix.into_iter().flat_map(|(_, steps)| steps) {
        if world.fault.is_none() && !random.one_in(12) {
            take(&mut world, step, &mut steps);
        }
    }
    let swarm = Swarm::new(&mut random);
    let end = steps.len() + 10 + random.below(90);
    while world.fault.is_none() && steps.len() < end {
        if random.below(10) < 7 {
            let ms = random_wait(&mut random, &setup);
            take(&mut world, ms, &mut steps);
        }
        if let Some(step) = swarm.step(&mut random, &world) {
            take(&mut world, step, &mut steps);
        }
    }
    History { setup, steps, world }
}

fn take(world: &mut World, step: Step, steps: &mut Vec<Step>) {
    steps.push(step);
    world.take(&step);
    world.judge();
}

fn random_setup(random: &mut Random, salt: u64) -> Setup {
    let (lease_secs, mclt_secs) = random.of(&[(120, 60), (120, 60), (180, 60), (40, 60)]);
    Setup {
        addresses: random.of(&[2, 2, 3, 4]),
        lease_secs,
        mclt_secs,
        balanced: random.one_in(3),
        link_ms: [random.of(&[1, 2, 20, 150, 400]), random.of(&[1, 2, 20, 150, 400])],
        disk_ms: [random.of(&[1, 5, 40, 300, 1500]), random.of(&[1, 5, 40, 300, 1500])],
        drift_ppm: [random.of(&[-500, 0, 500]), random.of(&[-500, 0, 500])],
        loss_permille: random.of(&[0, 0, 0, 50, 200]),
        salt,
        both_may_be_lost: random.one_in(8),
        assumes: random.one_in(10),
        strangers: false,
    }
}

fn random_wait(random: &mut Random, setup: &Setup) -> Step {
    let ms = match random.below(20) {
        0..5 => return Step::Next(1 + random.below(5) as u8),
        5..8 => 1 + random.below(10),
        8..12 => random.below(300),
        12..16 => random.below(3000),
        16..18 => random.below(20_000),
        18 if random.one_in(3) => (setup.mclt_secs + setup.lease_secs) as usize * 1000 + random.below(12_000),
        18 => setup.mclt_secs as usize * 1000 + random.below(12_000),
        _ => setup.lease_secs as usize * 1000 + random.below(8_000),
    };
    Step::Wait { ms: ms as u32 }
}

struct Swarm {
    weights: [u32; CLASSES.len()],
    total: u32,
    reaches: [Option<Reach>; CLIENTS],
    /// All clients want this one.
    address: Option<u8>,
    clients: usize,
}

impl Swarm {
    fn new(random: &mut Random) -> Swarm {
        let weights = CLASSES.map(|(class, usual)| {
            let always = matches!(class, Class::Acquire | Class::On | Class::Mend | Class::DiskMends);
            if !always && random.one_in(3) { 0 } else { usual * random.of(&[1, 1, 2, 4]) }
        });
        let reaches =
            [(); CLIENTS].map(|()| random.of(&[None, None, Some(Reach::Both), Some(Reach::Only(A)), Some(Reach::Only(B))]));
        let address = random.one_in(3).then(|| POOL + random.below(2) as u8);
        Swarm { weights, total: weights.iter().sum(), reaches, address, clients: 2 + random.below(CLIENTS - 1) }
    }

    fn step(&self, random: &mut Random, world: &World) -> Option<Step> {
        let mut lot = random.below(self.total as usize) as u32;
        let class = CLASSES.iter().zip(self.weights).find_map(|((class, _), weight)| {
            if lot < weight {
                return Some(*class);
            }
            lot -= weight;
            None
        })?;
        let at = random.below(2);
        let who = random.below(self.clients);
        let reach = self.reaches[who].unwrap_or_else(|| random.of(&[Reach::Both, Reach::Only(A), Reach::Only(B)]));
        let address = |random: &mut Random| POOL + random.below(world.setup.addresses.into()) as u8;
        let client = |does: Does, is_deaf: bool| Some(Step::Client { who, does, reach, is_deaf });
        let kinds = |random: &mut Random| match random.below(4) {
            0 => Kinds::ALL,
            1 => random.of(&[Kinds::UPDATE, Kinds::ACK, Kinds::GIVE_UP, Kinds::HEARTBEAT]),
            2 => {
                random.of(&[Kinds::UPDATE.and(Kinds::ACK), Kinds::PULL.and(Kinds::PAGE), Kinds::SETTING.and(Kinds::SETTING_ACK)])
            }
            _ => Kinds(1 + random.below(usize::from(Kinds::ALL.0)) as u16),
        };
        let is_on = world.machines[at].is_on();
        match class {
            Class::Acquire => {
                let named = match self.address {
                    Some(address) => Some(address),
                    None => (!random.one_in(3)).then(|| address(random)),
                };
                client(Does::Acquire(named), random.one_in(8))
            }
            Class::Rebind => client(random.of(&[Does::Renew, Does::Rebind]), random.one_in(5)),
            Class::Reboot => client(Does::Reboot, random.one_in(6)),
            Class::Again => client(Does::Again, random.one_in(8)),
            Class::GiveBack => client(random.of(&[Does::Release, Does::Release, Does::Decline]), false),
            Class::Offers => client(if random.one_in(2) { Does::Take } else { Does::Discover(Some(address(random))) }, false),
            Class::Cut => {
                let kinds = if random.one_in(2) { Kinds::ALL } else { kinds(random) };
                Some(Step::Link { from: at, kinds, does: LinkDoes::Cut })
            }
            Class::Hold => Some(Step::Link { from: at, kinds: kinds(random), does: LinkDoes::Hold }),
            Class::Mend => Some(Step::Link {
                from: at,
                kinds: if random.one_in(3) { kinds(random) } else { Kinds::ALL },
                does: LinkDoes::Flow,
            }),
            Class::Held => {
                let which = random.of(&[Which::First, Which::First, Which::Last, Which::All, Which::AllBackwards]);
                let fate = random.of(&[Fate::Arrives, Fate::Arrives, Fate::Doubles, Fate::IsLost]);
                Some(Step::Held { from: at, kinds: kinds(random), which, fate })
            }
            Class::Stall => {
                let does = random.of(&[DiskDoes::Stall, DiskDoes::Write(1), DiskDoes::Write(9)]);
                is_on.then_some(Step::Disk { at, does })
            }
            Class::DiskFails => is_on.then_some(Step::Disk { at, does: DiskDoes::Fail }),
            Class::DiskMends => {
                is_on.then(|| Step::Disk { at, does: random.of(&[DiskDoes::Flow, DiskDoes::Flow, DiskDoes::Heal]) })
            }
            Class::Off => is_on.then_some(Step::Power { at, does: PowerDoes::Off }),
            Class::On => {
                let clock = random.of(&[Clock::Right, Clock::Right, Clock::Unknown, Clock::Ahead]);
                (!is_on).then_some(Step::Power { at, does: PowerDoes::On(clock) })
            }
            Class::Wipe => Some(Step::Power { at, does: PowerDoes::OffAndWipe }),
            Class::Copy => Some(Step::Copy { at }),
            Class::Restore => Some(Step::Power { at, does: PowerDoes::OffAndRestore { marked: !random.one_in(4) } }),
            Class::Clock => Some(Step::Clock { at }),
            Class::Pause => Some(Step::Pause { at, ms: random.of(&[300, 1600, 4000, 30_000]) }),
            Class::Admin => {
                let does = match random.below(9) {
                    8 => Edit::Pool { addresses: 1 + random.below(world.setup.addresses.into()) as u8 },
                    7 => Edit::Reconcile(random.of(&[Keep::InForce, Keep::Waiting])),
                    0..3 => Edit::Keep { address: address(random), who },
                    3 => Edit::Unkeep { who },
                    4 => Edit::Free { address: address(random) },
                    5 => random.of(&[Edit::RaiseMclt, Edit::RaiseLease]),
                    _ => Edit::Plain,
                };
                Some(Step::Admin { at, does })
            }
            Class::Twin => {
                let is_other_on = world.machines[1 - at].is_on();
                let says = match random.below(10) {
                    8 => TwinCommand::Drill { secs: random.of(&DRILL_SECS) },
                    9 => TwinCommand::EndDrill,
                    0 => TwinCommand::ShutDown,
                    1 => TwinCommand::Switch,
                    2 => TwinCommand::Serve,
                    3 => TwinCommand::Unpair,
                    _ => TwinCommand::DeclareDown,
                };
                let needs_other_off = matches!(says, TwinCommand::DeclareDown | TwinCommand::Serve | TwinCommand::Unpair);
                let makes_sense = !needs_other_off || !is_other_on;
                (is_on && makes_sense).then_some(Step::Twin { at, says })
            }
        }
    }
}
