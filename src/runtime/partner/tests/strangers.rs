//! Whoever has the address but not the key.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::http::HeaderMap;
use rustls::{ClientConfig, crypto::ring, pki_types::CertificateDer, version::TLS13};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::runtime::partner::{
    dial::{self, Trouble},
    key::hex,
    lane::{HELLO_PATH, MESSAGES_PATH, REQUEST_TIMEOUT},
    pairing::{Exchange, Hello, Introduction, Method, PROTOCOL, Role, Secret, Start, Started},
    server::{CONFIRM_PATH, START_PATH},
    tls::{self, Expect},
};

#[tokio::test]
async fn a_wrong_key_gets_no_answer_at_all() {
    let (mut a, _b) = twins().await;
    let address = a.address().await;
    let config = tls::client_config(&Identity::generate(None), Expect::Anyone);
    for path in [HELLO_PATH, MESSAGES_PATH, START_PATH] {
        let mut connection = dial::dial(&config, &[address]).await.expect("the server's half of the handshake");
        let body = serde_json::to_vec(&vec![beat(1)]).expect("json");
        let answer = connection.post(path, body, HeaderMap::new(), REQUEST_TIMEOUT).await;
        assert_eq!(answer.err(), Some(Trouble::RefusesUs { address }), "{path}");
    }
    assert!(timeout(Duration::from_millis(200), a.next_batch()).await.is_err());
}

