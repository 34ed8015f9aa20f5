//! Finds the highest rate at which a server still answers: on a grid of 10 % steps, so that two searches can be compared.

use serde::Serialize;

use crate::report::Report;

/// Rates are this many powers of 1.1 above 10/s.
const GRID_FACTOR: f64 = 1.1;
const GRID_FIRST_PER_S: f64 = 10.0;
/// Far above its limit a server shows nothing new, and each step costs leases.
const LONGEST_STRIDE: i32 = 4;
/// A server that loses more than 1 % at a tenth of the first guess has some other trouble than load.
const DEEPEST_DESCENT: i32 = 24;
const MOST_LOST_PERCENT: f64 = 1.0;

#[derive(Clone, Copy)]
pub struct Limits {
    pub from: f64,
    /// How often a rate may be tried until it counts as too high: one hiccup of the machine is not the server's.
    pub tries: u32,
    /// No step is begun that would bring the exchanges of the whole search above this.
    pub most_exchanges: u64,
    pub step_seconds: f64,
}

#[derive(Serialize)]
pub struct Found {
    /// The highest rate with less than 1 % loss; `None` if even the lowest one tried, a tenth of the first guess, lost more.
    pub rate: Option<f64>,
    /// What stopped the search, where it was not the server.
    pub bounded_by: Option<&'static str>,
    pub duplicates: u64,
    pub steps: Vec<Report>,
}

/// Walks up or down from the first guess in growing strides, then halves the gap.
pub fn search(limits: Limits, mut run: impl FnMut(f64) -> anyhow::Result<Report>) -> anyhow::Result<Found> {
    let mut found = Found { rate: None, bounded_by: None, duplicates: 0, steps: Vec::new() };
    let mut spent = 0;
    let mut best: Option<i32> = None;
    let mut too_high: Option<i32> = None;
    let mut at = grid_position(limits.from);
    let lowest = (at - DEEPEST_DESCENT).max(0);
    let mut stride = 1;
    loop {
        let rate = grid_rate(at);
        let mut passed = false;
        for _ in 0..limits.tries.max(1) {
            let cost = (rate * limits.step_seconds) as u64;
            if spent + cost > limits.most_exchanges {
                found.bounded_by = Some("the number of leases this search may make");
                break;
            }
            spent += cost;
            let report = run(rate)?;
            found.duplicates += report.duplicates;
            passed = report.lost_percent < MOST_LOST_PERCENT && report.valid;
            if !report.valid {
                found.bounded_by = Some("the generator");
            }
            found.steps.push(report);
            if passed {
                break;
            }
        }
        if passed {
            best = Some(at);
        } else {
            too_high = Some(at);
        }
        at = match (best, too_high) {
            (Some(low), Some(high)) if high - low <= 1 => break,
            (Some(low), Some(high)) => (low + high) / 2,
            (Some(low), None) => low + stride,
            (None, Some(high)) if high <= lowest => break,
            (None, Some(high)) => (high - stride).max(lowest),
            (None, None) => unreachable!("a step either passes or does not"),
        };
        stride = (stride * 2).min(LONGEST_STRIDE);
    }
    if best.is_some_and(|best| found.steps.iter().any(|step| step.valid && is_at(step, best + 1))) {
        found.bounded_by = None; // the next rate up was really tried, and the server lost it
    }
    found.rate = best.map(grid_rate);
    Ok(found)
}

fn is_at(report: &Report, position: i32) -> bool {
    report.rate_asked.is_some_and(|rate| grid_position(rate) == position)
}

fn grid_position(rate: f64) -> i32 {
    ((rate / GRID_FIRST_PER_S).ln() / GRID_FACTOR.ln()).round().max(0.0) as i32
}

fn grid_rate(position: i32) -> f64 {
    (GRID_FIRST_PER_S * GRID_FACTOR.powi(position)).round()
}
