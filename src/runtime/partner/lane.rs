//! Sends what waits in one lane of the queue: one batch in flight, all that arrives meanwhile goes with the next.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use rustls::ClientConfig;
use tokio::time::{Instant, sleep, timeout};

use super::{
    dial::{self, Connection, Trouble},
    key::random,
    pairing::Hello,
    queue::{Batch, Lane, STALE},
    shared::{Connected, Inbound, Shared},
};

pub const HELLO_PATH: &str = "/twin/hello";
pub const MESSAGES_PATH: &str = "/twin/v1/messages";
/// Where the sender listens: its address may have changed.
pub const PORT_HEADER: &str = "twin-port";
/// The sender's wall clock in ms since 1970, and whether it is trusted: `1780000000000 trusted`.
pub const WALL_HEADER: &str = "twin-wall";

pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A page of many megabytes over a slow network.
pub const PAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Shorter than the other's patience with an idle connection.
const IDLE_MAX: Duration = Duration::from_secs(25);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The clock of the twin is told this often, and only where the round trip is short enough to say something.
const WALL_INTERVAL: Duration = Duration::from_secs(5);
const WALL_TRIP_MAX: Duration = Duration::from_millis(500);

struct Open {
    connection: Connection,
    /// Something was sent over it and answered.
    used: bool,
    /// The other lanes come and go unseen: what counts is whether heartbeats are answered.
    _connected: Option<Connected>,
}

/// Runs until the link closes or is aborted.
pub async fn run(shared: Arc<Shared>, lane: Lane, config: Arc<ClientConfig>) {
    let mut closing = shared.closing.subscribe();
    let mut open: Option<Open> = None;
    let mut unsent: Option<Batch> = None;
    let mut failures = 0;
    let mut walls = Walls::default();
    loop {
        // Connected before there is something to send: a lease waits for the answer.
        let connected = match open.take().filter(|open| !open.connection.is_closed()) {
            Some(open) => Ok(open),
            None if *closing.borrow() => return,
            None => connect(&shared, lane, &config).await,
        };
        let mut now_open = match connected {
            Ok(open) => open,
            Err(trouble) => {
                shared.trouble(trouble);
                failures += 1;
                back_off(&shared, failures).await;
                continue;
            }
        };
        let batch = match unsent.take().filter(|batch: &Batch| batch.since.elapsed() < STALE) {
            Some(batch) => batch,
            None if *closing.borrow() => match shared.queue.take_now(lane, Instant::now()) {
                Some(batch) => batch,
                None => return,
            },
            None => tokio::select! {
                taken = timeout(IDLE_MAX, shared.queue.take(lane)) => match taken {
                    Ok(batch) => batch,
                    // A connection that nobody uses may be dead without anybody knowing.
                    Err(_) => continue,
                },
                () = shared.broken.notified() => continue,
                _ = closing.changed() => {
                    open = Some(now_open);
                    continue;
                }
            },
        };
        match post(&shared, &mut now_open.connection, lane, &batch, &mut walls).await {
            Ok(()) => {
                failures = 0;
                now_open.used = true;
                open = Some(now_open);
            }
            Err(trouble) => {
                let at_once = now_open.used && matches!(trouble, Trouble::Unreachable { .. });
                drop(now_open);
                // A heartbeat of a moment ago is worth less than the next; the rest is sent again while it is fresh.
                unsent = (lane != Lane::Beats).then_some(batch);
                shared.trouble(trouble.to_string());
                if lane == Lane::Beats {
                    shared.broken.notify_waiters();
                }
                // An old connection that the other has closed says nothing about the other.
                if !at_once {
                    failures += 1;
                    back_off(&shared, failures).await;
                }
            }
        }
    }
}

/// With the first exchange: which versions are spoken there.
async fn connect(shared: &Arc<Shared>, lane: Lane, config: &Arc<ClientConfig>) -> Result<Open, String> {
    let mut connection = dial::dial(config, &shared.addresses()).await.map_err(|trouble| trouble.to_string())?;
    let hello = hello(&mut connection).await.map_err(|trouble| trouble.to_string())?;
    hello.common_version().map_err(|refusal| refusal.to_string())?;
    let address = connection.address;
    if !hello.paired {
        return Err(format!("{address} does not know this node as its twin any more. Unpair here too, then pair both again."));
    }
    shared.live.send_modify(|live| live.software = Some(super::pairing::clean(&hello.software)));
    let connected = (lane == Lane::Beats).then(|| shared.connected(address));
    Ok(Open { _connected: connected, connection, used: false })
}

