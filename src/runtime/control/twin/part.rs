//! How a twin is given up: un-paired, or replaced by another. For the command line and the dashboard alike.

use std::sync::Arc;

use tokio::time::Instant;

use super::{LOOK_INTERVAL, SILENCE_PATIENCE, ShownCode, TwinLink};
use crate::{
    protocol::{Command, TwinCommand, failover::State, node::TwinStatus},
    runtime::handle::{Handle, Stopped},
};

type Link<'a> = Option<&'a Arc<dyn TwinLink>>;

const IN_A_DRILL: &str = "This one is in a drill. End the drill first, or wait until it is over.";

/// The node declares its twin down, and becomes one alone when the waits are over (failover rule 10).
pub async fn unpair(handle: &Handle, link: Link<'_>, by: &str) -> Result<Result<(), String>, Stopped> {
    let (is_one_of_two, is_drilled) = handle.read(|node, _| (node.memory().is_some(), node.is_drilled())).await?;
    if is_drilled {
        return Ok(Err(IN_A_DRILL.into()));
    }
    if let Err(refusal) = forget_key(link).await {
        return Ok(Err(refusal));
    }
    if !is_one_of_two {
        return Ok(Ok(()));
    }
    Ok(handle.submit_as(by, Command::Twin(TwinCommand::Unpair)).await?.map(|_| ()))
}

/// The old one is off for good. The node stays one of two, with its rank and its waits; who comes next gets a code.
pub async fn replace(handle: &Handle, link: Link<'_>, by: &str) -> Result<Result<ShownCode, String>, Stopped> {
    let Some(status) = status(handle).await? else {
        return Ok(Err("This server has no twin to replace. Pair it with one.".into()));
    };
    if status.state == State::Drilled {
        return Ok(Err(IN_A_DRILL.into()));
    }
    match status.partner {
        Some(partner) if partner.in_contact => {
            return Ok(Err("The twin answers: it is not off. Switch it off first, then say this again.".into()));
        }
        Some(partner) if partner.drill_secs_left.is_some() => {
            return Ok(Err("The twin is in a drill and comes back by itself: it is not off.".into()));
        }
        Some(_) | None => {}
    }
    if let Err(refusal) = without_twin(handle, link, by).await? {
        return Ok(Err(refusal));
    }
    Ok(match self::link(link) {
        Ok(link) => link.show_code().await,
        Err(refusal) => Err(refusal),
    })
}

async fn status(handle: &Handle) -> Result<Option<TwinStatus>, Stopped> {
    handle.read(|node, clock| node.twin_status(clock.now())).await
}

/// Forgets the twin's key. That is the admin's word that it is down, with the waits that this has (failover rule 10).
async fn without_twin(handle: &Handle, link: Link<'_>, by: &str) -> Result<Result<(), String>, Stopped> {
    if let Err(refusal) = forget_key(link).await {
        return Ok(Err(refusal));
    }
    let started = Instant::now();
    loop {
        let Some(status) = status(handle).await? else { return Ok(Ok(())) };
        let is_heard = status.partner.is_some_and(|partner| partner.in_contact);
        match status.state {
            State::PartnerDown => return Ok(Ok(())),
            State::CommunicationsInterrupted if !is_heard => {
                return Ok(handle.submit_as(by, Command::Twin(TwinCommand::DeclareDown)).await?.map(|_| ()));
            }
            // It may not take over: it waits for a twin, as before.
            State::Recover | State::ShuttingDown if !is_heard => return Ok(Ok(())),
            // The last words of the twin have just been heard.
            _ if started.elapsed() < SILENCE_PATIENCE => tokio::time::sleep(LOOK_INTERVAL).await,
            state => {
                return Ok(Err(format!(
                    "The link is gone, but this one is still {state}. When that is over, declare the twin down."
                )));
            }
        }
    }
}

/// Nothing of the twin is heard any more. Said again where the rest was not done: it is forgotten already.
async fn forget_key(link: Link<'_>) -> Result<(), String> {
    let link = self::link(link)?;
    if link.is_paired() { link.unpair().await } else { Ok(()) }
}

pub fn link(link: Link<'_>) -> Result<&Arc<dyn TwinLink>, String> {
    link.ok_or_else(|| {
        "The link to a twin is off here. Start twinlease without `--twin-listen off`; its log says more where that does not help."
            .into()
    })
}
