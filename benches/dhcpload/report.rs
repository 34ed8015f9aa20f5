//! What a run found: counted and timed while it runs, told as text or JSON afterwards.

use serde::Serialize;

use crate::histogram::Histogram;

/// Counts and times of one run.
pub struct Tally {
    pub started: u64,
    pub completed: u64,
    pub retransmitted: u64,
    pub offers: u64,
    pub acks: u64,
    pub naks: u64,
    pub lost_offers: u64,
    pub lost_acks: u64,
    /// Answers to an exchange that was over: counted as lost, answered twice, or of an earlier run.
    pub late: u64,
    pub other: u64,
    pub duplicates: u64,
    pub skipped: u64,
    pub worst_lag_ns: u64,
    pub offer: Histogram,
    pub ack: Histogram,
    pub whole: Histogram,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            started: 0,
            completed: 0,
            retransmitted: 0,
            offers: 0,
            acks: 0,
            naks: 0,
            lost_offers: 0,
            lost_acks: 0,
            late: 0,
            other: 0,
            duplicates: 0,
            skipped: 0,
            worst_lag_ns: 0,
            offer: Histogram::new(),
            ack: Histogram::new(),
            whole: Histogram::new(),
        }
    }
}

#[derive(Clone, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Percentiles {
    pub fn of(histogram: &Histogram) -> Option<Self> {
        let at = |fraction| histogram.quantile_ns(fraction).map(|ns| ns as f64 / 1e3);
        Some(Self {
            count: histogram.total(),
            p50_us: at(0.5)?,
            p90_us: at(0.9)?,
            p99_us: at(0.99)?,
            max_us: histogram.max_ns() as f64 / 1e3,
        })
    }
}

/// One run, ready to be printed.
#[derive(Clone, Serialize)]
pub struct Report {
    pub scenario: &'static str,
    pub rate_asked: Option<f64>,
    pub seconds: f64,
    pub started: u64,
    pub completed: u64,
    pub completed_per_s: f64,
    pub lost_percent: f64,
    pub retransmitted: u64,
    pub offers: u64,
    pub acks: u64,
    pub naks: u64,
    pub lost_offers: u64,
    pub lost_acks: u64,
    pub late: u64,
    pub other: u64,
    pub duplicates: u64,
    pub skipped: u64,
    pub offer: Option<Percentiles>,
    pub ack: Option<Percentiles>,
    /// OFFER plus ACK latency: the server's part of a DORA, without the client's turn between them.
    pub whole: Option<Percentiles>,
    /// `None` where nothing was completed.
    pub cpu_us_per_exchange: Option<f64>,
    pub worst_lag_ms: f64,
    pub dropped_by_generator: u64,
    pub active_leases: u64,
    /// False where the generator itself was the limit, so that the run says nothing about the server.
    pub valid: bool,
}

/// What stands around a tally.
pub struct Frame {
    pub scenario: &'static str,
    pub rate_asked: Option<f64>,
    pub seconds: f64,
    pub cpu_us: f64,
    pub dropped_by_generator: u64,
    pub active_leases: u64,
}

/// A generator that starts fewer exchanges than this part of what was asked for has not made the load.
const LEAST_STARTED: f64 = 0.99;

impl Report {
    pub fn new(frame: Frame, tally: &Tally) -> Self {
        let lost = tally.started.saturating_sub(tally.completed);
        let wanted = frame.rate_asked.map_or(0.0, |rate| rate * frame.seconds * LEAST_STARTED);
        Self {
            scenario: frame.scenario,
            rate_asked: frame.rate_asked,
            seconds: frame.seconds,
            started: tally.started,
            completed: tally.completed,
            completed_per_s: tally.completed as f64 / frame.seconds,
            lost_percent: 100.0 * lost as f64 / tally.started.max(1) as f64,
            retransmitted: tally.retransmitted,
            offers: tally.offers,
            acks: tally.acks,
            naks: tally.naks,
            lost_offers: tally.lost_offers,
            lost_acks: tally.lost_acks,
            late: tally.late,
            other: tally.other,
            duplicates: tally.duplicates,
            skipped: tally.skipped,
            offer: Percentiles::of(&tally.offer),
            ack: Percentiles::of(&tally.ack),
            whole: Percentiles::of(&tally.whole),
            cpu_us_per_exchange: (tally.completed > 0).then(|| frame.cpu_us / tally.completed as f64),
            worst_lag_ms: tally.worst_lag_ns as f64 / 1e6,
            dropped_by_generator: frame.dropped_by_generator,
            active_leases: frame.active_leases,
            valid: frame.dropped_by_generator == 0 && (tally.started + tally.skipped) as f64 + 1.0 >= wanted,
        }
    }

    pub fn text(&self) -> String {
        let mut text = match self.rate_asked {
            Some(rate) => format!("{} at {rate:.0}/s for {:.1} s\n", self.scenario, self.seconds),
            None => format!("{} in {:.2} s\n", self.scenario, self.seconds),
        };
        text += &format!(
            "  started {}  completed {}  = {:.0}/s  lost {:.2} %  (no OFFER {}, no ACK {}, NAK {})\n",
            self.started, self.completed, self.completed_per_s, self.lost_percent, self.lost_offers, self.lost_acks, self.naks
        );
        text += &format!(
            "  retransmitted {}  late {}  other {}  skipped {}  active leases {}\n",
            self.retransmitted, self.late, self.other, self.skipped, self.active_leases
        );
        for (name, percentiles) in [("OFFER", &self.offer), ("ACK", &self.ack), ("whole", &self.whole)] {
            if let Some(found) = percentiles {
                text += &format!(
                    "  {name:<5} p50 {}  p90 {}  p99 {}  max {}\n",
                    milliseconds(found.p50_us),
                    milliseconds(found.p90_us),
                    milliseconds(found.p99_us),
                    milliseconds(found.max_us)
                );
            }
        }
        text += &format!(
            "  generator: {} µs CPU per exchange, at worst {:.1} ms behind its plan, {} packets dropped\n",
            self.cpu_us_per_exchange.map_or("-".to_owned(), |us| format!("{us:.1}")),
            self.worst_lag_ms,
            self.dropped_by_generator
        );
        if !self.valid {
            text += "  NOT VALID: the generator was the limit here; ask for a lower rate\n";
        }
        if self.duplicates > 0 {
            text += &format!("  DUPLICATE ADDRESSES: {} ACKs gave away an address that is in use\n", self.duplicates);
        }
        text
    }
}

fn milliseconds(us: f64) -> String {
    format!("{:.3} ms", us / 1e3)
}

/// User and system time of this process so far.
pub fn cpu_us() -> f64 {
    // SAFETY: the structure is valid, and asking about oneself cannot fail.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    us(usage.ru_utime) + us(usage.ru_stime)
}
