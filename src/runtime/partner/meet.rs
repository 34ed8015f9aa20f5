//! The initiator's side of a pairing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::{
    dial::{self, Answer, Connection, Trouble},
    lane::{REQUEST_TIMEOUT, hello},
    pairing::{Exchange, Method, Proof, Refusal, Role, Secret, Start, Started, joins, own_rank},
    record::{Record, Step},
    server::{COMMIT_PATH, CONFIRM_PATH, START_PATH},
    shared::{News, Shared},
    tls::{self, Expect},
};

/// Before it is left to the one who tries again every few seconds.
const COMMIT_TRIES: usize = 3;
const COMMIT_PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Refused(Refusal),
    #[error("{}", told(.0))]
    Trouble(Trouble),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        Failure::Trouble(trouble)
    }
}

/// Before a pairing there is no twin that could be meant.
fn told(trouble: &Trouble) -> String {
    match trouble {
        Trouble::NoAddress => {
            "No other node was found on this network. Give its address, and look whether it runs and is connected.".into()
        }
        Trouble::RefusesUs { .. } => Refusal::HasTwin.to_string(),
        Trouble::Unreachable { .. } | Trouble::WrongKey { .. } | Trouble::Garbage { .. } | Trouble::Silent { .. } => {
            trouble.to_string()
        }
    }
}

/// Pairs with whoever stands at this address, if it knows the secret.
pub async fn meet(shared: &Arc<Shared>, address: SocketAddr, secret: Secret) -> Result<(), Failure> {
    let takes_back = secret.method == Method::PairKey && shared.standing.borrow().may_take_back;
    if shared.desk.lock().await.is_paired() && !takes_back {
        return Err(Failure::Refused(Refusal::Busy));
    }
    let identity = &shared.identity;
    let mut connection = dial::dial(&tls::client_config(identity, Expect::Anyone), &[address]).await?;
    let peer = connection.peer;
    let greeting = hello(&mut connection).await?;
    if greeting.session == shared.session {
        return Err(Refusal::OwnAddress.into());
    }
    if peer == identity.key {
        return Err(Refusal::SameIdentity.into());
    }
    greeting.check_pairing()?;
    if greeting.paired {
        return Err(Refusal::HasTwin.into());
    }
    let (exchange, share) = Exchange::initiate(&secret, &identity.key, &peer);
    let start = to_json(&Start { method: secret.method, share })?;
    let answer = connection.post(START_PATH, start.clone(), HeaderMap::new(), REQUEST_TIMEOUT).await?;
    let started: Started = read(&answer)?;
    let seal = exchange.finish(&started.share, [&identity.key, &peer], &start, &answer.body)?;
    let own = shared.introduction();
    let confirm = to_json(&seal.prove(Role::Initiator, &own)?)?;
    let answer = connection.post(CONFIRM_PATH, confirm, HeaderMap::new(), REQUEST_TIMEOUT).await?;
    let confirmed: Proof = read(&answer)?;
    if !seal.is_proof(Role::Responder, &confirmed) {
        return Err(Refusal::Garbage { why: "the other one does not know the code or the pair key itself".into() }.into());
    }
    let other = seal.open(Role::Responder, &confirmed)?;
    let rank = own_rank((&identity.key, &own), (&peer, &other))?;
    let mut desk = shared.desk.lock().await;
    let joins = joins(secret.method, Role::Initiator, &own, &other, rank);
    let record = desk.agree(peer, (rank, joins), connection.address, other, takes_back)?;
    shared.publish(&desk, Instant::now());
    drop(desk);
    let mut outcome = commit_over(shared, &mut connection, &record).await;
    for _ in 1..COMMIT_TRIES {
        if !matches!(outcome, Err(Failure::Trouble(_))) {
            break;
        }
        sleep(COMMIT_PAUSE).await;
        outcome = commit(shared, &record).await;
    }
    outcome
}

/// The last word, until it was heard: on a new connection, to the one that has agreed and nobody else.
pub async fn commit(shared: &Arc<Shared>, record: &Record) -> Result<(), Failure> {
    let config = tls::client_config(&shared.identity, Expect::Only(record.key));
    match dial::dial(&config, &shared.addresses()).await {
        Ok(mut connection) => commit_over(shared, &mut connection, record).await,
        Err(trouble) => Err(trouble.into()),
    }
}

async fn commit_over(shared: &Arc<Shared>, connection: &mut Connection, record: &Record) -> Result<(), Failure> {
    let answer = connection.post(COMMIT_PATH, Vec::new(), HeaderMap::new(), REQUEST_TIMEOUT).await;
    let outcome = match answer {
        Ok(answer) if answer.status == StatusCode::OK => Ok(()),
        Ok(answer) => Err(read::<()>(&answer).err().unwrap_or(Refusal::Forgotten.into())),
        // It has proven its key before it said so: it has another twin now.
        Err(Trouble::RefusesUs { .. }) => Err(Refusal::HasTwin.into()),
        Err(trouble) => Err(trouble.into()),
    };
    let mut desk = shared.desk.lock().await;
    // Somebody may have unpaired meanwhile.
    let is_meant = desk.record().is_some_and(|now| now.key == record.key && now.step != Step::Proposed);
    match &outcome {
        Ok(()) if is_meant => drop(desk.commit(record.key)?),
        Err(Failure::Refused(Refusal::Forgotten | Refusal::HasTwin)) if is_meant => desk.break_off()?,
        Ok(()) | Err(_) => {}
    }
    shared.publish(&desk, Instant::now());
    drop(desk);
    let _ = shared.news.send(News::Settle).await;
    outcome
}

fn to_json(message: &impl serde::Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(message).map_err(|error| Refusal::Garbage { why: error.to_string() })
}

/// What was asked for, or the refusal in its place.
fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    let garbage = |why: String| Failure::Refused(Refusal::Garbage { why });
    match answer.status {
        StatusCode::OK => serde_json::from_slice(&answer.body).map_err(|error| garbage(error.to_string())),
        StatusCode::CONFLICT => {
            let refusal: Refusal = serde_json::from_slice(&answer.body).map_err(|error| garbage(error.to_string()))?;
            Err(Failure::Refused(refusal))
        }
        // It was paired between its greeting and now, and pairing is not spoken any more.
        StatusCode::NOT_FOUND => Err(Failure::Refused(Refusal::HasTwin)),
        status => Err(garbage(format!("it answers {status}"))),
    }
}
