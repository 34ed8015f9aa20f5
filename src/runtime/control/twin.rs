//! The part of the local door that is about the pair: how it is doing, pairing, what is to be reconciled.
//!
//! What an admin says about the pair otherwise (switch, shut down, declare down, serve, reconcile) is a `Command`.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{CommandOutcome, Door};
use crate::{
    protocol::{Command, TwinCommand, failover, node::TwinStatus, replica::ToReconcile},
    runtime::{
        handle::Stopped,
        led::{self, Around, Sign},
    },
};

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
    /// Forgets the twin.
    fn unpair(&self) -> Answer<'_, ()>;
    /// Forgets the twin's key but not the pair, so that another node can take its place, and shows a code for that one.
    fn replace(&self) -> Answer<'_, ShownCode>;
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

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/twin", get(report))
        .route("/twin/code", post(show_code))
        .route("/twin/pair", post(pair))
        .route("/twin/unpair", post(unpair))
        .route("/twin/replace", post(replace))
}

async fn report(State(door): State<Door>) -> Result<Json<TwinReport>, Stopped> {
    let (status, to_reconcile) = door.handle.read(|node, clock| (node.status(clock.now()), node.to_reconcile())).await?;
    let sign = led::sign(&status, Around::default());
    let light = Light { sign, rhythm: led::pattern(sign).name };
    let link = door.link.as_ref().map(|link| link.facts());
    Ok(Json(TwinReport { node: status.twin, trouble: status.trouble, link, light, to_reconcile }))
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

/// To go on without the twin is to say that it is down (failover rule 10).
async fn unpair(State(door): State<Door>) -> Result<Json<CommandOutcome>, Stopped> {
    let link = match link(&door) {
        Ok(link) => link,
        Err(refusal) => return Ok(Json(CommandOutcome { refused: Some(refusal) })),
    };
    let has_twin = door.handle.read(|node, _| node.memory().is_some()).await?;
    if has_twin && let Err(refusal) = door.handle.submit(Command::Twin(TwinCommand::Unpair)).await? {
        return Ok(Json(CommandOutcome { refused: Some(refusal) }));
    }
    Ok(Json(CommandOutcome { refused: link.unpair().await.err() }))
}

/// The old one is off for good: that is the admin's word that it is down, too.
async fn replace(State(door): State<Door>) -> Result<Json<CodeOutcome>, Stopped> {
    let link = match link(&door) {
        Ok(link) => link,
        Err(refusal) => return Ok(code_outcome(Err(refusal))),
    };
    let status = door.handle.read(|node, clock| node.twin_status(clock.now())).await?;
    let Some(status) = status else {
        return Ok(code_outcome(Err("This server has no twin to replace. `twinlease twin pair` makes it one of two.".into())));
    };
    if status.state != failover::State::PartnerDown
        && let Err(refusal) = door.handle.submit(Command::Twin(TwinCommand::DeclareDown)).await?
    {
        return Ok(code_outcome(Err(refusal)));
    }
    Ok(code_outcome(link.replace().await))
}

fn link(door: &Door) -> Result<&Arc<dyn TwinLink>, String> {
    door.link.as_ref().ok_or_else(|| {
        "The link to a twin is off here. Start twinlease without `--twin-listen off`; its log says more where that does not help."
            .into()
    })
}

fn code_outcome(outcome: Result<ShownCode, String>) -> Json<CodeOutcome> {
    Json(match outcome {
        Ok(shown) => CodeOutcome { shown: Some(shown), refused: None },
        Err(refused) => CodeOutcome { shown: None, refused: Some(refused) },
    })
}

#[cfg(test)]
mod tests;
