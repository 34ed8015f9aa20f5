//! The section `[alerts]` of the file, with a table for each channel.

use toml_edit::Value;

use super::reader::{Reader, Section, bool_of, describe_value, text_of};
use crate::settings::{
    alerts::{Alerts, Mail, MailTls, NTFY_URL, Ntfy, SYSLOG_PORT, Syslog, SyslogProtocol, Webhook},
    words::closest,
};

pub(super) const ALERTS_KEYS: &[&str] = &["quiet", "pool-percent", "webhook", "ntfy", "mail", "syslog"];
const WEBHOOK_KEYS: &[&str] = &["url"];
const NTFY_KEYS: &[&str] = &["url", "topic", "token"];
const MAIL_KEYS: &[&str] = &["server", "port", "tls", "user", "password", "from", "to"];
const SYSLOG_KEYS: &[&str] = &["host", "port", "protocol", "log"];

impl Reader {
    pub(super) fn alerts(&mut self, section: &Section) -> Alerts {
        self.refuse_unknown(section, ALERTS_KEYS, "[options]");
        let default = Alerts::default();
        Alerts {
            quiet: self.field(section, "quiet", bool_of).unwrap_or(default.quiet),
            pool_percent: self.field(section, "pool-percent", percent_of).unwrap_or(default.pool_percent),
            webhook: self.channel(section, "webhook", WEBHOOK_KEYS).and_then(|channel| self.webhook(&channel)),
            ntfy: self.channel(section, "ntfy", NTFY_KEYS).and_then(|channel| self.ntfy(&channel)),
            mail: self.channel(section, "mail", MAIL_KEYS).and_then(|channel| self.mail(&channel)),
            syslog: self.channel(section, "syslog", SYSLOG_KEYS).and_then(|channel| self.syslog(&channel)),
        }
    }

    fn channel<'t>(&mut self, alerts: &Section<'t>, key: &str, keys: &[&str]) -> Option<Section<'t>> {
        let section = Section { of: format!("[alerts.{key}]"), ..self.section(alerts, key)? };
        self.refuse_unknown(&section, keys, "[options]");
        Some(section)
    }

    fn webhook(&mut self, channel: &Section) -> Option<Webhook> {
        Some(Webhook { url: self.needed(channel, "url", "url = \"https://example.org/x\"", text)? })
    }

    fn ntfy(&mut self, channel: &Section) -> Option<Ntfy> {
        let url = self.field(channel, "url", text).unwrap_or_else(|| NTFY_URL.into());
        let topic = self.needed(channel, "topic", "topic = \"my-dhcp\"", text);
        let token = self.field(channel, "token", text);
        Some(Ntfy { url, topic: topic?, token })
    }

    fn mail(&mut self, channel: &Section) -> Option<Mail> {
        let server = self.needed(channel, "server", "server = \"mail.example.org\"", text);
        let tls = self.field(channel, "tls", tls_of).unwrap_or(MailTls::Starttls);
        let port = self.field(channel, "port", port_of).unwrap_or_else(|| tls.port());
        let user = self.field(channel, "user", text);
        let password = self.field(channel, "password", text);
        let from = self.needed(channel, "from", "from = \"dhcp@example.org\"", text);
        let to = self.needed(channel, "to", "to = \"me@example.org\"", text);
        Some(Mail { server: server?, port, tls, user, password, from: from?, to: to? })
    }

    fn syslog(&mut self, channel: &Section) -> Option<Syslog> {
        let host = self.needed(channel, "host", "host = \"192.0.2.5\"", text);
        let port = self.field(channel, "port", port_of).unwrap_or(SYSLOG_PORT);
        let protocol = self.field(channel, "protocol", protocol_of).unwrap_or(SyslogProtocol::Udp);
        let log = self.field(channel, "log", bool_of).unwrap_or(false);
        Some(Syslog { host: host?, port, protocol, log })
    }
}

fn text(value: &Value) -> Result<String, String> {
    Ok(text_of(value)?.to_string())
}

fn number(value: &Value, most: u16) -> Result<u16, String> {
    let Some(number) = value.as_integer() else {
        return Err(format!("It is {}. Write a whole number from 1 to {most}, without quotes.", describe_value(value)));
    };
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| format!("{number} is out of range. Write a whole number from 1 to {most}."))
}

fn port_of(value: &Value) -> Result<u16, String> {
    number(value, u16::MAX)
}

fn percent_of(value: &Value) -> Result<u8, String> {
    Ok(u8::try_from(number(value, 100)?).unwrap_or(100))
}

fn tls_of(value: &Value) -> Result<MailTls, String> {
    match text_of(value)? {
        "starttls" => Ok(MailTls::Starttls),
        "tls" => Ok(MailTls::Tls),
        "none" => Ok(MailTls::None),
        other => Err(not_possible(other, &["starttls", "tls", "none"])),
    }
}

fn protocol_of(value: &Value) -> Result<SyslogProtocol, String> {
    match text_of(value)? {
        "udp" => Ok(SyslogProtocol::Udp),
        "tcp" => Ok(SyslogProtocol::Tcp),
        other => Err(not_possible(other, &["udp", "tcp"])),
    }
}

fn not_possible(given: &str, possible: &[&str]) -> String {
    let shown = given.escape_debug();
    match closest(given, possible.iter().copied()) {
        Some(near) => format!("`{shown}` is not possible. Did you mean \"{near}\"?"),
        None => {
            let possible: Vec<String> = possible.iter().map(|one| format!("\"{one}\"")).collect();
            format!("`{shown}` is not possible. Write {}.", possible.join(" or "))
        }
    }
}
