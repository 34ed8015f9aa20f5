//! The part of the local door that is about the pair: how it is doing, pairing, what is to be reconciled.
//!
//! What an admin says about the pair otherwise (switch, shut down, declare down, serve, reconcile) is a `Command`.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{CommandOutcome, Door};
use crate::{
    protocol::{Command, Node, TwinCommand, failover, node::TwinStatus, replica::ToReconcile},
    runtime::{
        clock::Clock,
        handle::Stopped,
        led::{self, Sign},
    },
};

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

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/twin", get(report))
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

/// The node declares its twin down, and becomes one alone when the waits are over (failover rule 10).
async fn unpair(State(door): State<Door>) -> Result<Json<CommandOutcome>, Stopped> {
    let refused = match forget_key(&door).await {
        Err(refusal) => Some(refusal),
        Ok(()) => match door.handle.read(|node, _| node.memory().is_some()).await? {
            true => door.handle.submit(Command::Twin(TwinCommand::Unpair)).await?.err(),
            false => None,
        },
    };
    Ok(Json(CommandOutcome { refused }))
}

/// The old one is off for good. The node stays one of two, with its rank and its waits; who comes next gets a code.
async fn replace(State(door): State<Door>) -> Result<Json<CodeOutcome>, Stopped> {
    let Some(status) = door.handle.read(|node, clock| node.twin_status(clock.now())).await? else {
        return Ok(code_outcome(Err("This server has no twin to replace. `twinlease twin pair` makes it one of two.".into())));
    };
    if status.partner.is_some_and(|partner| partner.in_contact) {
        let refusal = "The twin answers: it is not off. Switch it off first, then say this again.";
        return Ok(code_outcome(Err(refusal.into())));
    }
    Ok(match without_twin(&door).await? {
        Ok(()) => show_code(State(door)).await,
        Err(refusal) => code_outcome(Err(refusal)),
    })
}

/// Forgets the twin's key. That is the admin's word that it is down, with the waits that this has (failover rule 10).
async fn without_twin(door: &Door) -> Result<Result<(), String>, Stopped> {
    if let Err(refusal) = forget_key(door).await {
        return Ok(Err(refusal));
    }
    let started = Instant::now();
    loop {
        let status = door.handle.read(|node, clock| node.twin_status(clock.now())).await?;
        let Some(status) = status else { return Ok(Ok(())) };
        let is_heard = status.partner.is_some_and(|partner| partner.in_contact);
        match status.state {
            failover::State::PartnerDown => return Ok(Ok(())),
            failover::State::CommunicationsInterrupted if !is_heard => {
                return door.handle.submit(Command::Twin(TwinCommand::DeclareDown)).await;
            }
            // It may not take over: it waits for a twin, as before.
            failover::State::Recover | failover::State::ShuttingDown if !is_heard => return Ok(Ok(())),
            // The last words of the twin have just been heard.
            _ if started.elapsed() < SILENCE_PATIENCE => tokio::time::sleep(LOOK_INTERVAL).await,
            state => {
                return Ok(Err(format!(
                    "The link is gone, but this one is still {state}. When that is over, say `twinlease twin declare-down`."
                )));
            }
        }
    }
}

/// Nothing of the twin is heard any more. Said again where the rest was not done: it is forgotten already.
async fn forget_key(door: &Door) -> Result<(), String> {
    let link = link(door)?;
    if link.is_paired() { link.unpair().await } else { Ok(()) }
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
