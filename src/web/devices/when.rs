//! Moments as people say them: "4 min ago", "in 11 h", with the date beside it for machines.

use crate::{
    protocol::{explain::spell, time::Time},
    web::House,
};

/// A moment, to be shown as `<time datetime=…>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    pub words: String,
    /// RFC 3339; `None` while the wall clock is not to be believed.
    pub date: Option<String>,
}

impl When {
    /// By the wall clock, milliseconds since 1970.
    pub fn of_wall(house: &House, at_ms: i64) -> When {
        let now_ms = jiff::Timestamp::try_from(house.clock.wall_of(house.now)).map_or(0, |now| now.as_millisecond());
        let secs = u64::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(0) / 1000;
        let date = jiff::Timestamp::from_millisecond(at_ms - at_ms.rem_euclid(1000)).ok().map(|date| date.to_string());
        When { words: ago(secs), date }
    }

    pub fn of(house: &House, time: Time) -> When {
        let words = if time == Time::NEVER {
            "never".into()
        } else if time > house.now {
            format!("in {}", spell(house.now.until(time).as_secs()))
        } else {
            ago((house.now - time).as_secs())
        };
        When { words, date: date(house, time) }
    }
}

impl When {
    /// Made of nothing that a stranger has said.
    pub fn html(&self) -> String {
        match &self.date {
            Some(date) => format!("<time datetime=\"{date}\" title=\"{date}\">{}</time>", self.words),
            None => self.words.clone(),
        }
    }
}

pub fn ago(secs: u64) -> String {
    match secs {
        0..10 => "just now".into(),
        _ => format!("{} ago", spell(secs)),
    }
}

/// RFC 3339 in UTC, whole seconds.
pub fn date(house: &House, time: Time) -> Option<String> {
    if time == Time::NEVER || !house.clock.wall_trusted() {
        return None;
    }
    let timestamp = jiff::Timestamp::try_from(house.clock.wall_of(time)).ok()?;
    timestamp.round(jiff::Unit::Second).ok().map(|rounded| rounded.to_string())
}