#[tokio::test]
async fn plain_http_and_tls_without_a_key_get_no_data() {
    let node = Node::start("a");
    let address = node.address().await;
    let mut plain = TcpStream::connect(address).await.expect("a connection");
    plain.write_all(b"GET /twin/hello HTTP/1.1\r\nhost: twin\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("closed").expect("read");
    // A TLS alert and nothing else.
    assert!(answer.len() <= 7 && answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");

    #[derive(Debug)]
    struct Any;
    impl rustls::client::danger::ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            vec![rustls::SignatureScheme::ED25519]
        }
        fn requires_raw_public_keys(&self) -> bool {
            true
        }
    }
    let keyless = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.expect("a connection");
    let mut answer = Vec::new();
    let shaken = TlsConnector::from(Arc::new(keyless)).connect(tls::server_name(), tcp).await;
    if let Ok(mut stream) = shaken {
        let _ = stream.write_all(b"GET /twin/hello HTTP/1.1\r\nhost: twin\r\n\r\n").await;
        assert!(timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("closed").is_err());
    }
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn before_a_pairing_only_a_pairing_can_be_asked_for() {
    let mut node = Node::start("a");
    let config = tls::client_config(&Identity::generate(None), Expect::Anyone);
    let mut connection = dial::dial(&config, &[node.address().await]).await.expect("anyone may ask to pair");
    let body = serde_json::to_vec(&vec![beat(1)]).expect("json");
    let answer = connection.post(MESSAGES_PATH, body, HeaderMap::new(), REQUEST_TIMEOUT).await.expect("an answer");
    assert_eq!(answer.status, 404);
    let answer = connection.post(CONFIRM_PATH, b"{\"mac\":\"00\"}".to_vec(), HeaderMap::new(), REQUEST_TIMEOUT).await;
    assert_eq!(answer.expect("an answer").status, 409);
    let long = vec![b'['; 5 << 10];
    let answer = connection.post(START_PATH, long, HeaderMap::new(), REQUEST_TIMEOUT).await.expect("an answer");
    assert_eq!(answer.status, 409);
    assert!(node.inbound.try_recv().is_err());
}

const NAME: &str = "behind-the-wardrobe";
const SERIAL: &str = "10000000deadbeef";

/// Neither what it is called nor which box it is.
fn says_nothing_of_itself(said: &[u8]) {
    let said = String::from_utf8_lossy(said);
    for words in [NAME, SERIAL] {
        assert!(!said.contains(words) && !said.contains(&hex(words.as_bytes())), "{words} in {said}");
    }
}

#[tokio::test]
async fn who_begins_a_pairing_and_does_not_know_the_code_learns_nothing() {
    let node = Node::start_in(Scratch::new("a"), Identity::generate(Some(SERIAL.into())), NAME, |_| {});
    let code = node.link.handle().show_code().await.expect("a code").digits;
    let stranger = Identity::generate(None);
    let config = tls::client_config(&stranger, Expect::Anyone);
    let mut connection = dial::dial(&config, &[node.address().await]).await.expect("anyone may ask to pair");
    let guess = Secret::code(if code == "123456" { "654321" } else { "123456" }).expect("six digits");
    let (exchange, share) = Exchange::initiate(&guess, &stranger.key, &node.identity.key);
    let start = serde_json::to_vec(&Start { method: Method::Code, share }).expect("json");
    let post = connection.post(START_PATH, start.clone(), HeaderMap::new(), REQUEST_TIMEOUT).await;
    let answer = post.expect("an answer");
    says_nothing_of_itself(&answer.body);
    let started: Started = serde_json::from_slice(&answer.body).expect("begun");
    let parties = [&stranger.key, &node.identity.key];
    let seal = exchange.finish(&started.share, parties, &start, &answer.body).expect("a share");
    let own =
        Introduction { name: "s".into(), serial: None, fixed_rank: None, has_leases: false, is_blank_first: true, link_port: 1 };
    let proof = serde_json::to_vec(&seal.prove(Role::Initiator, &own).expect("sealed")).expect("json");
    let answer = connection.post(CONFIRM_PATH, proof, HeaderMap::new(), REQUEST_TIMEOUT).await.expect("an answer");
    assert_eq!(answer.status, 409);
    says_nothing_of_itself(&answer.body);
}

#[tokio::test]
async fn who_is_taken_for_the_other_one_and_does_not_know_the_code_learns_nothing() {
    let node = Node::start_in(Scratch::new("a"), Identity::generate(Some(SERIAL.into())), NAME, |_| {});
    let (stranger, of_node) = (Identity::generate(None), node.identity.key);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    let answers = async move {
        let (tcp, _) = listener.accept().await.expect("called");
        let mut stream =
            TlsAcceptor::from(tls::server_config(&stranger, Expect::Anyone)).accept(tcp).await.expect("it calls anybody");
        let (_, share) = Exchange::respond(&Secret::code("123456").expect("six digits"), &of_node, &stranger.key);
        let hello = Hello { protocol: PROTOCOL, software: "9.9".into(), session: 1, paired: false };
        let hello = serde_json::to_string(&hello).expect("json");
        let started = serde_json::to_string(&Started { share }).expect("json");
        let (mut heard, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
        for (path, body) in [(HELLO_PATH, hello), (START_PATH, started), (CONFIRM_PATH, "{}".into())] {
            let is_asked =
                |heard: &[u8]| String::from_utf8_lossy(heard).contains(path) && (path == HELLO_PATH || heard.ends_with(b"}"));
            while !is_asked(&heard) {
                let length = stream.read(&mut buffer).await.expect("it asks");
                heard.extend_from_slice(&buffer[..length]);
            }
            let answer = bad_partner::http("200 OK", &body).expect("it answers");
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
        heard
    };
    let handle = node.link.handle();
    let both = async { tokio::join!(handle.enter_code("654321", Some(address)), answers) };
    let (entered, heard) = timeout(PATIENCE, both).await.expect("it ends");
    assert!(entered.is_err());
    says_nothing_of_itself(&heard);
}

#[tokio::test]
async fn the_key_travels_bare_so_no_date_can_be_wrong() {
    let (server, client) = (Identity::generate(None), Identity::generate(None));
    let (here, there) = tokio::io::duplex(16 << 10);
    let accept = TlsAcceptor::from(tls::server_config(&server, Expect::Only(client.key))).accept(here);
    let connect = TlsConnector::from(tls::client_config(&client, Expect::Only(server.key))).connect(tls::server_name(), there);
    let (accepted, connected) = tokio::join!(accept, connect);
    let (accepted, connected) = (accepted.expect("shaken"), connected.expect("shaken"));
    assert_eq!(accepted.get_ref().1.peer_certificates(), Some(&[CertificateDer::from(client.key.spki())][..]));
    assert_eq!(connected.get_ref().1.peer_certificates(), Some(&[CertificateDer::from(server.key.spki())][..]));
}

#[tokio::test]
async fn a_server_with_another_key_gets_nothing_either() {
    let (server, wanted) = (Identity::generate(None), Identity::generate(None));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    let accept = async {
        let (tcp, _) = listener.accept().await.expect("called");
        TlsAcceptor::from(tls::server_config(&server, Expect::Anyone)).accept(tcp).await.is_err()
    };
    let config = tls::client_config(&Identity::generate(None), Expect::Only(wanted.key));
    let addresses = [address];
    let (refused, dialled) = tokio::join!(accept, dial::dial(&config, &addresses));
    assert!(refused, "the caller ends the handshake before it says anything");
    assert!(matches!(dialled.err(), Some(Trouble::WrongKey { key, .. }) if key == Some(server.key)));
}

#[tokio::test]
async fn who_shows_the_twins_key_without_its_secret_gets_nothing() {
    let (mut a, b) = twins().await;
    let address = a.address().await;
    let mut forged = Identity::generate(None);
    forged.key = b.identity.key;
    let config = tls::client_config(&forged, Expect::Only(a.identity.key));
    let mut connection = dial::dial(&config, &[address]).await.expect("the server's half of the handshake");
    let body = serde_json::to_vec(&vec![beat(1)]).expect("json");
    assert!(connection.post(MESSAGES_PATH, body, HeaderMap::new(), REQUEST_TIMEOUT).await.is_err());
    assert!(timeout(Duration::from_millis(200), a.next_batch()).await.is_err());

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let addresses = [listener.local_addr().expect("bound")];
    let accept = async {
        let (tcp, _) = listener.accept().await.expect("called");
        TlsAcceptor::from(tls::server_config(&forged, Expect::Anyone)).accept(tcp).await.is_err()
    };
    let config = tls::client_config(&a.identity, Expect::Only(b.identity.key));
    let (refused, dialled) = tokio::join!(accept, dial::dial(&config, &addresses));
    assert!(refused && dialled.is_err(), "as a server neither");
}

/// Stands between two nodes: passes bytes on, remembers those of the caller, and flips a bit when told to.
#[derive(Clone, Default)]
struct Between {
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    flip: Arc<AtomicBool>,
}

impl Between {
    async fn start(&self, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("bound");
        let between = self.clone();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let Ok(callee) = TcpStream::connect(to).await else { continue };
                let number = {
                    let mut said = between.said.lock().expect("whole");
                    said.push(Vec::new());
                    said.len() - 1
                };
                let (mut caller_says, mut caller_hears) = caller.into_split();
                let (mut callee_says, mut callee_hears) = callee.into_split();
                let between = between.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = caller_says.read(&mut buffer).await {
                        between.said.lock().expect("whole")[number].extend(&buffer[..length]);
                        if between.flip.swap(false, Ordering::Relaxed) {
                            buffer[length - 1] ^= 1;
                        }
                        if callee_hears.write_all(&buffer[..length]).await.is_err() {
                            break;
                        }
                    }
                });
                tokio::spawn(async move { drop(tokio::io::copy(&mut callee_says, &mut caller_hears).await) });
            }
        });
        address
    }
}

