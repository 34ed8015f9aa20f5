//! What a list of devices is asked for by its URL: words to search for, filter, subnet, order, page.

use std::{cmp::Ordering, fmt::Write, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::device::{Device, Standing};
use crate::{
    protocol::{lease::HwAddr, time::Time},
    web::House,
};

/// Rows on a page: what a phone and a Pi can take.
pub const PAGE_ROWS: usize = 100;
/// More of a question is not read.
const QUESTION_CHARS: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    pub question: String,
    pub show: Show,
    pub subnet: Option<Ipv4Net>,
    pub sort: Column,
    pub is_descending: bool,
    /// Counted from 1.
    pub page: usize,
}

/// Which devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Show {
    #[default]
    All,
    Active,
    Kept,
    Dynamic,
    Waiting,
    Private,
    Expired,
    Unanswered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Column {
    Name,
    #[default]
    Address,
    Maker,
    Mac,
    Heard,
    Expires,
}

impl Show {
    pub const ALL: [Show; 8] =
        [Show::All, Show::Active, Show::Kept, Show::Dynamic, Show::Waiting, Show::Private, Show::Expired, Show::Unanswered];

    pub fn word(self) -> &'static str {
        match self {
            Show::All => "all",
            Show::Active => "active",
            Show::Kept => "kept",
            Show::Dynamic => "dynamic",
            Show::Waiting => "waiting",
            Show::Private => "private",
            Show::Expired => "expired",
            Show::Unanswered => "unanswered",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Show::All => "All",
            Show::Active => "With a lease",
            Show::Kept => "Kept",
            Show::Dynamic => "Dynamic",
            Show::Waiting => "Waiting",
            Show::Private => "Private MAC",
            Show::Expired => "Lease ended",
            Show::Unanswered => "Not answered",
        }
    }

    pub fn takes(self, device: &Device<'_>, now: Time) -> bool {
        let standing = device.standing(now);
        match self {
            Show::All => true,
            Show::Active => standing == Standing::Leased,
            Show::Kept => device.kept.is_some(),
            Show::Dynamic => device.kept.is_none() && standing == Standing::Leased,
            Show::Waiting => standing == Standing::Waiting,
            Show::Private => device.is_private(),
            Show::Expired => standing == Standing::Ended,
            Show::Unanswered => standing == Standing::Unanswered,
        }
    }
}

impl Column {
    pub const ALL: [Column; 6] = [Column::Name, Column::Address, Column::Maker, Column::Mac, Column::Heard, Column::Expires];

    pub fn word(self) -> &'static str {
        match self {
            Column::Name => "name",
            Column::Address => "address",
            Column::Maker => "maker",
            Column::Mac => "mac",
            Column::Heard => "heard",
            Column::Expires => "expires",
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Column::Name => "Name",
            Column::Address => "Address",
            Column::Maker => "Maker",
            Column::Mac => "MAC",
            Column::Heard => "Last heard",
            Column::Expires => "Lease",
        }
    }
}

impl Query {
    /// What is not understood counts as not said.
    pub fn read(pairs: &[(String, String)]) -> Query {
        let said = |key: &str| pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.trim());
        let order = said("sort").unwrap_or_default();
        let (is_descending, column) = order.strip_prefix('-').map_or((false, order), |column| (true, column));
        Query {
            question: said("q").unwrap_or_default().chars().take(QUESTION_CHARS).collect(),
            show: said("show").and_then(|word| Show::ALL.into_iter().find(|show| show.word() == word)).unwrap_or_default(),
            subnet: said("subnet").and_then(|network| network.parse().ok()),
            sort: Column::ALL.into_iter().find(|known| known.word() == column).unwrap_or_default(),
            is_descending,
            page: said("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1),
        }
    }

    /// The part of a URL behind the `?`; only what is not as usual.
    pub fn written(&self) -> String {
        let mut text = String::new();
        let mut say = |key: &str, value: &str| {
            let sign = if text.is_empty() { "" } else { "&" };
            let _ = write!(text, "{sign}{key}={}", encode(value));
        };
        if !self.question.is_empty() {
            say("q", &self.question);
        }
        if self.show != Show::All {
            say("show", self.show.word());
        }
        if let Some(subnet) = self.subnet {
            say("subnet", &subnet.to_string());
        }
        if self.sort != Column::default() || self.is_descending {
            say("sort", &self.order());
        }
        if self.page > 1 {
            say("page", &self.page.to_string());
        }
        text
    }

