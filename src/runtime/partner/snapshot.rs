//! Last night's snapshot of the database goes to the twin, and the twin's comes here: on a connection of its own, slowly.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use rustls::ClientConfig;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::spawn_blocking,
    time::{Instant, timeout, timeout_at},
};

use super::{dial, shared::Shared};
use crate::runtime::store::{self, TWINS_BYTES_MAX};

pub const SNAPSHOT_PATH: &str = "/twin/v1/snapshot";

/// For a whole snapshot, until the twin has it on its disk.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const PIECE_BYTES: usize = 64 << 10;
/// Between two pieces, so some 3 MB/s: heartbeats on the same cable and the same core never wait for a snapshot.
const PIECE_INTERVAL: Duration = Duration::from_millis(20);
/// Pieces between the disk and the network.
pub const PIECES_MAX: usize = 2;
/// Of the twin's reason: a sentence with a path.
const WHY_CHARS_MAX: usize = 400;

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
    let without_stop = |trouble: dial::Trouble| trouble.to_string().trim_end_matches('.').to_owned();
    let mut connection = dial::dial(config, &shared.addresses()).await.map_err(without_stop)?;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    // Ends by itself when the connection is gone: nobody takes its pieces.
    spawn_blocking(move || read(file, &sender));
    let body = Body::new(Outgoing { pieces, left: bytes });
    let answer = connection.post_body(SNAPSHOT_PATH, body, HeaderMap::new(), PATIENCE).await.map_err(without_stop)?;
    match answer.status {
        StatusCode::NO_CONTENT => Ok(()),
        status => {
            let said = String::from_utf8_lossy(&answer.body);
            let why: String = said.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect();
            Err(format!("{} answers {status}: {}", connection.address, why.trim_end_matches('.')))
        }
    }
}

/// One that is cut short by a failing disk is noticed by its length.
pub fn read(mut file: File, sender: &mpsc::Sender<Bytes>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return tracing::warn!("what the twin shall have cannot be read on: {error}"),
        }
        if sender.blocking_send(piece.into()).is_err() {
            return;
        }
        std::thread::sleep(PIECE_INTERVAL);
    }
}

/// A body of a known length, in pieces.
pub struct Outgoing {
    pub pieces: mpsc::Receiver<Bytes>,
    pub left: u64,
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| match piece {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            None if self.left == 0 => None,
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The twin sends its own. What does not come whole, or is none, leaves nothing behind.
pub async fn receive(shared: &Shared, headers: &HeaderMap, body: Body) -> Response {
    let bytes: Option<u64> = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(bytes) = bytes else { return (StatusCode::LENGTH_REQUIRED, "Say how long the snapshot is.").into_response() };
    if bytes > TWINS_BYTES_MAX {
        let why = format!("The snapshot has more than {} MiB. Free old leases there.", TWINS_BYTES_MAX >> 20);
        return (StatusCode::PAYLOAD_TOO_LARGE, why).into_response();
    }
    let Ok(room) = Arc::clone(&shared.snapshots.room).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "Another snapshot is being stored at this moment.").into_response();
    };
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let folder = shared.snapshots.folder.clone();
    // Goes on to its end, which comes soon, where the connection is cut: so the room goes with it.
    let keeping = spawn_blocking(move || {
        let _room = room;
        store::keep_twins(&folder, Incoming::new(pieces, bytes))
    });
    let kept = timeout(PATIENCE, async {
        feed(body, sender).await;
        keeping.await
    });
    match kept.await {
        Ok(Ok(Ok(path))) => {
            tracing::info!("the twin's snapshot is kept: {}", path.display());
            shared.live.send_modify(|live| live.snapshot_kept = Some(Instant::now()));
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(Ok(Err(why))) => {
            tracing::warn!("{why}");
            (StatusCode::UNPROCESSABLE_ENTITY, why).into_response()
        }
        Ok(Err(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "Storing it ended by a defect.").into_response(),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "The snapshot took too long to arrive.").into_response(),
    }
}

/// To the end, even where the disk takes no more: the twin reads the answer only when it has said all.
pub async fn feed(mut body: Body, sender: mpsc::Sender<Bytes>) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(piece) = frame.into_data() {
            let _ = sender.send(piece).await;
        }
    }
}

/// What arrives, for a thread that may wait. An end before the end is an error.
pub struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
    left: u64,
}

impl Incoming {
    /// `bytes`: so many must come.
    pub fn new(pieces: mpsc::Receiver<Bytes>, bytes: u64) -> Incoming {
        Incoming { pieces, piece: Bytes::new(), left: bytes }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            self.piece = match self.pieces.blocking_recv() {
                Some(piece) => piece,
                None if self.left == 0 => return Ok(0),
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was cut off on its way")),
            };
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        self.left = self.left.saturating_sub(length as u64);
        Ok(length)
    }
}
