//! A twin with the right key and wrong manners.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;
use crate::runtime::partner::{
    dial,
    lane::{HELLO_PATH, MESSAGES_PATH, REQUEST_TIMEOUT},
    pairing::{Hello, PROTOCOL},
    tls::{self, Expect},
};

/// Answers each question by what `answer` makes of its path; `None`: never.
async fn fake(identity: &Identity, answer: fn(&str) -> Option<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    let config = tls::server_config(identity, Expect::Anyone);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(stream) = TlsAcceptor::from(config).accept(tcp).await {
                    talk(stream, answer).await;
                }
            });
        }
    });
    address
}

async fn talk(mut stream: TlsStream<TcpStream>, answer: fn(&str) -> Option<String>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let head = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let Some(path) = head.split(' ').nth(1).filter(|path| path.starts_with('/')) else { continue };
        match answer(path) {
            Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
            None => std::future::pending().await,
        }
    }
}

pub(super) fn http(status: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

fn hello(protocol: [u32; 2]) -> Option<String> {
    let hello = Hello { protocol, software: "9.9".into(), session: 1, paired: true };
    http("200 OK", &serde_json::to_string(&hello).expect("json"))
}

/// A node whose twin behaves like this, the twin's trouble as it tells it, and the twin's key.
async fn with(answer: fn(&str) -> Option<String>, words: &str) -> (Node, Identity) {
    let (data, partner) = (Scratch::new("a"), Identity::generate(None));
    let address = fake(&partner, answer).await;
    was_paired(&data, Step::Paired, partner.key, Some(address));
    let node = Node::start_in(data, Identity::generate(None), "a", |_| {});
    let beats = node.link.handle();
    for number in 0.. {
        let sent = std::time::Instant::now();
        node.link.send(beat(number));
        node.link.send(record_message(0));
        assert!(sent.elapsed() < Duration::from_millis(100), "sending never waits");
        let trouble = beats.facts().twin.and_then(|twin| twin.trouble);
        if trouble.as_ref().is_some_and(|trouble| trouble.contains(words)) {
            break;
        }
        assert!(number < 200, "never `{words}`, but {trouble:?}");
        sleep(Duration::from_millis(100)).await;
    }
    (node, partner)
}

/// The other direction does not suffer.
async fn still_listens(node: &mut Node, partner: &Identity) {
    let config = tls::client_config(partner, Expect::Only(node.identity.key));
    let mut connection = dial::dial(&config, &[node.address().await]).await.expect("the node listens");
    let body = serde_json::to_vec(&vec![beat(77)]).expect("json");
    let answer = connection.post(MESSAGES_PATH, body, axum::http::HeaderMap::new(), REQUEST_TIMEOUT).await;
    assert_eq!(answer.expect("an answer").status, 204);
    node.receives(&beat(77)).await;
}

#[tokio::test]
async fn one_that_answers_garbage_costs_only_the_link() {
    let (mut node, partner) =
        with(|_| Some("!\u{0}garbage garbage garbage\r\n\r\n".into()), "does not speak the twins' language").await;
    still_listens(&mut node, &partner).await;
}

#[tokio::test]
async fn one_that_answers_500_is_told_so() {
    let answer = |path: &str| if path == HELLO_PATH { hello(PROTOCOL) } else { http("500 Oops", "broken") };
    let (mut node, partner) = with(answer, "500 Internal Server Error: broken").await;
    still_listens(&mut node, &partner).await;
}

#[tokio::test]
async fn one_that_never_answers_is_given_up_after_a_moment() {
    let (mut node, partner) =
        with(|path| if path == HELLO_PATH { hello(PROTOCOL) } else { None }, "has not answered within 2s").await;
    still_listens(&mut node, &partner).await;
    let stopped = std::time::Instant::now();
    node.stop();
    assert!(stopped.elapsed() < Duration::from_secs(3), "a stop waits for nobody: {:?}", stopped.elapsed());
}

#[tokio::test]
async fn one_that_does_not_even_greet_is_given_up_too() {
    with(|_| None, "has not answered within 2s").await;
}

#[tokio::test]
async fn one_whose_answers_never_end_is_cut_off() {
    let endless = |path: &str| match path {
        HELLO_PATH => hello(PROTOCOL),
        _ => Some(format!("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}", "a".repeat(200 << 10))),
    };
    with(endless, "length limit exceeded").await;
}

#[tokio::test]
async fn one_of_a_version_too_far_is_told_to_be_updated() {
    with(|_| hello([PROTOCOL[1] + 1, 9]), &format!("speaks version {} to 9 of the link (twinlease 9.9)", PROTOCOL[1] + 1)).await;
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_refused_with_a_sentence() {
    let (data, partner) = (Scratch::new("a"), Identity::generate(None));
    was_paired(&data, Step::Paired, partner.key, None);
    let mut node = Node::start_in(data, Identity::generate(None), "a", |_| {});
    let config = tls::client_config(&partner, Expect::Only(node.identity.key));
    let mut connection = dial::dial(&config, &[node.address().await]).await.expect("the node listens");
    let nothing = connection.post(MESSAGES_PATH, Vec::new(), axum::http::HeaderMap::new(), REQUEST_TIMEOUT).await;
    assert_eq!(nothing.expect("an answer").status, 411);
    for body in ["{}", "[{}]", "[", "[{\"from\":1,\"to\":null,\"body\":\"shutting-down\"},7]", &"[".repeat(100_000)] {
        let answer =
            connection.post(MESSAGES_PATH, body.into(), axum::http::HeaderMap::new(), REQUEST_TIMEOUT).await.expect("an answer");
        assert_eq!(answer.status, 400, "{body:.20}");
        assert!(answer.body.starts_with(b"The message cannot be read: "));
    }
    still_listens(&mut node, &partner).await;
    assert!(node.inbound.try_recv().is_err());
}

#[tokio::test]
async fn half_open_connections_and_half_handshakes_keep_nobody_out() {
    let (mut a, mut b) = twins().await;
    heartbeat_arrives(&a, &mut b, 0).await;
    let address = b.address().await;
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut tcp = TcpStream::connect(address).await.expect("a connection");
        // The beginning of a handshake that never goes on.
        let _ = tcp.write_all(&[22, 3, 1, 2]).await;
        held.push(tcp);
    }
    heartbeat_arrives(&a, &mut b, 1).await;
    let (data, identity) = a.stop();
    a = Node::start_in(data, identity, "a", |_| {});
    for number in 2.. {
        a.link.send(beat(number));
        let received = timeout(Duration::from_millis(200), b.next_batch()).await;
        if received.is_ok() {
            break;
        }
        assert!(number < 60, "kept out by those who never end their handshake");
    }
}
