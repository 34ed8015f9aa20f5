//! ARP: asks who has an address before it is offered, and hears who claims one.

use std::{io, net::Ipv4Addr, os::fd::AsFd};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::{
    protocol::Interface,
    runtime::{
        batch::{self, Outgoing, ReceiveBatch, To},
        frame, packet,
        served::{Entry, Notice, Served, State},
        watch,
    },
};

/// An ARP frame has 42 bytes, padded to 60.
const RECEIVE_BYTES: usize = 64;

/// A host on the wire that uses an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub interface: u32,
    pub address: Ipv4Addr,
    pub mac: [u8; 6],
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("the interface is not served, or it is not Ethernet and has no ARP")]
    NoArp,
    #[error("the ARP probe did not leave: {0}")]
    Refused(#[from] io::Error),
}

/// One ARP socket per served Ethernet interface.
pub struct Arp {
    served: Served<AsyncFd<Socket>>,
    batch: ReceiveBatch,
}

impl Default for Arp {
    fn default() -> Self {
        Arp { served: Served::default(), batch: ReceiveBatch::new(RECEIVE_BYTES) }
    }
}

impl Arp {
    /// As `Sockets::update`, which tells what is missing; only failures of ARP itself are returned here.
    pub fn update(&mut self, interfaces: &[Interface], wanted: &[String]) -> Vec<Notice> {
        let ethernet: Vec<Interface> = interfaces.iter().filter(|interface| interface.mac.is_some()).cloned().collect();
        let mut notices = self.served.update(&ethernet, wanted, |interface, _| open(interface.index));
        notices.retain(|notice| matches!(notice.state, State::Failed(_)));
        notices
    }

    /// Asks on `interface` who has `address`, without claiming any itself (RFC 5227 §2.1.1). Answers come as `Heard`.
    pub fn send_probe(&self, interface: u32, address: Ipv4Addr) -> Result<(), ProbeError> {
        let entry = self.served.get(interface).ok_or(ProbeError::NoArp)?;
        let mac = entry.interface.mac.ok_or(ProbeError::NoArp)?;
        let bytes = request(mac, Ipv4Addr::UNSPECIFIED, address);
        let to = To::Ethernet { interface, ether_type: packet::ETHER_TYPE_ARP };
        let message = [Outgoing { bytes: &bytes, to }];
        // An interface that went down and came back leaves an error in the socket; the first call clears it.
        batch::send(entry.open.get_ref().as_fd(), &message).or_else(|_| batch::send(entry.open.get_ref().as_fd(), &message))?;
        Ok(())
    }

    /// Waits until something was heard. Cancel safe.
    pub async fn readable(&mut self) {
        watch::any_readable(|| self.served.entries().iter().map(|entry| &entry.open)).await;
    }

    /// Hands over what was heard: at most one batch per interface. Returns how many.
    pub fn receive(&mut self, mut handle: impl FnMut(Heard)) -> usize {
        let mut handed = 0;
        for Entry { interface, open } in self.served.entries() {
            let count = watch::receive_batch(open, &mut self.batch, &mut 0);
            let claims = (0..count).filter_map(|index| claim(self.batch.get(index).bytes));
            for (address, mac) in claims {
                // Ours, come back through a bridge or a loop: nobody else.
                if interface.mac != Some(mac) {
                    handle(Heard { interface: interface.index, address, mac });
                    handed += 1;
                }
            }
        }
        handed
    }
}

fn open(interface: u32) -> Result<AsyncFd<Socket>, String> {
    packet::open_receiver(interface, packet::ETHER_TYPE_ARP, &packet::ARP_FILTER).and_then(watch::watch).map_err(|error| {
        format!("ARP cannot be listened to: {error}; start twinlease as root or with CAP_NET_RAW, or new addresses go unprobed")
    })
}

/// A broadcast ARP request from `mac` at `source` for `target`; with `source` 0.0.0.0 it is a probe.
pub(super) fn request(mac: [u8; 6], source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let ethernet = Ethernet2Header { source: mac, destination: frame::BROADCAST_MAC, ether_type: EtherType::ARP };
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &mac,
        &source.octets(),
        &[0; 6],
        &target.octets(),
    )
    .expect("both hardware and both protocol addresses have the same length");
    [&ethernet.to_bytes()[..], &arp.to_bytes()].concat()
}

/// Whom a frame that passed the filter claims to be.
fn claim(bytes: &[u8]) -> Option<(Ipv4Addr, [u8; 6])> {
    let mac: [u8; 6] = bytes.get(22..28)?.try_into().ok()?;
    let address: [u8; 4] = bytes.get(28..32)?.try_into().ok()?;
    Some((Ipv4Addr::from(address), mac))
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket};

    use super::*;

    #[test]
    fn a_probe_claims_no_address_and_reads_back() {
        let mac = [2, 0, 0, 0, 0, 1];
        let target = Ipv4Addr::new(192, 0, 2, 9);
        let bytes = request(mac, Ipv4Addr::UNSPECIFIED, target);
        let sliced = SlicedPacket::from_ethernet(&bytes).expect("a valid frame");
        let Some(NetSlice::Arp(arp)) = sliced.net else { panic!("not ARP: {sliced:?}") };
        assert_eq!(arp.operation(), ArpOperation::REQUEST);
        assert_eq!((arp.sender_hw_addr(), arp.sender_protocol_addr()), (&mac[..], &[0; 4][..]));
        assert_eq!((arp.target_hw_addr(), arp.target_protocol_addr()), (&[0; 6][..], &target.octets()[..]));
        assert_eq!(&bytes[..6], [0xff; 6]);
    }

    #[test]
    fn a_claim_names_the_sender_and_short_frames_claim_nothing() {
        let mac = [2, 0, 0, 0, 0, 1];
        let source = Ipv4Addr::new(192, 0, 2, 1);
        let bytes = request(mac, source, Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(claim(&bytes), Some((source, mac)));
        assert_eq!(claim(&bytes[..31]), None);
    }
}
