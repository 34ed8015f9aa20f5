//! When a condition is told: once it has lasted, again after growing pauses, once when it is over. What comes and goes
//! is one alert, not many.
//!
//! ```text
//!  condition   ▁▁▔▔▔▔▔▔▔▔▔▔▁▔▔▔▁▁▔▔▔▔▔▁▁▁▁▁▁▁▁▁▁
//!                │patience              │ calm │
//!  told        ▁▁▁▁▁│begins ▁▁ goes on │▁▁▁▁▁▁▁│over
//! ```

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Alert, Finding, Kind, Phase, Scope};
use crate::protocol::time::Time;

const HOUR: Duration = Duration::from_secs(3600);
/// Between the first message and the second, the second and the third; the last for all that follow.
const PAUSES: [Duration; 3] = [HOUR, Duration::from_secs(6 * 3600), Duration::from_secs(24 * 3600)];
/// For so long it must be gone before it counts as over.
const CALM: Duration = Duration::from_secs(2 * 60);
/// What comes back within this time must be gone twice as long the next time, up to `CALM_MAX`.
const FLAP_MEMORY: Duration = Duration::from_secs(6 * 3600);
const CALM_MAX: Duration = HOUR;
/// Conditions remembered at once: subnets and the dozen kinds.
const OPEN_MAX: usize = 256;

/// How long a condition must hold before it is worth a message.
fn patience(kind: Kind) -> Duration {
    let secs = match kind {
        Kind::Rival | Kind::Conflict | Kind::Clones | Kind::BackupLate | Kind::UpdateFailed => 0,
        Kind::Disk => 10,
        // A restart with an update takes less.
        Kind::NotServing | Kind::TwinSilent | Kind::PoolNearlyFull => 60,
        Kind::TwinUnwell => 2 * 60,
        // The first answer of NTP after a power cut waits for the router.
        Kind::ClockWrong => 15 * 60,
        // The admin is just deciding.
        Kind::ToReconcile => 5 * 60,
    };
    Duration::from_secs(secs)
}

/// Of one condition, as long as it is not over and told, and a while longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub since: Time,
    pub text: String,
    over: String,
    scope: Scope,
    weight: u64,
    /// It held at the last look.
    pub holds: bool,
    seen: Time,
    /// For how long it has held, gaps left out.
    held_ms: u64,
    /// Messages so far; the last of them.
    pub told: u32,
    told_at: Time,
    told_weight: u64,
    /// Over since then; remembered for `FLAP_MEMORY`.
    pub over_at: Option<Time>,
    /// How often it came back.
    flaps: u32,
}

/// What a node may tell now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Nothing: the admin wants quiet, or has named no channel. What holds then is told when that is over.
    Mute,
    /// What only this node can know: the twin tells the rest.
    Own,
    All,
}

impl Voice {
    fn covers(self, scope: Scope) -> bool {
        match self {
            Voice::Mute => false,
            Voice::Own => scope == Scope::Own,
            Voice::All => true,
        }
    }
}

/// Everything that was told and is not over. Kept over a restart: an all-clear is owed for each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    #[serde(with = "as_list")]
    open: BTreeMap<(Kind, String), Open>,
}

impl Ledger {
    /// After a start: how long nobody looked tells nothing.
    pub fn resume(&mut self, now: Time) {
        for open in self.open.values_mut() {
            open.seen = now;
        }
    }

    /// What is open now, for a page.
    pub fn open(&self) -> impl Iterator<Item = (Kind, &str, &Open)> {
        self.open.iter().filter(|(_, open)| open.over_at.is_none()).map(|((kind, subject), open)| (*kind, subject.as_str(), open))
    }

