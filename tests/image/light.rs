//! What a light says, read as a person does: from how long it is on and off, over several rounds.

use std::time::{Duration, Instant};

use crate::pi::Pi;

/// The one light of a box without a wiring of its own.
const LIGHT: u8 = 17;
/// Three rounds of the slowest.
const LOOK: Duration = Duration::from_secs(14);
/// The emulated processor stands still now and then, as a busy machine lets it.
const SLACK_MS: u32 = 120;
/// Of the times on and off, so many must fit.
const FITTING: f32 = 0.8;

/// As the README's table has them: milliseconds on, off, on, off …
const CODES: [(&str, &[u32]); 10] = [
    ("not configured", &[500, 500]),
    ("active", &[3700, 300]),
    ("standby", &[200, 3800]),
    ("twin lost", &[200, 200, 200, 1500]),
    ("syncing", &[1000, 1000]),
    ("updating", &[200, 200, 200, 200, 200, 1500]),
    ("conflict", &[200, 200, 200, 200, 200, 200, 200, 1500]),
    ("fault", &[100, 100]),
    ("locating", &[900, 200, 200, 200, 900, 900]),
    ("drilled", &[2000, 2000]),
];

/// So long it was on, or off.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    is_on: bool,
    ms: u32,
}

/// Between one change and the next: neither the beginning nor the end of a look counts.
fn stretches(changes: &[(u32, bool)]) -> Vec<Stretch> {
    let whole = changes.get(1..changes.len().saturating_sub(1)).unwrap_or_default();
    whole.windows(2).map(|pair| Stretch { is_on: pair[0].1, ms: pair[1].0 - pair[0].0 }).collect()
}

/// What it says; `None`: nothing that the table knows, or not for long enough to tell.
fn read(seen: &[Stretch]) -> Option<&'static str> {
    let all_ms: u32 = seen.iter().map(|stretch| stretch.ms).sum();
    let fits = |code: &[u32], first: usize| {
        let expected = |nth: usize| code[(first + nth) % code.len()];
        let is_fitting = |nth: usize| seen[nth].ms.abs_diff(expected(nth)) <= SLACK_MS + expected(nth) / 4;
        let fitting: Vec<u32> = (0..seen.len()).filter(|nth| is_fitting(*nth)).map(|nth| seen[nth].ms).collect();
        let error: u32 = seen.iter().enumerate().map(|(nth, stretch)| stretch.ms.abs_diff(expected(nth))).sum();
        // By number, else a pause would excuse the flashes; by time, else the flashes would excuse a pause.
        let by_number = fitting.len() as f32 / seen.len() as f32;
        (by_number.min(fitting.iter().sum::<u32>() as f32 / all_ms as f32), error)
    };
    let (score, _, name) = CODES
        .iter()
        .filter(|(_, code)| seen.len() >= code.len())
        .flat_map(|(name, code)| {
            // It begins with a time on, or with one off.
            let firsts =
                (0..code.len()).filter(|first| seen.first().is_some_and(|stretch| stretch.is_on == first.is_multiple_of(2)));
            firsts.map(move |first| (fits(code, first), *name))
        })
        .map(|((score, error), name)| (score, error, name))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))?;
    (score >= FITTING).then_some(name)
}

impl Pi<'_> {
    /// Looks again and again: a box counts its address out in between, and takes its time to change its mind.
    pub fn wait_for_light(&self, code: &str, within: Duration) {
        let deadline = Instant::now() + within;
        loop {
            let seen = stretches(&self.watch(LIGHT, LOOK));
            let told = read(&seen);
            if told == Some(code) {
                let ms: Vec<u32> = seen.iter().map(|stretch| stretch.ms).collect();
                println!("light of {}: {code}, on and off for {ms:?} ms", self.name);
                return;
            }
            assert!(Instant::now() < deadline, "the light of {} says {told:?}, not {code}:\n{seen:?}\n{}", self.name, self.log());
        }
    }

    /// How often it flashes shortly from now on, until it does not.
    pub fn flashes(&self, length: Duration) -> usize {
        let seen = stretches(&self.watch(LIGHT, length));
        seen.iter().filter(|stretch| stretch.is_on && stretch.ms < 200 + SLACK_MS).count()
    }
}

#[cfg(test)]
mod tests {
    use twinlease::runtime::led::{Pattern, Sign, pattern};

    use super::*;

    /// What would be seen of this: each time on and off longer or shorter by some of these.
    fn seen(code: &[u32], rounds: usize, jitter_ms: &[i32]) -> Vec<Stretch> {
        let all = code.iter().enumerate().map(|(nth, ms)| (nth % 2 == 0, *ms)).collect::<Vec<_>>().repeat(rounds);
        let wobbling = all.iter().zip(jitter_ms.iter().cycle());
        wobbling.map(|((is_on, ms), jitter)| Stretch { is_on: *is_on, ms: ms.saturating_add_signed(*jitter) }).collect()
    }

    #[test]
    fn each_code_is_told_from_all_others_though_the_machine_stumbles() {
        for (name, code) in CODES {
            let rounds = 12 / code.len() + 2;
            assert_eq!(read(&seen(code, rounds, &[0])), Some(name));
            assert_eq!(read(&seen(code, rounds, &[60, -60, 10, -40, 0, 30])), Some(name));
            let mut begun_late = seen(code, rounds, &[20, -10]);
            begun_late.remove(0);
            assert_eq!(read(&begun_late), Some(name), "begun in the middle");
        }
    }

    #[test]
    fn what_the_table_does_not_know_is_no_code() {
        assert_eq!(read(&seen(&[3000, 3000], 3, &[0])), None);
        assert_eq!(read(&seen(&[200, 200, 200, 200, 200, 200, 200, 200, 200, 1500], 3, &[0])), None, "five flashes");
        assert_eq!(read(&seen(&[500, 500], 1, &[0])[..1]), None, "too short a look");
        assert_eq!(read(&[]), None, "steadily on");
    }

    #[test]
    fn a_look_counts_only_what_began_and_ended_in_it() {
        let changes = [(0, true), (130, false), (330, true), (530, false), (700, false)];
        let whole = [Stretch { is_on: false, ms: 200 }, Stretch { is_on: true, ms: 200 }];
        assert_eq!(stretches(&changes), whole);
        assert_eq!(stretches(&[(0, true), (14_000, true)]), []);
        assert_eq!(stretches(&[]), []);
    }

    #[test]
    fn the_table_is_that_of_the_program() {
        let shown = |sign: Sign| -> Vec<u32> {
            let Pattern { steps, .. } = pattern(sign);
            steps.iter().map(|step| step.ms).collect()
        };
        for sign in Sign::ALL {
            let name = sign.word().replace('-', " ");
            match CODES.iter().find(|(known, _)| *known == name) {
                Some((_, code)) => assert_eq!(shown(sign), *code, "{name}"),
                // What fades is on from the half on.
                None => assert!(matches!(sign, Sign::Booting | Sign::Off), "{name}"),
            }
        }
    }
}
