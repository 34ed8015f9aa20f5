//! Backups: the nightly copies of the database, of this one and of the twin.

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use tokio::sync::mpsc;

use super::{
    changes::rfc_3339,
    problem::{Answer, Problems, Refusal, wrong_method},
    schema::BackupDoc,
};
use crate::{
    settings::access::Scope,
    web::{Site, visitor::Visitor},
};

const PIECE_BYTES: usize = 64 << 10;
/// Read ahead of a slow browser.
const PIECES_MAX: usize = 2;

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/backups", get(list).fallback(wrong_method))
        .route("/api/v1/backups/{name}", get(download).fallback(wrong_method))
}

/// Copies of the database, the newest first
#[utoipa::path(get, path = "/api/v1/backups", tag = "backups", responses((status = 200, body = Vec<BackupDoc>), Problems))]
pub async fn list(State(site): State<Site>, _: Visitor) -> Answer<Json<Vec<BackupDoc>>> {
    let folder = site.data().join("snapshots");
    let found = tokio::task::spawn_blocking(move || all(&folder)).await.unwrap_or_default();
    Ok(Json(found.into_iter().map(|(_, backup)| backup).collect()))
}

/// The names are those that are asked for: nothing of a name ever becomes a path.
fn all(folder: &std::path::Path) -> Vec<(PathBuf, BackupDoc)> {
    let mut found: Vec<(PathBuf, BackupDoc)> = Vec::new();
    for (folder, of_twin) in [(folder.to_owned(), false), (folder.join("twin"), true)] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (Ok(name), Ok(about)) = (entry.file_name().into_string(), entry.metadata()) else { continue };
            if !about.is_file() || !name.ends_with(".db") {
                continue;
            }
            let since = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let written = since.and_then(|since| i64::try_from(since.as_millis()).ok()).map(rfc_3339);
            let name = if of_twin { format!("twin-{name}") } else { name };
            found.push((entry.path(), BackupDoc { name, bytes: about.len(), of_twin, written }));
        }
    }
    found.sort_by(|(_, a), (_, b)| b.written.cmp(&a.written));
    found
}

/// One backup as a file. It holds everything, secrets too: only a token that may write is given it
#[utoipa::path(get, path = "/api/v1/backups/{name}", tag = "backups", params(("name" = String, Path)), responses((status = 200, description = "An SQLite database", content_type = "application/vnd.sqlite3", body = Vec<u8>), Problems))]
pub async fn download(State(site): State<Site>, visitor: Visitor, Path(name): Path<String>) -> Answer<Response> {
    if visitor.scope == Scope::Read {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "A backup holds every secret. Use a token that may change things."));
    }
    let folder = site.data().join("snapshots");
    let found = tokio::task::spawn_blocking(move || all(&folder)).await.unwrap_or_default();
    let gone = || Refusal::not_found("There is no such backup. GET /api/v1/backups lists them.");
    let (path, backup) = found.into_iter().find(|(_, backup)| backup.name == name).ok_or_else(gone)?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(&path, &sender) {
            // Whoever loads it sees that it was cut short.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let pieces = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.sqlite3".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", backup.name)),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Ends where nobody reads any more.
fn send(path: &std::path::Path, to: &mpsc::Sender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut file = fs::File::open(path)?;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let count = file.read(&mut piece)?;
        piece.truncate(count);
        if count == 0 || to.blocking_send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
}
