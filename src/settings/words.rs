//! How single values are written and read: durations, addresses, ranges, hex, identifiers. What `show_…`
//! writes, `read_…` reads back unchanged. Errors are sentences: what is wrong, what to do.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use super::{AddressRange, Identifier, RecordKey};
use crate::protocol::lease::{HwAddr, write_hex};

const DURATION_HINT: &str = "Write for example \"90s\", \"15m\", \"12h\", \"7d\" or \"1h30m\"";

/// `90s`, `1h30m`, `200ms`; a number alone is seconds.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration. {DURATION_HINT}.");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    if let Ok(secs) = rest.parse::<u64>() {
        return Ok(Duration::from_secs(secs));
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_ms = match rest[..letters].trim() {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        let part = number.checked_mul(unit_ms).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    Ok(total)
}

/// In the largest units that say it exactly, to the millisecond: `1h30m`, `0s`.
pub fn show_duration(duration: Duration) -> String {
    let mut secs = duration.as_secs();
    let mut text = String::new();
    for (unit_secs, unit) in [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")] {
        if secs >= unit_secs {
            text.push_str(&format!("{}{unit}", secs / unit_secs));
            secs %= unit_secs;
        }
    }
    if duration.subsec_millis() > 0 {
        text.push_str(&format!("{}ms", duration.subsec_millis()));
    }
    if text.is_empty() { "0s".into() } else { text }
}

pub fn read_address(text: &str) -> Result<Ipv4Addr, String> {
    let given = text.trim();
    given.parse().map_err(|_| {
        if given.contains('/') {
            format!("`{given}` is a network, not one address. Leave out the part from `/` on.")
        } else if given.contains(':') {
            format!("`{given}` is not an IPv4 address. Only IPv4 is served; write it like 192.0.2.1.")
        } else {
            format!("`{given}` is not an IPv4 address. Write four numbers from 0 to 255, like 192.0.2.1.")
        }
    })
}

/// `192.0.2.0/24`, with the host bits zero.
pub fn read_network(text: &str) -> Result<Ipv4Net, String> {
    let given = text.trim();
    let wrong = || format!("`{given}` is not a network. Write it with its prefix length, like 192.0.2.0/24.");
    let network: Ipv4Net = given.parse().map_err(|_| wrong())?;
    if network.trunc() != network {
        return Err(format!("`{given}` is an address inside {0}, not the network itself. Write {0}.", network.trunc()));
    }
    Ok(network)
}

/// `192.0.2.10-192.0.2.99`, or one address. Also `192.0.2.10-99`, as many write it.
pub fn read_range(text: &str) -> Result<AddressRange, String> {
    let Some((first_text, last_text)) = text.split_once(['-', '–']) else {
        let address = read_address(text)?;
        return Ok(AddressRange { first: address, last: address });
    };
    let first = read_address(first_text)?;
    let last = match last_text.trim().parse::<u8>() {
        Ok(last_byte) => Ipv4Addr::from(u32::from(first) & !0xff | u32::from(last_byte)),
        Err(_) => read_address(last_text)?,
    };
    if last < first {
        return Err(format!("{first}-{last} ends before it begins. Write {last}-{first}."));
    }
    Ok(AddressRange { first, last })
}

/// Pairs of hex digits, with or without `:`, `-` or blanks between them. Empty text is no bytes.
pub fn read_hex(text: &str) -> Result<Vec<u8>, String> {
    let hint = "Write pairs of hex digits, like 01:a4:cf";
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit() && !matches!(c, ':' | '-' | ' ')) {
        return Err(format!("`{text}` holds `{odd}`, which is no hex digit. {hint}."));
    }
    let mut bytes = Vec::new();
    for part in text.split([':', '-', ' ']).filter(|part| !part.is_empty()) {
        // A single digit is a byte only where separators tell where it ends, as in `1:a4:0`.
        if part.len() % 2 == 1 && part.len() != 1 {
            return Err(format!("`{text}` has an odd number of hex digits. {hint}."));
        }
        let digits = if part.len() == 1 { format!("0{part}") } else { part.to_string() };
        bytes.extend(
            (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits, checked above")),
        );
    }
    Ok(bytes)
}

pub fn show_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    write_hex(&mut text, bytes).expect("a String takes everything");
    text
}

