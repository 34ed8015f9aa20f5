//! `setup.txt`, which lies on the card beside `STATUS.TXT`: what a box without a screen is told before its first start.
//!
//! Written by hand on any kind of computer: line ends, a byte order mark, quotes and spaces do not matter. A file with one wrong line is
//! not used at all, for a box that is half set up is harder to find than one that says what is wrong.

use std::{net::Ipv4Addr, ops::Range};

use ipnet::Ipv4Net;

use super::{
    parse::Problem,
    words::{closest, read_address},
};

/// More is not a file that somebody wrote.
pub const BYTES_MAX: usize = 64 << 10;
const PASSWORD_CHARS_MIN: usize = 10;
const PAIR_KEY_CHARS_MIN: usize = 20;
const NAME_CHARS_MAX: usize = 63;
const DNS_MAX: usize = 3;
/// The byte order mark, with which some editors begin a file.
const MARK: &str = "\u{feff}";
/// GPIO numbers on the pin header.
const PINS: std::ops::RangeInclusive<u8> = 0..=27;
const KEYS: [&str; 11] =
    ["name", "address", "router", "dns", "password", "pair-key", "settings", "led", "led-rgb", "act-led", "button"];

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setup {
    pub name: Option<String>,
    /// The box's own, with its prefix; `None`: it asks a DHCP server, then takes a link-local one.
    pub address: Option<Ipv4Net>,
    pub router: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub password: Option<String>,
    pub pair_key: Option<String>,
    /// The name of a file beside this one.
    pub settings: Option<String>,
    pub lights: Lights,
    /// From which pin a button closes to ground, by GPIO number; `None`: there is none.
    pub button: Option<u8>,
}

/// Where the light is, by GPIO number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lights {
    pub one: Option<u8>,
    /// Red, green, blue.
    pub rgb: Option<[u8; 3]>,
    /// The board's own green light.
    pub act: bool,
}

impl Default for Lights {
    fn default() -> Lights {
        Lights { one: Some(17), rgb: None, act: true }
    }
}

/// All problems at once, each with its line.
pub fn read(bytes: &[u8]) -> Result<Setup, Vec<Problem>> {
    if bytes.len() > BYTES_MAX {
        return Err(vec![Problem {
            line: None,
            text: format!("The file has {} bytes. A setup file has some lines: is it another file?", bytes.len()),
        }]);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut setup = Setup::default();
    let mut problems = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, line) in text.trim_start_matches(MARK).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        let mut wrong = |text: String| problems.push(Problem { line: Some(index + 1), text });
        let Some((key, value)) = key_and_value(line) else {
            wrong(format!("`{}` is no setting. A line looks like `name = dhcp-cellar`, or begins with #.", shortened(line)));
            continue;
        };
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
            let hint = closest(&key, KEYS)
                .map_or_else(|| format!("There are: {}.", KEYS.join(", ")), |near| format!("Is `{near}` meant?"));
            wrong(format!("There is no setting `{}`. {hint}", shortened(&key)));
            continue;
        };
        if seen.contains(&key) {
            wrong(format!("`{key}` is there twice. Leave one of the two."));
            continue;
        }
        seen.push(key);
        // As in the template, where a line was opened and left as it was.
        if value.is_empty() {
            continue;
        }
        if let Err(text) = setup.take(key, value) {
            wrong(text);
        }
    }
    if let (Some(router), Some(address)) = (setup.router, setup.address)
        && !address.contains(&router)
    {
        problems.push(Problem {
            line: None,
            text: format!(
                "The router {router} is not in this box's network {}. Correct the router or the address.",
                address.trunc()
            ),
        });
    }
    if setup.router.is_some() && setup.address.is_none() {
        problems.push(Problem {
            line: None,
            text: "There is a router, but no address. Add `address = …/24`, or leave out the router.".into(),
        });
    }
    let lights = setup.lights.one.into_iter().chain(setup.lights.rgb.into_iter().flatten());
    let mut pins: Vec<u8> = lights.chain(setup.button).collect();
    pins.sort_unstable();
    if let Some(pair) = pins.windows(2).find(|pair| pair[0] == pair[1]) {
        problems.push(Problem {
            line: None,
            text: format!("GPIO {} is named twice. Each light, and the button, needs a pin of its own.", pair[0]),
        });
    }
    if problems.is_empty() { Ok(setup) } else { Err(problems) }
}