    /// What is to be sent after this look. `voice`: what this node may tell.
    pub fn step(&mut self, now: Time, findings: Vec<Finding>, voice: Voice) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut held_before: BTreeMap<(Kind, String), bool> = BTreeMap::new();
        for (key, open) in &mut self.open {
            held_before.insert(key.clone(), std::mem::replace(&mut open.holds, false));
        }
        for finding in findings {
            let key = (finding.kind, finding.subject.clone());
            if self.open.len() >= OPEN_MAX && !self.open.contains_key(&key) {
                continue;
            }
            let held = held_before.get(&key).copied().unwrap_or_default();
            let open = self.open.entry(key).or_insert_with(|| Open::new(now, &finding));
            open.note(now, &finding, held);
            if voice.covers(open.scope)
                && let Some(phase) = open.due(now, finding.kind)
            {
                open.told += 1;
                (open.told_at, open.told_weight) = (now, open.weight);
                let (text, since) = (finding.text, open.since);
                alerts.push(Alert { kind: finding.kind, subject: finding.subject, phase, text, since });
            }
        }
        for ((kind, subject), open) in &mut self.open {
            if open.holds || open.over_at.is_some() || now - open.seen < open.calm() {
                continue;
            }
            open.over_at = Some(now);
            if open.told > 0 && voice != Voice::Mute {
                let (text, since) = (open.over.clone(), open.since);
                alerts.push(Alert { kind: *kind, subject: subject.clone(), phase: Phase::Over, text, since });
            }
        }
        self.open.retain(|_, open| match open.over_at {
            // Nobody was told, so nothing came back.
            Some(_) if open.told == 0 => false,
            Some(over) => now - over < FLAP_MEMORY,
            None => true,
        });
        alerts
    }
}

impl Open {
    fn new(now: Time, finding: &Finding) -> Open {
        Open {
            since: now,
            text: String::new(),
            over: String::new(),
            scope: finding.scope,
            weight: 0,
            holds: false,
            seen: now,
            held_ms: 0,
            told: 0,
            told_at: Time::ZERO,
            told_weight: 0,
            over_at: None,
            flaps: 0,
        }
    }

    fn note(&mut self, now: Time, finding: &Finding, held: bool) {
        if self.over_at.take().is_some() {
            (self.since, self.held_ms, self.told) = (now, 0, 0);
            self.flaps += 1;
        } else if held {
            self.held_ms += (now - self.seen).as_millis() as u64;
        }
        self.holds = true;
        self.seen = now;
        self.scope = finding.scope;
        self.weight = finding.weight;
        self.text.clone_from(&finding.text);
        self.over.clone_from(&finding.over);
    }

    fn due(&self, now: Time, kind: Kind) -> Option<Phase> {
        if self.told == 0 {
            return (Duration::from_millis(self.held_ms) >= patience(kind)).then_some(Phase::Begins);
        }
        let nth = (self.told as usize - 1).min(PAUSES.len() - 1);
        let pause = if self.weight > self.told_weight { HOUR } else { PAUSES[nth] };
        (now - self.told_at >= pause).then_some(Phase::GoesOn)
    }

    fn calm(&self) -> Duration {
        (CALM * 2u32.saturating_pow(self.flaps.min(8))).min(CALM_MAX)
    }
}

/// JSON has no keys of two parts.
mod as_list {
    use super::{BTreeMap, Deserialize, Kind, Open, Serialize};

    type Map = BTreeMap<(Kind, String), Open>;

