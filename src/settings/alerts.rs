//! Where alerts go and when: channels of the four kinds, each of them optional.

use serde::{Deserialize, Serialize};

use super::MASK;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alerts {
    /// The channels stay as they are, and no alert goes out.
    pub quiet: bool,
    /// A pool counts as nearly full when so many of a hundred of its addresses are in use.
    pub pool_percent: u8,
    pub webhook: Option<Webhook>,
    pub ntfy: Option<Ntfy>,
    pub mail: Option<Mail>,
    pub syslog: Option<Syslog>,
}

/// JSON by POST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Often a secret as a whole.
    pub url: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ntfy {
    /// The server, without the topic.
    pub url: String,
    pub topic: String,
    /// `None`: the topic is open to everybody.
    pub token: Option<String>,
}

/// SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    pub server: String,
    pub port: u16,
    pub tls: MailTls,
    /// With `password`: both or neither.
    pub user: Option<String>,
    pub password: Option<String>,
    pub from: String,
    pub to: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Begins in the clear and insists on going over to TLS (port 587).
    Starttls,
    /// From the first byte on (port 465).
    Tls,
    None,
}

/// RFC 5424.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syslog {
    pub host: String,
    pub port: u16,
    pub protocol: SyslogProtocol,
    /// Every line of the log goes there, too, from each of the two.
    #[serde(default)]
    pub log: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyslogProtocol {
    Udp,
    Tcp,
}

pub const NTFY_URL: &str = "https://ntfy.sh";
pub const SYSLOG_PORT: u16 = 514;

impl Default for Alerts {
    fn default() -> Alerts {
        Alerts { quiet: false, pool_percent: 90, webhook: None, ntfy: None, mail: None, syslog: None }
    }
}

impl MailTls {
    /// Where nothing else is said.
    pub fn port(self) -> u16 {
        match self {
            MailTls::Starttls => 587,
            MailTls::Tls => 465,
            MailTls::None => 25,
        }
    }
}

impl Alerts {
    pub fn has_channel(&self) -> bool {
        self.webhook.is_some() || self.ntfy.is_some() || self.mail.is_some() || self.syslog.is_some()
    }

    /// As history has it.
    pub fn masked(&self) -> Alerts {
        let mut masked = self.clone();
        for secret in masked.secrets() {
            *secret = MASK.into();
        }
        masked
    }

    /// Puts the secrets of `now` where only their masks are left. False: there is one that `now` does not have.
    pub fn unmask(&mut self, now: &Alerts) -> bool {
        let (webhook, ntfy, mail) = (now.webhook.as_ref(), now.ntfy.as_ref(), now.mail.as_ref());
        let pairs = [
            (self.webhook.as_mut().map(|webhook| &mut webhook.url), webhook.map(|webhook| &webhook.url)),
            (self.ntfy.as_mut().and_then(|ntfy| ntfy.token.as_mut()), ntfy.and_then(|ntfy| ntfy.token.as_ref())),
            (self.mail.as_mut().and_then(|mail| mail.password.as_mut()), mail.and_then(|mail| mail.password.as_ref())),
        ];
        let mut is_whole = true;
        for (masked, secret) in pairs {
            match (masked, secret) {
                (Some(masked), Some(secret)) if masked == MASK => masked.clone_from(secret),
                (Some(masked), None) if masked == MASK => is_whole = false,
                (Some(_), _) | (None, _) => {}
            }
        }
        is_whole
    }

    fn secrets(&mut self) -> impl Iterator<Item = &mut String> {
        let webhook = self.webhook.as_mut().map(|webhook| &mut webhook.url);
        let token = self.ntfy.as_mut().and_then(|ntfy| ntfy.token.as_mut());
        let password = self.mail.as_mut().and_then(|mail| mail.password.as_mut());
        webhook.into_iter().chain(token).chain(password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_said_of_the_log_it_stays_here() {
        let before = r#"{"host":"192.0.2.5","port":514,"protocol":"udp"}"#;
        let syslog: Syslog =
            serde_json::from_str(before).expect("as it was stored, and as a twin of the version before tells it");
        assert!(!syslog.log);
        let told = serde_json::to_value(Syslog { log: true, ..syslog }).expect("plain data");
        assert_eq!(told["log"], true);
    }
}
