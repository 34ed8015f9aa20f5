//! Settings of other DHCP servers, read: what can be taken over, and each thing that cannot, with its line and why.

pub mod csv;
pub mod dnsmasq;
pub mod isc;
pub mod kea;
pub mod pihole;
mod join;
mod taken;

pub use join::{Joined, join};
pub use taken::{Remark, Taken};

/// Longer files are no configuration.
pub const BYTES_MAX: usize = 8 << 20;
/// Kept addresses, subnets and remarks that are taken from one file.
const THINGS_MAX: usize = 20_000;
const REMARKS_MAX: usize = 1000;

/// What wrote the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Kea,
    Dnsmasq,
    Isc,
    Pihole,
    Csv,
}

impl Source {
    pub const ALL: [Source; 5] = [Source::Kea, Source::Dnsmasq, Source::Isc, Source::Pihole, Source::Csv];

    /// On the command line and in forms.
    pub fn word(self) -> &'static str {
        match self {
            Source::Kea => "kea",
            Source::Dnsmasq => "dnsmasq",
            Source::Isc => "isc",
            Source::Pihole => "pihole",
            Source::Csv => "csv",
        }
    }

    pub fn named(word: &str) -> Option<Source> {
        Source::ALL.into_iter().find(|source| source.word() == word)
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Source::Kea => "Kea",
            Source::Dnsmasq => "dnsmasq",
            Source::Isc => "ISC dhcpd",
            Source::Pihole => "Pi-hole",
            Source::Csv => "a table (CSV)",
        }
    }

    /// By its content. `None`: nothing that is known here.
    pub fn of(text: &str) -> Option<Source> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let code = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//");
        let lines: Vec<&str> = text.lines().map(str::trim).filter(code).take(2000).collect();
        let first = lines.first()?;
        let begins = |words: &[&str]| lines.iter().any(|line| words.iter().any(|word| line.starts_with(word)));
        if first.starts_with('{') || first.starts_with("/*") && text.contains("\"Dhcp4\"") {
            return Some(Source::Kea);
        }
        if begins(&["DHCP_START=", "DHCP_ACTIVE=", "PIHOLE_DOMAIN="])
            || begins(&["[dhcp]"]) && begins(&["hosts", "start", "active"])
        {
            return Some(Source::Pihole);
        }
        if begins(&["dhcp-range", "dhcp-host", "dhcp-option", "dhcp-authoritative"]) {
            return Some(Source::Dnsmasq);
        }
        let is_isc = |line: &&str| {
            (line.ends_with('{') || line.ends_with(';') || line.ends_with('}'))
                && [
                    "subnet ",
                    "host ",
                    "option ",
                    "default-lease-time",
                    "max-lease-time",
                    "shared-network",
                    "group",
                    "authoritative",
                    "pool",
                ]
                .iter()
                .any(|word| line.starts_with(word))
        };
        if lines.iter().any(is_isc) {
            return Some(Source::Isc);
        }
        csv::looks_like_it(&lines).then_some(Source::Csv)
    }
}

/// Never fails: what cannot be read is a remark.
pub fn read(source: Source, text: &str) -> Taken {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut taken = Taken::default();
    match source {
        Source::Kea => kea::read(text, &mut taken),
        Source::Dnsmasq => dnsmasq::read(text, &mut taken),
        Source::Isc => isc::read(text, &mut taken),
        Source::Pihole => pihole::read(text, &mut taken),
        Source::Csv => csv::read(text, &mut taken),
    }
    taken
}

#[cfg(test)]
mod tests;
