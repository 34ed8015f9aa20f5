//! Kept addresses and subnets: read, add, change, remove.

use std::net::Ipv4Addr;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::{
    etag,
    leases::{address_of, bad_query, piece},
    problem::{Answer, Problems, Refusal, json_of, wrong_method},
    schema::{Done, ReservationDoc, ReservationPage, SubnetDoc},
    translate,
};
use crate::{
    protocol::{Command, node::Reversal},
    runtime::handle::Saved,
    settings::{Record, Reservation, Settings, Subnet, words::read_network},
    web::{House, Site, visitor::Visitor},
};

pub fn routes() -> Router<Site> {
    let reservation = get(reservation).put(put_reservation).delete(remove_reservation);
    let subnet = get(subnet).put(put_subnet).delete(remove_subnet);
    Router::new()
        .route("/api/v1/reservations", get(reservations).post(add_reservation).fallback(wrong_method))
        .route("/api/v1/reservations/{address}", reservation.fallback(wrong_method))
        .route("/api/v1/subnets", get(subnets).post(add_subnet).fallback(wrong_method))
        .route("/api/v1/subnets/{network}", subnet.fallback(wrong_method))
}

/// The inner refusal is a sentence, or one a line.
pub fn saved(outcome: Result<Saved, String>) -> Answer<Saved> {
    outcome.map_err(|why| Refusal::several(why.lines().map(ToOwned::to_owned).collect()))
}

/// What was done, and where it is now.
pub async fn where_saved(site: &Site, saved: Saved) -> Answer<Done> {
    let house = site.fresh_house().await?;
    let told = match &house.status.twin {
        None => "Saved.",
        Some(_) if !house.saves_here_only() => "Saved on both.",
        Some(_) => "Saved on this one only: the twin is not reachable. Nothing to do; it gets it when it is back.",
    };
    Ok(Done { change: saved.change, told: told.into() })
}

/// From what was read to what shall be, together or not at all; refused where it is no longer as it was read.
pub async fn replace(site: &Site, visitor: &Visitor, old: Option<Record>, new: Option<Record>) -> Answer<Done> {
    let command = match (old, new) {
        (None, None) => return where_saved(site, Saved::default()).await,
        (None, Some(new)) => Command::Add(new),
        (Some(old), Some(new)) if old == new => return where_saved(site, Saved::default()).await,
        (Some(old), new) => {
            let (old_key, new_key) = (old.key(), new.as_ref().map(Record::key));
            let mut steps = vec![Reversal { key: old_key.clone(), before: new.clone(), after: Some(old) }];
            if let (Some(key), Some(new)) = (new_key.filter(|key| *key != old_key), new) {
                // Another device takes its place: the one record goes, the other comes.
                steps[0].before = None;
                steps.push(Reversal { key, before: Some(new), after: None });
            }
            Command::Revert(steps)
        }
    };
    let done = saved(site.submit(visitor, command).await?)?;
    where_saved(site, done).await
}

fn created(path: String, done: Done) -> Response {
    (StatusCode::CREATED, [(header::LOCATION, path)], Json(done)).into_response()
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// At most 1000; 100 where it is not said.
    limit: Option<usize>,
    offset: Option<usize>,
}

/// Kept addresses, in order
#[utoipa::path(get, path = "/api/v1/reservations", tag = "reservations", params(PageQuery), responses((status = 200, body = ReservationPage), Problems))]
pub async fn reservations(
    State(site): State<Site>,
    _: Visitor,
    headers: HeaderMap,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Answer<Response> {
    let Query(PageQuery { limit, offset }) = query.map_err(|rejection| bad_query(&rejection))?;
    let house = site.fresh_house().await?;
    let (items, total, next) = piece(house.settings.reservations.iter().collect(), limit, offset);
    let items: Vec<Value> = items.into_iter().map(translate::reservation_json).collect();
    let page = match next {
        Some(next) => json!({ "items": items, "total": total, "next": next }),
        None => json!({ "items": items, "total": total }),
    };
    Ok(etag::tagged(&headers, page))
}

fn kept_at(house: &House, address: Ipv4Addr) -> Option<&Reservation> {
    house.settings.reservations.iter().find(|kept| kept.address == address)
}

fn not_kept(address: Ipv4Addr) -> Refusal {
    Refusal::not_found(format!("{address} is kept for nobody. POST to /api/v1/reservations keeps it."))
}

/// Keep an address for a device
#[utoipa::path(post, path = "/api/v1/reservations", tag = "reservations", request_body = ReservationDoc, responses((status = 201, body = Done, headers(("Location" = String))), Problems))]
pub async fn add_reservation(State(site): State<Site>, visitor: Visitor, body: Bytes) -> Answer<Response> {
    let house = site.fresh_house().await?;
    let new = translate::reservation_of(&json_of(&body)?, &house.settings)?;
    let path = format!("/api/v1/reservations/{}", new.address);
    let done = replace(&site, &visitor, None, Some(Record::Reservation(new))).await?;
    Ok(created(path, done))
}

/// One kept address
#[utoipa::path(get, path = "/api/v1/reservations/{address}", tag = "reservations", params(("address" = String, Path, format = Ipv4)), responses((status = 200, body = ReservationDoc, headers(("ETag" = String))), Problems))]
pub async fn reservation(
    State(site): State<Site>,
    _: Visitor,
    headers: HeaderMap,
    Path(address): Path<String>,
) -> Answer<Response> {
    let address = address_of(&address)?;
    let house = site.fresh_house().await?;
    let kept = kept_at(&house, address).ok_or_else(|| not_kept(address))?;
    Ok(etag::tagged(&headers, translate::reservation_json(kept)))
}

/// Change a kept address: another device, another address, other options
#[utoipa::path(put, path = "/api/v1/reservations/{address}", tag = "reservations", params(("address" = String, Path, format = Ipv4), ("If-Match" = Option<String>, Header)), request_body = ReservationDoc, responses((status = 200, body = Done), Problems))]
pub async fn put_reservation(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(address): Path<String>,
    body: Bytes,
) -> Answer<Json<Done>> {
    let address = address_of(&address)?;
    let house = site.fresh_house().await?;
    let yours = json_of(&body)?;
    let old = kept_at(&house, address);
    etag::check(&headers, old.map(translate::reservation_json).as_ref(), &yours)?;
    let old = old.ok_or_else(|| not_kept(address))?.clone();
    let new = translate::reservation_of(&yours, &house.settings)?;
    replace(&site, &visitor, Some(Record::Reservation(old)), Some(Record::Reservation(new))).await.map(Json)
}

/// Keep the address for nobody any more
#[utoipa::path(delete, path = "/api/v1/reservations/{address}", tag = "reservations", params(("address" = String, Path, format = Ipv4), ("If-Match" = Option<String>, Header)), responses((status = 200, body = Done), Problems))]
pub async fn remove_reservation(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(address): Path<String>,
) -> Answer<Json<Done>> {
    let address = address_of(&address)?;
    let house = site.fresh_house().await?;
    let old = kept_at(&house, address);
    etag::check(&headers, old.map(translate::reservation_json).as_ref(), &Value::Null)?;
    let old = old.ok_or_else(|| not_kept(address))?.clone();
    replace(&site, &visitor, Some(Record::Reservation(old)), None).await.map(Json)
}

/// `192.0.2.0-24`, because a slash parts a path; `192.0.2.0%2F24` will do, too.
fn subnet_at<'a>(settings: &'a Settings, text: &str) -> Answer<Option<&'a Subnet>> {
    let network = read_network(&text.replacen('-', "/", 1)).map_err(Refusal::not_found)?;
    Ok(settings.subnets.iter().find(|subnet| subnet.network == network))
}