/// An Ethernet address in any notation, or another hardware type in front: `32/00:01:02`.
pub fn read_mac(text: &str) -> Result<HwAddr, String> {
    let Some((htype_text, hex)) = text.trim().split_once('/') else {
        return text.parse().map_err(|error: crate::protocol::lease::MacError| error.to_string());
    };
    let wrong = || {
        format!("`{text}` is not a hardware address. Write a MAC like a4:cf:12:9b:00:1e, or the type in front, like 32/00:01:02.")
    };
    let htype: u8 = htype_text.trim().parse().map_err(|_| wrong())?;
    let bytes = read_hex(hex)?;
    if htype == HwAddr::ETHERNET {
        return show_hex(&bytes).parse().map_err(|error: crate::protocol::lease::MacError| error.to_string());
    }
    if bytes.is_empty() {
        return Err(wrong());
    }
    HwAddr::new(htype, &bytes)
        .ok_or_else(|| format!("`{text}` has {} bytes; a hardware address has at most 16. Leave out the rest.", bytes.len()))
}

/// A client-id or circuit-id: hex pairs, or `text:` and the characters as they are sent.
pub fn read_id(text: &str) -> Result<Vec<u8>, String> {
    let bytes = match text.strip_prefix("text:") {
        Some(characters) => characters.as_bytes().to_vec(),
        None => read_hex(text).map_err(|error| format!("{error} Text is written as text:{}.", text.trim()))?,
    };
    match bytes.len() {
        0 => Err("It is empty. Write its bytes, like 01:a4:cf:12:9b:00:1e, or its characters, like text:port-7.".into()),
        1..=255 => Ok(bytes),
        length => Err(format!("It has {length} bytes; 255 are possible. Shorten it.")),
    }
}

/// As `text:…` where every byte is a printable ASCII character.
pub fn show_id(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) => format!("text:{text}"),
        _ => show_hex(bytes),
    }
}

/// For sentences: `a4:cf:12:9b:00:1e`, `client-id text:foo`, `circuit-id 00:04`.
pub fn show_identifier(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Mac(hw) => hw.to_string(),
        Identifier::ClientId(id) => format!("client-id {}", show_id(id)),
        Identifier::CircuitId(id) => format!("circuit-id {}", show_id(id)),
    }
}

/// `lease`, `192.0.2.0/24`, `a4:cf:12:9b:00:1e`, `client-id text:foo`.
pub fn show_key(key: &RecordKey) -> String {
    match key {
        RecordKey::Server => "server".into(),
        RecordKey::Lease => "lease".into(),
        RecordKey::Twin => "twin".into(),
        RecordKey::Access => "access".into(),
        RecordKey::Alerts => "alerts".into(),
        RecordKey::Options => "options".into(),
        RecordKey::CustomOptions => "custom-options".into(),
        RecordKey::Subnet(network) => network.to_string(),
        RecordKey::Reservation(identifier) => show_identifier(identifier),
    }
}

pub fn read_key(text: &str) -> Result<RecordKey, String> {
    let given = text.trim();
    Ok(match given {
        "server" => RecordKey::Server,
        "lease" => RecordKey::Lease,
        "twin" => RecordKey::Twin,
        "access" => RecordKey::Access,
        "alerts" => RecordKey::Alerts,
        "options" => RecordKey::Options,
        "custom-options" => RecordKey::CustomOptions,
        _ => {
            if let Some(id) = given.strip_prefix("client-id ") {
                RecordKey::Reservation(Identifier::ClientId(read_id(id)?))
            } else if let Some(id) = given.strip_prefix("circuit-id ") {
                RecordKey::Reservation(Identifier::CircuitId(read_id(id)?))
            } else if let Ok(network) = given.parse::<Ipv4Net>() {
                RecordKey::Subnet(network)
            } else if let Ok(hw) = read_mac(given) {
                RecordKey::Reservation(Identifier::Mac(hw))
            } else {
                return Err(format!(
                    "`{given}` names no setting. Write server, lease, twin, access, alerts, options, custom-options, a network like 192.0.2.0/24, \
                     or a device like a4:cf:12:9b:00:1e."
                ));
            }
        }
    })
}

