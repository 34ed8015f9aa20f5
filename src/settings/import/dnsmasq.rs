//! dnsmasq.conf, its `dhcp-host` files, and the files of the same kind that Pi-hole writes.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use super::taken::{Kept, Taken, cut, lease_time};
use crate::settings::{AddressRange, options::OptionSet, words::read_id};

/// Options and lease times that wait until all ranges are known.
#[derive(Default)]
struct Waiting {
    /// Options for clients with this tag.
    tagged: Vec<(usize, String, String)>,
    /// Which networks a `dhcp-range` puts under a tag.
    tags: BTreeMap<String, Vec<Ipv4Net>>,
    lease: Vec<Duration>,
}

pub fn read(text: &str, taken: &mut Taken) {
    let mut waiting = Waiting::default();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let line = without_comment(line);
        if line.is_empty() {
            continue;
        }
        let (key, value) = line.split_once('=').map_or((line, ""), |(key, value)| (key.trim(), value.trim()));
        match key.trim_start_matches("--") {
            "dhcp-range" => range(number, value, taken, &mut waiting),
            "dhcp-host" => host(number, value, taken),
            "dhcp-option" | "dhcp-option-force" => option(number, value, taken, &mut waiting),
            "dhcp-authoritative" => taken.authoritative = Some(true),
            "dhcp-rapid-commit" => taken.rapid_commit = Some(true),
            "dhcp-boot" => boot(number, value, taken),
            "domain" => domain(number, value, taken),
            "dhcp-hostsfile" | "dhcp-optsfile" | "dhcp-hostsdir" | "dhcp-optsdir" | "conf-file" | "conf-dir" => {
                taken.skip(Some(number), line, "It names another file. Import that one as well.");
            }
            "dhcp-lease-max" | "dhcp-leasefile" | "dhcp-script" | "dhcp-no-override" | "dhcp-sequential-ip" => {
                taken.skip(Some(number), line, "It has no counterpart here, and none is needed.");
            }
            key if key.starts_with("dhcp-") || key.starts_with("pxe-") || key.starts_with("tag-if") => {
                taken.skip(Some(number), line, "There is nothing like it here.");
            }
            _ if looks_like_host(line) => host(number, line, taken),
            _ => taken.elsewhere += 1,
        }
    }
    settle(taken, waiting);
}

/// A line of a hosts file: begins with a MAC, or `id:`.
pub(super) fn looks_like_host(line: &str) -> bool {
    let first = line.split(',').next().unwrap_or_default().trim();
    line.contains(',') && (first.starts_with("id:") || is_mac(first))
}

fn is_mac(text: &str) -> bool {
    text.contains(':') && crate::settings::words::read_mac(text.strip_prefix("1-").unwrap_or(text)).is_ok()
}

/// `#` begins a comment at the start of a line and behind a blank.
fn without_comment(line: &str) -> &str {
    let begin = line.char_indices().find(|(at, c)| *c == '#' && line[..*at].chars().next_back().is_none_or(char::is_whitespace));
    line[..begin.map_or(line.len(), |(at, _)| at)].trim()
}

