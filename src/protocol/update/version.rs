//! Versions of the program, as `Cargo.toml` writes them.

use std::{cmp::Ordering, fmt, str::FromStr};

/// `1.2.3`, or `1.2.3-rc1`, which comes before `1.2.3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    numbers: [u32; 3],
    before: Option<String>,
}

const BEFORE_CHARS_MAX: usize = 20;

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let wrong = || format!("`{}` is no version.", text.chars().take(40).collect::<String>().escape_debug());
        let (numbers, before) = match text.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if before.is_some_and(|before| before.len() > BEFORE_CHARS_MAX || !is_word(before)) {
            return Err(wrong());
        }
        // Not `+1`, which Rust would read.
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let numbers: Option<Vec<u32>> = numbers.split('.').map(number).collect();
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(wrong)?;
        Ok(Version { numbers, before: before.map(Into::into) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        self.before.as_ref().map_or(Ok(()), |before| write!(f, "-{before}"))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let key = |version: &Version| (version.numbers, version.before.is_none());
        key(self).cmp(&key(other)).then_with(|| self.before.cmp(&other.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number_and_what_comes_before_one_is_older() {
        let ordered = ["0.1.0", "0.1.2-rc1", "0.1.2-rc2", "0.1.2", "0.1.10", "0.2.0", "1.0.0"];
        let versions = ordered.map(|text| text.parse::<Version>().expect("a version"));
        assert!(versions.is_sorted());
        assert_eq!(versions.map(|version| version.to_string()), ordered);
    }

    #[test]
    fn anything_else_is_no_version() {
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.+3", "1.2.3-", "1.2.3-a b", "99999999999.0.0", "1.2.3-<script>"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