/// The one of `candidates` that is a slip of the finger away from `given`, if any.
pub fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase().replace('_', "-");
    let allowed = 1 + given.chars().count() / 3;
    let measured = candidates.into_iter().map(|candidate| (edits(&given, candidate), candidate));
    measured.filter(|(edits, _)| *edits <= allowed).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// How many single letters must be changed, added or removed (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_notation() {
        for (text, secs) in [
            ("90s", 90),
            ("15m", 900),
            ("12h", 43_200),
            ("7d", 604_800),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("3600", 3600),
            ("2w", 1_209_600),
        ] {
            assert_eq!(read_duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(read_duration("1s200ms"), Ok(Duration::from_millis(1200)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_examples() {
        for text in ["", "h", "12x", "1.5h", "-1h", "1h30", "99999999999999999999s", "9999999999999999w"] {
            assert!(read_duration(text).is_err_and(|error| error.contains("\"1h30m\"")), "{text}");
        }
    }

    #[test]
    fn shown_durations_are_read_back() {
        for ms in [0, 1, 999, 1000, 61_000, 86_400_000, 90_061_001, u64::from(u32::MAX) * 1000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(read_duration(&show_duration(duration)), Ok(duration));
        }
        assert_eq!(show_duration(Duration::from_secs(5400)), "1h30m");
    }

    #[test]
    fn network_with_host_bits_names_the_network() {
        assert_eq!(
            read_network("192.0.2.1/24").unwrap_err(),
            "`192.0.2.1/24` is an address inside 192.0.2.0/24, not the network itself. Write 192.0.2.0/24."
        );
        assert!(read_network("192.0.2.0").unwrap_err().contains("prefix length"));
    }

    #[test]
    fn ranges_may_be_short_and_never_backwards() {
        assert_eq!(read_range("192.0.2.10-99"), read_range("192.0.2.10 - 192.0.2.99"));
        assert_eq!(read_range("192.0.2.7").unwrap().size(), 1);
        assert_eq!(
            read_range("192.0.2.9-192.0.2.1").unwrap_err(),
            "192.0.2.9-192.0.2.1 ends before it begins. Write 192.0.2.1-192.0.2.9."
        );
    }

    #[test]
    fn identifiers_are_read_back() {
        for bytes in [&b"foo"[..], b"text:", b" ", &[0], &[1, 0xa4, 0xcf], &[0xff; 255]] {
            assert_eq!(read_id(&show_id(bytes)).as_deref(), Ok(bytes));
        }
        assert_eq!(read_id("0104"), Ok(vec![1, 4]));
        assert!(read_id("port7").unwrap_err().contains("text:port7"));
        assert!(read_id("text:").is_err());
        for hw in [
            HwAddr::ethernet([0xa4, 0xcf, 0x12, 0x9b, 0, 0x1e]),
            HwAddr::new(32, &[7; 16]).unwrap(),
            HwAddr::new(6, &[1]).unwrap(),
        ] {
            assert_eq!(read_mac(&hw.to_string()), Ok(hw));
        }
        assert!(read_mac("1/a4:cf").is_err());
    }

    #[test]
    fn keys_are_read_back() {
        let identifiers = [
            Identifier::Mac(HwAddr::ethernet([0xa4, 0xcf, 0x12, 0x9b, 0, 0x1e])),
            Identifier::Mac(HwAddr::new(32, &[7; 16]).unwrap()),
            Identifier::ClientId(b"boiler".to_vec()),
            Identifier::CircuitId(vec![0, 4]),
        ];
        let once = [
            RecordKey::Server,
            RecordKey::Lease,
            RecordKey::Twin,
            RecordKey::Access,
            RecordKey::Alerts,
            RecordKey::Options,
            RecordKey::CustomOptions,
        ];
        let subnet = RecordKey::Subnet("192.0.2.0/24".parse().unwrap());
        for key in once.into_iter().chain([subnet]).chain(identifiers.map(RecordKey::Reservation)) {
            assert_eq!(read_key(&show_key(&key)), Ok(key));
        }
        assert!(read_key("printer").unwrap_err().contains("names no setting"));
    }

    #[test]
    fn hex_wants_pairs() {
        assert_eq!(read_hex("01:a4-CF 00"), Ok(vec![1, 0xa4, 0xcf, 0]));
        assert_eq!(read_hex("1:2"), Ok(vec![1, 2]));
        assert!(read_hex("012").unwrap_err().contains("odd number"));
        assert!(read_hex("0x12").unwrap_err().contains("`x`"));
    }

    #[test]
    fn a_slip_is_guessed_and_nonsense_is_not() {
        assert_eq!(closest("ruoter", ["router", "routes", "dns"]), Some("router"));
        assert_eq!(closest("rapid_commit", ["rapid-commit"]), Some("rapid-commit"));
        assert_eq!(closest("xyzzy", ["router", "dns"]), None);
    }
}
