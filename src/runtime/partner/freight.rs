//! A whole file goes to the twin, or comes from it: on a connection of its own, slowly, with little memory.

use std::{
    fs::File,
    io::{self, Read},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use rustls::ClientConfig;
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::{dial, shared::Shared};

const PIECE_BYTES: usize = 64 << 10;
/// Between two pieces, so some 3 MB/s: heartbeats on the same cable and the same core never wait for a file.
const PIECE_INTERVAL: Duration = Duration::from_millis(20);
/// Pieces between the disk and the network.
const PIECES_MAX: usize = 2;
/// Of the twin's reason: a sentence with a path.
const WHY_CHARS_MAX: usize = 400;

/// Where it goes, with what is said of it, and how long it may take until the twin has it on its disk.
pub struct Way<'a> {
    pub path: &'a str,
    pub headers: HeaderMap,
    pub patience: Duration,
}

/// Sends all of a file of this length. The error is a clause, for a sentence of the caller's.
pub async fn send(shared: &Shared, config: &Arc<ClientConfig>, (file, bytes): (File, u64), way: Way<'_>) -> Result<(), String> {
    let without_stop = |trouble: dial::Trouble| trouble.to_string().trim_end_matches('.').to_owned();
    let mut connection = dial::dial(config, &shared.addresses()).await.map_err(without_stop)?;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    // Ends by itself when the connection is gone: nobody takes its pieces.
    spawn_blocking(move || read(file, &sender));
    let body = Body::new(Outgoing { pieces, left: bytes });
    let answer = connection.post_body(way.path, body, way.headers, way.patience).await.map_err(without_stop)?;
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
fn read(mut file: File, sender: &mpsc::Sender<Bytes>) {
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

/// What to answer to one that is not kept: a sentence.
pub type Refused = (StatusCode, String);

/// How long what comes is. `what`: `snapshot`, say.
pub fn length(headers: &HeaderMap, what: &str) -> Result<u64, Refused> {
    let bytes = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    bytes.ok_or_else(|| (StatusCode::LENGTH_REQUIRED, format!("Say how long the {what} is.")))
}

/// Hands what comes to `keep`, on a thread that may wait for the disk. That goes on to its end, which comes soon, where the connection is
/// cut: whatever must last so long goes with it.
pub async fn receive<T: Send + 'static>(
    what: &str,
    body: Body,
    bytes: u64,
    patience: Duration,
    keep: impl FnOnce(Incoming) -> Result<T, String> + Send + 'static,
) -> Result<T, Refused> {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let keeping = spawn_blocking(move || keep(Incoming { pieces, piece: Bytes::new(), left: bytes }));
    let kept = timeout(patience, async {
        feed(body, sender).await;
        keeping.await
    });
    match kept.await {
        Ok(Ok(kept)) => kept.map_err(|why| (StatusCode::UNPROCESSABLE_ENTITY, why)),
        Ok(Err(_)) => Err((StatusCode::INTERNAL_SERVER_ERROR, "Storing it ended by a defect.".into())),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, format!("The {what} took too long to arrive."))),
    }
}

/// To the end, even where the disk takes no more: the twin reads the answer only when it has said all.
async fn feed(mut body: Body, sender: mpsc::Sender<Bytes>) {
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
