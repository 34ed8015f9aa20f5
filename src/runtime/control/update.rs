//! The part of the local door that is about updates of the card.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{CommandOutcome, Door};
use crate::runtime::{
    handle::COMMAND_LINE,
    store::{private_file, private_folder},
    update::{BY_HAND, FILE_BYTES_MAX, Held, View},
};

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/update", get(view))
        .route("/update/file", post(take))
        .route("/update/approve", post(approve))
        .route("/update/stop", post(stop))
}

/// A file on this machine. Whoever may knock here may read what the server may.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileRequest {
    pub path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ApproveRequest {
    pub sha256: String,
    pub anyway: bool,
}

/// One of the first two; the questions belong to the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileOutcome {
    pub held: Option<Held>,
    pub refused: Option<String>,
    pub questions: Vec<String>,
}

async fn view(State(door): State<Door>) -> Json<View> {
    Json(door.handle.updates().view())
}

async fn take(State(door): State<Door>, Json(FileRequest { path }): Json<FileRequest>) -> Json<FileOutcome> {
    let data = door.data;
    let taken = door.handle.updates().aside(move |updates| {
        if updates.view().here.is_card { updates.take(&copied(&path, &data)?) } else { Err(BY_HAND.to_owned()) }
    });
    let (held, refused) = match taken.await {
        Ok(held) => (Some(held), None),
        Err(why) => (None, Some(why)),
    };
    Json(FileOutcome { held, refused, questions: door.handle.updates().view().questions })
}

/// What is taken is moved: somebody's own file stays where it is.
fn copied(path: &std::path::Path, data: &std::path::Path) -> Result<PathBuf, String> {
    let unreadable = |error: io::Error| format!("`{}` cannot be read ({error}).", path.display());
    let mut from = File::open(path).map_err(unreadable)?;
    if from.metadata().map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(format!("`{}` has more than {} MiB, so it is no image of twinlease.", path.display(), FILE_BYTES_MAX >> 20));
    }
    let folder = data.join("uploads");
    let copy = folder.join("update");
    let written = private_folder(&folder).and_then(|()| private_file(&copy)).and_then(|mut to| {
        to.set_len(0)?;
        io::copy(&mut from, &mut to)
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&copy);
        return Err(format!("The file cannot be stored here ({error}). Free some space, then try again."));
    }
    Ok(copy)
}

async fn approve(
    State(door): State<Door>,
    Json(ApproveRequest { sha256, anyway }): Json<ApproveRequest>,
) -> Json<CommandOutcome> {
    said(door.handle.updates().aside(move |updates| updates.approve(COMMAND_LINE, &sha256, anyway).map(|_| ())).await)
}

async fn stop(State(door): State<Door>) -> Json<CommandOutcome> {
    said(door.handle.updates().aside(|updates| updates.stop(COMMAND_LINE)).await)
}

fn said(outcome: Result<(), String>) -> Json<CommandOutcome> {
    Json(CommandOutcome { refused: outcome.err() })
}
