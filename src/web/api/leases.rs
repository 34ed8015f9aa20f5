//! Who has which address.

use std::net::Ipv4Addr;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    routing::{get, post},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    problem::{Answer, Problems, Refusal, wrong_method},
    records::{saved, where_saved},
    schema::{Done, LeaseDoc, LeasePage},
};
use crate::{
    protocol::Command,
    runtime::report::LeaseRow,
    settings::words::read_address,
    web::{Site, visitor::Visitor},
};

pub const LIMIT_DEFAULT: usize = 100;
pub const LIMIT_MAX: usize = 1000;

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/leases", get(list).fallback(wrong_method))
        .route("/api/v1/leases/{address}", get(one).fallback(wrong_method))
        .route("/api/v1/leases/{address}/free", post(free).fallback(wrong_method))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LeaseQuery {
    /// Of this state only.
    state: Option<String>,
    /// With this in the address, the MAC or the name.
    q: Option<String>,
    /// At most 1000; 100 where it is not said.
    limit: Option<usize>,
    offset: Option<usize>,
}

/// A piece of a list: the rows, and the offset of what follows.
pub fn piece<T>(rows: Vec<T>, limit: Option<usize>, offset: Option<usize>) -> (Vec<T>, usize, Option<usize>) {
    let (total, offset) = (rows.len(), offset.unwrap_or_default());
    let limit = limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let rows: Vec<T> = rows.into_iter().skip(offset).take(limit).collect();
    let end = offset.saturating_add(rows.len());
    (rows, total, (end < total).then_some(end))
}

pub fn bad_query(rejection: &QueryRejection) -> Refusal {
    Refusal::malformed(format!("The query cannot be read: {rejection}. `limit` and `offset` are whole numbers."))
}

/// Every address that was ever given, in order
#[utoipa::path(get, path = "/api/v1/leases", tag = "leases", params(LeaseQuery), responses((status = 200, body = LeasePage), Problems))]
pub async fn list(
    State(site): State<Site>,
    _: Visitor,
    query: Result<Query<LeaseQuery>, QueryRejection>,
) -> Answer<Json<LeasePage>> {
    let Query(query) = query.map_err(|rejection| bad_query(&rejection))?;
    let house = site.house().await?;
    let wanted = query.q.unwrap_or_default().trim().to_lowercase();
    let mut rows = LeaseRow::all(house.bindings.clone(), &house.settings, &house.clock);
    rows.retain(|row| {
        let is_found = || {
            let name = row.name.as_deref().unwrap_or_default().to_lowercase();
            row.address.to_string().contains(&wanted) || row.mac.contains(&wanted) || name.contains(&wanted)
        };
        query.state.as_deref().is_none_or(|state| state == row.state) && (wanted.is_empty() || is_found())
    });
    let (items, total, next) = piece(rows, query.limit, query.offset);
    Ok(Json(LeasePage { items: items.into_iter().map(doc).collect(), total, next }))
}

fn doc(row: LeaseRow) -> LeaseDoc {
    LeaseDoc {
        address: row.address.to_string(),
        mac: row.mac,
        client: row.client,
        name: row.name,
        state: row.state,
        kept: row.kept,
        since: row.since,
        expires: row.expires,
        secs_left: row.secs_left,
    }
}

pub fn address_of(text: &str) -> Answer<Ipv4Addr> {
    read_address(text).map_err(Refusal::not_found)
}

/// The record of one address
#[utoipa::path(get, path = "/api/v1/leases/{address}", tag = "leases", params(("address" = String, Path, format = Ipv4)), responses((status = 200, body = LeaseDoc), Problems))]
pub async fn one(State(site): State<Site>, _: Visitor, Path(address): Path<String>) -> Answer<Json<LeaseDoc>> {
    let address = address_of(&address)?;
    let house = site.house().await?;
    let binding = house.bindings.iter().find(|binding| binding.address == address).cloned();
    let row = binding.and_then(|binding| LeaseRow::all(vec![binding], &house.settings, &house.clock).pop());
    let row = row.ok_or_else(|| Refusal::not_found(format!("{address} was never given to anybody.")))?;
    Ok(Json(doc(row)))
}

/// The admin's word that the holder is gone: anybody may have the address
#[utoipa::path(post, path = "/api/v1/leases/{address}/free", tag = "leases", params(("address" = String, Path, format = Ipv4)), responses((status = 200, body = Done), Problems))]
pub async fn free(State(site): State<Site>, visitor: Visitor, Path(address): Path<String>) -> Answer<Json<Done>> {
    let address = address_of(&address)?;
    let done = saved(site.submit(&visitor, Command::Free(address)).await?)?;
    where_saved(&site, done).await.map(Json)
}
