//! ISC dhcpd.conf: statements that end with `;`, and blocks in braces.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use super::taken::{Kept, Taken, cut};
use crate::settings::{
    AddressRange, LeaseOverrides,
    options::{OptionDefinition, OptionKind, OptionSet},
    words::{read_hex, read_id},
};

/// Blocks inside blocks; a deeper one is skipped whole.
const DEPTH_MAX: usize = 16;

pub fn read(text: &str, taken: &mut Taken) {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, at: 0, taken };
    // Definitions may stand behind their use.
    reader.definitions();
    reader.block(&Around::default(), 0);
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    End,
}

/// What surrounds a statement.
#[derive(Default, Clone)]
struct Around {
    subnet: Option<Ipv4Net>,
    /// Of the groups and shared networks around.
    options: OptionSet,
    /// Inside `pool {}`: its options.
    is_pool: bool,
}

struct Reader<'a> {
    tokens: &'a [(usize, Token)],
    at: usize,
    taken: &'a mut Taken,
}

impl Reader<'_> {
    /// Up to the `}` that ends it, or the end of the file. Gives the options that were set in it.
    fn block(&mut self, around: &Around, depth: usize) -> OptionSet {
        let mut around = around.clone();
        let mut own = OptionSet::new();
        let mut ranges: Vec<(usize, Ipv4Addr, Ipv4Addr)> = Vec::new();
        while self.at < self.tokens.len() {
            let line = self.tokens[self.at].0;
            let begin = self.at;
            while matches!(self.tokens.get(self.at), Some((_, Token::Word(_) | Token::Text(_)))) {
                self.at += 1;
            }
            let statement: Vec<String> = self.tokens[begin..self.at].iter().map(|(_, token)| token.said()).collect();
            let words: Vec<&str> = statement.iter().map(String::as_str).collect();
            let end = self.tokens.get(self.at).map(|(_, token)| token);
            self.at += 1;
            match end {
                Some(Token::Open) => self.opened(line, &words, &around, depth),
                Some(Token::End) | None if !words.is_empty() => match words.as_slice() {
                    ["option", name, values @ ..] => {
                        if let Some((code, value)) = self.option(line, name, values) {
                            around.options.insert(code, value.clone());
                            own.insert(code, value);
                        }
                    }
                    ["range", rest @ ..] => self.range(line, rest, &mut ranges),
                    _ => self.statement(line, &words, &around),
                },
                Some(Token::End) => {}
                Some(Token::Close) | None => break,
                Some(Token::Word(_) | Token::Text(_)) => {}
            }
        }
        self.settle(&around, &own, ranges, depth);
        own
    }

    fn settle(&mut self, around: &Around, own: &OptionSet, ranges: Vec<(usize, Ipv4Addr, Ipv4Addr)>, depth: usize) {
        let Some(network) = around.subnet else {
            if depth == 0 {
                self.taken.options.extend(own.clone());
            }
            return;
        };
        if !around.is_pool {
            self.taken.subnet(network).options.extend(own.clone());
        }
        for (line, first, last) in ranges {
            let options = if around.is_pool { own.clone() } else { OptionSet::new() };
            self.taken.pool(Some(line), network, AddressRange { first, last }, options);
        }
    }

    fn opened(&mut self, line: usize, words: &[&str], around: &Around, depth: usize) {
        if depth >= DEPTH_MAX {
            self.taken.skip(Some(line), words.join(" "), "It stands too deep inside other blocks.");
            return self.skip_block();
        }
        match words {
            ["subnet", address, "netmask", mask, ..] => {
                let network = address.parse::<Ipv4Addr>().ok().zip(mask.parse::<Ipv4Addr>().ok());
                match network.and_then(|(address, mask)| Ipv4Net::with_netmask(address, mask).ok()) {
                    Some(network) => {
                        self.taken.subnet(network).options.extend(around.options.clone());
                        // Laid down above; what is set inside comes over it.
                        let inside = Around { subnet: Some(network.trunc()), options: OptionSet::new(), is_pool: false };
                        self.block(&inside, depth + 1);
                    }
                    None => {
                        self.taken.skip(Some(line), words.join(" "), "It is not an IPv4 network.");
                        self.skip_block();
                    }
                }
            }
            ["pool", ..] => {
                self.block(&Around { is_pool: true, options: OptionSet::new(), ..around.clone() }, depth + 1);
            }
            ["group", ..] => {
                self.block(&Around { options: grouped(around, depth), ..around.clone() }, depth + 1);
            }
            ["shared-network", name, ..] => {
                self.taken.assume(Some(line), format!("shared-network {name}"), "Its subnets come in one by one.");
                self.block(&Around { options: grouped(around, depth), ..around.clone() }, depth + 1);
            }
            ["host", name, ..] => self.host(line, name, around, depth),
            _ => {
                let why = match words.first().copied().unwrap_or_default() {
                    "class" | "subclass" => "Classes of clients are not there here.",
                    "if" | "elsif" | "else" | "switch" | "on" => "Conditions are not there here.",
                    "failover" => "For high availability, pair two twinleases.",
                    "zone" | "key" => "Names are not written into DNS here.",
                    "subnet6" | "host6" => "It is IPv6, which is not served.",
                    _ => "There is nothing like it here.",
                };
                self.taken.skip(Some(line), words.join(" "), why);
                self.skip_block();
            }
        }
    }

    fn host(&mut self, line: usize, name: &str, around: &Around, depth: usize) {
        let mut kept = Kept { name: Some(name), options: around.options.clone(), ..Kept::default() };
        if depth == 0 || around.subnet.is_some() && !around.is_pool {
            // Those of everybody and of the subnet reach the device anyway.
            kept.options = OptionSet::new();
        }
        let (mut mac, mut address, mut told) = (None, None, None);
        while self.at < self.tokens.len() {
            let line = self.tokens[self.at].0;
            let begin = self.at;
            while matches!(self.tokens.get(self.at), Some((_, Token::Word(_) | Token::Text(_)))) {
                self.at += 1;
            }
            let statement: Vec<String> = self.tokens[begin..self.at].iter().map(|(_, token)| token.said()).collect();
            let words: Vec<&str> = statement.iter().map(String::as_str).collect();
            let end = self.tokens.get(self.at).map(|(_, token)| token);
            self.at += 1;
            match words.as_slice() {
                ["hardware", "ethernet", given] => mac = Some(given.to_string()),
                ["hardware", kind, ..] => {
                    self.taken.skip(Some(line), format!("hardware {kind} of {name}"), "Only Ethernet is read.")
                }
                ["fixed-address", given, rest @ ..] => {
                    address = Some(given.trim_end_matches(',').to_string());
                    if !rest.is_empty() {
                        self.taken.assume(Some(line), words.join(" "), "A device has one kept address; the first is taken.");
                    }
                }
                ["option", "host-name", given, ..] => told = Some(given.to_string()),
                ["option", "dhcp-client-identifier", given, ..] => kept.client_id = client_id(given),
                ["option", option, values @ ..] => {
                    let option = self.option(line, option, values);
                    kept.options.extend(option);
                }
                ["filename", given] => kept.options.extend(self.taken.option(Some(line), "boot-file", given)),
                ["next-server", given] => kept.options.extend(self.taken.option(Some(line), "tftp-server-name", given)),
                [] => {}
                _ => self.taken.skip(Some(line), format!("{} of {name}", words.join(" ")), "There is nothing like it here."),
            }
            match end {
                Some(Token::Open) => self.skip_block(),
                Some(Token::End | Token::Word(_) | Token::Text(_)) => {}
                Some(Token::Close) | None => break,
            }
        }
        kept.name = told.as_deref().or(kept.name);
        let kept = Kept { mac: mac.as_deref(), address: address.as_deref(), ..kept };
        self.taken.keep(Some(line), kept);
    }

    fn statement(&mut self, line: usize, words: &[&str], around: &Around) {
        let seconds = |text: &str| text.parse::<u64>().ok().map(Duration::from_secs);
        let lease: &mut LeaseOverrides = match around.subnet {
            Some(network) => &mut self.taken.subnet(network).lease,
            None => &mut self.taken.lease,
        };
        match words {
            ["default-lease-time", secs] => lease.default = seconds(secs),
            ["max-lease-time", secs] => lease.max = seconds(secs),
            ["min-lease-time", secs] => lease.min = seconds(secs),
            ["authoritative"] => self.taken.authoritative = Some(true),
            ["not", "authoritative"] => self.taken.authoritative = Some(false),
            ["filename", value] | ["next-server", value] => {
                let name = if words[0] == "filename" { "boot-file" } else { "tftp-server-name" };
                let option = self.taken.option(Some(line), name, value);
                match around.subnet {
                    Some(network) => self.taken.subnet(network).options.extend(option),
                    None => self.taken.options.extend(option),
                }
            }
            ["include", file, ..] => {
                self.taken.skip(Some(line), format!("include {file}"), "It names another file. Import that one as well.")
            }
            ["ddns-update-style" | "ddns-updates" | "update-static-leases" | "ddns-domainname" | "ddns-rev-domainname", ..] => {
                self.taken.skip(Some(line), words.join(" "), "Names are not written into DNS here.");
            }
            ["log-facility" | "lease-file-name" | "pid-file-name" | "server-name" | "server-identifier" | "local-port", ..] => {
                self.taken.skip(Some(line), words.join(" "), "It has no counterpart here, and none is needed.");
            }
            ["allow" | "deny" | "ignore", ..] => {
                self.taken.skip(Some(line), words.join(" "), "Every device is answered here.");
            }
            _ => self.taken.skip(Some(line), words.join(" "), "There is nothing like it here."),
        }
    }

    fn range(&mut self, line: usize, words: &[&str], ranges: &mut Vec<(usize, Ipv4Addr, Ipv4Addr)>) {
        let words = words.strip_prefix(&["dynamic-bootp"]).unwrap_or(words);
        let first = words.first().and_then(|word| word.parse().ok());
        let last = words.get(1).map_or(first, |word| word.parse().ok());
        match first.zip(last) {
            Some((first, last)) => ranges.push((line, first, last)),
            None => self.taken.skip(Some(line), format!("range {}", words.join(" ")), "It is no range of IPv4 addresses."),
        }
    }

    fn option(&mut self, line: usize, name: &str, values: &[&str]) -> Option<(u8, crate::settings::options::OptionValue)> {
        if values.first() == Some(&"code") || name == "space" {
            return None;
        }
        if values.first() == Some(&"=") {
            self.taken.skip(Some(line), format!("option {name}"), "Its value is computed there. Set it by hand.");
            return None;
        }
        // ISC writes classless routes as single numbers; only our notation is understood.
        let text = values.iter().map(|word| word.trim_end_matches(',')).collect::<Vec<_>>().join(" ");
        let name = name.strip_prefix("dhcp.").unwrap_or(name);
        let text = if values.iter().any(|word| word.ends_with(',')) { text.replace(' ', ", ") } else { text };
        self.taken.option(Some(line), name, &text)
    }

    /// `option NAME code N = TYPE;`
    fn definitions(&mut self) {
        for (at, (line, token)) in self.tokens.iter().enumerate() {
            if token.said() != "option" || !matches!(token, Token::Word(_)) {
                continue;
            }
            let words: Vec<String> = self.tokens[at + 1..]
                .iter()
                .take(12)
                .take_while(|(_, token)| *token != Token::End)
                .map(|(_, token)| token.said())
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let [name, "code", code, "=", kind @ ..] = words.as_slice() else { continue };
            let Ok(code) = code.parse::<u8>() else { continue };
            let kind = match kind {
                ["array", "of", "ip-address"] => OptionKind::IpList,
                ["array", "of", "unsigned", "integer", "16"] => OptionKind::U16List,
                ["ip-address"] => OptionKind::Ip,
                ["text"] => OptionKind::Text,
                ["string"] => OptionKind::Hex,
                ["boolean" | "flag"] => OptionKind::Bool,
                ["unsigned", "integer", "8"] => OptionKind::U8,
                ["unsigned", "integer", "16"] => OptionKind::U16,
                ["unsigned", "integer", "32"] => OptionKind::U32,
                ["signed", "integer", "32"] | ["integer", "32"] => OptionKind::I32,
                _ => {
                    self.taken.skip(
                        Some(*line),
                        format!("option {name} code {code}"),
                        "An option of this type is set as raw bytes by hand.",
                    );
                    continue;
                }
            };
            if crate::settings::dictionary::entry(code).is_none() && crate::settings::dictionary::governed(code).is_none() {
                let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
                self.taken.custom_options.push(OptionDefinition { code, name, kind });
            }
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 1;
        while depth > 0 && self.at < self.tokens.len() {
            match self.tokens[self.at].1 {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                Token::Word(_) | Token::Text(_) | Token::End => {}
            }
            self.at += 1;
        }
    }
}