fn no_subnet(text: &str) -> Refusal {
    let text: String = text.chars().take(60).collect();
    Refusal::not_found(format!("There is no subnet `{text}`. GET /api/v1/subnets lists them."))
}

/// The networks that are served
#[utoipa::path(get, path = "/api/v1/subnets", tag = "subnets", responses((status = 200, body = Vec<SubnetDoc>), Problems))]
pub async fn subnets(State(site): State<Site>, _: Visitor, headers: HeaderMap) -> Answer<Response> {
    let house = site.fresh_house().await?;
    Ok(etag::tagged(&headers, house.settings.subnets.iter().map(translate::subnet_json).collect()))
}

/// Serve one more network
#[utoipa::path(post, path = "/api/v1/subnets", tag = "subnets", request_body = SubnetDoc, responses((status = 201, body = Done, headers(("Location" = String))), Problems))]
pub async fn add_subnet(State(site): State<Site>, visitor: Visitor, body: Bytes) -> Answer<Response> {
    let house = site.fresh_house().await?;
    let new = translate::subnet_of(&json_of(&body)?, &house.settings)?;
    let path = format!("/api/v1/subnets/{}", new.network.to_string().replacen('/', "-", 1));
    let done = replace(&site, &visitor, None, Some(Record::Subnet(new))).await?;
    Ok(created(path, done))
}

/// One network, written `192.168.1.0-24`
#[utoipa::path(get, path = "/api/v1/subnets/{network}", tag = "subnets", params(("network" = String, Path)), responses((status = 200, body = SubnetDoc, headers(("ETag" = String))), Problems))]
pub async fn subnet(State(site): State<Site>, _: Visitor, headers: HeaderMap, Path(network): Path<String>) -> Answer<Response> {
    let house = site.fresh_house().await?;
    let subnet = subnet_at(&house.settings, &network)?.ok_or_else(|| no_subnet(&network))?;
    Ok(etag::tagged(&headers, translate::subnet_json(subnet)))
}

/// Change a network: its pools, its times, its options
#[utoipa::path(put, path = "/api/v1/subnets/{network}", tag = "subnets", params(("network" = String, Path), ("If-Match" = Option<String>, Header)), request_body = SubnetDoc, responses((status = 200, body = Done), Problems))]
pub async fn put_subnet(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(network): Path<String>,
    body: Bytes,
) -> Answer<Json<Done>> {
    let house = site.fresh_house().await?;
    let yours = json_of(&body)?;
    let old = subnet_at(&house.settings, &network)?;
    etag::check(&headers, old.map(translate::subnet_json).as_ref(), &yours)?;
    let old = old.ok_or_else(|| no_subnet(&network))?.clone();
    let new = translate::subnet_of(&yours, &house.settings)?;
    replace(&site, &visitor, Some(Record::Subnet(old)), Some(Record::Subnet(new))).await.map(Json)
}

/// Serve the network no more
#[utoipa::path(delete, path = "/api/v1/subnets/{network}", tag = "subnets", params(("network" = String, Path), ("If-Match" = Option<String>, Header)), responses((status = 200, body = Done), Problems))]
pub async fn remove_subnet(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(network): Path<String>,
) -> Answer<Json<Done>> {
    let house = site.fresh_house().await?;
    let old = subnet_at(&house.settings, &network)?;
    etag::check(&headers, old.map(translate::subnet_json).as_ref(), &Value::Null)?;
    let old = old.ok_or_else(|| no_subnet(&network))?.clone();
    replace(&site, &visitor, Some(Record::Subnet(old)), None).await.map(Json)
}
