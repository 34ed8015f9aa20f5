//! What somebody should look at, whether it goes out, who else answers here; and the list of tokens.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};

use super::{
    changes::rfc_3339,
    problem::{Answer, Problems, Refusal, wrong_method},
    schema::{AlertsDoc, ChannelDoc, RivalDoc, RivalsDoc, TestDoc, TokenDoc},
    status::open_alerts,
};
use crate::{
    runtime::{
        alerts::{Channel, Message, probe as look},
        report,
    },
    settings::access::Scope,
    web::{Site, visitor::Visitor},
};

const PROBE_WAIT: Duration = Duration::from_secs(3);

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/alerts", get(list).fallback(wrong_method))
        .route("/api/v1/alerts/test/{channel}", post(test).fallback(wrong_method))
        .route("/api/v1/rivals", get(rivals).post(probe).fallback(wrong_method))
        .route("/api/v1/tokens", get(tokens).fallback(wrong_method))
}

/// What holds now, and how the channels are doing
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", responses((status = 200, body = AlertsDoc), Problems))]
pub async fn list(State(site): State<Site>, _: Visitor) -> Answer<Json<AlertsDoc>> {
    let house = site.house().await?;
    let around = site.handle().board().around();
    let channels = around.channels.into_iter().map(|(name, state)| ChannelDoc {
        name,
        waiting: state.waiting,
        lost: state.lost,
        last_at: state.last.as_ref().map(|last| report::date(&house.clock, last.at)),
        trouble: state.last.and_then(|last| last.trouble),
    });
    Ok(Json(AlertsDoc { open: open_alerts(&site, &house), channels: channels.collect() }))
}

/// Send a test message by `webhook`, `ntfy`, `mail` or `syslog`
#[utoipa::path(post, path = "/api/v1/alerts/test/{channel}", tag = "alerts", params(("channel" = String, Path)), responses((status = 200, body = TestDoc), Problems))]
pub async fn test(State(site): State<Site>, _: Visitor, Path(name): Path<String>) -> Answer<Json<TestDoc>> {
    let house = site.fresh_house().await?;
    let channel = Channel::all(&house.settings.alerts).into_iter().find(|channel| channel.name() == name);
    let channel = channel.ok_or_else(|| {
        Refusal::not_found("There is no such channel set up. PUT /api/v1/settings/alerts sets up webhook, ntfy, mail and syslog.")
    })?;
    let name = channel.name();
    let outcome = send_test(channel, &house).await;
    Ok(Json(TestDoc { channel: name, arrived: outcome.is_ok(), told: outcome.unwrap_or_else(|why| why) }))
}

/// From the button on the page, too.
pub async fn send_test(channel: Channel, house: &crate::web::House) -> Result<String, String> {
    let message = Message::test(&house.host, report::date(&house.clock, house.now));
    let sent = tokio::task::spawn_blocking(move || channel.send(&message)).await;
    sent.unwrap_or_else(|_| Err("The test was given up.".into()))
}

/// Other DHCP servers, at the last look; it is looked every ten minutes
#[utoipa::path(get, path = "/api/v1/rivals", tag = "alerts", responses((status = 200, body = RivalsDoc), Problems))]
pub async fn rivals(State(site): State<Site>, _: Visitor) -> Answer<Json<RivalsDoc>> {
    let house = site.house().await?;
    let around = site.handle().board().around();
    let rivals = around.rivals.into_iter().map(|rival| RivalDoc {
        interface: rival.interface,
        server: rival.server.to_string(),
        mac: rival.mac,
        offered: rival.offered.to_string(),
        routers: rival.routers.iter().map(ToString::to_string).collect(),
        dns: rival.dns.iter().map(ToString::to_string).collect(),
    });
    Ok(Json(RivalsDoc {
        looked_at: around.probed.map(|at| report::date(&house.clock, at)),
        trouble: around.probe_trouble,
        rivals: rivals.collect(),
    }))
}

/// Look for other DHCP servers now; it takes three seconds
#[utoipa::path(post, path = "/api/v1/rivals", tag = "alerts", responses((status = 200, body = RivalsDoc), Problems))]
pub async fn probe(State(site): State<Site>, visitor: Visitor) -> Answer<Json<RivalsDoc>> {
    let house = site.house().await?;
    let link = site.link().map(Arc::clone);
    let outcome = look::look(&house.status.interfaces, link.as_deref(), PROBE_WAIT).await;
    site.handle().board().note_probe(house.clock.now(), outcome);
    rivals(State(site), visitor).await
}

/// Who may ask here, without the secrets
#[utoipa::path(get, path = "/api/v1/tokens", tag = "alerts", responses((status = 200, body = Vec<TokenDoc>), Problems))]
pub async fn tokens(State(site): State<Site>, _: Visitor) -> Answer<Json<Vec<TokenDoc>>> {
    let house = site.house().await?;
    let tokens = house.settings.access.tokens.iter().map(|token| TokenDoc {
        name: token.name.clone(),
        scope: match token.scope {
            Scope::Read => "read".into(),
            Scope::Write => "write".into(),
        },
        created: rfc_3339(i64::try_from(token.created).unwrap_or(i64::MAX).saturating_mul(1000)),
    });
    Ok(Json(tokens.collect()))
}