    pub fn order(&self) -> String {
        format!("{}{}", if self.is_descending { "-" } else { "" }, self.sort.word())
    }

    pub fn at(&self, path: &str) -> String {
        let said = self.written();
        if said.is_empty() { path.into() } else { format!("{path}?{said}") }
    }

    pub fn showing(&self, show: Show) -> Query {
        Query { show, page: 1, ..self.clone() }
    }

    pub fn within(&self, subnet: Option<Ipv4Net>) -> Query {
        Query { subnet, page: 1, ..self.clone() }
    }

    pub fn on_page(&self, page: usize) -> Query {
        Query { page, ..self.clone() }
    }

    /// By this column; by the one it is sorted by already, the other way round. Times begin with the latest.
    pub fn sorted_by(&self, column: Column) -> Query {
        let is_descending = if self.sort == column { !self.is_descending } else { column == Column::Heard };
        Query { sort: column, is_descending, page: 1, ..self.clone() }
    }

    /// Those that answer to the words and lie in the subnet, whatever `show` says.
    pub fn search<'h>(&self, mut devices: Vec<Device<'h>>, now: Time) -> Vec<Device<'h>> {
        let question = Question::of(&self.question);
        devices.retain(|device| {
            let is_here = |subnet: Ipv4Net| device.address(now).is_some_and(|address| subnet.contains(&address));
            self.subnet.is_none_or(is_here) && question.matches(device, now)
        });
        devices
    }

    pub fn sort(&self, devices: &mut [Device<'_>], house: &House) {
        let now = house.now;
        // An id at the end: pages must not overlap.
        let by = |a: &Device<'_>, b: &Device<'_>| {
            let address = |device: &Device<'_>| device.address(now);
            let order = match self.sort {
                Column::Name => unnamed_last(a.name(), b.name(), self.is_descending),
                Column::Maker => unnamed_last(a.maker(), b.maker(), self.is_descending),
                Column::Address => said_first(address(a), address(b), self.is_descending),
                Column::Mac => said_first(a.hw, b.hw, self.is_descending),
                Column::Heard => said_first(a.heard(), b.heard(), self.is_descending),
                Column::Expires => {
                    let expiry = |device: &Device<'_>| device.lease.map(|lease| lease.expiry);
                    said_first(expiry(a), expiry(b), self.is_descending)
                }
            };
            order.then_with(|| address(a).cmp(&address(b))).then_with(|| a.id.cmp(&b.id))
        };
        devices.sort_by(by);
    }
}