    pub fn serialize<S: serde::Serializer>(map: &Map, serializer: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Map, D::Error> {
        Ok(Vec::<((Kind, String), Open)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;

    fn silent(weight: u64) -> Finding {
        Finding {
            kind: Kind::TwinSilent,
            subject: String::new(),
            scope: Scope::Shared,
            text: "B is silent.".into(),
            over: "B is back.".into(),
            weight,
        }
    }

    /// Looks every ten seconds from `from` to `to`, and gives the seconds at which something was sent.
    fn watch(ledger: &mut Ledger, secs: std::ops::Range<u64>, holds: impl Fn(u64) -> bool, voice: Voice) -> Vec<(u64, Phase)> {
        let mut sent = Vec::new();
        for at in secs.step_by(10) {
            let findings = if holds(at) { vec![silent(1)] } else { Vec::new() };
            let alerts = ledger.step(Time(at * 1000), findings, voice);
            sent.extend(alerts.into_iter().map(|alert| (at, alert.phase)));
        }
        sent
    }

    #[test]
    fn it_is_told_once_it_has_lasted_then_after_an_hour_six_hours_and_each_day() {
        let hours = |n: u64| MINUTE + n * 3600;
        let sent = watch(&mut Ledger::default(), 0..hours(80), |_| true, Voice::All);
        let expected = [0, 1, 7, 31, 55, 79].map(hours).into_iter().enumerate();
        let expected: Vec<_> = expected.map(|(nth, at)| (at, if nth == 0 { Phase::Begins } else { Phase::GoesOn })).collect();
        assert_eq!(sent, expected);
    }

    #[test]
    fn what_is_over_is_told_once_and_what_nobody_was_told_is_not() {
        let sent = watch(&mut Ledger::default(), 0..7200, |at| at < 600, Voice::All);
        assert_eq!(sent, [(60, Phase::Begins), (590 + 120, Phase::Over)]);
        let sent = watch(&mut Ledger::default(), 0..7200, |at| at < 50, Voice::All);
        assert_eq!(sent, [], "a restart is no alert");
    }

    #[test]
    fn what_comes_and_goes_every_minute_is_one_alert() {
        let sent = watch(&mut Ledger::default(), 0..3000, |at| at / 60 % 2 == 0, Voice::All);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].1, Phase::Begins);
    }

    #[test]
    fn the_more_often_it_comes_back_the_longer_it_must_be_gone() {
        // Ten minutes there, five minutes gone, for six hours.
        let sent = watch(&mut Ledger::default(), 0..6 * 3600, |at| at / 60 % 15 < 10, Voice::All);
        let clears = sent.iter().filter(|(_, phase)| *phase == Phase::Over).count();
        assert_eq!(clears, 2, "after 2 and 4 minutes; then 8 are needed: {sent:?}");
    }

    #[test]
    fn the_one_that_does_not_speak_keeps_count_and_speaks_when_it_must() {
        let mut ledger = Ledger::default();
        assert_eq!(watch(&mut ledger, 0..600, |_| true, Voice::Own), []);
        assert_eq!(watch(&mut ledger, 600..700, |_| true, Voice::All), [(600, Phase::Begins)]);
        let own = Finding { scope: Scope::Own, kind: Kind::BackupLate, ..silent(1) };
        let alerts = Ledger::default().step(Time(0), vec![own], Voice::Own);
        assert_eq!(alerts.len(), 1, "what only this one can know it tells itself");
    }

    #[test]
    fn more_of_the_same_is_told_after_an_hour_not_after_six() {
        let mut ledger = Ledger::default();
        let mut sent = Vec::new();
        for at in (0..12 * 3600).step_by(600) {
            let conflict = Finding { kind: Kind::Conflict, ..silent(if at < 2 * 3600 { 1 } else { 2 }) };
            sent.extend(ledger.step(Time(at * 1000), vec![conflict], Voice::All).iter().map(|_| at / 3600));
        }
        assert_eq!(sent, [0, 1, 2], "the second address at 2 h");
    }

    #[test]
    fn an_all_clear_is_owed_across_a_restart() {
        let mut ledger = Ledger::default();
        watch(&mut ledger, 0..600, |_| true, Voice::All);
        let file = serde_json::to_vec(&ledger).expect("plain data");
        let mut ledger: Ledger = serde_json::from_slice(&file).expect("as it was written");
        ledger.resume(Time(900_000));
        assert_eq!(watch(&mut ledger, 900..2000, |_| false, Voice::All), [(1020, Phase::Over)]);
        assert_eq!(watch(&mut ledger, 2000..4000, |_| false, Voice::All), []);
    }

    #[test]
    fn what_begins_while_it_is_quiet_is_told_when_that_is_over() {
        let mut ledger = Ledger::default();
        assert_eq!(watch(&mut ledger, 0..600, |_| true, Voice::Mute), []);
        assert_eq!(watch(&mut ledger, 600..700, |_| true, Voice::All), [(600, Phase::Begins)]);
    }

    #[test]
    fn a_flood_of_conditions_is_bounded() {
        let mut ledger = Ledger::default();
        let flood = (0..10_000).map(|n| Finding { subject: n.to_string(), ..silent(1) }).collect();
        ledger.step(Time(0), flood, Voice::All);
        assert_eq!(ledger.open().count(), OPEN_MAX);
    }
}