fn range(number: usize, value: &str, taken: &mut Taken, waiting: &mut Waiting) {
    let line = Some(number);
    let mut words: Vec<&str> = value.split(',').map(str::trim).collect();
    let mut tags = Vec::new();
    while let Some(word) = words.first() {
        if let Some(tag) = word.strip_prefix("set:").or_else(|| word.strip_prefix("net:")) {
            tags.push(tag.to_string());
        } else if !word.starts_with("tag:") && !word.starts_with("interface:") {
            break;
        }
        words.remove(0);
    }
    let Some(first) = words.first() else {
        return taken.skip(line, format!("dhcp-range={value}"), "It has no address.");
    };
    if first.contains(':') {
        return taken.skip(line, format!("dhcp-range={value}"), "It is IPv6, which is not served.");
    }
    let Ok(first) = first.parse::<Ipv4Addr>() else {
        return taken.skip(line, format!("dhcp-range={value}"), "It does not begin with an address.");
    };
    let (mut last, mut prefix, mut is_static) = (first, None, false);
    let mut rest = &words[1..];
    match rest.first().copied() {
        Some("static") => is_static = true,
        Some("proxy") => return taken.skip(line, format!("dhcp-range={value}"), "Proxy-DHCP for network boot is not served."),
        Some(word) => match word.parse::<Ipv4Addr>() {
            Ok(address) => last = address,
            Err(_) => is_static = true,
        },
        None => is_static = true,
    }
    if last != first || rest.first().is_some_and(|word| word.parse::<Ipv4Addr>().is_ok() || *word == "static") {
        rest = &rest[1..];
    }
    if rest.first() == Some(&"static") {
        is_static = true;
        rest = &rest[1..];
    }
    for word in rest {
        match word.parse::<Ipv4Addr>() {
            Ok(mask) if prefix.is_none() => match ipnet::ipv4_mask_to_prefix(mask) {
                Ok(length) => prefix = Some(length),
                Err(_) => return taken.skip(line, format!("dhcp-range={value}"), format!("{mask} is no netmask.")),
            },
            // The broadcast address follows from the network.
            Ok(_) => {}
            Err(_) if *word == "proxy" || word.is_empty() => {}
            Err(_) => waiting.lease.extend(lease_time(taken, line, word)),
        }
    }
    let length = prefix.unwrap_or_else(|| {
        taken.assume(line, format!("dhcp-range={value}"), "It has no netmask; 255.255.255.0 is taken.");
        24
    });
    let Ok(network) = Ipv4Net::new(first, length) else { return };
    let network = network.trunc();
    if !network.contains(&last) {
        return taken.skip(line, format!("dhcp-range={value}"), format!("It leaves the network {network}."));
    }
    taken.subnet(network);
    if !is_static {
        taken.pool(line, network, AddressRange { first, last }, OptionSet::new());
    }
    for tag in tags {
        waiting.tags.entry(tag).or_default().push(network);
    }
}

fn host(number: usize, value: &str, taken: &mut Taken) {
    let line = Some(number);
    let told = format!("dhcp-host={}", cut(value, 100));
    let mut kept = Kept::default();
    let (mut macs, mut extra) = (0, false);
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if word == "ignore" {
            return taken.skip(line, told, "It refuses a device. Here every device is answered.");
        } else if let Some(id) = word.strip_prefix("id:") {
            if id == "*" {
                continue;
            }
            kept.client_id = read_id(id).or_else(|_| read_id(&format!("text:{id}"))).ok();
        } else if word.starts_with("set:") || word.starts_with("tag:") || word.starts_with("net:") {
            extra = true;
        } else if is_mac(word) {
            macs += 1;
            kept.mac = kept.mac.or(Some(word));
        } else if word.contains('*') && word.contains(':') {
            return taken.skip(line, told, "Its MAC has a `*`. Keep an address for each device by itself.");
        } else if word.starts_with('[') {
            continue;
        } else if word.parse::<Ipv4Addr>().is_ok() {
            kept.address = kept.address.or(Some(word));
        } else if word == "infinite"
            || crate::settings::words::read_duration(word).is_ok() && !word.bytes().all(|b| b.is_ascii_digit())
        {
            taken.assume(line, word, "A kept address has the lease time of its subnet.");
        } else {
            kept.name = kept.name.or(Some(word));
        }
    }
    if macs > 1 {
        taken.assume(
            line,
            &told,
            "It names several MACs; the address is kept for the first. Two devices with one address would clash.",
        );
    }
    if extra {
        taken.assume(line, &told, "Its tag is left out.");
    }
    taken.keep(line, kept);
}

fn option(number: usize, value: &str, taken: &mut Taken, waiting: &mut Waiting) {
    let line = Some(number);
    let mut rest = value.trim();
    let mut tag = None;
    loop {
        let (word, after) = rest.split_once(',').unwrap_or((rest, ""));
        let word = word.trim();
        if let Some(name) = word.strip_prefix("tag:").or_else(|| word.strip_prefix("net:")) {
            if tag.replace(name.to_string()).is_some() {
                return taken.skip(line, format!("dhcp-option={value}"), "It depends on two tags.");
            }
        } else if ["vendor:", "encap:", "vi-encap:", "cpewan-id:"].iter().any(|begin| word.starts_with(begin)) {
            return taken.skip(
                line,
                format!("dhcp-option={value}"),
                "Options for one vendor's devices are set as `vendor` by hand.",
            );
        } else {
            break;
        }
        rest = after.trim_start();
    }
    if rest.starts_with("option6:") {
        return taken.skip(line, format!("dhcp-option={value}"), "It is for IPv6, which is not served.");
    }
    match tag {
        Some(tag) => waiting.tagged.push((number, tag, rest.to_string())),
        None => {
            if let Some((code, value)) = one_option(number, rest, taken) {
                taken.options.insert(code, value);
            }
        }
    }
}

