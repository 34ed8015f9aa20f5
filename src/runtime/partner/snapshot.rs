//! Last night's snapshot of the database goes to the twin, and the twin's comes here: on a connection of its own, slowly.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use rustls::ClientConfig;
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::{
    freight::{self, Refused, Way},
    shared::Shared,
};
use crate::runtime::store::{self, TWINS_BYTES_MAX};

pub const SNAPSHOT_PATH: &str = "/twin/v1/snapshot";

/// For a whole snapshot, until the twin has it on its disk.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What is sent and what is kept.
pub struct Snapshots {
    folder: PathBuf,
    /// In this run, the newest; none yet: what earlier runs have left in the folder will do.
    pub made: watch::Sender<Option<PathBuf>>,
    /// The first one waits so long for the contact to last.
    first_after: Duration,
    /// The twin's come one at a time: they are written to one place.
    room: Arc<Semaphore>,
}

impl Snapshots {
    pub fn new(folder: PathBuf, first_after: Duration) -> Snapshots {
        Snapshots { folder, made: watch::Sender::new(None), first_after, room: Arc::new(Semaphore::new(1)) }
    }
}

/// Sends one after the link comes up, and each that is made from then on. What fails waits for the next one. Runs until
/// the link closes or it is aborted.
pub async fn run(shared: Arc<Shared>, config: Arc<ClientConfig>) {
    let mut closing = shared.closing.subscribe();
    let sending = async {
        let mut made = shared.snapshots.made.subscribe();
        let mut contact = shared.snapshots.first_after;
        loop {
            in_contact(&shared, contact).await;
            contact = Duration::ZERO;
            let newest = made.borrow_and_update().clone();
            send_newest(&shared, &config, newest).await;
            if made.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = sending => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

/// Until the twin has answered for so long.
async fn in_contact(shared: &Shared, long: Duration) {
    let mut live = shared.live.subscribe();
    loop {
        let Ok(since) = live.wait_for(|live| live.connected_since.is_some()).await.map(|live| live.connected_since) else {
            return;
        };
        let settled = since.unwrap_or_else(Instant::now) + long;
        if timeout_at(settled, live.wait_for(|live| live.connected_since != since)).await.is_err() {
            return;
        }
    }
}

async fn send_newest(shared: &Shared, config: &Arc<ClientConfig>, newest: Option<PathBuf>) {
    let folder = shared.snapshots.folder.clone();
    let found = spawn_blocking(move || newest.or_else(|| store::newest(&folder))).await;
    let Ok(Some(path)) = found else { return };
    let trouble = send(shared, config, &path)
        .await
        .err()
        .map(|why| format!("The twin has no new copy of this database: {why}. Tried again after the next snapshot."));
    let is_news = shared.live.send_if_modified(|live| {
        let is_news = live.snapshot_trouble != trouble;
        live.snapshot_trouble = trouble.clone();
        if trouble.is_none() {
            live.snapshot_sent = Some(Instant::now());
        }
        is_news
    });
    match trouble {
        Some(trouble) if is_news => tracing::warn!("{trouble}"),
        Some(_) => {}
        None => tracing::info!("the twin has the snapshot {}", path.display()),
    }
}

async fn send(shared: &Shared, config: &Arc<ClientConfig>, path: &Path) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("`{}` cannot be read ({error}). Look at the disk", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > TWINS_BYTES_MAX {
        return Err(format!("it has more than {} MiB. Free old leases", TWINS_BYTES_MAX >> 20));
    }
    let way = Way { path: SNAPSHOT_PATH, headers: HeaderMap::new(), patience: PATIENCE };
    freight::send(shared, config, (file, bytes), way).await
}

/// The twin sends its own. What does not come whole, or is none, leaves nothing behind.
pub async fn receive(shared: &Shared, headers: &HeaderMap, body: Body) -> Response {
    keep(shared, headers, body).await.map(|()| StatusCode::NO_CONTENT).into_response()
}

async fn keep(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
    let bytes = freight::length(headers, "snapshot")?;
    if bytes > TWINS_BYTES_MAX {
        let why = format!("The snapshot has more than {} MiB. Free old leases there.", TWINS_BYTES_MAX >> 20);
        return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    let Ok(room) = Arc::clone(&shared.snapshots.room).try_acquire_owned() else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "Another snapshot is being stored at this moment.".into()));
    };
    let folder = shared.snapshots.folder.clone();
    let keeping = move |incoming| {
        let _room = room;
        store::keep_twins(&folder, incoming).inspect_err(|why| tracing::warn!("{why}"))
    };
    let path = freight::receive("snapshot", body, bytes, PATIENCE, keeping).await?;
    tracing::info!("the twin's snapshot is kept: {}", path.display());
    shared.live.send_modify(|live| live.snapshot_kept = Some(Instant::now()));
    Ok(())
}
