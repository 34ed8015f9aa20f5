//! What this node has heard of devices goes to the twin every few seconds, so that both show the same: which are new, and when each
//! was heard last. For people only: no rule of the pair reads it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};

use super::{
    dial::{self, Connection, Trouble},
    lane::REQUEST_TIMEOUT,
    shared::Shared,
};
use crate::runtime::presence::Told;

pub const HEARD_PATH: &str = "/twin/v1/heard";

/// A device that is new to the one is new to the other so much later at most.
const INTERVAL: Duration = Duration::from_secs(5);
/// Devices told with one POST, and what that has at most: a hardware address has up to 16 bytes.
const DEVICES_EACH: usize = 400;
const BYTES_MAX: usize = 64 << 10;

/// Runs until the link closes or it is aborted.
pub async fn run(shared: Arc<Shared>, config: Arc<ClientConfig>) {
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        () = tell(&shared, &config) => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

async fn tell(shared: &Shared, config: &Arc<ClientConfig>) {
    let mut live = shared.live.subscribe();
    let mut connection = None;
    let (mut contact, mut told) = (None, None);
    loop {
        let Ok(since) = live.wait_for(|live| live.connected_since.is_some()).await.map(|live| live.connected_since) else {
            return;
        };
        if contact != since {
            // One that was away may have been wiped meanwhile: it is told everything.
            (contact, told) = (since, None);
        }
        let (count, news) = shared.presence.news(told);
        match send(shared, config, &mut connection, &news).await {
            Ok(()) => told = Some(count),
            Err(trouble) => {
                connection = None;
                tracing::debug!("the twin was not told what is heard here: {trouble}");
            }
        }
        sleep(INTERVAL).await;
    }
}

async fn send(
    shared: &Shared,
    config: &Arc<ClientConfig>,
    connection: &mut Option<Connection>,
    news: &[Told],
) -> Result<(), Trouble> {
    for piece in news.chunks(DEVICES_EACH) {
        let open = dial::again(connection.take(), config, &shared.addresses()).await?;
        let open = connection.insert(open);
        let garbage = |why: String| Trouble::Garbage { address: open.address, why };
        let body = serde_json::to_vec(piece).map_err(|error| garbage(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let status = open.post(HEARD_PATH, body, headers, REQUEST_TIMEOUT).await?.status;
        if status != StatusCode::NO_CONTENT {
            // An older version has no ear for it.
            return Err(Trouble::Garbage { address: open.address, why: format!("it answers {status}") });
        }
    }
    Ok(())
}

pub async fn receive(shared: &Shared, body: Body) -> Response {
    let bytes = match timeout(REQUEST_TIMEOUT, to_bytes(body, BYTES_MAX)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "It is too long, or did not come whole.").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "It took too long to arrive.").into_response(),
    };
    match serde_json::from_slice::<Vec<Told>>(&bytes) {
        Ok(told) => {
            shared.presence.learn(&told);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("It cannot be read: {error}.")).into_response(),
    }
}
