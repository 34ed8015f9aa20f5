//! The way to the data: through a running server's control socket, or straight to the database of a stopped one.

use std::{io::ErrorKind, time::Duration};

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;
use twinlease::{
    protocol::{Action, Command, Event, Node, replica::Edited},
    runtime::{
        clock::{self, WallTrust},
        control::{CommandOutcome, socket_path},
        handle::COMMAND_LINE,
        report::LeaseRow,
        store::{self, Loaded},
        twin,
    },
    settings::Settings,
};

use super::Place;

/// How long the server may take to answer; a change is answered when it is on disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of the server.
pub enum Door {
    Running(Client),
    /// Not running: its database can be looked into, and changed.
    Stopped,
}

pub struct Client {
    stream: UnixStream,
    runtime: tokio::runtime::Runtime,
}

impl Door {
    pub fn open(place: &Place) -> anyhow::Result<Door> {
        let path = socket_path(&place.data);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(UnixStream::connect(&path)) {
            Ok(stream) => Ok(Door::Running(Client { stream, runtime })),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory) =>
            {
                Ok(Door::Stopped)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!("`{}` belongs to another user. Run this as the user that twinlease runs as, or with sudo.", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("`{}` cannot be reached", path.display())),
        }
    }
}

impl Client {
    pub fn get<T: DeserializeOwned>(self, path: &str) -> anyhow::Result<T> {
        self.call(Method::GET, path, Vec::new())
    }

    pub fn post<T: DeserializeOwned>(self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body)?;
        self.call(Method::POST, path, body)
    }

    fn call<T: DeserializeOwned>(self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<T> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "twinlease")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let asked = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(self.stream)).await?;
            let connection = tokio::spawn(connection);
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            connection.abort();
            anyhow::Ok((status, body))
        };
        let answered = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
        let (status, body) = answered.map_err(|_| {
            anyhow!(
                "The server did not answer within {} s. A change may or may not have been made: look when it answers again. \
                 It may be stopped, or its disk may hang; its log and `dmesg` say more.",
                PATIENCE.as_secs()
            )
        })??;
        if status != StatusCode::OK {
            bail!("{}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).context("The server speaks another version. Use the twinlease that it was started from.")
    }
}

pub fn settings(place: &Place) -> anyhow::Result<Settings> {
    match Door::open(place)? {
        Door::Running(client) => client.get("/settings"),
        Door::Stopped => Ok(store::view(&place.data, WallTrust::Kernel)?.settings),
    }
}

pub fn leases(place: &Place) -> anyhow::Result<Vec<LeaseRow>> {
    match Door::open(place)? {
        Door::Running(client) => client.get("/leases"),
        Door::Stopped => {
            let loaded = store::view(&place.data, WallTrust::Kernel)?;
            Ok(LeaseRow::all(loaded.bindings, &loaded.settings, &loaded.clock))
        }
    }
}

/// The inner error: refused, with a sentence. When this returns well, the change is on disk.
pub fn submit(place: &Place, command: Command) -> anyhow::Result<Result<(), String>> {
    match Door::open(place)? {
        Door::Running(client) => {
            let outcome: CommandOutcome = client.post("/command", &command)?;
            Ok(outcome.refused.map_or(Ok(()), Err))
        }
        Door::Stopped => submit_to_database(place, command),
    }
}

/// The same decision, by the same code, with a node that lives for this one command.
fn submit_to_database(place: &Place, command: Command) -> anyhow::Result<Result<(), String>> {
    let (mut store, mut loaded) = store::open(&place.data, WallTrust::Kernel)?;
    let pair = twin::at_start(&place.data, &mut loaded);
    let Loaded { settings, bindings, clock, notices, trouble, newest_change, .. } = loaded;
    for notice in notices {
        eprintln!("{notice}");
    }
    if let Some(trouble) = trouble {
        return Ok(Err(format!("Nothing was changed: {trouble}")));
    }
    let (now, by) = (clock.now(), Edited::new(COMMAND_LINE, clock::wall_ms()));
    let mut node = Node::new(settings, bindings, clock.epoch(), now);
    node.set_newest_change(newest_change);
    let mut actions = Vec::new();
    if let Some(pair) = pair {
        node.pair(now, pair, &mut actions);
    }
    node.handle(now, Event::Command { id: 0, by, command: Box::new(command) }, &mut actions);
    for action in actions {
        match action {
            Action::Commit(commit) => {
                store.commit_now(&commit.changes).map_err(|trouble| anyhow!("Nothing was changed: {trouble}"))?
            }
            Action::Done { result, .. } => return Ok(result),
            Action::Reply(_) | Action::Probe { .. } | Action::Decided(_) | Action::Send(_) => {}
        }
    }
    Ok(Ok(()))
}