/// Ordered as asked, but what is not known stands at the end either way.
fn said_first<T: Ord>(a: Option<T>, b: Option<T>, is_descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if is_descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

fn unnamed_last(a: Option<&str>, b: Option<&str>, is_descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => {
            let order = lower(a).cmp(lower(b));
            if is_descending { order.reverse() } else { order }
        }
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// The words searched for; all of them must be found.
#[derive(Debug)]
pub struct Question {
    /// A MAC or a part of one, written with blanks.
    spaced_hex: Option<String>,
    words: Vec<Word>,
}

#[derive(Debug)]
struct Word {
    text: String,
    /// Hex digits, if it may be a part of a MAC.
    hex: Option<String>,
    /// Digits and dots, if it may be a part of an address.
    address: Option<String>,
}

impl Question {
    pub fn of(text: &str) -> Question {
        let lowered = text.to_lowercase();
        let words: Vec<Word> = lowered.split_whitespace().map(Word::of).collect();
        let spaced_hex = if words.len() > 1 && words.iter().all(|word| word.text.len() <= 4) { hex_part(&lowered) } else { None };
        Question { spaced_hex, words }
    }

    pub fn matches(&self, device: &Device<'_>, now: Time) -> bool {
        if let (Some(hex), Some(hw)) = (&self.spaced_hex, device.hw)
            && digits(&hw).contains(hex.as_str())
        {
            return true;
        }
        self.words.iter().all(|word| word.matches(device, now))
    }
}

impl Word {
    fn of(text: &str) -> Word {
        let is_address = text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.chars().any(|c| c.is_ascii_digit());
        Word { text: text.into(), hex: hex_part(text), address: is_address.then(|| text.into()) }
    }

    fn matches(&self, device: &Device<'_>, now: Time) -> bool {
        let has = |text: Option<&str>| text.is_some_and(|text| contains(text, &self.text));
        if let Some(part) = &self.address {
            let kept = device.kept.map(|kept| kept.address);
            if device.address(now).into_iter().chain(kept).any(|address| is_part(part, address)) {
                return true;
            }
        }
        has(device.name())
            || has(device.own_name())
            || has(device.kept.and_then(|kept| kept.note.as_deref()))
            || self.hex.as_ref().zip(device.hw).is_some_and(|(hex, hw)| digits(&hw).contains(hex.as_str()))
            || has(device.maker())
            || (device.hw.is_none() && has(Some(&device.called())))
    }
}

/// `.57` is the end of an address, `192.0.2` its beginning, `57` one of its numbers.
fn is_part(part: &str, address: Ipv4Addr) -> bool {
    let whole = address.to_string();
    match part.strip_prefix('.') {
        Some(_) => whole.ends_with(part),
        None if part.contains('.') => {
            whole == part || whole.strip_prefix(part).is_some_and(|rest| part.ends_with('.') || rest.starts_with('.'))
        }
        None => part.parse().is_ok_and(|number: u8| address.octets()[3] == number),
    }
}

/// Without separators; two digits at least, or every device would do.
fn hex_part(text: &str) -> Option<String> {
    let is_hex = text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.' | ' '));
    let part: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    // `.57` means the end of an address.
    (is_hex && part.len() >= 2 && !text.starts_with('.')).then_some(part)
}

fn digits(hw: &HwAddr) -> String {
    let mut text = String::with_capacity(12);
    for byte in hw.bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// `wanted` is in small letters.
fn contains(text: &str, wanted: &str) -> bool {
    if text.is_ascii() {
        let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
        return text.windows(wanted.len().max(1)).any(|part| part.eq_ignore_ascii_case(wanted));
    }
    text.to_lowercase().contains(wanted)
}

/// For a URL's query.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        text.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn a_query_is_written_as_it_is_read() {
        for text in ["", "q=tv", "show=kept&sort=-heard", "q=a&show=private&subnet=192.0.2.0%2F24&sort=name&page=3"] {
            let query = Query::read(&pairs(&text.replace("%2F", "/")));
            assert_eq!(query.written(), text);
        }
    }

    #[test]
    fn what_is_not_understood_counts_as_not_said() {
        let query = Query::read(&pairs("show=everything&sort=-colour&page=0&subnet=home"));
        assert_eq!((query.show, query.sort, query.page, query.subnet), (Show::All, Column::Address, 1, None));
        assert_eq!(Query::read(&pairs("page=99999999999999999999")).page, 1);
    }

    #[test]
    fn a_part_of_an_address_is_its_end_its_beginning_or_its_last_number() {
        let address = Ipv4Addr::new(192, 0, 2, 57);
        for part in [".57", ".2.57", "192.0.2.57", "192.0", "192.0.2.", "57"] {
            assert!(is_part(part, address), "{part}");
        }
        for part in [".7", "92.0", "192.0.2.5", "192.0.20", "2", "257", "."] {
            assert!(!is_part(part, address), "{part}");
        }
    }

    #[test]
    fn a_mac_is_recognised_in_any_notation() {
        for text in ["a4:cf:12", "A4-CF-12", "a4cf.129b", "cf12", "a4 cf 12"] {
            assert!(hex_part(&text.to_lowercase()).is_some_and(|part| "a4cf129b001e".contains(&part)), "{text}");
        }
        for text in ["a", ".57", "tv", "a4:cf:xx", ""] {
            assert_eq!(hex_part(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_known_stands_at_the_end_either_way() {
        assert_eq!(said_first(Some(1), None, false), Ordering::Less);
        assert_eq!(said_first(Some(1), None, true), Ordering::Less);
        assert_eq!(said_first(Some(1), Some(2), true), Ordering::Greater);
    }

    #[test]
    fn a_column_is_turned_round_by_the_second_click() {
        let query = Query::read(&[]).sorted_by(Column::Name);
        assert_eq!(query.order(), "name");
        assert_eq!(query.sorted_by(Column::Name).order(), "-name");
        assert_eq!(query.sorted_by(Column::Heard).order(), "-heard");
    }

    #[test]
    fn markup_in_a_question_does_not_leave_the_url() {
        assert_eq!(encode("\"><b>&=+ü\0"), "%22%3E%3Cb%3E%26%3D%2B%C3%BC%00");
    }
}
