//! The part of the local door that is about the pair: how it is doing, pairing, what is to be reconciled.
//!
//! What an admin says about the pair otherwise (switch, shut down, declare down, serve, reconcile) is a `Command`.

pub mod part;

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use super::{CommandOutcome, Door};
use crate::{
    protocol::{
        Node,
        failover::State as PairState,
        node::{Precheck, TwinStatus},
        replica::ToReconcile,
    },
    runtime::{
        clock::Clock,
        drill::Report,
        handle::{COMMAND_LINE, Stopped},
        led::{self, Sign},
    },
};
use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

/// A twin that is cut off is not heard any more within 1.5 s.
const SILENCE_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// An answer that takes its time; the error is a sentence.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// What the link to the twin can be asked for.
pub trait TwinLink: Send + Sync {
    /// Who this node is, who the twin is, how the link is: for people, as the link tells it.
    fn facts(&self) -> serde_json::Value;
    /// A new code, to be typed on the other node.
    fn show_code(&self) -> Answer<'_, ShownCode>;
    /// Pairs with the node that shows this code: the one at this address, or the only one that is found.
    fn enter_code(&self, code: String, address: Option<SocketAddr>) -> Answer<'_, ()>;
    /// Forgets the twin's key: nothing of it is heard any more.
    fn unpair(&self) -> Answer<'_, ()>;
    fn is_paired(&self) -> bool;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCode {
    pub digits: String,
    pub secs_left: u64,
}

/// What `twinlease twin pair` sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairRequest {
    pub code: String,
    pub address: Option<SocketAddr>,
}

/// The outcome of a request for a code; one of the two.
#[derive(Debug, Serialize, Deserialize)]
pub struct CodeOutcome {
    pub shown: Option<ShownCode>,
    pub refused: Option<String>,
}

/// What `twinlease twin status` is told.
#[derive(Debug, Serialize)]
pub struct TwinReport {
    /// `None`: no twin.
    pub node: Option<TwinStatus>,
    /// It shall be one of two, has met nobody yet, and answers nobody until then.
    pub waits_for_twin: bool,
    /// Hears clients on at least one interface.
    pub serving: bool,
    /// Why nothing new can be promised here, as a sentence.
    pub trouble: Option<String>,
    /// `None`: the link is off.
    pub link: Option<serde_json::Value>,
    pub light: Light,
    pub to_reconcile: Vec<ToReconcile>,
}

/// What the light on the box says.
#[derive(Debug, Serialize)]
pub struct Light {
    pub sign: Sign,
    /// The rhythm, in words.
    pub rhythm: &'static str,
}

/// What `twinlease twin drill` is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct DrillReport {
    /// This node plays dead, for so many seconds more.
    pub secs_left: Option<u64>,
    /// Of the one that goes on here.
    pub under_way: Option<Report>,
    pub last: Option<Report>,
    /// What must hold for one to begin.
    pub prechecks: Vec<Precheck>,
}

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/twin", get(report))
        .route("/twin/drill", get(drill))
        .route("/twin/code", post(show_code))
        .route("/twin/pair", post(pair))
        .route("/twin/unpair", post(unpair))
        .route("/twin/replace", post(replace))
}

async fn report(State(door): State<Door>) -> Result<Json<TwinReport>, Stopped> {
    let look = |node: &Node, clock: &Clock| (node.status(clock.now()), node.to_reconcile(), node.waits_for_twin());
    let (status, to_reconcile, waits_for_twin) = door.handle.read(look).await?;
    let sign = led::sign(&status, door.handle.around());
    let light = Light { sign, rhythm: led::pattern(sign).name };
    let link = door.link.as_ref().map(|link| link.facts());
    let (serving, trouble) = (status.serving, status.trouble);
    Ok(Json(TwinReport { node: status.twin, waits_for_twin, serving, trouble, link, light, to_reconcile }))
}

async fn drill(State(door): State<Door>) -> Result<Json<DrillReport>, Stopped> {
    let look = |node: &Node, clock: &Clock| {
        let twin = node.status(clock.now()).twin.filter(|twin| twin.state == PairState::Drilled);
        (twin.map(|twin| twin.wait_secs.unwrap_or_default()), node.drill_prechecks(clock.now()))
    };
    let (secs_left, prechecks) = door.handle.read(look).await?;
    let drills = door.handle.drills();
    Ok(Json(DrillReport { secs_left, under_way: drills.under_way(), last: drills.last(), prechecks }))
}

async fn show_code(State(door): State<Door>) -> Json<CodeOutcome> {
    code_outcome(match link(&door) {
        Ok(link) => link.show_code().await,
        Err(refusal) => Err(refusal),
    })
}

async fn pair(State(door): State<Door>, Json(PairRequest { code, address }): Json<PairRequest>) -> Json<CommandOutcome> {
    let paired = match link(&door) {
        Ok(link) => link.enter_code(code, address).await,
        Err(refusal) => Err(refusal),
    };
    Json(CommandOutcome { refused: paired.err() })
}

async fn unpair(State(door): State<Door>) -> Result<Json<CommandOutcome>, Stopped> {
    Ok(Json(CommandOutcome { refused: part::unpair(&door.handle, door.link.as_ref(), COMMAND_LINE).await?.err() }))
}

async fn replace(State(door): State<Door>) -> Result<Json<CodeOutcome>, Stopped> {
    Ok(code_outcome(part::replace(&door.handle, door.link.as_ref(), COMMAND_LINE).await?))
}

fn link(door: &Door) -> Result<&Arc<dyn TwinLink>, String> {
    part::link(door.link.as_ref())
}

fn code_outcome(outcome: Result<ShownCode, String>) -> Json<CodeOutcome> {
    Json(match outcome {
        Ok(shown) => CodeOutcome { shown: Some(shown), refused: None },
        Err(refused) => CodeOutcome { shown: None, refused: Some(refused) },
    })
}

#[cfg(test)]
mod tests;
