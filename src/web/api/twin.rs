//! The pair: how it is doing, who answers, pairing, and what is to be decided.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    routing::{get, post},
};

use super::{
    changes::rfc_3339,
    problem::{Answer, Problems, Refusal, body_of, wrong_method},
    records::{saved, where_saved},
    schema::{CodeDoc, ConflictDoc, DecideDoc, Done, DrillDoc, DrillsDoc, PairDoc, StartDrillDoc, TwinDoc},
};
use crate::{
    protocol::{Command, TwinCommand},
    runtime::{control::twin::TwinLink, drill::Report, handle::Saved},
    settings::words::read_key,
    web::{Site, visitor::Visitor},
};

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/twin", get(twin).fallback(wrong_method))
        .route("/api/v1/twin/code", post(code).fallback(wrong_method))
        .route("/api/v1/twin/pair", post(pair).fallback(wrong_method))
        .route("/api/v1/twin/conflicts", get(conflicts).post(reconcile).fallback(wrong_method))
        .route("/api/v1/twin/drill", get(drills).post(start_drill).delete(end_drill).fallback(wrong_method))
        .route("/api/v1/twin/do/{what}", post(command).fallback(wrong_method))
}

fn link(site: &Site) -> Answer<&Arc<dyn TwinLink>> {
    site.link()
        .ok_or_else(|| Refusal::unprocessable("The link to a twin is off here. Start twinlease without `--twin-listen off`."))
}

/// How the pair is doing
#[utoipa::path(get, path = "/api/v1/twin", tag = "twin", responses((status = 200, body = TwinDoc), Problems))]
pub async fn twin(State(site): State<Site>, _: Visitor) -> Answer<Json<TwinDoc>> {
    let house = site.fresh_house().await?;
    let mut link = site.link().map(|link| link.facts());
    // Whoever may only read shall not become the twin by it.
    if let Some(facts) = link.as_mut().and_then(|facts| facts.as_object_mut()) {
        facts.remove("code");
    }
    let pair = house.status.twin.as_ref().and_then(|twin| serde_json::to_value(twin).ok());
    Ok(Json(TwinDoc { pair, link, serving: house.status.serving }))
}

/// `switch` roles, `declare-down` the twin, `shut-down` this one, `serve` without the twin, or `unpair`
///
/// Those that can do harm do it: "the twin is off" must be true when it is said.
#[utoipa::path(post, path = "/api/v1/twin/do/{what}", tag = "twin", params(("what" = String, Path)), responses((status = 200, body = Done), Problems))]
pub async fn command(State(site): State<Site>, visitor: Visitor, Path(what): Path<String>) -> Answer<Json<Done>> {
    let command = match what.as_str() {
        "switch" => TwinCommand::Switch,
        "declare-down" => TwinCommand::DeclareDown,
        "shut-down" => TwinCommand::ShutDown,
        "serve" => TwinCommand::Serve,
        "unpair" => {
            // First nothing of it is heard any more; then the node says that it is alone.
            let link = link(&site)?;
            if link.is_paired() {
                link.unpair().await.map_err(Refusal::unprocessable)?;
            }
            if !site.handle().read(|node, _| node.memory().is_some()).await? {
                return where_saved(&site, Saved::default()).await.map(Json);
            }
            TwinCommand::Unpair
        }
        _ => {
            return Err(Refusal::not_found("There is no such word. There are: switch, declare-down, shut-down, serve, unpair."));
        }
    };
    let done = saved(site.submit(&visitor, Command::Twin(command)).await?)?;
    where_saved(&site, done).await.map(Json)
}

/// A new code, to be typed on the other one
#[utoipa::path(post, path = "/api/v1/twin/code", tag = "twin", responses((status = 200, body = CodeDoc), Problems))]
pub async fn code(State(site): State<Site>, _: Visitor) -> Answer<Json<CodeDoc>> {
    let shown = link(&site)?.show_code().await.map_err(Refusal::unprocessable)?;
    Ok(Json(CodeDoc { digits: shown.digits, secs_left: shown.secs_left }))
}

