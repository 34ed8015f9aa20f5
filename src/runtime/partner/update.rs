//! What the two tell each other of updates, every few seconds, and the approved file for the one that lacks it. A twin of an older
//! version has no such path: then nothing is heard of it, and neither is updated.

use std::{fs::File, io, path::Path, sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use rustls::ClientConfig;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::{
    dial::{self, Connection},
    freight::{self, Incoming, Refused, Way},
    lane::REQUEST_TIMEOUT,
    shared::Shared,
};
use crate::{
    protocol::update::Standing,
    runtime::{store::private_file, update::Updates},
};

pub const UPDATE_PATH: &str = "/twin/v1/update";
pub const FILE_PATH: &str = "/twin/v1/update/file";
/// Of the file that follows.
const SUM_HEADER: &str = "twin-sha256";

const WORD_INTERVAL: Duration = Duration::from_secs(2);
/// To one that did not understand, or was gone.
const WORD_AGAIN: Duration = Duration::from_secs(6);
const WORD_BYTES_MAX: usize = 16 << 10;
/// For a whole file over a slow network, until it is unpacked and found good there.
const FILE_PATIENCE: Duration = Duration::from_secs(20 * 60);
const FILE_AGAIN: Duration = Duration::from_secs(30);

/// Never on the link's own thread, where heartbeats would wait for the disk. `None`: it has panicked.
async fn with<T: Send + 'static>(shared: &Shared, work: impl FnOnce(&Updates) -> T + Send + 'static) -> Option<T> {
    let updates = Arc::clone(&shared.updates);
    spawn_blocking(move || work(&updates)).await.ok()
}

/// Runs until the link closes or it is aborted.
pub async fn run(shared: Arc<Shared>, config: Arc<ClientConfig>) {
    let mut closing = shared.closing.subscribe();
    let talking = async {
        tokio::join!(tell(&shared, &config), send_files(&shared, &config));
    };
    tokio::select! {
        () = talking => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

async fn tell(shared: &Shared, config: &Arc<ClientConfig>) {
    let mut open: Option<Connection> = None;
    let mut pause = WORD_INTERVAL;
    loop {
        sleep(std::mem::replace(&mut pause, WORD_INTERVAL)).await;
        // Who is called in vain is called by those who have more to say.
        if shared.live.borrow().connected_since.is_none() {
            open = None;
            continue;
        }
        let connection = dial::again(open.take(), config, &shared.addresses()).await;
        let Ok(mut connection) = connection else { continue };
        match exchange(shared, &mut connection).await {
            Some(twin) => {
                with(shared, move |updates| updates.hear(twin)).await;
                open = Some(connection);
            }
            None => pause = WORD_AGAIN,
        }
    }
}

/// `None`: it does not understand, or is gone.
async fn exchange(shared: &Shared, connection: &mut Connection) -> Option<Standing> {
    let word = with(shared, Updates::standing).await?;
    let word = serde_json::to_vec(&word).ok()?;
    let answer = connection.post(UPDATE_PATH, word, HeaderMap::new(), REQUEST_TIMEOUT).await.ok()?;
    if answer.status != StatusCode::OK {
        return None;
    }
    serde_json::from_slice(&answer.body).ok()
}

/// The twin tells, and is told.
pub async fn receive(shared: &Shared, body: Body) -> Response {
    let Ok(Ok(bytes)) = timeout(REQUEST_TIMEOUT, to_bytes(body, WORD_BYTES_MAX)).await else {
        return (StatusCode::BAD_REQUEST, "The word was too long, or did not come whole.").into_response();
    };
    match serde_json::from_slice::<Standing>(&bytes) {
        Ok(twin) => {
            let answer = |updates: &Updates| {
                updates.hear(twin);
                updates.standing()
            };
            match with(shared, answer).await {
                Some(own) => axum::Json(own).into_response(),
                None => (StatusCode::INTERNAL_SERVER_ERROR, "It ended by a defect.").into_response(),
            }
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("The word cannot be read: {error}.")).into_response(),
    }
}

async fn send_files(shared: &Shared, config: &Arc<ClientConfig>) {
    loop {
        sleep(WORD_INTERVAL).await;
        let Some(Some((path, sha256))) = with(shared, Updates::to_send).await else { continue };
        let began = Instant::now();
        let outcome = send(shared, config, &path, &sha256).await;
        match &outcome {
            Ok(()) => tracing::info!("the twin has the file of the update, after {:.1} s", began.elapsed().as_secs_f32()),
            Err(why) => tracing::warn!("{why}"),
        }
        let has_failed = outcome.is_err();
        with(shared, |updates| updates.sent(outcome)).await;
        // What it says next names the file; until then it is not sent again.
        sleep(if has_failed { FILE_AGAIN } else { 2 * WORD_INTERVAL }).await;
    }
}

async fn send(shared: &Shared, config: &Arc<ClientConfig>, path: &Path, sha256: &str) -> Result<(), String> {
    let told = |why: String| format!("The file does not reach the twin: {why}. It is sent again in a moment.");
    let unreadable = |error: io::Error| told(format!("`{}` cannot be read ({error})", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let mut headers = HeaderMap::new();
    headers.insert(SUM_HEADER, HeaderValue::try_from(sha256).map_err(|error| told(error.to_string()))?);
    let way = Way { path: FILE_PATH, headers, patience: FILE_PATIENCE };
    freight::send(shared, config, (file, bytes), way).await.map_err(told)
}

/// What does not come whole, or is not the file of the plan, leaves nothing behind.
pub async fn receive_file(shared: &Shared, headers: &HeaderMap, body: Body) -> Response {
    keep(shared, headers, body).await.map(|()| StatusCode::NO_CONTENT).into_response()
}

async fn keep(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
    let sha256 = headers.get(SUM_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let bytes = freight::length(headers, "file")?;
    let wanted = sha256.clone();
    let path = match with(shared, move |updates| updates.may_come(&wanted, bytes)).await {
        Some(Ok(path)) => path,
        Some(Err(why)) => return Err((StatusCode::CONFLICT, why)),
        None => return Err((StatusCode::INTERNAL_SERVER_ERROR, "It ended by a defect.".into())),
    };
    let Ok(room) = Arc::clone(&shared.file_room).try_acquire_owned() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "It is being stored at this moment.".into()));
    };
    let updates = Arc::clone(&shared.updates);
    let keeping = move |incoming| {
        let _room = room;
        let kept = store(&path, incoming).map_err(|error| format!("The file cannot be kept ({error})."));
        kept.and_then(|()| updates.take_from_twin(&path, &sha256))
            .inspect_err(|why| tracing::warn!("the file of the update from the twin: {why}"))
    };
    freight::receive("file", body, bytes, FILE_PATIENCE, keeping).await
}

/// One that was cut short is left for the next attempt to overwrite.
fn store(path: &Path, mut incoming: Incoming) -> io::Result<()> {
    let mut file = private_file(path)?;
    file.set_len(0)?;
    io::copy(&mut incoming, &mut file)?;
    file.sync_all()
}
