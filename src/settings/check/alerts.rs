//! Whether alerts can go where the settings say.

use crate::settings::alerts::{Alerts, Mail, Ntfy, Syslog, Webhook};

const LONGEST_URL_BYTES: usize = 2048;
/// RFC 1035.
const LONGEST_HOST_BYTES: usize = 253;
const LONGEST_TEXT_BYTES: usize = 255;

/// Each as a sentence.
pub(super) fn troubles(alerts: &Alerts) -> Vec<String> {
    let Alerts { quiet: _, pool_percent, webhook, ntfy, mail, syslog } = alerts;
    let mut troubles = Vec::new();
    if !(1..=100).contains(pool_percent) {
        troubles.push(format!("`pool-percent` in [alerts] is {pool_percent}. Choose 1 to 100."));
    }
    if let Some(Webhook { url }) = webhook {
        troubles.extend(url_trouble("[alerts.webhook]", url));
    }
    if let Some(Ntfy { url, topic, token }) = ntfy {
        troubles.extend(url_trouble("[alerts.ntfy]", url));
        let is_topic = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if topic.is_empty() || topic.len() > 64 || !topic.bytes().all(is_topic) {
            let shown = topic.escape_debug();
            troubles.push(format!(
                "`topic` in [alerts.ntfy] is `{shown}`. Write 1 to 64 letters, digits, `-` and `_`, as it stands behind the server's name."
            ));
        }
        // It is a header's value.
        if token.as_ref().is_some_and(|token| !is_line(token) || !token.is_ascii()) {
            troubles.push("`token` in [alerts.ntfy] is none. Copy it again, without blanks, like tk_…; or leave it out.".into());
        }
    }
    if let Some(mail) = mail {
        mail_troubles(mail, &mut troubles);
    }
    if let Some(Syslog { host, port, .. }) = syslog {
        troubles.extend(host_trouble("host", "[alerts.syslog]", host));
        troubles.extend(port_trouble("[alerts.syslog]", *port));
    }
    troubles
}

fn mail_troubles(mail: &Mail, troubles: &mut Vec<String>) {
    const OF: &str = "[alerts.mail]";
    let Mail { server, port, tls: _, user, password, from, to } = mail;
    troubles.extend(host_trouble("server", OF, server));
    troubles.extend(port_trouble(OF, *port));
    if user.is_some() != password.is_some() {
        let (there, missing) = if user.is_some() { ("user", "password") } else { ("password", "user") };
        troubles.push(format!("{OF} has a `{there}`, but no `{missing}`. Write both, or neither."));
    }
    if user.as_ref().is_some_and(|user| !is_line(user)) {
        troubles.push(format!("`user` in {OF} is empty or too long. Write the name to sign in with at the mail server."));
    }
    if password.as_ref().is_some_and(|password| !is_line(password)) {
        troubles.push(format!("`password` in {OF} is empty or too long. Write the one that goes with `user`."));
    }
    for (key, address) in [("from", from), ("to", to)] {
        let parts = address.split_once('@');
        let is_address = is_line(address)
            && !address.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"'))
            && parts.is_some_and(|(name, host)| !name.is_empty() && !host.contains('@') && is_host(host));
        if !is_address {
            troubles.push(format!(
                "`{key}` in {OF} is `{}`, which is no mail address. Write one, like me@example.org.",
                address.escape_debug()
            ));
        }
    }
}

fn url_trouble(of: &str, url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    // Who is asked is what stands before the path; a name and password may stand before the host.
    let host =
        rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(rest)).map(|host| host.rsplit('@').next().unwrap_or(host));
    let is_sound = url.len() <= LONGEST_URL_BYTES
        && url.bytes().all(|byte| byte.is_ascii_graphic())
        && host.is_some_and(|host| {
            let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((v6, port)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => ("ipv6", port),
                Some(_) => ("", ""),
                None => host.split_at(host.find(':').unwrap_or(host.len())),
            };
            let port_is_sound =
                port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
            is_host(name) && port_is_sound
        });
    // Not shown: it is often a secret as a whole.
    (!is_sound).then(|| {
        format!("`url` in {of} cannot be asked. Write it with http:// or https:// in front, like https://example.org/x.")
    })
}

fn host_trouble(key: &str, of: &str, host: &str) -> Option<String> {
    let is_sound = is_host(host) || host.parse::<std::net::Ipv6Addr>().is_ok();
    (!is_sound).then(|| {
        let shown = host.escape_debug();
        format!(
            "`{key}` in {of} is `{shown}`, which is neither a name nor an address. Write one, like log.example.org or 192.0.2.5."
        )
    })
}

fn port_trouble(of: &str, port: u16) -> Option<String> {
    (port == 0).then(|| format!("`port` in {of} is 0. Choose 1 to 65535."))
}

fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= LONGEST_HOST_BYTES && name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_TEXT_BYTES && !text.chars().any(char::is_control)
}
