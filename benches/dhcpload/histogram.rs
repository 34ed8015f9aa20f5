//! Latencies in nanoseconds, counted in a log-linear histogram: 64 steps per power of two, so a figure is right to 1.6 %.

const STEP_BITS: u32 = 6;
const STEPS: u64 = 1 << STEP_BITS;
const POWERS: usize = 36; // up to 2^41 ns, more than half an hour
const SLOTS: usize = STEPS as usize * (POWERS + 1);

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; SLOTS], total: 0, max_ns: 0 }
    }

    pub fn record(&mut self, ns: u64) {
        self.counts[slot(ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The smallest recorded step that at least `fraction` of all values do not exceed; `None` while empty.
    pub fn quantile_ns(&self, fraction: f64) -> Option<u64> {
        if self.total == 0 {
            return None;
        }
        let wanted = ((self.total as f64 * fraction).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(slot_middle_ns(slot).min(self.max_ns));
            }
        }
        Some(self.max_ns)
    }
}

pub fn slot(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let power = 63 - ns.leading_zeros() - STEP_BITS; // how far the leading bit stands above the linear part
    let step = (ns >> power) - STEPS;
    ((u64::from(power) + 1) * STEPS + step).min(SLOTS as u64 - 1) as usize
}

fn slot_middle_ns(slot: usize) -> u64 {
    let slot = slot as u64;
    if slot < STEPS {
        return slot;
    }
    let power = slot / STEPS - 1;
    let low = (STEPS + slot % STEPS) << power;
    low + (1 << power) / 2
}
