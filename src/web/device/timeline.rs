//! When a device was heard, as a picture: a row of hours or quarters of days, drawn as SVG with classes and attributes only.

/// Hours in which a device was heard: days since 1970 (UTC), and a bit for each hour.
pub type Hours = Vec<(u32, u32)>;

/// Units of the picture; the stylesheet makes it as wide as the page.
const WIDTH: u32 = 720;
const HEIGHT: u32 = 44;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Span {
    #[default]
    Day,
    Week,
    Month,
}

impl Span {
    pub const ALL: [Span; 3] = [Span::Day, Span::Week, Span::Month];

    pub fn word(self) -> &'static str {
        match self {
            Span::Day => "24h",
            Span::Week => "7d",
            Span::Month => "30d",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Span::Day => "24 h",
            Span::Week => "7 d",
            Span::Month => "30 d",
        }
    }

    pub fn named(word: &str) -> Option<Span> {
        Span::ALL.into_iter().find(|span| span.word() == word)
    }

    fn hours(self) -> u32 {
        match self {
            Span::Day => 24,
            Span::Week => 7 * 24,
            Span::Month => 30 * 24,
        }
    }

    /// Hours between two marks below the picture.
    fn mark_every(self) -> u32 {
        match self {
            Span::Day => 6,
            Span::Week => 24,
            Span::Month => 5 * 24,
        }
    }
}

/// Ready to draw. `x` and `width` in units of the picture.
#[derive(Debug, PartialEq, Eq)]
pub struct Timeline {
    pub span: Span,
    pub bars: Vec<Bar>,
    pub marks: Vec<Mark>,
    /// The picture in words.
    pub told: String,
    pub width: u32,
    pub height: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Bar {
    pub x: u32,
    pub width: u32,
    pub told: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Mark {
    pub x: u32,
    pub label: String,
}

impl Timeline {
    /// `now_hours`: whole hours since 1970 (UTC); the last hour of the picture is the present one.
    pub fn new(heard: &Hours, now_hours: u32, span: Span) -> Timeline {
        let hours = span.hours();
        let first = (now_hours + 1).saturating_sub(hours);
        let was_heard = |hour: u32| heard.iter().any(|&(day, bits)| day == hour / 24 && bits >> (hour % 24) & 1 == 1);
        let x_of = |hour: u32| (hour - first) * WIDTH / hours;
        let mut bars: Vec<Bar> = Vec::new();
        let mut run: Option<u32> = None;
        let mut heard_hours = 0;
        for hour in first..=now_hours + 1 {
            let is_heard = hour <= now_hours && was_heard(hour);
            heard_hours += u32::from(is_heard);
            match (run, is_heard) {
                (None, true) => run = Some(hour),
                (Some(start), false) => {
                    bars.push(Bar { x: x_of(start), width: x_of(hour) - x_of(start), told: told(start, hour, now_hours) });
                    run = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
        let every = span.mark_every();
        let marks =
            (first..=now_hours).filter(|hour| hour % every == 0).map(|hour| Mark { x: x_of(hour), label: mark(hour, span) });
        Timeline {
            span,
            marks: marks.filter(|mark| mark.x < WIDTH - 30).collect(),
            told: format!("Heard in {heard_hours} of the last {hours} hours."),
            bars,
            width: WIDTH,
            height: HEIGHT,
        }
    }
}

fn told(start: u32, end: u32, now: u32) -> String {
    let from = date(start);
    if end > now { format!("heard since {from} UTC") } else { format!("heard from {from} to {} UTC", date(end)) }
}

fn date(hour: u32) -> String {
    at(hour).map(|time| time.strftime("%d %b %H:%M").to_string()).unwrap_or_default()
}

fn mark(hour: u32, span: Span) -> String {
    let shape = match span {
        Span::Day => "%H:00",
        Span::Week => "%a",
        Span::Month => "%d %b",
    };
    at(hour).map(|time| time.strftime(shape).to_string()).unwrap_or_default()
}

fn at(hour: u32) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::from(hour) * 3600).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day of 2026, 10 o'clock.
    const NOW: u32 = 20_700 * 24 + 10;

    #[test]
    fn hours_side_by_side_are_one_bar_and_the_present_one_is_at_the_end() {
        let heard = vec![(20_700, 0b111_0000_0000), (20_699, 1 << 23)];
        let timeline = Timeline::new(&heard, NOW, Span::Day);
        let places: Vec<(u32, u32)> = timeline.bars.iter().map(|bar| (bar.x, bar.width)).collect();
        // 30 units an hour: the hour 23 of yesterday is the 13th shown, 8 to 10 are the last three.
        assert_eq!(places, [(12 * 30, 30), (21 * 30, 3 * 30)]);
        assert!(timeline.bars[1].told.starts_with("heard since"), "{}", timeline.bars[1].told);
        assert_eq!(timeline.told, "Heard in 4 of the last 24 hours.");
    }

    #[test]
    fn what_is_older_than_the_picture_is_not_in_it() {
        let heard = vec![(20_600, u32::MAX)];
        assert!(Timeline::new(&heard, NOW, Span::Month).bars.is_empty());
    }

    #[test]
    fn a_device_that_is_always_there_is_one_bar_from_end_to_end() {
        let heard: Hours = (20_660..=20_700).map(|day| (day, (1 << 24) - 1)).collect();
        for span in Span::ALL {
            let timeline = Timeline::new(&heard, NOW, span);
            assert_eq!(timeline.bars.len(), 1);
            assert_eq!((timeline.bars[0].x, timeline.bars[0].width), (0, WIDTH));
            assert!(timeline.marks.len() >= 3, "{:?}", timeline.marks);
        }
    }

    #[test]
    fn a_clock_that_stands_at_1970_draws_an_empty_picture() {
        assert!(Timeline::new(&Vec::new(), 0, Span::Day).bars.is_empty());
    }
}
