//! The ways out of the house, and the words that take them.

use serde::Serialize;

use super::{mail, post, syslog};
use crate::{
    protocol::alerts::{Kind, Phase},
    settings::alerts::{Alerts, Mail, Ntfy, Syslog, Webhook},
};

/// Where an alert goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    Webhook(Webhook),
    Ntfy(Ntfy),
    Mail(Mail),
    Syslog(Syslog),
}

/// One alert in words, as JSON for the webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `test`, or what `Kind::name` says.
    pub event: &'static str,
    /// Tells several of one kind apart; often empty.
    pub subject: String,
    pub phase: Phase,
    pub urgent: bool,
    pub title: String,
    pub text: String,
    /// Who tells it.
    pub node: String,
    /// RFC 3339, by this node's clock.
    pub at: String,
    pub since: String,
    #[serde(skip)]
    pub kind: Kind,
}

impl Channel {
    /// Those that are set up.
    pub fn all(settings: &Alerts) -> Vec<Channel> {
        let webhook = settings.webhook.clone().map(Channel::Webhook);
        let ntfy = settings.ntfy.clone().map(Channel::Ntfy);
        let mail = settings.mail.clone().map(Channel::Mail);
        let syslog = settings.syslog.clone().map(Channel::Syslog);
        webhook.into_iter().chain(ntfy).chain(mail).chain(syslog).collect()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Channel::Webhook(_) => "webhook",
            Channel::Ntfy(_) => "ntfy",
            Channel::Mail(_) => "mail",
            Channel::Syslog(_) => "syslog",
        }
    }

    /// Blocks, for some ten seconds at most. The sentences say what happened, without any secret.
    pub fn send(&self, message: &Message) -> Result<String, String> {
        match self {
            Channel::Webhook(webhook) => post::webhook(webhook, message),
            Channel::Ntfy(ntfy) => post::ntfy(ntfy, message),
            Channel::Mail(mail) => mail::send(mail, message),
            Channel::Syslog(syslog) => syslog::send(syslog, message),
        }
    }
}

impl Message {
    /// From the button beside a channel.
    pub fn test(node: &str, at: String) -> Message {
        Message {
            event: "test",
            subject: String::new(),
            phase: Phase::Begins,
            urgent: false,
            title: format!("{node}: this is a test"),
            text: "Alerts of twinlease arrive here. Nothing is wrong.".into(),
            node: node.into(),
            since: at.clone(),
            at,
            kind: Kind::TwinSilent,
        }
    }

    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }
}
