//! The local door: HTTP over a Unix socket in the data folder, for the command line on this machine. Whoever may
//! open the file may do everything, so only its owner may.

pub mod twin;
pub mod update;

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::{net::UnixListener, sync::oneshot};

use self::twin::TwinLink;
use super::handle::{Handle, Stopped};
use crate::{
    protocol::{Command, node::Status},
    runtime::report::{DeviceStory, LeaseRow},
    settings::Settings,
};

/// All settings in one message: room for some 100,000 kept addresses.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How long those who asked may take to read their answers when the server stops.
const FAREWELL: Duration = Duration::from_secs(1);

pub fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

pub struct Control {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

/// What those who knock are given to.
#[derive(Clone)]
struct Door {
    handle: Handle,
    link: Option<Arc<dyn TwinLink>>,
    data: PathBuf,
}

/// Serves on a thread of its own, so that no question from the command line delays a packet by more than the moment that the node needs to look
/// the answer up, or to hand out its lists. `link`: to the twin; `None`
/// where it is off.
pub fn start(data: &Path, handle: Handle, link: Option<Arc<dyn TwinLink>>) -> io::Result<Control> {
    let path = socket_path(data);
    let data = data.to_owned();
    // The database's lock is held, so a socket file here was left by a process that is gone.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = UnixListener::from_std(listener)?;
            let (farewell, said) = oneshot::channel::<()>();
            let stop = async move {
                // Dropped without a word: stop too.
                let _ = stopped.await;
                let _ = farewell.send(());
            };
            let serve = axum::serve(listener, routes(Door { handle, link, data })).with_graceful_shutdown(stop);
            tokio::select! {
                served = serve => served,
                () = async { let _ = said.await; tokio::time::sleep(FAREWELL).await } => Ok(()),
            }
        });
        if let Err(error) = served {
            tracing::error!("the command line cannot reach this server any more: {error}");
        }
    })?;
    Ok(Control { stop: Some(stop), thread: Some(thread), path })
}

impl Control {
    /// Takes the socket file away. To be called while the database is still locked: afterwards a file of this name
    /// may be that of the next server.
    pub fn hide(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("`{}` cannot be removed: {error}", self.path.display());
        }
    }

    /// Those who were answered get a moment to read it.
    pub fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread has panicked");
        }
    }
}

fn routes(door: Door) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/leases", get(leases))
        .route("/settings", get(settings))
        .route("/why", get(why))
        .route("/command", post(command))
        .merge(twin::routes())
        .merge(update::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(door)
}

/// What `twinlease why` asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhyQuery {
    /// A MAC, an address or a name.
    pub what: String,
}

/// The outcome of a command; `refused` is a sentence.
#[derive(Debug, Serialize, Deserialize)]
pub struct CommandOutcome {
    pub refused: Option<String>,
}

async fn status(State(Door { handle, .. }): State<Door>) -> Result<Json<Status>, Stopped> {
    Ok(Json(handle.read(|node, clock| node.status(clock.now())).await?))
}

async fn leases(State(Door { handle, .. }): State<Door>) -> Result<Json<Vec<LeaseRow>>, Stopped> {
    // Copied between two packets, put into rows here.
    let (bindings, settings, clock) = handle
        .read(|node, clock| (node.leases().iter().cloned().collect::<Vec<_>>(), node.settings().clone(), clock.clone()))
        .await?;
    Ok(Json(LeaseRow::all(bindings, &settings, &clock)))
}

async fn settings(State(Door { handle, .. }): State<Door>) -> Result<Json<Settings>, Stopped> {
    Ok(Json(handle.read(|node, _| node.settings().clone()).await?))
}

async fn why(State(Door { handle, .. }): State<Door>, Query(query): Query<WhyQuery>) -> Result<Json<Vec<DeviceStory>>, Stopped> {
    Ok(Json(handle.read(move |node, clock| DeviceStory::find(node, clock, &query.what)).await?))
}

async fn command(State(Door { handle, .. }): State<Door>, Json(command): Json<Command>) -> Result<Json<CommandOutcome>, Stopped> {
    let refused = handle.submit(command).await?.err();
    Ok(Json(CommandOutcome { refused }))
}

impl IntoResponse for Stopped {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, self.to_string()).into_response()
    }
}
