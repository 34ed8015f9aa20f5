//! Listens for browsers, on a thread of its own: no page delays a packet.

use std::{io, net::SocketAddr, thread::JoinHandle};

use tokio::{net::TcpListener, sync::oneshot};

use super::{Site, routes};

/// Where browsers are listened for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub http: Vec<SocketAddr>,
}

pub struct Web {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub fn start(options: Options, site: Site) -> io::Result<Web> {
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("web".into()).spawn(move || {
        runtime.block_on(async {
            for address in options.http {
                match TcpListener::bind(address).await {
                    Ok(listener) => {
                        tracing::info!("the dashboard is at http://{address}/");
                        tokio::spawn(axum::serve(listener, routes(site.clone())).into_future());
                    }
                    Err(error) => tracing::error!("The dashboard cannot listen on `{address}` ({error})."),
                }
            }
            let _ = stopped.await;
        });
    })?;
    Ok(Web { stop: Some(stop), thread: Some(thread) })
}

impl Drop for Web {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the web thread has panicked");
        }
    }
}
