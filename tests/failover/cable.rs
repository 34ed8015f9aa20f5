//! A bad cable: it joins the two ends of the twins' own link, and loses, delays or one-way blocks what passes.
//!
//! Frames are taken from one bridge port and put on the other, so all that TCP does about loss is the kernel's own. (A kernel
//! with netem would do the same; many have none.)

use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{SockFilter, Socket};
use twinlease::runtime::{links, packet};

use crate::pair::Side;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    pub loss_percent: u32,
    pub delay: Duration,
    /// Nothing from this side reaches the other; what the other sends arrives.
    pub mute: Option<Side>,
}

#[derive(Default)]
struct Dials {
    loss_percent: AtomicU32,
    delay_ms: AtomicU32,
    /// 0: neither; 1: A; 2: B.
    mute: AtomicU32,
    over: AtomicBool,
}

/// Joins eth1 of both hosts until it is dropped. Made for `world::with_own_link`.
pub struct Cable {
    dials: Arc<Dials>,
    threads: Vec<JoinHandle<()>>,
}

const POLL_INTERVAL: Duration = Duration::from_millis(20);
const FRAME_BYTES: usize = 65_536;

impl Cable {
    pub fn plug() -> Cable {
        let dials = Arc::new(Dials::default());
        let threads = Side::BOTH.map(|from| {
            let (source, sink, dials) = (end(from), end(from.other()), Arc::clone(&dials));
            std::thread::spawn(move || carry(from, &source, &sink, &dials))
        });
        Cable { dials, threads: threads.into() }
    }

    pub fn turn(&self, quality: Quality) {
        let mute = quality.mute.map_or(0, |side| side as u32 + 1);
        self.dials.loss_percent.store(quality.loss_percent, Ordering::Relaxed);
        self.dials.delay_ms.store(quality.delay.as_millis() as u32, Ordering::Relaxed);
        self.dials.mute.store(mute, Ordering::Relaxed);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.dials.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}

/// The world's end of the host's eth1.
fn end(side: Side) -> Socket {
    let name = format!("{}.1", side.host());
    let interfaces = links::list().expect("rtnetlink works in the lab");
    let port = interfaces.into_iter().find(|interface| interface.name == name).expect("world::with_own_link made it");
    let everything = [SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX)];
    let socket = packet::open_receiver(port.index, libc::ETH_P_ALL as u16, &everything).expect("root");
    let yes: libc::c_int = 1;
    // SAFETY: the option is one integer, which lives on this stack for the call.
    let done = unsafe {
        let value = (&raw const yes).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, value, size_of_val(&yes) as u32)
    };
    assert_eq!(done, 0, "PACKET_IGNORE_OUTGOING: {}", std::io::Error::last_os_error());
    socket.set_nonblocking(false).expect("a socket option");
    socket
}

fn carry(from: Side, mut source: &Socket, sink: &Socket, dials: &Dials) {
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; FRAME_BYTES];
    let mut random = 0x2545_F491_u32 + from as u32;
    while !dials.over.load(Ordering::Relaxed) {
        let next = waiting.front().map_or(POLL_INTERVAL, |(due, _)| due.saturating_duration_since(Instant::now()));
        source.set_read_timeout(Some(next.clamp(Duration::from_millis(1), POLL_INTERVAL))).expect("a socket option");
        if let Ok(length) = source.read(&mut buffer) {
            // xorshift32: the same losses in every run.
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let is_mute = dials.mute.load(Ordering::Relaxed) == from as u32 + 1;
            if !is_mute && random % 100 >= dials.loss_percent.load(Ordering::Relaxed) {
                let delay = Duration::from_millis(dials.delay_ms.load(Ordering::Relaxed).into());
                waiting.push_back((Instant::now() + delay, buffer[..length].to_vec()));
            }
        }
        while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let (_, frame) = waiting.pop_front().expect("there is one");
            // A full queue loses it, as a cable may.
            let _ = sink.send(&frame);
        }
    }
}
