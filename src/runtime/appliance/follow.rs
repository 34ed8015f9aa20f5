//! Follows the server: the light shows how it is, and its parts that go on are signs of life for the watchdog.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::lights::Panel;
use crate::runtime::{alive::Alive, handle::Handle, led};

/// Faster than an eye asks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A loop that takes longer answers no device either.
const LOOP_PATIENCE: Duration = Duration::from_secs(3);
const WEB_INTERVAL: Duration = Duration::from_secs(2);
const WEB_PATIENCE: Duration = Duration::from_secs(3);

/// Sets the light from now on. Moves while the loop that answers devices does.
pub fn packet_loop(handle: Handle, panel: Panel) -> io::Result<Alive> {
    let alive = Alive::default();
    let moved = alive.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name("follow".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                let look = handle.read(|node, clock| node.status(clock.now()));
                match tokio::time::timeout(LOOP_PATIENCE, look).await {
                    Ok(Ok(status)) => {
                        moved.beat();
                        panel.set(led::sign(&status, handle.around()));
                    }
                    Ok(Err(_)) => break,
                    Err(_) => panel.set(led::Sign::Fault),
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
    })?;
    Ok(alive)
}

/// Moves while browsers are answered, whatever the answer is.
pub fn dashboard(port: u16) -> io::Result<Alive> {
    let alive = Alive::default();
    let moved = alive.clone();
    std::thread::Builder::new().name("ask-web".into()).spawn(move || {
        loop {
            if is_answered((Ipv4Addr::LOCALHOST, port).into()).is_ok() {
                moved.beat();
            }
            std::thread::sleep(WEB_INTERVAL);
        }
    })?;
    Ok(alive)
}

/// A connection that is closed without a word is an answer too: those who are too many are sent away so.
fn is_answered(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, WEB_PATIENCE)?;
    stream.set_read_timeout(Some(WEB_PATIENCE))?;
    let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    match asked.and_then(|()| stream.read(&mut [0; 64])) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset || error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        read => read.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_but_never_answers_shows_no_sign_of_life() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        assert!(is_answered(address).is_err(), "accepted by the kernel alone");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(stream);
            }
        });
        assert!(is_answered(address).is_ok(), "sent away is answered");
    }
}