async fn twins_with_one_between() -> (Node, Node, Between) {
    let (mut a, mut b) = (Node::start("a"), Node::start("b"));
    let between = Between::default();
    let address = between.start(b.address().await).await;
    let code = b.link.handle().show_code().await.expect("a code").digits;
    a.link.handle().enter_code(&code, Some(address)).await.expect("twins");
    a.next_paired().await;
    b.next_paired().await;
    (a, b, between)
}

#[tokio::test]
async fn a_flipped_bit_costs_the_connection_and_is_never_taken_for_a_message() {
    let (a, mut b, between) = twins_with_one_between().await;
    for number in 1..=10 {
        a.link.send(record_message(number));
        b.receives(&record_message(number)).await;
        between.flip.store(true, Ordering::Relaxed);
        a.link.send(record_message(100 + number));
        // Sent again over a new connection; whatever arrives is what was sent.
        let received = b.next_batch().await;
        assert_eq!(received.envelopes, [record_message(100 + number)]);
        assert!(!between.flip.load(Ordering::Relaxed), "the bit was flipped");
    }
    let connections = between.said.lock().expect("whole").len();
    assert!(connections >= 10, "only {connections} connections: what was changed was taken");
}

#[tokio::test]
async fn what_was_recorded_cannot_be_played_again() {
    let (a, mut b, between) = twins_with_one_between().await;
    a.link.send(record_message(1));
    b.receives(&record_message(1)).await;
    let said = between.said.lock().expect("whole").clone();
    assert!(said.len() >= 4);
    for said in said {
        let mut tcp = TcpStream::connect(b.address().await).await.expect("a connection");
        tcp.write_all(&said).await.expect("written");
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.expect("closed");
    }
    assert!(timeout(Duration::from_millis(300), b.next_batch()).await.is_err(), "nothing came in");
}
