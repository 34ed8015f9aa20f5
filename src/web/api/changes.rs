//! What was changed, by whom, and back again.

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    routing::{get, post},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    leases::{LIMIT_DEFAULT, LIMIT_MAX, bad_query},
    problem::{Answer, Problems, Refusal, wrong_method},
    records::{saved, where_saved},
    schema::{ChangeDoc, ChangedRecord, Done},
};
use crate::{
    protocol::Command,
    runtime::store::{Archive, Step, StoreError},
    settings::{Record, render, words::show_key},
    web::{Site, visitor::Visitor},
};

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/changes", get(list).fallback(wrong_method))
        .route("/api/v1/changes/{id}/revert", post(revert).fallback(wrong_method))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChangeQuery {
    /// At most 1000; 100 where it is not said.
    limit: Option<usize>,
    /// Older than this one only: the last `id` of the page before.
    before: Option<i64>,
    /// By this author, or about what has this in it.
    q: Option<String>,
}

/// A look at the disk, on a thread that may wait for it.
async fn look<T: Send + 'static>(
    site: &Site,
    look: impl FnOnce(&Archive) -> Result<T, StoreError> + Send + 'static,
) -> Answer<T> {
    site.look(look).await.map_err(|error| Refusal::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, error))
}

/// Changes of settings, the newest first
#[utoipa::path(get, path = "/api/v1/changes", tag = "changes", params(ChangeQuery), responses((status = 200, body = Vec<ChangeDoc>), Problems))]
pub async fn list(
    State(site): State<Site>,
    _: Visitor,
    query: Result<Query<ChangeQuery>, QueryRejection>,
) -> Answer<Json<Vec<ChangeDoc>>> {
    let Query(ChangeQuery { limit, before, q }) = query.map_err(|rejection| bad_query(&rejection))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let before = before.map(|before| u64::try_from(before).unwrap_or_default());
    let steps = look(&site, move |archive| archive.changes(limit, before, q.as_deref().unwrap_or_default())).await?;
    Ok(Json(steps.into_iter().map(doc).collect()))
}

fn doc(step: Step) -> ChangeDoc {
    let text = |record: Option<Record>| record.map(|record| render::record(&record).trim().to_owned());
    let records = step.records.into_iter().map(|noted| ChangedRecord {
        key: show_key(&noted.key),
        before: text(noted.before),
        after: text(noted.after),
    });
    ChangeDoc {
        id: step.id,
        at: rfc_3339(step.wall_ms),
        by: step.by,
        on_twin: step.on_twin,
        records: records.collect(),
        total: step.total,
    }
}

/// UTC, whole seconds. Empty beyond the year 9999.
pub fn rfc_3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_second(wall_ms.div_euclid(1000)).map(|moment| moment.to_string()).unwrap_or_default()
}

/// Take a change back, if nothing of it was changed since
#[utoipa::path(post, path = "/api/v1/changes/{id}/revert", tag = "changes", params(("id" = u64, Path)), responses((status = 200, body = Done), Problems))]
pub async fn revert(State(site): State<Site>, visitor: Visitor, Path(id): Path<String>) -> Answer<Json<Done>> {
    let gone = || Refusal::not_found("There is no such change: it is too old, or was made in another database.");
    let id: u64 = id.parse().map_err(|_| gone())?;
    let step = look(&site, move |archive| archive.step(id)).await?.ok_or_else(gone)?;
    let done = saved(site.submit(&visitor, Command::Revert(step.reversals())).await?)?;
    where_saved(&site, done).await.map(Json)
}
