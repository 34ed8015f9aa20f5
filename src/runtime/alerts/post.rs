//! Webhook and ntfy: JSON by POST. Only to where the admin said: no redirect is followed, no proxy asked.

use std::time::Duration;

use serde_json::json;
use ureq::{Agent, http::Uri};

use super::Message;
use crate::settings::alerts::{Ntfy, Webhook};

const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

pub fn webhook(webhook: &Webhook, message: &Message) -> Result<String, String> {
    let body = serde_json::to_value(message).map_err(|error| format!("The alert cannot be written as JSON ({error})."))?;
    post("The webhook", &webhook.url, None, &body)
}

/// As one message to the server, which knows the topic from it: titles of any script survive, as they would not in headers.
pub fn ntfy(ntfy: &Ntfy, message: &Message) -> Result<String, String> {
    let (priority, tag) = match (message.is_over(), message.urgent) {
        (true, _) => (3, "white_check_mark"),
        (false, true) => (5, "rotating_light"),
        (false, false) => (3, "warning"),
    };
    let body = json!({
        "topic": ntfy.topic, "title": message.title, "message": message.text, "priority": priority, "tags": [tag],
    });
    post("ntfy", &ntfy.url, ntfy.token.as_deref(), &body)
}

fn post(who: &str, url: &str, token: Option<&str>, body: &serde_json::Value) -> Result<String, String> {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(ToOwned::to_owned));
    let Some(host) = host else {
        return Err(format!("{who} has no address that can be called. Write it like https://example.org/path."));
    };
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .timeout_connect(Some(CONNECT_PATIENCE))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("twinlease/", env!("CARGO_PKG_VERSION")))
        .build();
    let mut request = config.new_agent().post(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    // The path of a webhook is often its secret: the host alone is named.
    let answer = request.send_json(body).map_err(|error| told(who, &host, &error))?;
    match answer.status().as_u16() {
        200..=299 => Ok(format!("{who} at {host} has taken it.")),
        300..=399 => Err(format!("{who} at {host} sends on to another address, which is not followed. Write the final address.")),
        401 | 403 => Err(format!("{who} at {host} refuses it: look at its token or its rights.")),
        404 => Err(format!("{who} at {host} does not know that address. Look at what stands after the host.")),
        429 => Err(format!("{who} at {host} says that there were too many. It is tried again later.")),
        code => Err(format!("{who} at {host} answers with the code {code}.")),
    }
}

fn told(who: &str, host: &str, error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("{who} at {host} did not answer within {} s.", PATIENCE.as_secs()),
        ureq::Error::HostNotFound => format!("{who}: nobody knows the host {host}. Look at its name, and at this server's DNS."),
        ureq::Error::ConnectionFailed => format!("{who} at {host} cannot be reached. Look at the address and the port."),
        ureq::Error::Io(error) => format!("{who} at {host} cannot be reached ({error})."),
        ureq::Error::Rustls(error) => format!("{who} at {host} does not prove who it is ({error})."),
        // May hold the whole address.
        _ => format!("{who} at {host} does not speak as it should."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::alerts::receivers::{HttpServer, silence};

    fn message() -> Message {
        Message::test("pi-a", "2026-01-01T00:00:00Z".into())
    }

    #[test]
    fn a_webhook_gets_json_that_a_program_can_read() {
        let server = HttpServer::answering("200 OK", "");
        let told = webhook(&Webhook { url: server.url("/secret/path") }, &message()).expect("it takes it");
        assert!(!told.contains("secret"), "{told}");
        let request = server.request();
        assert!(request.starts_with("POST /secret/path HTTP/1.1\r\n"), "{request}");
        let body: serde_json::Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        assert_eq!((&body["event"], &body["phase"], &body["node"]), (&json!("test"), &json!("begins"), &json!("pi-a")));
        assert!(body.get("kind").is_none());
    }

    #[test]
    fn ntfy_gets_topic_priority_and_token() {
        let server = HttpServer::answering("200 OK", "");
        let urgent = Message { urgent: true, title: "Zwilling schweigt – schau nach".into(), ..message() };
        let settings = Ntfy { url: server.url(""), topic: "house".into(), token: Some("tk_1".into()) };
        ntfy(&settings, &urgent).expect("it takes it");
        let request = server.request();
        assert!(request.to_lowercase().contains("authorization: bearer tk_1"), "{request}");
        let body: serde_json::Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        assert_eq!((&body["topic"], &body["priority"]), (&json!("house"), &json!(5)));
        assert_eq!(body["title"], json!("Zwilling schweigt – schau nach"));
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let other = HttpServer::answering("200 OK", "");
        let server = HttpServer::answering("302 Found", &format!("Location: {}\r\n", other.url("/metadata")));
        let refusal = webhook(&Webhook { url: server.url("/x") }, &message()).expect_err("it sends on");
        assert!(refusal.contains("not followed"), "{refusal}");
        assert!(!other.was_called());
    }

    #[test]
    fn every_refusal_is_a_sentence_without_the_secret() {
        for (status, word) in [("403 Forbidden", "token"), ("404 Not Found", "address"), ("500 Oops", "500")] {
            let server = HttpServer::answering(status, "");
            let refusal = webhook(&Webhook { url: server.url("/secret") }, &message()).expect_err("it refuses");
            assert!(refusal.contains(word) && !refusal.contains("secret"), "{refusal}");
        }
        let nobody = webhook(&Webhook { url: format!("http://{}/secret", silence()) }, &message()).expect_err("nobody is there");
        assert!(nobody.contains("cannot be reached") && !nobody.contains("secret"), "{nobody}");
        assert!(webhook(&Webhook { url: "not an address".into() }, &message()).is_err());
    }
}
