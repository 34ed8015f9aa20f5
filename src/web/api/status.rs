//! How the server is doing, and why a device was answered as it was.

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    problem::{Answer, Problems, Refusal, wrong_method},
    schema::{AlertDoc, DecisionDoc, StatusDoc, StoryDoc, SubnetUse, WhatIfDoc},
};
use crate::{
    protocol::what_if::WhatIf,
    runtime::{
        led::{self, Around},
        report::{self, DeviceStory},
    },
    settings::words::{read_mac, read_network},
    web::{House, Site, visitor::Visitor},
};

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/status", get(status).fallback(wrong_method))
        .route("/api/v1/what-if", get(what_if).fallback(wrong_method))
        .route("/api/v1/why", get(why).fallback(wrong_method))
}

/// How this server, its pools and its twin are doing
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses((status = 200, body = StatusDoc), Problems))]
pub async fn status(State(site): State<Site>, _: Visitor) -> Answer<Json<StatusDoc>> {
    let house = site.fresh_house().await?;
    let status = &house.status;
    let around = Around { has_rival: site.handle().board().has_rival(), ..Around::default() };
    let subnets = status.subnets.iter().map(|subnet| SubnetUse {
        network: subnet.network.clone(),
        pool_size: subnet.pool_size,
        pool_used: subnet.pool_used,
    });
    Ok(Json(StatusDoc {
        host: house.host.clone(),
        version: env!("CARGO_PKG_VERSION"),
        revision: format!("{:016x}", house.revision),
        light: led::sign(status, around),
        serving: status.serving,
        interfaces: status.interfaces.clone(),
        trouble: status.trouble.clone(),
        notices: status.notices.iter().chain(&status.not_listening).cloned().collect(),
        subnets: subnets.collect(),
        outcomes: status.outcomes.clone(),
        alerts: open_alerts(&site, &house),
        twin: status.twin.as_ref().and_then(|twin| serde_json::to_value(twin).ok()),
    }))
}

pub fn open_alerts(site: &Site, house: &House) -> Vec<AlertDoc> {
    let open = site.handle().board().around().open;
    let told = open.into_iter().map(|open| AlertDoc {
        kind: open.kind.name(),
        subject: open.subject,
        text: open.text,
        since: report::date(&house.clock, open.since),
        told: open.told,
    });
    told.collect()
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhyQuery {
    /// A MAC (or a part of one), an address or a name.
    #[param(min_length = 1)]
    what: String,
}

/// The recorded reason for every answer and every silence to a device
#[utoipa::path(get, path = "/api/v1/why", tag = "status", params(WhyQuery), responses((status = 200, body = Vec<StoryDoc>), Problems))]
pub async fn why(
    State(site): State<Site>,
    _: Visitor,
    query: Result<Query<WhyQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Json<Vec<StoryDoc>>> {
    let Query(WhyQuery { what }) = query.map_err(|_| Refusal::malformed("Say of whom: `?what=` a MAC, an address or a name."))?;
    let what = what.trim().to_owned();
    if what.is_empty() {
        return Err(Refusal::malformed("Say of whom: `?what=` a MAC, an address or a name."));
    }
    let stories = site.handle().read(move |node, clock| DeviceStory::find(node, clock, &what)).await?;
    let told = stories.into_iter().map(|story| StoryDoc {
        mac: story.mac,
        name: story.name,
        address: story.address.map(|address| address.to_string()),
        decisions: story
            .decisions
            .into_iter()
            .map(|told| DecisionDoc {
                at: told.at,
                asked: told.asked,
                steps: told.steps,
                outcome: told.outcome,
                times: told.times,
            })
            .collect(),
    });
    Ok(Json(told.collect()))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhatIfQuery {
    /// In any notation.
    mac: String,
    /// Where it would be heard, like `192.168.1.0/24`; where most are, if it is not said.
    network: Option<String>,
}

/// What a device would get if it asked now
#[utoipa::path(get, path = "/api/v1/what-if", tag = "status", params(WhatIfQuery), responses((status = 200, body = WhatIfDoc), Problems))]
pub async fn what_if(
    State(site): State<Site>,
    _: Visitor,
    query: Result<Query<WhatIfQuery>, axum::extract::rejection::QueryRejection>,
) -> Answer<Json<WhatIfDoc>> {
    let Query(WhatIfQuery { mac, network }) =
        query.map_err(|_| Refusal::malformed("Say of whom: `?mac=`, and `&network=` where you like."))?;
    let hw = read_mac(&mac).map_err(Refusal::malformed)?;
    let near = network.map(|text| read_network(&text)).transpose().map_err(Refusal::malformed)?.map(|net| net.network());
    let foreseen = site.handle().read(move |node, clock| node.what_if(clock.now(), &WhatIf { hw, near })).await?;
    let offer = foreseen.outcome.as_ref().ok();
    Ok(Json(WhatIfDoc {
        steps: foreseen.steps.iter().map(ToString::to_string).collect(),
        address: offer.map(|offer| offer.address.to_string()),
        lease_secs: offer.map(|offer| offer.secs),
        has_it: offer.is_some_and(|offer| offer.has_it),
        silence: foreseen.outcome.as_ref().err().map(ToString::to_string),
    }))
}
