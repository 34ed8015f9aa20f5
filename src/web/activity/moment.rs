//! Moments of the wall clock as people say them: "4 min ago", with the date beside it.

use crate::{protocol::explain::spell, runtime::clock};

/// To be shown as `<time datetime title>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub words: String,
    /// RFC 3339.
    pub date: String,
    /// `2026-11-22 05:14 UTC`
    pub shown: String,
}

impl Moment {
    /// `wall_ms`: since 1970.
    pub fn of(wall_ms: i64) -> Moment {
        Moment::seen_at(wall_ms, clock::wall_ms())
    }

    fn seen_at(wall_ms: i64, now_ms: i64) -> Moment {
        let timestamp = jiff::Timestamp::from_millisecond(wall_ms).unwrap_or_default();
        let timestamp = timestamp.round(jiff::Unit::Second).unwrap_or(timestamp);
        let secs = u64::try_from((now_ms - wall_ms) / 1000).ok();
        let words = match secs {
            Some(0..10) => "just now".into(),
            Some(secs) => format!("{} ago", spell(secs)),
            // The clock was set back since, or is ahead on the twin.
            None => timestamp.strftime("%Y-%m-%d %H:%M").to_string(),
        };
        Moment { words, date: timestamp.to_string(), shown: timestamp.strftime("%Y-%m-%d %H:%M UTC").to_string() }
    }
}

/// "780 times in 13 h"; `None`: only once.
pub fn repeated(times: u32, over_secs: u64) -> Option<String> {
    match (times, over_secs) {
        (0 | 1, _) => None,
        (times, 0) => Some(format!("{times} times")),
        (times, secs) => Some(format!("{times} times in {}", spell(secs))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_from_now_and_those_to_come_by_their_date() {
        let at = 1_700_000_000_000;
        let words = |now_ms| Moment::seen_at(at, now_ms).words;
        assert_eq!((words(at).as_str(), words(at + 240_000).as_str()), ("just now", "4 min ago"));
        assert_eq!(words(at - 60_000), "2023-11-14 22:13");
        let moment = Moment::seen_at(at + 1, at);
        assert_eq!((moment.date.as_str(), moment.shown.as_str()), ("2023-11-14T22:13:20Z", "2023-11-14 22:13 UTC"));
        for odd in [i64::MIN, i64::MAX] {
            let _ = Moment::of(odd / 2);
        }
    }

    #[test]
    fn repeats_are_counted_over_their_time() {
        assert_eq!(repeated(1, 9), None);
        assert_eq!(repeated(780, 46_800), Some("780 times in 13 h".into()));
        assert_eq!(repeated(2, 0), Some("2 times".into()));
    }
}