impl Setup {
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "name" => self.name = Some(read_name(value)?),
            "address" => self.address = Some(read_own_address(value)?),
            "router" => self.router = Some(read_address(value)?),
            "dns" => {
                let servers = value.split([',', ' ']).filter(|part| !part.is_empty());
                self.dns = servers.map(read_address).collect::<Result<_, _>>()?;
                if self.dns.len() > DNS_MAX {
                    return Err(format!(
                        "{} DNS servers are named; {DNS_MAX} are the most that are asked. Leave some out.",
                        self.dns.len()
                    ));
                }
            }
            "password" => {
                if value.chars().count() < PASSWORD_CHARS_MIN {
                    return Err(format!("The password is too short. Use at least {PASSWORD_CHARS_MIN} characters."));
                }
                self.password = Some(value.to_owned());
            }
            "pair-key" => {
                if value.chars().count() < PAIR_KEY_CHARS_MIN {
                    return Err(format!(
                        "The pair key is too short: whoever guesses it becomes the twin. Use at least {PAIR_KEY_CHARS_MIN} characters, the same on both cards."
                    ));
                }
                self.pair_key = Some(value.to_owned());
            }
            "settings" => {
                if value.contains(['/', '\\']) || value.starts_with('.') {
                    return Err(format!(
                        "`{}` is no file beside setup.txt. Put the file next to it, and write its name only.",
                        shortened(value)
                    ));
                }
                self.settings = Some(value.to_owned());
            }
            "led" => self.lights.one = if is_no(value) { None } else { Some(read_pin(value)?) },
            "led-rgb" => {
                let pins: Vec<u8> = value.split(',').map(|part| read_pin(part.trim())).collect::<Result<_, _>>()?;
                let three = <[u8; 3]>::try_from(pins).map_err(|pins| {
                    format!(
                        "{} pins are named for a light of three colours. Write three, as `17,27,22`: red, green, blue.",
                        pins.len()
                    )
                })?;
                self.lights.rgb = Some(three);
                // The one light and the red of the three share their usual pin.
                self.lights.one = self.lights.one.filter(|one| !three.contains(one));
            }
            "act-led" => {
                self.lights.act = match value.to_ascii_lowercase().as_str() {
                    "yes" | "true" | "on" | "1" => true,
                    value if is_no(value) => false,
                    _ => return Err(format!("`act-led = {}` is neither yes nor no. Write yes or no.", shortened(value))),
                };
            }
            "button" => self.button = if is_no(value) { None } else { Some(read_pin(value)?) },
            _ => unreachable!("only known keys come here"),
        }
        Ok(())
    }
}

/// As all who read a line understand it: the key in its one spelling, the value without what stands around it.
fn key_and_value(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim().to_ascii_lowercase().replace('_', "-"), unquoted(value.trim())))
}

/// Where the line with the password stands, without its end; `None`: the file has no password. A good file has one such line at most.
pub fn password_line(bytes: &[u8]) -> Option<Range<usize>> {
    let is_password = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        key_and_value(&text).is_some_and(|(key, value)| key == "password" && !value.is_empty())
    };
    let mut at = 0;
    while bytes[at..].starts_with(MARK.as_bytes()) {
        at += MARK.len();
    }
    for line in bytes[at..].split_inclusive(|byte| *byte == b'\n') {
        if is_password(line) {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            return Some(at..at + text.len());
        }
        at += line.len();
    }
    None
}

/// The file with the password taken out, all else as it was; `None`: there is none in it.
pub fn without_password(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    out.splice(password_line(bytes)?, *b"# The password was stored as a hash and taken out here.");
    Some(out)
}

fn read_name(value: &str) -> Result<String, String> {
    let is_fine = value.len() <= NAME_CHARS_MAX
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !value.starts_with('-')
        && !value.ends_with('-');
    if is_fine {
        Ok(value.to_ascii_lowercase())
    } else {
        Err(format!(
            "`{}` cannot be a name on the network. Use up to {NAME_CHARS_MAX} letters, digits and -, as in dhcp-cellar.",
            shortened(value)
        ))
    }
}

fn read_own_address(value: &str) -> Result<Ipv4Net, String> {
    let net = value.parse::<Ipv4Net>().map_err(|_| {
        format!("`{}` is no address with its prefix. Write it as 192.0.2.2/24; 24 stands for 255.255.255.0.", shortened(value))
    })?;
    if !(8..=30).contains(&net.prefix_len()) {
        return Err(format!("`{net}` has the prefix /{}. A network for devices has /8 to /30, mostly /24.", net.prefix_len()));
    }
    if net.addr() == net.network() || net.addr() == net.broadcast() {
        return Err(format!(
            "{} is the first or last address of its network, which no box can have. Take another of {}.",
            net.addr(),
            net.trunc()
        ));
    }
    if net.addr().is_loopback() || net.addr().is_multicast() || net.addr().is_unspecified() || net.addr().octets()[0] >= 240 {
        return Err(format!("{} is not an address that a box can have. Take a free one of your network.", net.addr()));
    }
    Ok(net)
}

fn read_pin(value: &str) -> Result<u8, String> {
    let pin = value.parse::<u8>().ok().filter(|pin| PINS.contains(pin));
    pin.ok_or_else(|| {
        format!(
            "`{}` is no GPIO number. The pin header has {} to {}; the README has a drawing.",
            shortened(value),
            PINS.start(),
            PINS.end()
        )
    })
}

fn is_no(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "no" | "none" | "off" | "false" | "0")
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.or_else(|| value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''))).unwrap_or(value)
}

/// For a sentence: a file of another kind may have very long lines.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(40).collect();
    if text.chars().count() > 40 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
