//! Names that clients give themselves: empty, non-UTF-8, with blanks, markup or bidi marks. Never refused, always made safe.

/// Bytes of options 12 and 81 that are kept.
const MAX_SHOWN: usize = 255;

/// For showing: text without control characters, direction marks and surrounding blanks; bytes that are no
/// UTF-8 become `�`. `None` where nothing is left.
pub fn printable(raw: &[u8]) -> Option<Box<str>> {
    let text = String::from_utf8_lossy(&raw[..raw.len().min(MAX_SHOWN)]);
    let mut safe: String = text.chars().filter(|&c| !c.is_control() && !is_invisible(c)).collect();
    while safe.len() > MAX_SHOWN {
        safe.pop();
    }
    let safe = safe.trim();
    (!safe.is_empty()).then(|| safe.into())
}

/// Marks that reorder or hide text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// As a host name (RFC 952, 1123): letters, digits and inner hyphens of the first label. `ESP_1234` → `ESP-1234`.
pub fn host_label(shown: &str) -> Option<String> {
    let first = shown.split('.').next().unwrap_or_default();
    let mut label = String::new();
    for c in first.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if matches!(c, '-' | '_' | ' ') && !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
        if label.len() == 63 {
            break;
        }
    }
    let label = label.trim_matches('-');
    (!label.is_empty()).then(|| label.into())
}

/// Flags of option 81 (RFC 4702 §2.1).
pub mod fqdn_flag {
    pub const SERVER_UPDATES: u8 = 0b0001;
    pub const OVERRIDDEN: u8 = 0b0010;
    pub const CANONICAL: u8 = 0b0100;
    pub const NO_UPDATES: u8 = 0b1000;
}

/// The name in option 81, whichever of its two encodings is used, as text without a final dot.
pub fn fqdn_text(option: &[u8]) -> Option<Box<str>> {
    let [flags, _, _, name @ ..] = option else { return None };
    if flags & fqdn_flag::CANONICAL == 0 {
        return printable(name);
    }
    let mut labels: Vec<String> = Vec::new();
    let mut rest = name;
    while let [len, tail @ ..] = rest {
        let len = usize::from(*len);
        if len == 0 || len > 63 {
            break;
        }
        let Some(label) = tail.get(..len) else { break };
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = &tail[len..];
    }
    printable(labels.join(".").as_bytes())
}

/// The answer to option 81: the client's encoding, the name completed by `domain` where it is a single label.
pub fn fqdn_answer(asked: &[u8], no_updates: bool, domain: Option<&str>) -> Option<Vec<u8>> {
    let &[flags, ..] = asked else { return None };
    let shown = fqdn_text(asked).unwrap_or_default();
    let mut answer = flags & fqdn_flag::CANONICAL;
    // The S bit is never set: this server updates no DNS. O says that the client's wish was not followed.
    if flags & fqdn_flag::SERVER_UPDATES != 0 {
        answer |= fqdn_flag::OVERRIDDEN;
    }
    if no_updates || flags & fqdn_flag::NO_UPDATES != 0 {
        answer |= fqdn_flag::NO_UPDATES;
    }
    let mut full = shown.trim_end_matches('.').to_string();
    if let (false, Some(domain)) = (full.is_empty() || full.contains('.'), domain) {
        full = format!("{full}.{domain}");
    }
    let mut option = vec![answer, 255, 255];
    if answer & fqdn_flag::CANONICAL == 0 {
        option.extend_from_slice(full.as_bytes());
    } else {
        for label in full.split('.').filter(|label| !label.is_empty() && label.len() < 64) {
            option.push(label.len() as u8);
            option.extend_from_slice(label.as_bytes());
        }
        if full.contains('.') {
            option.push(0);
        }
    }
    option.truncate(255);
    Some(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe_and_never_lost_altogether() {
        assert_eq!(printable(b"printer\0\0").as_deref(), Some("printer"));
        assert_eq!(printable("Tom’s iPhone".as_bytes()).as_deref(), Some("Tom’s iPhone"));
        assert_eq!(printable(b"caf\xe9").as_deref(), Some("caf\u{fffd}"));
        assert_eq!(printable("a\u{202e}b\nc".as_bytes()).as_deref(), Some("abc"));
        assert_eq!(printable(b"\0 \t"), None);
        assert!(printable("😀".repeat(80).as_bytes()).is_some_and(|name| name.len() <= MAX_SHOWN));
    }

    #[test]
    fn a_label_keeps_letters_digits_and_inner_hyphens() {
        assert_eq!(host_label("ESP_1234").as_deref(), Some("ESP-1234"));
        assert_eq!(host_label("Tom’s iPhone.local").as_deref(), Some("Toms-iPhone"));
        assert_eq!(host_label("__").as_deref(), None);
    }
}
