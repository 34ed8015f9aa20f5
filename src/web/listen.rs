//! Listens for browsers, on a thread of its own: no page delays a packet, and no port that is taken stops DHCP.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Site, certificate,
    crowd::{Crowd, Seat},
    router,
};

/// A port that is taken, or that we may not have, is tried again for ever.
const RETRY: Duration = Duration::from_secs(5);
const BACKLOG: i32 = 128;
const TLS_PATIENCE: Duration = Duration::from_secs(10);
/// For all of a request's header; also how long a connection may wait for its next request.
const HEADER_PATIENCE: Duration = Duration::from_secs(20);
/// One who does not take what was sent is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Where browsers are listened for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    /// Where key and certificate lie.
    pub data: PathBuf,
    /// Further names by which this device is opened.
    pub names: Vec<String>,
}

/// Who is at the other end of the connection: in every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    pub is_tls: bool,
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
            let (router, crowd) = (router(site), Arc::new(Crowd::default()));
            for address in options.http {
                tokio::spawn(listen(address, None, router.clone(), crowd.clone()));
            }
            if !options.https.is_empty() {
                let config = certificate::keep(options.data, options.names);
                for address in options.https {
                    tokio::spawn(listen(address, Some(config.clone()), router.clone(), crowd.clone()));
                }
            }
            let _ = stopped.await;
        });
        // Whoever is in the middle of a hash is not waited for.
        runtime.shutdown_background();
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

/// What is shown on https; `None`: not made yet.
pub type Shown = watch::Receiver<Option<Arc<ServerConfig>>>;

async fn listen(address: SocketAddr, tls: Option<Shown>, router: Router, crowd: Arc<Crowd>) {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut told = None;
    let listener = loop {
        match bind(address) {
            Ok(listener) => break listener,
            Err(error) => {
                if told != Some(error.kind()) {
                    tracing::error!("{}", refusal(address, scheme, &error));
                    told = Some(error.kind());
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    tracing::info!("the dashboard is at {scheme}://{address}/");
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(seat) = crowd.admit(from.ip()) else { continue };
                let peer = Peer { address: from.ip(), is_tls: tls.is_some() };
                let config = tls.as_ref().map(|shown| shown.borrow().clone());
                tokio::spawn(serve(stream, peer, config, router.clone(), seat));
            }
            // Out of descriptors, most likely: others go on, and some will end.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn refusal(address: SocketAddr, scheme: &str, error: &io::Error) -> String {
    let option = if scheme == "https" { "--web-tls-listen" } else { "--web-listen" };
    let other = if scheme == "https" { 8443 } else { 8080 };
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program has it. Stop that one, or choose another port with `{option} {}:{other}`", address.ip())
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "ports below 1024 are for root. Start twinlease with CAP_NET_BIND_SERVICE, or choose `{option} {}:{other}`",
                address.ip()
            )
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address now".into(),
        _ => error.to_string(),
    };
    format!("There is no dashboard at {scheme}://{address}/: {remedy}. It is tried again; DHCP goes on.")
}

async fn serve(stream: TcpStream, peer: Peer, config: Option<Option<Arc<ServerConfig>>>, router: Router, _seat: Seat) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(WRITE_PATIENCE));
    match config {
        None => talk(stream, peer, router).await,
        Some(None) => {}
        Some(Some(config)) => {
            let accepted = tokio::time::timeout(TLS_PATIENCE, TlsAcceptor::from(config).accept(stream)).await;
            if let Ok(Ok(stream)) = accepted {
                talk(stream, peer, router).await;
            }
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, router: Router) {
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE).max_buf_size(HEADER_BYTES_MAX);
    // Browsers that vanish are no news.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_cannot_be_had_is_told_with_a_remedy() {
        let address: SocketAddr = "192.0.2.1:80".parse().expect("an address");
        let taken = refusal(address, "http", &io::ErrorKind::AddrInUse.into());
        assert!(taken.contains("another program has it") && taken.contains("--web-listen 192.0.2.1:8080"), "{taken}");
        let refused = refusal(address, "https", &io::ErrorKind::PermissionDenied.into());
        assert!(refused.contains("CAP_NET_BIND_SERVICE") && refused.contains("--web-tls-listen 192.0.2.1:8443"), "{refused}");
    }
}