fn one_option(number: usize, text: &str, taken: &mut Taken) -> Option<(u8, crate::settings::options::OptionValue)> {
    let (name, value) = text.split_once(',').unwrap_or((text, ""));
    let name = name.trim().trim_start_matches("option:");
    let value = value.trim().trim_matches('"');
    if value.is_empty() {
        taken.skip(
            Some(number),
            format!("option {name}"),
            "It has no value: it keeps a default of dnsmasq from being sent. None is sent here.",
        );
        return None;
    }
    if value.split(',').any(|address| address.trim() == "0.0.0.0") && !matches!(name, "121" | "classless-static-route" | "249") {
        taken.skip(
            Some(number),
            format!("option {name} {value}"),
            "0.0.0.0 stands for the machine that dnsmasq runs on. Set its address by hand.",
        );
        return None;
    }
    taken.option(Some(number), name, value)
}

fn boot(number: usize, value: &str, taken: &mut Taken) {
    if value.contains("tag:") {
        return taken.skip(Some(number), format!("dhcp-boot={value}"), "It depends on a tag.");
    }
    let mut words = value.split(',').map(str::trim);
    let names = ["boot-file", "tftp-server-name"];
    let file = words.next().unwrap_or_default();
    let (server, address) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let server = if address.is_empty() { server } else { address };
    for (name, value) in names.into_iter().zip([file, server]).filter(|(_, value)| !value.is_empty()) {
        if let Some((code, value)) = taken.option(Some(number), name, value) {
            taken.options.insert(code, value);
        }
    }
}

fn domain(number: usize, value: &str, taken: &mut Taken) {
    let (domain, network) = value.split_once(',').map_or((value, None), |(domain, rest)| (domain, Some(rest)));
    if domain.trim() == "#" {
        return taken.skip(Some(number), format!("domain={value}"), "It is read from resolv.conf there. Set `domain` by hand.");
    }
    if let Some((code, option)) = taken.option(Some(number), "domain", domain) {
        match network.and_then(|text| text.split(',').next()).and_then(|text| text.trim().parse::<Ipv4Net>().ok()) {
            Some(network) if taken.subnets.contains_key(&network.trunc()) => {
                drop(taken.subnet(network).options.insert(code, option))
            }
            Some(_) => taken.skip(Some(number), format!("domain={value}"), "It is for a network that has no dhcp-range above."),
            None => drop(taken.options.insert(code, option)),
        }
    }
}

fn settle(taken: &mut Taken, waiting: Waiting) {
    let Waiting { tagged, tags, lease } = waiting;
    for (number, tag, text) in tagged {
        let networks = tags.get(&tag).cloned().unwrap_or_default();
        if networks.is_empty() {
            taken.skip(Some(number), format!("dhcp-option=tag:{tag},{text}"), "Its tag belongs to no dhcp-range.");
        } else if let Some((code, value)) = one_option(number, &text, taken) {
            for network in networks {
                taken.subnet(network).options.insert(code, value.clone());
            }
        }
    }
    // One range's time goes for all, as one for each is rare.
    taken.lease.default = lease.first().copied().or(taken.lease.default);
    if lease.iter().any(|time| Some(time) != lease.first()) {
        taken.assume(None, "lease times of the ranges", "They differ; the first one goes for all.");
    }
    // A router that one subnet alone can reach is that subnet's.
    for code in [3] {
        let Some(crate::settings::options::OptionValue::IpList(routers)) = taken.options.get(&code).cloned() else { continue };
        let Some(network) = routers.first().and_then(|router| taken.subnet_of(*router)) else { continue };
        let value = taken.options.remove(&code);
        taken.subnet(network).options.extend(value.map(|value| (code, value)));
    }
}
