//! What the light on the box says: pure, from how the node is doing to a rhythm with a colour.
//!
//! The rhythm alone tells the state, the colour repeats it. What is well always moves, so a frozen box shows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::protocol::{failover::State, node::Status};

/// What the light can say, one row of the table on the box's leaflet each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// At most 25 s.
    Booting,
    NotConfigured,
    /// Answers, and the twin is well; or there is none.
    Active,
    /// Stands by, all is well.
    Standby,
    /// Answers, and the twin is lost or not well.
    TwinLost,
    /// Learns from the twin what it missed.
    Syncing,
    /// Keep the power on.
    Updating,
    /// Another DHCP server, or something to reconcile.
    Conflict,
    /// Answers nobody, or nothing new.
    Fault,
    /// "This one", while somebody looks for it or pairs it.
    Locating,
    /// Silent on purpose: people try out whether the twin takes over.
    Drilled,
    /// Nobody is at home; or it was told to shut down, and may be unplugged.
    Off,
}

impl Sign {
    pub const ALL: [Sign; 12] = [
        Sign::Booting,
        Sign::NotConfigured,
        Sign::Active,
        Sign::Standby,
        Sign::TwinLost,
        Sign::Syncing,
        Sign::Updating,
        Sign::Conflict,
        Sign::Fault,
        Sign::Locating,
        Sign::Drilled,
        Sign::Off,
    ];

    /// As it is written for scripts and stylesheets.
    pub fn word(self) -> &'static str {
        match self {
            Sign::Booting => "booting",
            Sign::NotConfigured => "not-configured",
            Sign::Active => "active",
            Sign::Standby => "standby",
            Sign::TwinLost => "twin-lost",
            Sign::Syncing => "syncing",
            Sign::Updating => "updating",
            Sign::Conflict => "conflict",
            Sign::Fault => "fault",
            Sign::Locating => "locating",
            Sign::Drilled => "drilled",
            Sign::Off => "off",
        }
    }
}

/// What the node itself does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Around {
    pub phase: Phase,
    /// Somebody looks for this box, or is pairing it.
    pub is_sought: bool,
    /// Another DHCP server answers on this network.
    pub has_rival: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    Booting,
    #[default]
    Running,
    Updating,
    Ended,
}

/// The most urgent of what is true.
pub fn sign(status: &Status, around: Around) -> Sign {
    match around.phase {
        Phase::Ended => return Sign::Off,
        Phase::Updating => return Sign::Updating,
        Phase::Booting | Phase::Running if around.is_sought => return Sign::Locating,
        Phase::Booting => return Sign::Booting,
        Phase::Running => {}
    }
    let state = status.twin.as_ref().map_or(State::Alone, |twin| twin.state);
    if state == State::ShuttingDown {
        return Sign::Off;
    }
    if state == State::Drilled {
        return Sign::Drilled;
    }
    let in_contact = status.twin.as_ref().and_then(|twin| twin.partner.as_ref()).is_some_and(|partner| partner.in_contact);
    // In contact, a node without settings is about to get them.
    if status.subnets.is_empty() && !in_contact {
        return Sign::NotConfigured;
    }
    let is_learning = match state {
        State::Startup | State::Reconcile => true,
        State::Recover => in_contact,
        State::Alone
        | State::Normal
        | State::CommunicationsInterrupted
        | State::PartnerDown
        | State::ShuttingDown
        | State::Drilled => false,
    };
    let is_mute = state == State::Recover && !in_contact;
    // One that learns answers nobody yet, and that is no fault; one that no packet reaches is.
    let is_silent = status.interfaces.is_empty() || (!status.serving && !is_learning);
    if status.trouble.is_some() || is_mute || (is_silent && !status.subnets.is_empty()) {
        return Sign::Fault;
    }
    if is_learning {
        return Sign::Syncing;
    }
    if around.has_rival {
        return Sign::Conflict;
    }
    let well = match &status.twin {
        None => Sign::Active,
        Some(twin) => match twin.state {
            State::CommunicationsInterrupted | State::PartnerDown => Sign::TwinLost,
            State::Normal if twin.partner.as_ref().is_none_or(|partner| partner.in_trouble || partner.is_deaf) => Sign::TwinLost,
            State::Normal if !twin.to_reconcile.is_empty() => Sign::Conflict,
            State::Normal if twin.is_level == Some(false) => Sign::Syncing,
            State::Normal if twin.is_active => Sign::Active,
            State::Normal => Sign::Standby,
            State::Alone => Sign::Active,
            State::Startup | State::Reconcile | State::Recover => Sign::Syncing,
            State::Drilled => Sign::Drilled,
            State::ShuttingDown => Sign::Off,
        },
    };
    match well {
        Sign::Active | Sign::Standby if status.subnets.is_empty() => Sign::NotConfigured,
        well => well,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    White,
    Blue,
    Green,
    Amber,
    Cyan,
    Magenta,
    Red,
}

/// A piece of a rhythm: the brightness goes evenly from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub ms: u32,
    pub from: u8,
    pub to: u8,
    pub colour: Colour,
}

/// Repeated for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// In words, for those who look at the light.
    pub name: &'static str,
    pub steps: Vec<Step>,
}

