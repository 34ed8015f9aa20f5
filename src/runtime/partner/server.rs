//! Listens for the twin. Before the handshake is over nothing is answered, and afterwards only what the proven key may ask.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    heard::{self, HEARD_PATH},
    key::PublicKey,
    lane::{HELLO_PATH, MESSAGES_PATH, PAGE_TIMEOUT, PORT_HEADER, REQUEST_TIMEOUT, WALL_HEADER, wall_header},
    pairing::{Hello, Refusal},
    shared::{BODY_BYTES_MAX, Inbound, News, Received, SMALL_BODY_BYTES, Shared},
    snapshot::{self, SNAPSHOT_PATH},
    tls::{self, Expect},
    update::{self, FILE_PATH, UPDATE_PATH},
};
use crate::protocol::failover::Envelope;

pub const START_PATH: &str = "/twin/v1/pair/start";
pub const CONFIRM_PATH: &str = "/twin/v1/pair/confirm";
pub const COMMIT_PATH: &str = "/twin/v1/pair/commit";

const BIND_RETRY: Duration = Duration::from_secs(2);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Under way at the same time, from one host and from all.
const HANDSHAKES_EACH_MAX: usize = 8;
const HANDSHAKES_MAX: usize = 64;
/// Open at the same time: the oldest goes. A twin needs eight; one that lost its power leaves some behind.
const CONNECTIONS_MAX: usize = 16;
/// For a refused handshake to be read by the other.
const ALERT_LINGER: Duration = Duration::from_millis(300);
/// For what is being answered when the pairing changes.
const FAREWELL: Duration = Duration::from_secs(1);
const IDLE_MAX: Duration = Duration::from_secs(40);
const HEADERS_MAX: usize = 32;
const BUFFER_BYTES_MAX: usize = 64 << 10;
const PAIRING_BODY_BYTES_MAX: usize = 4 << 10;
/// How long a message waits for a busy server before it is refused.
const ROOM_PATIENCE: Duration = Duration::from_millis(1500);

/// Never ends. What goes wrong is told and tried again.
pub async fn run(shared: Arc<Shared>, listen: SocketAddr) {
    loop {
        match bind(listen) {
            Ok(listener) => {
                shared.live.send_modify(|live| {
                    live.listening = listener.local_addr().ok();
                    live.listen_trouble = None;
                });
                accept(&shared, listener).await;
            }
            Err(error) => {
                let trouble = format!(
                    "The twin cannot reach this node: `{listen}` cannot be listened on ({error}). Stop what uses this port, or set another."
                );
                if shared.live.borrow().listen_trouble.as_ref() != Some(&trouble) {
                    tracing::error!("{trouble}");
                }
                shared.live.send_modify(|live| live.listen_trouble = Some(trouble));
                sleep(BIND_RETRY).await;
            }
        }
    }
}

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(listen), socket2::Type::STREAM.nonblocking().cloexec(), None)?;
    // A server that was just stopped leaves connections behind that hold the port.
    socket.set_reuse_address(true)?;
    socket.bind(&listen.into())?;
    socket.listen(64)?;
    TcpListener::from_std(socket.into())
}