pub async fn hello(connection: &mut Connection) -> Result<Hello, Trouble> {
    let answer = connection.get(HELLO_PATH, REQUEST_TIMEOUT).await?;
    let garbage = |why: String| Trouble::Garbage { address: connection.address, why };
    if answer.status != StatusCode::OK {
        return Err(garbage(format!("it answers {}", answer.status)));
    }
    serde_json::from_slice(&answer.body).map_err(|error| garbage(format!("its greeting cannot be read ({error})")))
}

async fn post(shared: &Shared, connection: &mut Connection, lane: Lane, batch: &Batch, walls: &mut Walls) -> Result<(), Trouble> {
    let garbage = |why: String| Trouble::Garbage { address: connection.address, why };
    let body = serde_json::to_vec(&batch.envelopes).map_err(|error| garbage(error.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(port) = shared.link_port() {
        headers.insert(PORT_HEADER, HeaderValue::from(port));
    }
    let patience = match lane {
        Lane::Beats | Lane::Records => REQUEST_TIMEOUT,
        Lane::Pages => PAGE_TIMEOUT,
    };
    let sent = Instant::now();
    let answer = connection.post(MESSAGES_PATH, body, headers, patience).await?;
    let trip = sent.elapsed();
    match answer.status {
        StatusCode::NO_CONTENT => {}
        status => {
            let why = String::from_utf8_lossy(&answer.body);
            return Err(Trouble::Garbage {
                address: connection.address,
                why: format!("it answers {status}: {}", super::pairing::clean(&why)),
            });
        }
    }
    if lane == Lane::Beats {
        shared.live.send_modify(|live| {
            live.round_trip = Some(trip);
            live.trouble = None;
        });
        if trip <= WALL_TRIP_MAX
            && let Some((ms, trusted)) = answer.headers.get(WALL_HEADER).and_then(parse_wall)
        {
            walls.told(shared, ms.saturating_add(trip.as_millis() as i64 / 2), trusted);
        }
    }
    Ok(())
}

/// Says from time to time what the twin's clock shows.
#[derive(Default)]
struct Walls {
    last: Option<Instant>,
}

impl Walls {
    fn told(&mut self, shared: &Shared, ms: i64, trusted: bool) {
        let skew_ms = ms.saturating_sub(shared.wall().ms);
        shared.live.send_modify(|live| live.clock_skew_ms = Some(skew_ms));
        if trusted && self.last.is_none_or(|last| last.elapsed() >= WALL_INTERVAL) {
            self.last = Some(Instant::now());
            // Where there is no room, the next one is as good.
            let _ = shared.inbound.try_send(Inbound::PartnerWall(ms));
        }
    }
}

pub fn wall_header(shared: &Shared) -> HeaderValue {
    let wall = shared.wall();
    let words = format!("{} {}", wall.ms, if wall.trusted { "trusted" } else { "untrusted" });
    HeaderValue::try_from(words).expect("digits and letters")
}

fn parse_wall(value: &HeaderValue) -> Option<(i64, bool)> {
    let (ms, trust) = value.to_str().ok()?.split_once(' ')?;
    Some((ms.parse().ok().filter(|ms| (0..=i64::MAX / 4).contains(ms))?, trust == "trusted"))
}

/// Twice as long each time, never longer than the twin may take to start, and not both at the same moment.
async fn back_off(shared: &Shared, failures: u32) {
    let most = (BACKOFF_MIN * 2_u32.saturating_pow(failures.min(8))).min(BACKOFF_MAX);
    let jitter = f64::from(u16::from_be_bytes(random())) / f64::from(u16::MAX);
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        () = sleep(most.mul_f64(0.5 + jitter / 2.0)) => {}
        // It has called us, so it can be called. Yet not more often than this.
        () = async { shared.called.notified().await; sleep(BACKOFF_MIN / 2).await } => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}