/// What the hosts and subnets of a group get; at the top, what everybody gets is not repeated.
fn grouped(around: &Around, depth: usize) -> OptionSet {
    if depth == 0 { OptionSet::new() } else { around.options.clone() }
}

fn client_id(text: &str) -> Option<Vec<u8>> {
    if text.contains(':') { read_hex(text).ok() } else { read_id(&format!("text:{text}")).ok() }
}

impl Token {
    fn said(&self) -> String {
        match self {
            Token::Word(word) | Token::Text(word) => word.clone(),
            Token::Open => "{".into(),
            Token::Close => "}".into(),
            Token::End => ";".into(),
        }
    }
}

/// With the line of each. A comma stays at the end of its word.
fn tokens(text: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                '#' => break,
                c if c.is_whitespace() => continue,
                '{' => Token::Open,
                '}' => Token::Close,
                ';' => Token::End,
                '"' => {
                    let mut said = String::new();
                    while let Some(c) = chars.next().filter(|c| *c != '"') {
                        said.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
                    }
                    if chars.next_if_eq(&',').is_some() {
                        said.push(',');
                    }
                    Token::Text(said)
                }
                first => {
                    let mut word = String::from(first);
                    while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '{' | '}' | ';' | '"' | '#')) {
                        word.push(c);
                        if c == ',' {
                            break;
                        }
                    }
                    if word == "," {
                        if let Some((_, Token::Word(before) | Token::Text(before))) = tokens.last_mut() {
                            before.push(',');
                        }
                        continue;
                    }
                    Token::Word(cut(&word, 1000).to_string())
                }
            };
            tokens.push((number, token));
        }
    }
    tokens
}
