//! `/healthz`, for whoever watches from outside: could this one answer a device now? Asked without a session, so it says
//! what is wrong, and nothing about the network.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::Site;
use crate::protocol::{failover, node::Status};

/// A loop that takes longer answers no device either.
const PATIENCE: Duration = Duration::from_secs(1);

pub fn routes() -> Router<Site> {
    Router::new().route("/healthz", get(health))
}

#[derive(Serialize)]
struct Health {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

async fn health(State(site): State<Site>, RawQuery(query): RawQuery) -> Response {
    let with_twin = query.unwrap_or_default().split('&').any(|part| matches!(part.split('=').next(), Some("pair")));
    let status = tokio::time::timeout(PATIENCE, site.handle().read(|node, clock| node.status(clock.now()))).await;
    let why = match &status {
        Err(_) => Some("The server's loop did not answer within a second."),
        Ok(Err(_)) => Some("The server is stopping."),
        Ok(Ok(status)) => trouble(status, with_twin),
    };
    let code = if why.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(Health { ok: why.is_none(), why })).into_response()
}

/// `None`: all is well.
fn trouble(status: &Status, with_twin: bool) -> Option<&'static str> {
    if status.trouble.is_some() {
        return Some("The disk is in trouble, so nothing new can be promised.");
    }
    if !status.serving {
        return Some(if status.subnets.is_empty() {
            "No network is set up."
        } else if status.interfaces.is_empty() {
            "No interface with one of its networks is up."
        } else {
            "This one may not answer devices now."
        });
    }
    if !with_twin {
        return None;
    }
    let Some(twin) = &status.twin else { return Some("There is no twin.") };
    let Some(partner) = twin.partner.as_ref().filter(|partner| partner.in_contact) else {
        return Some("The twin is silent.");
    };
    if partner.in_trouble {
        Some("The twin's disk is in trouble.")
    } else if partner.is_deaf {
        Some("The twin hears no device.")
    } else if twin.state != failover::State::Normal || partner.state != failover::State::Normal {
        Some("The twins are not together yet.")
    } else if twin.is_level == Some(false) {
        Some("The twins do not hold the same yet.")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
