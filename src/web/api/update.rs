//! Updates of the card: which versions run, a file for both twins, and the word that it shall be.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    routing::{get, put},
};

use super::{
    problem::{Answer, Problems, Refusal, body_of, wrong_method},
    schema::{ApproveDoc, Done, HeldDoc, UpdateDoc},
};
use crate::{
    runtime::update::{BY_HAND, FILE_BYTES_MAX, Updates, View},
    web::{Site, settings::uploads, visitor::Visitor},
};

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/update", get(show).post(approve).delete(stop).fallback(wrong_method))
        .route("/api/v1/update/file", put(send).layer(DefaultBodyLimit::disable()).fallback(wrong_method))
}

/// Which versions run, and how far an update is
#[utoipa::path(get, path = "/api/v1/update", tag = "update", responses((status = 200, body = UpdateDoc), Problems))]
pub async fn show(State(site): State<Site>, _: Visitor) -> Json<UpdateDoc> {
    let View { here, twin, has_twin, held, questions, is_under_way, told, problem, .. } = site.handle().updates().view();
    Json(UpdateDoc {
        here: here.version,
        twin: twin.map(|twin| twin.version),
        has_twin,
        file: held.map(|held| HeldDoc { version: held.version, sha256: held.sha256, bytes: held.bytes, questions }),
        is_under_way,
        told,
        problem,
    })
}

/// Send the image as it is flashed onto cards, the bytes of the .img.xz alone. It is examined, and not installed yet
#[utoipa::path(put, path = "/api/v1/update/file", tag = "update", request_body(content = Vec<u8>, content_type = "application/x-xz"), responses((status = 200, body = HeldDoc), Problems))]
pub async fn send(State(site): State<Site>, _: Visitor, body: Body) -> Answer<Json<HeldDoc>> {
    if !site.handle().updates().view().here.is_card {
        return Err(Refusal::unprocessable(BY_HAND));
    }
    let stored = uploads::receive_alone(body, site.data(), FILE_BYTES_MAX).await;
    let path = stored.map_err(Refusal::unprocessable)?.path(site.data());
    let (held, questions) = with(&site, move |updates| updates.take(&path).map(|held| (held, updates.view().questions))).await?;
    Ok(Json(HeldDoc { version: held.version, sha256: held.sha256, bytes: held.bytes, questions }))
}

/// Update both twins, one after the other, to the file that was sent
#[utoipa::path(post, path = "/api/v1/update", tag = "update", request_body = ApproveDoc, responses((status = 200, body = Done), Problems))]
pub async fn approve(State(site): State<Site>, visitor: Visitor, body: Bytes) -> Answer<Json<Done>> {
    let ApproveDoc { sha256, anyway } = body_of(&body)?;
    with(&site, move |updates| updates.approve(&visitor.author, &sha256, anyway).map(|_| ())).await?;
    Ok(Json(Done { change: None, told: "It begins: one after the other.".into() }))
}

/// Go no further with an update, or put away one that has failed
#[utoipa::path(delete, path = "/api/v1/update", tag = "update", responses((status = 200, body = Done), Problems))]
pub async fn stop(State(site): State<Site>, visitor: Visitor) -> Answer<Json<Done>> {
    with(&site, move |updates| updates.stop(&visitor.author)).await?;
    Ok(Json(Done { change: None, told: "It goes no further; each runs the version that it has.".into() }))
}

async fn with<T: Send + 'static>(site: &Site, work: impl FnOnce(&Updates) -> Result<T, String> + Send + 'static) -> Answer<T> {
    site.handle().updates().aside(work).await.map_err(Refusal::unprocessable)
}
