//! Mail, by SMTP to the server that the admin named.

use std::{error::Error, time::Duration};

use lettre::{
    Message as Letter, SmtpTransport, Transport,
    message::{Mailbox, Mailboxes},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};

use super::Message;
use crate::settings::alerts::{Mail, MailTls};

/// For each step of the conversation.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn send(mail: &Mail, message: &Message) -> Result<String, String> {
    let server = &mail.server;
    let letter = letter(mail, message)?;
    let parameters = || {
        TlsParameters::new(server.clone())
            .map_err(|_| format!("`{server}` is no name that a mail server can prove to be its own."))
    };
    let tls = match mail.tls {
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::Tls => Tls::Wrapper(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut transport = SmtpTransport::builder_dangerous(server).port(mail.port).tls(tls).timeout(Some(PATIENCE));
    if let (Some(user), Some(password)) = (&mail.user, &mail.password) {
        transport = transport.credentials(Credentials::new(user.clone(), password.clone()));
    }
    match transport.build().send(&letter) {
        Ok(_) => Ok(format!("The mail server {server} has taken it for {}.", mail.to)),
        Err(error) => {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            let kind = if error.is_timeout() {
                "did not answer in time"
            } else if error.is_permanent() || error.is_transient() {
                "refuses it"
            } else if error.is_tls() {
                "does not prove who it is"
            } else {
                "cannot be talked to"
            };
            Err(format!("The mail server {server}, port {}, {kind}{source}.", mail.port))
        }
    }
}

fn letter(mail: &Mail, message: &Message) -> Result<Letter, String> {
    let wrong = |what: &str| format!("`{what}` is no mail address. Write it like dhcp@example.org.");
    let from: Mailbox = mail.from.parse().map_err(|_| wrong(&mail.from))?;
    let to: Mailboxes = mail.to.parse().map_err(|_| wrong(&mail.to))?;
    let mut letter = Letter::builder().from(from).subject(format!("[twinlease] {}", message.title)).message_id(None);
    for mailbox in to {
        letter = letter.to(mailbox);
    }
    let Message { text, node, at, since, .. } = message;
    let since = if since == at { String::new() } else { format!("Since: {since}\n") };
    let body = format!("{text}\n\nTold by: {node}\nAt: {at}\n{since}");
    letter.body(body).map_err(|error| format!("The mail cannot be written ({error})."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::alerts::receivers::{SmtpServer, silence};

    fn settings(port: u16) -> Mail {
        Mail {
            server: "127.0.0.1".into(),
            port,
            tls: MailTls::None,
            user: None,
            password: None,
            from: "dhcp@example.org".into(),
            to: "me@example.org, you@example.org".into(),
        }
    }

    fn message() -> Message {
        Message::test("pi-a", "2026-01-01T00:00:00Z".into())
    }

    #[test]
    fn a_mail_arrives_with_its_subject_and_for_everybody_named() {
        let server = SmtpServer::start("250 taken");
        send(&settings(server.port), &message()).expect("it takes it");
        let said = server.said();
        assert!(said.contains("MAIL FROM:<dhcp@example.org>"), "{said}");
        assert!(said.contains("RCPT TO:<me@example.org>") && said.contains("RCPT TO:<you@example.org>"), "{said}");
        assert!(said.contains("Subject: [twinlease] pi-a: this is a test"), "{said}");
        assert!(said.contains("Nothing is wrong."), "{said}");
    }

    #[test]
    fn a_title_can_add_no_header() {
        let evil = Message { title: "x\r\nBcc: thief@example.org\r\n".into(), ..message() };
        let server = SmtpServer::start("250 taken");
        // Refused or made harmless.
        let _ = send(&settings(server.port), &evil);
        assert!(!server.said().lines().any(|line| line.starts_with("Bcc:")));
    }

    #[test]
    fn a_refusal_and_a_silence_are_sentences() {
        let server = SmtpServer::start("550 no such user");
        let refusal = send(&settings(server.port), &message()).expect_err("it refuses");
        assert!(refusal.contains("refuses it") && refusal.contains("no such user"), "{refusal}");
        let nobody = send(&settings(silence().port()), &message()).expect_err("nobody is there");
        assert!(nobody.contains("cannot be talked to"), "{nobody}");
        let insists = send(&Mail { tls: MailTls::Starttls, ..settings(server.port) }, &message());
        assert!(insists.is_err(), "a server without TLS is not told in the clear");
        assert!(send(&Mail { to: "nobody".into(), ..settings(1) }, &message()).is_err_and(|why| why.contains("`nobody`")));
    }
}
