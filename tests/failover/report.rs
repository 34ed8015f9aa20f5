//! What the rounds showed, one line each: printed, and kept for the table that scripts/failover writes.

use std::io::Write;
use std::time::Duration;

use crate::pair::Side;

/// Rounds of each test: one, unless a long run asks for more.
pub fn rounds() -> usize {
    std::env::var("TWINLEASE_FAILOVER_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Both sides in a long run; else only this one.
pub fn sides(one: Side) -> Vec<Side> {
    if rounds() > 1 { Side::BOTH.into() } else { vec![one] }
}

/// Whether Kea's pair goes through the long rounds, too (minutes each).
pub fn with_kea() -> bool {
    std::env::var_os("TWINLEASE_FAILOVER_KEA").is_some()
}

/// Kea's pairs that go through their rounds beside each other: they and their clients sleep nearly all the time.
pub const KEA_PAIRS_AT_ONCE: usize = 12;

/// What one subject showed in one case, over all rounds.
#[derive(Default)]
pub struct Figures {
    values: Vec<Duration>,
    /// Rounds in which what was waited for never came.
    pub never: usize,
}

impl Figures {
    pub fn add(&mut self, value: Duration) {
        self.values.push(value);
    }

    pub fn extend(&mut self, values: impl IntoIterator<Item = Duration>) {
        self.values.extend(values);
    }

    pub fn merge(&mut self, other: Figures) {
        self.values.extend(other.values);
        self.never += other.never;
    }

    pub fn worst(&self) -> Duration {
        self.values.iter().max().copied().unwrap_or_default()
    }

    pub fn median(&self) -> Duration {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secs = |time: Duration| time.as_secs_f64();
        if !self.values.is_empty() {
            write!(f, "median {:.2} s, worst {:.2} s (of {})", secs(self.median()), secs(self.worst()), self.values.len())?;
        }
        match (self.never, self.values.is_empty()) {
            (0, false) => Ok(()),
            (0, true) => write!(f, "nobody had to wait"),
            (never, false) => write!(f, "; {never} never answered"),
            (never, true) => write!(f, "{never} never answered"),
        }
    }
}

/// One row of the table: a case, who was under test, in how many rounds, and what came out.
pub fn row(case: &str, subject: &str, rounds: usize, result: &dyn std::fmt::Display) {
    println!("{case} | {subject} | {rounds} round(s) | {result}");
    let Some(path) = std::env::var_os("TWINLEASE_FAILOVER_ROWS") else { return };
    let row = serde_json::json!({ "case": case, "subject": subject, "rounds": rounds, "result": result.to_string() });
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).expect("the rows can be written");
    // In one piece: other worlds write there, too.
    file.write_all(format!("{row}\n").as_bytes()).expect("the rows can be written");
}
