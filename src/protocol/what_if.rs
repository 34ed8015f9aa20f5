//! What if this device asked now? The same way as a DISCOVER goes, on a node that stays as it is.

use std::net::Ipv4Addr;

use super::{
    dhcp::{Message, code, decode},
    explain::{Silence, Step, SubnetBy},
    lease::{BindingState, ClientId, HwAddr},
    node::Node,
    time::Time,
};

/// A device that may ask: plugged in, or not bought yet.
#[derive(Debug, Clone)]
pub struct WhatIf {
    pub hw: HwAddr,
    /// Where it would be heard: an address of that subnet. `None`: where most are.
    pub near: Option<Ipv4Addr>,
}

/// What a DISCOVER would lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    pub steps: Vec<Step>,
    pub outcome: Result<Offer, Silence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub address: Ipv4Addr,
    /// `u32::MAX`: without end.
    pub secs: u32,
    /// The device has it now, so nobody is asked by ARP.
    pub has_it: bool,
}

impl Node {
    /// Promises nothing, asks nobody by ARP, writes nothing down.
    pub fn what_if(&self, now: Time, what: &WhatIf) -> Foreseen {
        let mut steps = Vec::new();
        let outcome = self.foresee(now, what, &mut steps);
        Foreseen { steps, outcome }
    }

    fn foresee(&self, now: Time, what: &WhatIf, steps: &mut Vec<Step>) -> Result<Offer, Silence> {
        let subnets = self.subnets_near(what.near).ok_or(Silence::NoSubnet)?;
        let network = self.plan.subnets()[subnets[0]].subnet.network;
        steps.push(Step::Subnet { network, by: SubnetBy::Interface });
        let message = self.question_of(now, what.hw).ok_or(Silence::UnknownClient)?;
        let client = self.identify(now, &message, None, steps).client;
        let choice = self.would_choose(now, &message, &client, &subnets, steps)?;
        let subnet = self.plan.subnet_of(choice.address).ok_or(Silence::NoSubnet)?;
        let secs = self.offered_secs(now, &message, &client, choice.address, subnet, steps)?;
        Ok(Offer { address: choice.address, secs, has_it: !choice.is_new })
    }

    /// The subnets that are heard together with the one of this address.
    fn subnets_near(&self, near: Option<Ipv4Addr>) -> Option<Vec<usize>> {
        let heard = self.interfaces.values().filter(|plan| !plan.subnets.is_empty());
        match near {
            Some(address) => {
                let subnet = self.plan.subnet_of(address)?;
                let together = heard.map(|plan| &plan.subnets).find(|subnets| subnets.contains(&subnet));
                Some(together.cloned().unwrap_or_else(|| vec![subnet]))
            }
            None => {
                let first = heard.min_by_key(|plan| plan.subnets[0]).map(|plan| plan.subnets.clone());
                first.or_else(|| (!self.plan.subnets().is_empty()).then(|| vec![0]))
            }
        }
    }

    /// The DISCOVER that the device would send: with the client-id that it has a lease under. `None`: no device sends such a one.
    fn question_of(&self, now: Time, hw: HwAddr) -> Option<Message> {
        let records = self.table.iter().filter(|binding| binding.hw == hw && binding.state != BindingState::Declined);
        let latest = records.max_by_key(|binding| (binding.is_held(now), binding.since));
        let mut bytes = vec![0; decode::HEADER_LEN];
        let address = hw.bytes();
        (bytes[0], bytes[1], bytes[2]) = (1, hw.htype(), address.len() as u8);
        bytes[28..28 + address.len()].copy_from_slice(address);
        bytes.extend(decode::MAGIC_COOKIE);
        bytes.extend([code::MESSAGE_TYPE, 1, 1]);
        match latest.map(|binding| &binding.client) {
            Some(ClientId::Given(id) | ClientId::Clone(id, _)) if id.len() <= 255 => {
                bytes.extend([code::CLIENT_ID, id.len() as u8]);
                bytes.extend_from_slice(id);
            }
            Some(ClientId::Given(_) | ClientId::Clone(..) | ClientId::Hardware(_)) | None => {}
        }
        bytes.push(255);
        Message::decode(&bytes).ok()
    }
}