pub fn pattern(sign: Sign) -> Pattern {
    let (name, steps) = match sign {
        Sign::Booting => ("steadily on", vec![on(1000, Colour::White)]),
        Sign::NotConfigured => ("on and off, once a second", vec![on(500, Colour::Blue), off(500, Colour::Blue)]),
        Sign::Active => ("on, with a short dip every 4 s", vec![on(3700, Colour::Green), off(300, Colour::Green)]),
        Sign::Standby => ("a short flash every 4 s", vec![on(200, Colour::Blue), off(3800, Colour::Blue)]),
        Sign::TwinLost => ("two flashes, pause", flashes(2, Colour::Amber)),
        Sign::Syncing => {
            let fade = |from, to| Step { ms: 1000, from, to, colour: Colour::Cyan };
            ("slowly brighter and darker", vec![fade(0, FULL), fade(FULL, 0)])
        }
        Sign::Updating => ("three flashes, pause", flashes(3, Colour::White)),
        Sign::Conflict => ("four flashes, pause", flashes(4, Colour::Magenta)),
        Sign::Fault => ("fast, five times a second", vec![on(100, Colour::Red), off(100, Colour::Red)]),
        Sign::Locating => {
            let (long, short) = (on(900, Colour::White), on(200, Colour::Blue));
            let gap = off(200, Colour::White);
            ("long, short, long", vec![long, gap, short, gap, long, off(900, Colour::White)])
        }
        Sign::Drilled => ("two seconds on, two seconds off", vec![on(2000, Colour::White), off(2000, Colour::White)]),
        Sign::Off => ("off", vec![off(1000, Colour::White)]),
    };
    Pattern { name, steps }
}

const FULL: u8 = 255;

fn on(ms: u32, colour: Colour) -> Step {
    Step { ms, from: FULL, to: FULL, colour }
}

fn off(ms: u32, colour: Colour) -> Step {
    Step { ms, from: 0, to: 0, colour }
}

fn flashes(count: usize, colour: Colour) -> Vec<Step> {
    let mut steps = [on(200, colour), off(200, colour)].repeat(count);
    if let Some(pause) = steps.last_mut() {
        pause.ms = 1500;
    }
    steps
}

/// Counts digits out: so many short flashes each, ten for a zero, pauses between them. To be played once.
pub fn digits(digits: &[u8]) -> Pattern {
    let mut steps = vec![off(1000, Colour::White)];
    for digit in digits {
        let count = if *digit == 0 { 10 } else { usize::from((*digit).min(9)) };
        steps.extend([on(200, Colour::White), off(250, Colour::White)].repeat(count));
        steps.push(off(1200, Colour::White));
    }
    Pattern { name: "the last part of the address, digit by digit", steps }
}

/// While the button is held: steadily on, then once, twice, three times a second, the more the more would be forgotten.
pub fn held(stage: u8) -> Pattern {
    let steps = match stage {
        0 => vec![on(1000, Colour::White)],
        count => {
            let mut steps = [on(120, Colour::Red), off(120, Colour::Red)].repeat(usize::from(count));
            steps.push(off(1000 - 240 * u32::from(count.min(4)), Colour::Red));
            steps
        }
    };
    Pattern { name: "while the button is held", steps }
}

impl Pattern {
    pub fn length(&self) -> Duration {
        Duration::from_millis(self.steps.iter().map(|step| u64::from(step.ms)).sum())
    }

    /// Brightness and colour this long after its beginning. A light that is only on or off is on from 128.
    pub fn at(&self, since: Duration) -> (u8, Colour) {
        let length_ms = self.length().as_millis().max(1);
        let mut at_ms = (since.as_millis() % length_ms) as u32;
        for step in &self.steps {
            if at_ms < step.ms {
                let (from, to) = (i64::from(step.from), i64::from(step.to));
                let level = from + (to - from) * i64::from(at_ms) / i64::from(step.ms);
                return (level as u8, step.colour);
            }
            at_ms -= step.ms;
        }
        (0, Colour::White)
    }

    /// The light on a terminal at this moment, and the four seconds that follow, a mark for each 100 ms. One line.
    pub fn line(&self, since: Duration, with_colour: bool) -> String {
        let (level, colour) = self.at(since);
        let light = match level {
            0..64 => "○",
            64..192 => "◐",
            192.. => "●",
        };
        let marks = (0..40u32).map(|nth| match self.at(since + Duration::from_millis(100) * nth).0 {
            0..32 => '▁',
            32..96 => '▂',
            96..160 => '▄',
            160..224 => '▆',
            224.. => '█',
        });
        let marks: String = marks.collect();
        if with_colour { format!("\x1b[{}m{light} {marks}\x1b[0m", colour.ansi()) } else { format!("{light} {marks}") }
    }
}

impl Colour {
    fn ansi(self) -> &'static str {
        match self {
            Colour::White => "97",
            Colour::Blue => "94",
            Colour::Green => "92",
            Colour::Amber => "38;5;214",
            Colour::Cyan => "96",
            Colour::Magenta => "95",
            Colour::Red => "91",
        }
    }
}

#[cfg(test)]
mod tests;
