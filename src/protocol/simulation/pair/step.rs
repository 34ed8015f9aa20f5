//! What can happen to a pair, its clients, its disks, its clocks and its link. A run is a `Setup` and a list of `Step`s,
//! and nothing else: the same list gives the same run.

use crate::protocol::{
    TwinCommand,
    failover::{Body, Rank},
    replica::Keep,
};

/// The first node (rank First, 192.0.2.1), and the second.
pub const A: usize = 0;
pub const B: usize = 1;

/// The last byte of the pool's first address: an even one, which A owns.
pub const POOL: u8 = 10;

/// How long drills are, the longest last.
pub const DRILL_SECS: [u32; 3] = [30, 60, 120];

/// What stays the same during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Addresses from `POOL` on.
    pub addresses: u8,
    pub lease_secs: u32,
    pub mclt_secs: u32,
    pub balanced: bool,
    /// How long a message of each node is under way.
    pub link_ms: [u32; 2],
    /// How long each disk takes for a transaction.
    pub disk_ms: [u32; 2],
    /// How much faster than true time each node's clock runs.
    pub drift_ppm: [i32; 2],
    /// Messages that are lost, in thousandths, chosen by `salt`.
    pub loss_permille: u32,
    pub salt: u64,
    /// Both disks may be lost (w14).
    pub both_may_be_lost: bool,
    /// Each counts the other as down after a minute without it: so the link between them is always whole.
    pub assumes: bool,
    /// They are no pair: two servers that know nothing of each other.
    pub strangers: bool,
}

impl Setup {
    pub const QUIET: Setup = Setup {
        addresses: 2,
        lease_secs: 180,
        mclt_secs: 60,
        balanced: false,
        link_ms: [2, 2],
        disk_ms: [5, 5],
        drift_ppm: [0, 0],
        loss_permille: 0,
        salt: 0,
        both_may_be_lost: false,
        assumes: false,
        strangers: false,
    };
}

/// Kinds of messages, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(pub u16);

impl Kinds {
    pub const HEARTBEAT: Kinds = Kinds(1);
    pub const UPDATE: Kinds = Kinds(2);
    pub const ACK: Kinds = Kinds(4);
    pub const SETTING: Kinds = Kinds(8);
    pub const SETTING_ACK: Kinds = Kinds(16);
    pub const GIVE_UP: Kinds = Kinds(32);
    pub const SHUTTING_DOWN: Kinds = Kinds(64);
    pub const PULL: Kinds = Kinds(128);
    pub const PAGE: Kinds = Kinds(256);
    pub const ALL: Kinds = Kinds(511);

    pub fn of(body: &Body) -> Kinds {
        match body {
            Body::Heartbeat(_) => Kinds::HEARTBEAT,
            Body::Update(_) => Kinds::UPDATE,
            Body::Ack(_) => Kinds::ACK,
            Body::Setting(_) => Kinds::SETTING,
            Body::SettingAck(_) => Kinds::SETTING_ACK,
            Body::GiveUp(_) => Kinds::GIVE_UP,
            Body::ShuttingDown => Kinds::SHUTTING_DOWN,
            Body::Pull(_) => Kinds::PULL,
            Body::Page(_) => Kinds::PAGE,
        }
    }

    pub fn has(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    pub fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Wait {
        ms: u32,
    },
    /// The next so many things that are due happen, and nothing after them.
    Next(u8),
    Client {
        who: usize,
        does: Does,
        reach: Reach,
        /// Answers are lost until the client does something again.
        is_deaf: bool,
    },
    Disk {
        at: usize,
        does: DiskDoes,
    },
    Link {
        from: usize,
        kinds: Kinds,
        does: LinkDoes,
    },
    /// A message that is held back.
    Held {
        from: usize,
        kinds: Kinds,
        which: Which,
        fate: Fate,
    },
    Power {
        at: usize,
        does: PowerDoes,
    },
    /// A copy of the disk is laid aside.
    Copy {
        at: usize,
    },
    /// The clock is confirmed.
    Clock {
        at: usize,
    },
    /// Stands still, as on SIGSTOP, and then gets all that came meanwhile.
    Pause {
        at: usize,
        ms: u32,
    },
    Admin {
        at: usize,
        does: Edit,
    },
    Twin {
        at: usize,
        says: TwinCommand,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Starts from nothing, names an address where there is one, and takes what is offered first.
    Acquire(Option<u8>),
    /// As `Acquire`, but leaves the offer.
    Discover(Option<u8>),
    /// Takes what was offered last.
    Take,
    /// Asks the same again, and says that it has been trying for a while.
    Again,
    Renew,
    Rebind,
    Reboot,
    Release,
    Decline,
}

/// Which nodes hear the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Both,
    Only(usize),
}

impl Reach {
    pub fn has(self, at: usize) -> bool {
        match self {
            Reach::Both => true,
            Reach::Only(only) => only == at,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskDoes {
    /// Writes nothing until `Flow`, except what `Write` says.
    Stall,
    Flow,
    Write(u8),
    Fail,
    Heal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkDoes {
    Flow,
    /// Messages wait until `Held` decides about them.
    Hold,
    /// Messages are lost.
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    First,
    Last,
    All,
    AllBackwards,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    /// Arrives, and is still there.
    Doubles,
    IsLost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerDoes {
    Off,
    On(Clock),
    /// Off, and the disk is blank.
    OffAndWipe,
    /// Off, and the disk is as it was copied; whether the copy says so.
    OffAndRestore {
        marked: bool,
    },
}

/// The clock after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Right,
    /// Not confirmed: `Step::Clock` confirms it.
    Unknown,
    /// Not confirmed, and a while ahead of the truth.
    Ahead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Keeps an address for a client.
    Keep {
        address: u8,
        who: usize,
    },
    Unkeep {
        who: usize,
    },
    /// The lead time is tripled.
    RaiseMclt,
    /// The lease time is doubled.
    RaiseLease,
    /// The pool has so many addresses, from its first on.
    Pool {
        addresses: u8,
    },
    /// The lease times and the pool as the setup has them, and no kept addresses.
    Plain,
    /// The holder is gone; only where that is true.
    Free {
        address: u8,
    },
    /// The first thing that is to be reconciled, if there is one.
    Reconcile(Keep),
}

pub fn name(at: usize) -> &'static str {
    ["A", "B"][at]
}

pub fn rank(at: usize) -> Rank {
    [Rank::First, Rank::Second][at]
}
