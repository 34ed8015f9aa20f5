//! The section `[alerts]`, as `parse` reads it back.

use std::fmt::Write;

use super::{commented, quoted};
use crate::settings::alerts::{Alerts, Mail, MailTls, Ntfy, Syslog, SyslogProtocol, Webhook};

pub(super) fn alerts(file: &mut String, alerts: &Alerts) {
    let Alerts { quiet, pool_percent, webhook, ntfy, mail, syslog } = alerts;
    file.push('\n');
    if alerts.has_channel() {
        file.push_str("# This section may hold passwords: keep the file to yourself.\n");
    }
    file.push_str("[alerts]\n");
    commented(file, &format!("quiet = {quiet}"), "true: the channels stay, and no alert goes out");
    commented(file, &format!("pool-percent = {pool_percent}"), "from here on a pool counts as nearly full");
    if let Some(Webhook { url }) = webhook {
        let _ = writeln!(file, "\n[alerts.webhook]\nurl = {}", quoted(url));
    }
    if let Some(Ntfy { url, topic, token }) = ntfy {
        let _ = writeln!(file, "\n[alerts.ntfy]\nurl = {}\ntopic = {}", quoted(url), quoted(topic));
        line(file, "token", token.as_ref());
    }
    if let Some(mail) = mail {
        self::mail(file, mail);
    }
    if let Some(Syslog { host, port, protocol, log }) = syslog {
        let _ = writeln!(file, "\n[alerts.syslog]\nhost = {}\nport = {port}", quoted(host));
        let protocol = match protocol {
            SyslogProtocol::Udp => "udp",
            SyslogProtocol::Tcp => "tcp",
        };
        commented(file, &format!("protocol = \"{protocol}\""), "udp or tcp");
        commented(file, &format!("log = {log}"), "true: every line of the log goes there, too");
    }
}

fn mail(file: &mut String, mail: &Mail) {
    let Mail { server, port, tls, user, password, from, to } = mail;
    let _ = writeln!(file, "\n[alerts.mail]\nserver = {}\nport = {port}", quoted(server));
    let tls = match tls {
        MailTls::Starttls => "starttls",
        MailTls::Tls => "tls",
        MailTls::None => "none",
    };
    commented(file, &format!("tls = \"{tls}\""), "starttls, tls (from the first byte on) or none");
    line(file, "user", user.as_ref());
    line(file, "password", password.as_ref());
    let _ = writeln!(file, "from = {}\nto = {}", quoted(from), quoted(to));
}

fn line(file: &mut String, key: &str, value: Option<&String>) {
    if let Some(value) = value {
        let _ = writeln!(file, "{key} = {}", quoted(value));
    }
}
