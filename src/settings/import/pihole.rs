//! Pi-hole: pihole.toml (v6), setupVars.conf (v5), and its files in dnsmasq's own language.

use ipnet::Ipv4Net;
use toml_edit::{Document, Item};

use super::{
    dnsmasq,
    taken::{Kept, Taken, lease_time},
};
use crate::settings::{AddressRange, options::OptionSet};

pub fn read(text: &str, taken: &mut Taken) {
    let has = |begin: &str| text.lines().any(|line| line.trim_start().starts_with(begin));
    if has("dhcp-host=") || has("dhcp-range=") {
        dnsmasq::read(text, taken);
    } else if has("[dhcp]") || has("[dns]") {
        toml(text, taken);
    } else {
        setup_vars(text, taken);
    }
}

/// What the pool is made of.
#[derive(Default)]
struct Found {
    active: bool,
    start: String,
    end: String,
    router: String,
    netmask: String,
    domain: String,
    lease: String,
    line: Option<usize>,
}

fn toml(text: &str, taken: &mut Taken) {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map(|span| line_at(text, span.start));
            let why = format!("This is not valid TOML: {}. Correct it there.", error.message().replace('\n', " "));
            return taken.skip(line, "the whole file", why);
        }
    };
    let Some(dhcp) = document.get("dhcp").and_then(Item::as_table_like) else {
        return taken.skip(None, "the whole file", "It has no section [dhcp].");
    };
    let text_of = |key: &str| dhcp.get(key).and_then(Item::as_str).unwrap_or_default().to_string();
    let domain = document.get("dns").and_then(|dns| dns.get("domain")).or_else(|| dhcp.get("domain"));
    let domain = domain.and_then(|item| item.as_str().or_else(|| item.get("name").and_then(Item::as_str)));
    let found = Found {
        active: dhcp.get("active").and_then(Item::as_bool).unwrap_or(true),
        start: text_of("start"),
        end: text_of("end"),
        router: text_of("router"),
        netmask: text_of("netmask"),
        domain: domain.unwrap_or_default().into(),
        lease: text_of("leaseTime"),
        line: dhcp.get("start").and_then(Item::span).map(|span| line_at(text, span.start)),
    };
    pool(&found, taken);
    taken.rapid_commit = dhcp.get("rapidCommit").and_then(Item::as_bool);
    if dhcp.get("ipv6").and_then(Item::as_bool) == Some(true) {
        taken.skip(None, "dhcp.ipv6", "IPv6 is not served.");
    }
    let hosts = dhcp.get("hosts").and_then(Item::as_array);
    for host in hosts.into_iter().flatten() {
        let line = host.span().map_or(1, |span| line_at(text, span.start));
        match host.as_str() {
            Some(host) => one_host(line, host, taken),
            None => taken.skip(Some(line), "dhcp.hosts", "It is not a text."),
        }
    }
}

/// `MAC,IP,NAME`, as in dnsmasq's `dhcp-host`.
fn one_host(line: usize, host: &str, taken: &mut Taken) {
    let mut own = Taken::default();
    dnsmasq::read(&format!("dhcp-host={}", host.replace(['\n', '\r'], " ")), &mut own);
    for (_, kept) in own.reservations {
        let mac = crate::settings::words::show_identifier(&kept.identifier);
        let address = kept.address.to_string();
        let (client_id, mac) = match &kept.identifier {
            crate::settings::Identifier::ClientId(id) => (Some(id.clone()), None),
            crate::settings::Identifier::Mac(_) | crate::settings::Identifier::CircuitId(_) => (None, Some(mac.as_str())),
        };
        let kept = Kept {
            mac,
            client_id,
            address: Some(&address),
            name: kept.name.as_deref(),
            note: kept.note.as_deref(),
            ..Kept::default()
        };
        taken.keep(Some(line), kept);
    }
    for remark in own.skipped {
        taken.skip(Some(line), remark.what, remark.why);
    }
    for remark in own.assumed {
        taken.assume(Some(line), remark.what, remark.why);
    }
}

fn setup_vars(text: &str, taken: &mut Taken) {
    let mut found = Found { active: true, ..Found::default() };
    for (at, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches('"').to_string();
        match key.trim() {
            "DHCP_ACTIVE" => found.active = value == "true",
            "DHCP_START" => (found.start, found.line) = (value, Some(at + 1)),
            "DHCP_END" => found.end = value,
            "DHCP_ROUTER" => found.router = value,
            // Whole hours; 0 is without end.
            "DHCP_LEASETIME" => found.lease = if value == "0" { "infinite".into() } else { format!("{value}h") },
            "PIHOLE_DOMAIN" => found.domain = value,
            "DHCP_rapid_commit" => taken.rapid_commit = Some(value == "true"),
            "DHCP_IPv6" if value == "true" => taken.skip(Some(at + 1), "DHCP_IPv6", "IPv6 is not served."),
            _ => taken.elsewhere += 1,
        }
    }
    pool(&found, taken);
}

fn pool(found: &Found, taken: &mut Taken) {
    let Found { active, start, end, router, netmask, domain, lease, line } = found;
    if !domain.is_empty() {
        let option = taken.option(None, "domain", domain);
        taken.options.extend(option);
    }
    if !lease.is_empty() {
        taken.lease.default = lease_time(taken, None, lease);
    }
    if start.is_empty() && end.is_empty() {
        return;
    }
    if !active {
        taken.assume(*line, "the pool", "DHCP is switched off there; its pool comes in all the same.");
    }
    let (Ok(first), Ok(last)) = (start.parse(), end.parse()) else {
        return taken.skip(*line, format!("pool {start} to {end}"), "Its ends are not IPv4 addresses.");
    };
    let prefix = netmask.parse().ok().and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok()).filter(|prefix| *prefix > 0);
    if prefix.is_none() {
        taken.assume(*line, format!("pool {start} to {end}"), "It has no netmask; 255.255.255.0 is taken.");
    }
    let Ok(network) = Ipv4Net::new(first, prefix.unwrap_or(24)) else { return };
    if !network.contains(&last) {
        return taken.skip(*line, format!("pool {start} to {end}"), format!("It leaves the network {}.", network.trunc()));
    }
    taken.pool(*line, network.trunc(), AddressRange { first, last }, OptionSet::new());
    if !router.is_empty() {
        let option = taken.option(None, "router", router);
        taken.subnet(network).options.extend(option);
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