/// Become the twin of the one that shows this code
#[utoipa::path(post, path = "/api/v1/twin/pair", tag = "twin", request_body = PairDoc, responses((status = 200, body = Done), Problems))]
pub async fn pair(State(site): State<Site>, _: Visitor, body: Bytes) -> Answer<Json<Done>> {
    let PairDoc { code, address } = body_of(&body)?;
    let address: Option<SocketAddr> = match address {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let text: String = text.chars().take(60).collect();
            Refusal::unprocessable(format!("`{text}` is no address with a port. Write it like 192.0.2.3:8067."))
        })?),
    };
    link(&site)?.enter_code(code, address).await.map_err(Refusal::unprocessable)?;
    Ok(Json(Done { change: None, told: "The two are twins now.".into() }))
}

/// Edits that were made apart and contradict
#[utoipa::path(get, path = "/api/v1/twin/conflicts", tag = "twin", responses((status = 200, body = Vec<ConflictDoc>), Problems))]
pub async fn conflicts(State(site): State<Site>, _: Visitor) -> Answer<Json<Vec<ConflictDoc>>> {
    let house = site.fresh_house().await?;
    let items = house.to_reconcile.iter().map(|item| ConflictDoc { key: item.name.clone(), text: item.text.clone() });
    Ok(Json(items.collect()))
}

/// Decide which of two edits stays
#[utoipa::path(post, path = "/api/v1/twin/conflicts", tag = "twin", request_body = DecideDoc, responses((status = 200, body = Done), Problems))]
pub async fn reconcile(State(site): State<Site>, visitor: Visitor, body: Bytes) -> Answer<Json<Done>> {
    let DecideDoc { key, keep } = body_of(&body)?;
    let key = read_key(&key).map_err(Refusal::unprocessable)?;
    let done = saved(site.submit(&visitor, Command::Reconcile { key, keep }).await?)?;
    where_saved(&site, done).await.map(Json)
}

/// The drill that goes on here, and the last one
#[utoipa::path(get, path = "/api/v1/twin/drill", tag = "twin", responses((status = 200, body = DrillsDoc), Problems))]
pub async fn drills(State(site): State<Site>, _: Visitor) -> Json<DrillsDoc> {
    let drills = site.handle().drills();
    Json(DrillsDoc { under_way: drills.under_way().map(drill), last: drills.last().map(drill) })
}

fn drill(report: Report) -> DrillDoc {
    DrillDoc {
        told: report.sentence(),
        by: report.by,
        node: report.node,
        began: rfc_3339(report.began_ms),
        planned_secs: report.planned_secs,
        lasted_ms: report.lasted_ms,
        took_over_ms: report.took_over_ms,
        longest_wait_ms: report.longest_wait_ms,
        asked: report.asked,
        answered: report.answered,
        together_after_ms: report.together_after_ms,
        cut_off: report.cut_off,
    }
}

/// Play dead, to see the twin take over
#[utoipa::path(post, path = "/api/v1/twin/drill", tag = "twin", request_body = StartDrillDoc, responses((status = 200, body = Done), Problems))]
pub async fn start_drill(State(site): State<Site>, visitor: Visitor, body: Bytes) -> Answer<Json<Done>> {
    let StartDrillDoc { secs } = body_of(&body)?;
    let done = saved(site.submit(&visitor, Command::Twin(TwinCommand::Drill { secs })).await?)?;
    Ok(Json(Done { change: done.change, told: format!("This one is silent for {secs} s, and comes back by itself.") }))
}

/// End the drill now
#[utoipa::path(delete, path = "/api/v1/twin/drill", tag = "twin", responses((status = 200, body = Done), Problems))]
pub async fn end_drill(State(site): State<Site>, visitor: Visitor) -> Answer<Json<Done>> {
    let done = saved(site.submit(&visitor, Command::Twin(TwinCommand::EndDrill)).await?)?;
    Ok(Json(Done { change: done.change, told: "The drill is over: this one is coming back.".into() }))
}