async fn accept(shared: &Arc<Shared>, listener: TcpListener) {
    let mut tasks = JoinSet::new();
    let established = Arc::new(Established::default());
    let mut known: Option<(Option<PublicKey>, Arc<ServerConfig>)> = None;
    loop {
        let (tcp, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Too many open files, or one that has gone already.
                    tracing::debug!(%error, "a connection from the twin was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = tasks.join_next() => continue,
        };
        let Some(handshake) = shared.handshake(from.ip(), HANDSHAKES_EACH_MAX, HANDSHAKES_MAX) else { continue };
        let partner = *shared.partner.borrow();
        let config = match &known {
            Some((key, config)) if *key == partner => Arc::clone(config),
            Some(_) | None => {
                let config = tls::server_config(&shared.identity, partner.map_or(Expect::Anyone, Expect::Only));
                known = Some((partner, Arc::clone(&config)));
                config
            }
        };
        let (shared, established) = (Arc::clone(shared), Arc::clone(&established));
        tasks.spawn(async move {
            let shaken = timeout(HANDSHAKE_TIMEOUT, shake_hands(tcp, config)).await.ok().flatten();
            drop(handshake);
            if let Some((stream, peer)) = shaken {
                serve(&shared, stream, Caller { shared: Arc::clone(&shared), peer, from }, partner, &established).await;
            }
        });
    }
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn shake_hands(tcp: TcpStream, config: Arc<ServerConfig>) -> Option<(Tls, PublicKey)> {
    tcp.set_nodelay(true).ok()?;
    match TlsAcceptor::from(config).accept(tcp).into_fallible().await {
        Ok(stream) => {
            let peer = tls::peer_key(stream.get_ref().1.peer_certificates())?;
            Some((stream, peer))
        }
        Err((error, mut tcp)) => {
            tracing::debug!(%error, "a stranger called the twin's port");
            // Closing over unread bytes would make the kernel throw away the alert that says why.
            let _ = tcp.shutdown().await;
            let mut rest = [0; 1024];
            let drained = async { while tcp.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
            let _ = timeout(ALERT_LINGER, drained).await;
            None
        }
    }
}

async fn serve(shared: &Arc<Shared>, stream: Tls, caller: Caller, partner: Option<PublicKey>, established: &Established) {
    let mut changes = shared.partner.subscribe();
    let replaced = established.enter();
    if partner.is_some() {
        shared.called.notify_waiters();
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_MAX).max_headers(HEADERS_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes(caller, partner)));
    tokio::pin!(connection);
    tokio::select! {
        // How it ended is the other's business.
        _ = connection.as_mut() => {}
        _ = replaced => {}
        () = async { drop(changes.wait_for(|now| *now != partner).await) } => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(FAREWELL, connection).await;
        }
    }
}

/// The connections that are open, oldest first.
#[derive(Default)]
struct Established(Mutex<VecDeque<oneshot::Sender<()>>>);

impl Established {
    /// Ends when the connection has to make room.
    fn enter(&self) -> oneshot::Receiver<()> {
        let (end, ended) = oneshot::channel();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|end| !end.is_closed());
        if open.len() >= CONNECTIONS_MAX {
            open.pop_front();
        }
        open.push_back(end);
        ended
    }
}

/// Who asks: known before the first byte of a question is read.
#[derive(Clone)]
struct Caller {
    shared: Arc<Shared>,
    peer: PublicKey,
    from: SocketAddr,
}

fn routes(caller: Caller, partner: Option<PublicKey>) -> Router {
    let routes = Router::new().route(HELLO_PATH, get(hello)).route(COMMIT_PATH, post(commit));
    let routes = match partner {
        Some(_) => routes
            .route(MESSAGES_PATH, post(messages))
            .route(HEARD_PATH, post(what_it_heard))
            .route(SNAPSHOT_PATH, post(snapshot))
            .route(UPDATE_PATH, post(update))
            .route(FILE_PATH, post(file)),
        None => routes.route(START_PATH, post(start)).route(CONFIRM_PATH, post(confirm)),
    };
    routes.with_state(caller)
}

async fn hello(State(caller): State<Caller>) -> Json<Hello> {
    Json(caller.shared.hello())
}

async fn messages(State(caller): State<Caller>, headers: HeaderMap, body: Body) -> Response {
    let shared = &caller.shared;
    let bytes: Option<usize> = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(bytes) = bytes else { return (StatusCode::LENGTH_REQUIRED, "Say how long the message is.").into_response() };
    if bytes > BODY_BYTES_MAX {
        return (StatusCode::PAYLOAD_TOO_LARGE, "The message is too long.").into_response();
    }
    shared.live.send_modify(|live| {
        live.heard = Some(Instant::now());
        let port = headers.get(PORT_HEADER).and_then(|port| port.to_str().ok()?.parse().ok());
        live.called_from = port.map(|port| SocketAddr::new(caller.from.ip(), port));
    });
    let is_small = bytes <= SMALL_BODY_BYTES;
    let room = Arc::clone(if is_small { &shared.small_room } else { &shared.large_room });
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "This node is too busy to take the message.").into_response();
    // The room is there before the bytes are read.
    let Ok(Ok(room)) = timeout(ROOM_PATIENCE, room.acquire_owned()).await else { return busy() };
    let patience = if is_small { REQUEST_TIMEOUT } else { PAGE_TIMEOUT };
    let bytes = match timeout(patience, to_bytes(body, bytes)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return (StatusCode::BAD_REQUEST, "The message is not as long as was said.").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "The message took too long to arrive.").into_response(),
    };
    let parsed = if is_small {
        parse(&bytes)
    } else {
        // Other messages are read meanwhile.
        match tokio::task::spawn_blocking(move || parse(&bytes)).await {
            Ok(parsed) => parsed,
            Err(_) => return busy(),
        }
    };
    let envelopes = match parsed {
        Ok(envelopes) => envelopes,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("The message cannot be read: {error}.")).into_response(),
    };
    let received = Inbound::Envelopes(Received { envelopes, _room: room });
    match timeout(ROOM_PATIENCE, shared.inbound.send(received)).await {
        Ok(Ok(())) => (StatusCode::NO_CONTENT, [(WALL_HEADER, wall_header(shared))]).into_response(),
        Ok(Err(_)) | Err(_) => busy(),
    }
}

