//! The made-up devices of a drill: one asks after the other, in turn, and each wait is taken down.
//!
//! Each is a new device to whoever hears it, as somebody who comes home: one that asks four times is answered by a standby in any
//! case, which would make the take-over look faster than it is. There are few of them, so that their offers do not empty a
//! small pool; one that is still unanswered when its turn comes again asks once more, as devices do.

use std::{os::fd::AsFd, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use super::Drills;
use crate::{
    protocol::Interface,
    runtime::{
        batch::{self, Outgoing, ReceiveBatch, To},
        packet,
        rivals::{Client, discover_frame, made_up, random_xid, read_offer},
        watch,
    },
};

const ASK_INTERVAL: Duration = Duration::from_millis(250);
const DEVICES: usize = 8;
/// After the end, for answers that are on their way.
const GRACE: Duration = Duration::from_secs(1);
const RECEIVE_BYTES: usize = 2048;
/// By this name whoever answers knows them.
const NAME: &str = "twinlease-drill";

struct Device {
    client: Client,
    /// Since its first DISCOVER; `None`: it has an answer.
    waits_since: Option<Instant>,
}

/// Asks until `stopped`. The error is a sentence.
pub async fn ask(drills: &Drills, interface: Option<Interface>, mut stopped: oneshot::Receiver<()>) -> Result<(), String> {
    let interface = interface.ok_or("no Ethernet interface is served here.")?;
    let mac = interface.mac.ok_or_else(|| format!("{} is not an Ethernet interface.", interface.name))?;
    let failed = |error: std::io::Error| format!("{} does not let us ask ({error}).", interface.name);
    let socket = packet::open_receiver(interface.index, packet::ETHER_TYPE_IPV4, &packet::REPLY_FILTER).map_err(failed)?;
    let sockets = [watch::watch(socket).map_err(failed)?];
    let mut received = ReceiveBatch::new(RECEIVE_BYTES);
    let mut devices: Vec<Device> = Vec::with_capacity(DEVICES);
    for number in 0..DEVICES as u8 {
        let mut chaddr = made_up(mac);
        chaddr[5] ^= number;
        devices.push(Device { client: Client { xid: 0, chaddr, name: Some(NAME) }, waits_since: None });
    }
    let began = Instant::now();
    let mut turn = interval(ASK_INTERVAL);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut nth: u16 = 0;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            _ = turn.tick() => {
                let device = &mut devices[usize::from(nth) % DEVICES];
                nth = nth.wrapping_add(1);
                let secs = match device.waits_since {
                    Some(since) => since.elapsed().as_secs() as u16,
                    None => {
                        device.waits_since = Some(Instant::now());
                        device.client.xid = random_xid().map_err(failed)?;
                        drills.note(|report| report.asked += 1);
                        0
                    }
                };
                let bytes = discover_frame(&device.client, mac, secs, nth).map_err(failed)?;
                let to = To::Ethernet { interface: interface.index, ether_type: packet::ETHER_TYPE_IPV4 };
                // What the network does not take now is asked again in its turn.
                let _ = batch::send(sockets[0].get_ref().as_fd(), &[Outgoing { bytes: &bytes, to }]);
            }
            () = watch::any_readable(|| sockets.iter()) => hear(drills, &sockets[0], &mut received, &mut devices, began),
        }
    }
    let end = Instant::now() + GRACE;
    while devices.iter().any(|device| device.waits_since.is_some())
        && timeout_at(end, watch::any_readable(|| sockets.iter())).await.is_ok()
    {
        hear(drills, &sockets[0], &mut received, &mut devices, began);
        // A flood keeps the socket readable; the end gets its check.
        tokio::task::yield_now().await;
        if Instant::now() >= end {
            break;
        }
    }
    Ok(())
}

fn hear(
    drills: &Drills,
    socket: &tokio::io::unix::AsyncFd<socket2::Socket>,
    received: &mut ReceiveBatch,
    devices: &mut [Device],
    began: Instant,
) {
    let count = watch::receive_batch(socket, received, &mut 0);
    let now = Instant::now();
    for index in 0..count {
        let bytes = received.get(index).bytes;
        for device in devices.iter_mut() {
            if let Some(since) = device.waits_since
                && read_offer(bytes, &device.client).is_some()
            {
                device.waits_since = None;
                let wait_ms = (now - since).as_millis() as u64;
                drills.note(|report| {
                    report.answered += 1;
                    report.longest_wait_ms = report.longest_wait_ms.max(wait_ms);
                    report.took_over_ms.get_or_insert((now - began).as_millis() as u64);
                });
            }
        }
    }
}
