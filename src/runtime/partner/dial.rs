//! One HTTP connection to another node, over TLS with proven keys.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{key::PublicKey, tls};

/// The first SYN and its first repetition.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// One address after the other, without waiting for the one before to fail.
const STAGGER: Duration = Duration::from_millis(250);
/// Answers are short.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 32;

/// Why there is no connection, or why it has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error(
        "No address of the twin is known yet: it is looked for on this network. Where it stands on another one, set its address."
    )]
    NoAddress,
    #[error("{address} cannot be reached: {why}. Look whether it is on and runs twinlease, and at the cable.")]
    Unreachable { address: SocketAddr, why: String },
    #[error("{address} is not the twin: {why}. If the twin's card was made anew: unpair here, then pair again.")]
    WrongKey { address: SocketAddr, key: Option<PublicKey>, why: String },
    #[error("{address} does not accept this node: it has another twin. Unpair there first, or give another address.")]
    RefusesUs { address: SocketAddr },
    #[error("{address} does not speak the twins' language: {why}. Look whether it runs twinlease.")]
    Garbage { address: SocketAddr, why: String },
    #[error("{address} has not answered within {waited:?}. Look at its load and at the network between the two.")]
    Silent { address: SocketAddr, waited: Duration },
}

pub struct Connection {
    sender: http1::SendRequest<Body>,
    /// What the other has proven.
    pub peer: PublicKey,
    pub address: SocketAddr,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The connection that is open, or a new one.
pub async fn again(
    open: Option<Connection>,
    config: &Arc<ClientConfig>,
    addresses: &[SocketAddr],
) -> Result<Connection, Trouble> {
    match open.filter(|open| !open.is_closed()) {
        Some(open) => Ok(open),
        None => dial(config, addresses).await,
    }
}

/// Tries all addresses, the first ones first; the first that answers with a good key is taken.
pub async fn dial(config: &Arc<ClientConfig>, addresses: &[SocketAddr]) -> Result<Connection, Trouble> {
    let mut attempts = JoinSet::new();
    for (place, &address) in addresses.iter().enumerate() {
        let config = Arc::clone(config);
        attempts.spawn(async move {
            tokio::time::sleep(STAGGER * place as u32).await;
            dial_one(config, address).await
        });
    }
    let mut worst: Option<Trouble> = None;
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(connection)) => return Ok(connection),
            // That somebody answered says more than that nobody did.
            Ok(Err(trouble)) if worst.is_none() || !matches!(trouble, Trouble::Unreachable { .. }) => worst = Some(trouble),
            Ok(Err(_)) => {}
            Err(error) => tracing::error!("connecting to the twin ended by a defect: {error}"),
        }
    }
    Err(worst.unwrap_or(Trouble::NoAddress))
}

async fn dial_one(config: Arc<ClientConfig>, address: SocketAddr) -> Result<Connection, Trouble> {
    let unreachable = |why: String| Trouble::Unreachable { address, why };
    let tcp = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("no answer".into())),
    };
    tcp.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    let handshake = TlsConnector::from(config).connect(tls::server_name(), tcp);
    let stream = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(match tls::wrong_key(&error) {
                Some(wrong) => Trouble::WrongKey { address, key: wrong.0, why: wrong.to_string() },
                None => Trouble::Garbage { address, why: error.to_string() },
            });
        }
        Err(_) => return Err(Trouble::Silent { address, waited: HANDSHAKE_TIMEOUT }),
    };
    let Some(peer) = tls::peer_key(stream.get_ref().1.peer_certificates()) else {
        return Err(Trouble::Garbage { address, why: "it has shown no key".into() });
    };
    let mut http = http1::Builder::new();
    http.max_headers(HEADERS_MAX).max_buf_size(ANSWER_BYTES_MAX);
    let (sender, connection) = match http.handshake(TokioIo::new(stream)).await {
        Ok(both) => both,
        Err(error) => return Err(Trouble::Garbage { address, why: error.to_string() }),
    };
    // Its end is noticed by the next request.
    let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Connection { sender, peer, address, driver })
}

impl Connection {
    /// The other has closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub async fn get(&mut self, path: &str, patience: Duration) -> Result<Answer, Trouble> {
        self.request(Method::GET, path, Body::empty(), HeaderMap::new(), patience).await
    }

    pub async fn post(&mut self, path: &str, body: Vec<u8>, headers: HeaderMap, patience: Duration) -> Result<Answer, Trouble> {
        self.post_body(path, body.into(), headers, patience).await
    }

    pub async fn post_body(&mut self, path: &str, body: Body, headers: HeaderMap, patience: Duration) -> Result<Answer, Trouble> {
        self.request(Method::POST, path, body, headers, patience).await
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Body,
        headers: HeaderMap,
        patience: Duration,
    ) -> Result<Answer, Trouble> {
        let address = self.address;
        let garbage = |why: String| Trouble::Garbage { address, why };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| garbage(format!("`{path}` is no path")))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("twin"));
        let exchange = async {
            let response = self.sender.send_request(request).await.map_err(|error| ended(address, &error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| garbage(error.to_string()))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        match timeout(patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Silent { address, waited: patience }),
        }
    }
}

/// A connection that ended, as far as its cause says something.
fn ended(address: SocketAddr, error: &hyper::Error) -> Trouble {
    if tls::refuses_our_key(error) {
        Trouble::RefusesUs { address }
    } else if error.is_parse() {
        Trouble::Garbage { address, why: error.to_string() }
    } else {
        Trouble::Unreachable { address, why: format!("the connection has ended ({error})") }
    }
}
