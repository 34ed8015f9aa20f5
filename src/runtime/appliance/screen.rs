//! What the box says of itself without a network: STATUS.TXT on the card, and the same text on the screen.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use super::boot::Boot;

const FILE: &str = "STATUS.TXT";
/// Each writing wears the card, and a power cut just then costs the file.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);
/// So long the first text waits for an address to tell.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(20);
/// What a screen on HDMI shows.
const TERMINAL: &str = "/dev/tty1";

/// A new text is written when one of these has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    pub name: String,
    pub addresses: Vec<Ipv4Addr>,
    /// The light, as an eye sees it.
    pub rhythm: String,
    pub twin: String,
    /// Sentences with their remedies.
    pub problems: Vec<String>,
}

/// `state`: how DHCP is doing, in a sentence. `as_of`: a date. Lines end as every editor knows it.
fn text(facts: &Facts, state: &str, as_of: &str) -> String {
    let mut text = format!("twinlease {}, as of {as_of}\r\n\r\n", env!("CARGO_PKG_VERSION"));
    let mut line = |what: &str, value: &str| {
        let _ = write!(text, "{what:<10}{value}\r\n");
    };
    line("Name", &facts.name);
    if facts.addresses.is_empty() {
        line("Address", "none yet. Is the network cable in? Another DHCP server is asked, again and again.");
    }
    for address in &facts.addresses {
        line("Address", &address.to_string());
        line("Dashboard", &format!("http://{address}/ or http://{}.local/", facts.name));
    }
    line("Light", &facts.rhythm);
    line("State", state);
    line("Twin", &facts.twin);
    text.push_str("\r\n");
    if facts.problems.is_empty() {
        text.push_str("Nothing is wrong.\r\n");
    } else {
        text.push_str("Something needs you:\r\n");
    }
    for problem in &facts.problems {
        let _ = write!(text, "- {}\r\n", problem.replace(['\r', '\n'], " "));
    }
    text
}

pub struct Screen {
    boot: Boot,
    started: Instant,
    shown: Option<Facts>,
    written: Option<(Instant, Facts)>,
    trouble: Option<String>,
}

impl Screen {
    pub fn new(boot: Boot) -> Screen {
        Screen { boot, started: Instant::now(), shown: None, written: None, trouble: None }
    }

    /// Where something has changed. On the card at most once a minute.
    pub fn show(&mut self, facts: &Facts, state: &str, as_of: &str) {
        let (is_news, now) = (self.shown.as_ref() != Some(facts), Instant::now());
        let is_due = is_due(self.written.as_ref(), facts, now.duration_since(self.started), now);
        if !is_news && !is_due {
            return;
        }
        let text = text(facts, state, as_of);
        if is_news {
            display(&text);
            self.shown = Some(facts.clone());
        }
        if is_due {
            // An attempt that fails wears the card as well.
            self.written = Some((now, facts.clone()));
            self.write(&text);
        }
    }

    /// For a box that cannot go on: nothing is left to wait for. It is started again and again until somebody comes, so what stands there
    /// already is not written anew each time.
    pub fn show_now(mut self, facts: &Facts, state: &str, as_of: &str) {
        let text = text(facts, state, as_of);
        display(&text);
        if !matches!(self.boot.read(FILE), Ok(Some(before)) if before == text.as_bytes()) {
            self.write(&text);
        }
    }

    fn write(&mut self, text: &str) {
        let written = self.boot.write(FILE, text.as_bytes());
        let trouble = written.err().map(|error| {
            format!("{FILE} cannot be written ({error}), so what stands there is older. Make room on the card, or flash it anew.")
        });
        if let Some(trouble) = trouble.as_ref().filter(|trouble| self.trouble.as_ref() != Some(*trouble)) {
            tracing::warn!("{trouble}");
        }
        self.trouble = trouble;
    }

    /// Why the file on the card is not up to date: for all other ways of telling.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

fn display(text: &str) {
    println!("\n{}\n", text.replace('\r', ""));
    // A box without a screen has no such terminal.
    let _ = fs::write(TERMINAL, format!("\x1b[2J\x1b[H{text}"));
}

fn is_due(written: Option<&(Instant, Facts)>, facts: &Facts, up: Duration, now: Instant) -> bool {
    match written {
        None => !facts.addresses.is_empty() || up >= ADDRESS_PATIENCE,
        Some((at, last)) => last != facts && now.duration_since(*at) >= WRITE_INTERVAL,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn facts() -> Facts {
        Facts { name: "cellar".into(), addresses: vec![Ipv4Addr::new(192, 0, 2, 2)], ..Facts::default() }
    }

    #[test]
    fn the_text_says_where_the_dashboard_is_and_every_problem() {
        let told = text(&facts(), "It is answering.", "2026-11-22T06:00:00Z");
        assert!(told.contains("http://192.0.2.2/ or http://cellar.local/") && told.contains("Nothing is wrong."), "{told}");
        assert_eq!(told.matches('\n').count(), told.matches("\r\n").count());
        let problems = vec!["One.".to_owned(), "Two\nlines.".to_owned()];
        let told = text(&Facts { problems, addresses: Vec::new(), ..facts() }, "", "");
        assert!(told.contains("- One.\r\n- Two lines.\r\n") && told.contains("none yet"), "{told}");
    }

    #[test]
    fn a_box_that_cannot_start_writes_down_why_once() {
        let folder = std::env::temp_dir().join(format!("twinlease-screen-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let tell = |problem: &str| {
            let facts = Facts { problems: vec![problem.into()], ..facts() };
            Screen::new(Boot::new(folder.clone())).show_now(&facts, "The server could not start.", "its start");
            let file = fs::File::open(folder.join(FILE)).expect("written");
            (file.metadata().expect("a file").ino(), fs::read_to_string(folder.join(FILE)).expect("text"))
        };
        let (first, text) = tell("One.");
        assert!(text.contains("- One.\r\n"), "{text}");
        // Each writing is another file that takes the place of the one before.
        assert_eq!(tell("One.").0, first);
        let (other, text) = tell("Two.");
        assert!(other != first && text.contains("- Two.\r\n"), "{text}");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_card_that_cannot_be_written_is_a_problem_until_it_can() {
        let folder = std::env::temp_dir().join(format!("twinlease-screen-none-{}", std::process::id()));
        let mut screen = Screen::new(Boot::new(folder.clone()));
        screen.show(&facts(), "It is answering.", "today");
        assert!(screen.trouble().is_some_and(|trouble| trouble.starts_with("STATUS.TXT cannot be written (")));
        fs::create_dir_all(&folder).expect("a folder");
        screen.write("It is answering.");
        assert_eq!(screen.trouble(), None);
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn the_card_is_written_for_news_only_and_once_a_minute() {
        let (now, facts) = (Instant::now(), facts());
        let after = |secs| now + Duration::from_secs(secs);
        let without = Facts { addresses: Vec::new(), ..facts.clone() };
        assert!(is_due(None, &facts, Duration::ZERO, now));
        assert!(!is_due(None, &without, Duration::from_secs(5), now), "an address may come");
        assert!(is_due(None, &without, Duration::from_secs(25), now));
        let written = (now, without);
        assert!(!is_due(Some(&written), &facts, Duration::ZERO, after(30)));
        assert!(is_due(Some(&written), &facts, Duration::ZERO, after(61)));
        assert!(!is_due(Some(&(now, facts.clone())), &facts, Duration::ZERO, after(3600)));
    }
}