async fn snapshot(State(caller): State<Caller>, headers: HeaderMap, body: Body) -> Response {
    snapshot::receive(&caller.shared, &headers, body).await
}

async fn what_it_heard(State(caller): State<Caller>, body: Body) -> Response {
    heard::receive(&caller.shared, body).await
}

async fn update(State(caller): State<Caller>, body: Body) -> Response {
    update::receive(&caller.shared, body).await
}

async fn file(State(caller): State<Caller>, headers: HeaderMap, body: Body) -> Response {
    update::receive_file(&caller.shared, &headers, body).await
}

fn parse(bytes: &[u8]) -> serde_json::Result<Vec<Envelope>> {
    serde_json::from_slice(bytes)
}

async fn start(State(caller): State<Caller>, body: Body) -> Result<Vec<u8>, Refusal> {
    let body = pairing_body(body).await?;
    let shared = &caller.shared;
    let now = Instant::now();
    let mut desk = shared.desk.lock().await;
    if caller.peer == shared.identity.key {
        return Err(Refusal::SameIdentity);
    }
    let answer = desk.start(now, caller.peer, &body);
    shared.publish(&desk, now);
    answer
}

async fn confirm(State(caller): State<Caller>, body: Body) -> Result<Json<super::pairing::Proof>, Refusal> {
    let body = pairing_body(body).await?;
    let shared = &caller.shared;
    let now = Instant::now();
    let mut desk = shared.desk.lock().await;
    let answer = desk.confirm(now, (caller.peer, caller.from.ip()), &shared.introduction(), &body);
    shared.publish(&desk, now);
    if let Err(refusal) = &answer {
        let from = caller.from.ip();
        shared.live.send_modify(|live| {
            live.pairing = Some(format!("{from} tried to pair with this node, in vain: {}", at_responder(refusal)))
        });
    }
    answer.map(Json)
}

/// What the one that was asked makes of its own refusal.
fn at_responder(refusal: &Refusal) -> String {
    match refusal {
        Refusal::WrongCode { tries_left: 0 } => "the code was wrong for the fifth time, so there is a new one.".into(),
        Refusal::WrongCode { tries_left } => format!("the code was wrong; {tries_left} tries are left."),
        Refusal::OtherPair => "its pair key is not this node's. Put the same one into both.".into(),
        other => other.to_string(),
    }
}

async fn commit(State(caller): State<Caller>) -> Result<StatusCode, Refusal> {
    let shared = &caller.shared;
    let mut desk = shared.desk.lock().await;
    desk.commit(caller.peer)?;
    shared.publish(&desk, Instant::now());
    drop(desk);
    // The other calls as a twin at once: it shall be known as one by then.
    let _ = shared.news.send(News::Settle).await;
    let mut partner = shared.partner.subscribe();
    let _ = timeout(REQUEST_TIMEOUT / 2, partner.wait_for(|key| *key == Some(caller.peer))).await;
    Ok(StatusCode::OK)
}

async fn pairing_body(body: Body) -> Result<Bytes, Refusal> {
    let garbage = |why: &str| Refusal::Garbage { why: why.into() };
    match timeout(REQUEST_TIMEOUT, to_bytes(body, PAIRING_BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(garbage("it was too long, or did not come whole")),
        Err(_) => Err(garbage("it took too long to arrive")),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (StatusCode::CONFLICT, Json(self)).into_response()
    }
}
