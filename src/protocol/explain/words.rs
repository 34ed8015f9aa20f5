//! Reasons as sentences: plain English, the thing, what is wrong and what to do.

use std::{fmt, time::Duration};

use super::{Asked, NakReason, Outcome, Refusal, Silence, Step, SubnetBy};
use crate::protocol::lease::{BindingState, HwAddr};

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Asked::Discover => "asked for an address (DISCOVER)",
            Asked::Select => "took up an offer (REQUEST)",
            Asked::InitReboot => "came back and asked for the address it had (REQUEST, INIT-REBOOT)",
            Asked::Renew => "renewed its lease (REQUEST)",
            Asked::Rebind => "asked anybody to renew its lease (REQUEST, REBINDING)",
            Asked::BareRequest => "sent a REQUEST that names neither an address nor a server",
            Asked::Decline => "declined an address (DECLINE)",
            Asked::Release => "gave its address back (RELEASE)",
            Asked::Inform => "asked for options only (INFORM)",
            Asked::Bootp => "asked by BOOTP",
            Asked::LeaseQuery => "a relay asked who has a lease (LEASEQUERY)",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotOnThisNetwork => write!(f, "it belongs to another network"),
            Refusal::OutsidePools => write!(f, "it is outside the pools"),
            Refusal::Special => write!(f, "it belongs to the network or to this server itself"),
            Refusal::KeptForAnother { name: Some(name) } => write!(f, "it is kept for {name}"),
            Refusal::KeptForAnother { name: None } => write!(f, "it is kept for another device"),
            Refusal::HasKeptAddress { kept } => write!(f, "{kept} is kept for this device"),
            Refusal::HeldBy { hw, secs_left } => write!(f, "{hw} holds it for another {}", spell(*secs_left)),
            Refusal::OfferedToAnother => write!(f, "it was just offered to another device"),
            Refusal::Quarantined { secs_left } => {
                write!(f, "a device found it in use; it rests for another {}", spell(*secs_left))
            }
            Refusal::InUseByStranger => write!(f, "somebody answers under it who has no lease here"),
            Refusal::TwinIsLate => write!(f, "it is the twin's to give, whose word comes too late at the moment"),
            Refusal::TwinsHalf => write!(f, "it is the twin's to give, which is out of reach"),
            Refusal::TwinMustConfirm => write!(f, "the twin has not confirmed it yet, and is out of reach"),
            Refusal::GivenUp => write!(f, "its lease has run out, and the twin was told that the address may go to others"),
            Refusal::NotFreedYet => write!(f, "its last lease has run out, but the two have not agreed yet that it is free"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Subnet { network, by } => match by {
                SubnetBy::LinkSelection => write!(f, "network {network}, named by the relay (option 82)"),
                SubnetBy::SubnetSelection => write!(f, "network {network}, named by the client (option 118)"),
                SubnetBy::Giaddr => write!(f, "network {network}, where its relay stands"),
                SubnetBy::OwnAddress => write!(f, "network {network}, where its address belongs"),
                SubnetBy::Interface => write!(f, "network {network}, where it was heard"),
            },
            Step::DamagedOptions { codes } => write!(f, "damaged options left aside: {}", list(codes)),
            Step::CloneOf { hw } => write!(f, "its client-id is in use by {hw} too: told apart by MAC"),
            Step::RecognisedByAddress { address } => {
                write!(f, "sent another client-id than before; recognised by its MAC and {address}")
            }
            Step::Kept { address, name: Some(name) } => write!(f, "{address} is kept for it as {name}"),
            Step::Kept { address, name: None } => write!(f, "{address} is kept for it"),
            Step::NotKept => write!(f, "no address is kept for it"),
            Step::KeptButNotNow { address, why } => write!(f, "{address} is kept for it but cannot be given now: {why}"),
            Step::Has { address, state: BindingState::Declined } => write!(f, "it declined {address}"),
            Step::Has { address, .. } => write!(f, "it holds {address}"),
            Step::Had { address } => write!(f, "it had {address} before"),
            Step::HadButNotNow { address, why } => write!(f, "it had {address} before, which cannot be given now: {why}"),
            Step::AskedFor { address } => write!(f, "it asked for {address}, which is free"),
            Step::AskedForButNot { address, why } => write!(f, "it asked for {address}, which it cannot have: {why}"),
            Step::NextFree { address, network } => write!(f, "{address} is the next free address of {network}"),
            Step::OfferedBefore { address } => write!(f, "{address} was offered to it a moment ago"),
            Step::NotProbed => write!(f, "not asked whether the address is in use"),
            Step::ProbeSilent { address, waited_ms } => write!(f, "nobody answered under {address} within {waited_ms} ms"),
            Step::ProbeAnswered { address, mac } => write!(f, "{} answered under {address}", HwAddr::ethernet(*mac)),
            Step::LeaseClamped { asked_secs, given_secs } => {
                write!(f, "it asked for {}; the settings allow {}", spell(u64::from(*asked_secs)), spell(u64::from(*given_secs)))
            }
            Step::PrivateMac { secs } => write!(f, "private MAC: lease shortened to {}", spell(u64::from(*secs))),
            Step::DiskTrouble { why } => write!(f, "the disk takes nothing at present ({why})"),
            Step::DidNotFit { codes } => write!(f, "options that did not fit into the packet: {}", list(codes)),
            Step::Durable { after_ms } => write!(f, "on disk after {after_ms} ms"),
            Step::TwinConfirmed => write!(f, "on the twin's disk too"),
            Step::TwinSilent { secs } => {
                write!(f, "the twin did not confirm in time: shortened to {}", spell(u64::from(*secs)))
            }
        }
    }
}

impl fmt::Display for NakReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NakReason::WrongNetwork { address } => write!(f, "{address} is not on this network"),
            NakReason::OtherAddress { asked, has } => write!(f, "{asked} is not its address, {has} is"),
            NakReason::Unknown { asked } => write!(f, "no lease of {asked} to this device is known"),
            NakReason::NotPossible { asked, why } => write!(f, "{asked} cannot be given: {why}"),
            NakReason::ClientIdInUse { asked, hw } => write!(f, "{asked} belongs to {hw}, which uses the same client-id"),
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::NoSubnet => write!(f, "no subnet is set up where it was heard. Add a [[subnet]] for its network"),
            Silence::PoolFull { network, size, is_half: true, .. } => write!(
                f,
                "this one's half of the pool of {network} ({size} addresses in all) is full, and the twin cannot be asked for one of \
                 the other half. See to the twin (`twinlease twin status`), or grow the pool"
            ),
            Silence::PoolFull { network, size, aside: 0, .. } => {
                write!(f, "the pool of {network} is full, {size} of {size}. Grow the pool, or shorten the leases")
            }
            Silence::PoolFull { network, size, aside, .. } => write!(
                f,
                "the pool of {network} is full, {size} of {size}. {aside} addresses rest because devices without a lease \
                 answered under them: look for a router with proxy ARP, or for addresses set by hand"
            ),
            Silence::NoPool { network } => {
                write!(f, "{network} has no pool, and no address is kept for this device. Add a pool, or keep an address for it")
            }
            Silence::OtherServer { server } => write!(f, "it chose another server, {server}"),
            Silence::UnknownClient => write!(f, "its lease is not known here, and this server is not set as authoritative"),
            Silence::BareRequest => write!(f, "it says neither which address it wants nor from whom"),
            Silence::NotItsAddress => write!(f, "the address is not its own"),
            Silence::TooOften => write!(f, "it asks too often; others must not wait for it"),
            Silence::ProbePending { address } => write!(f, "{address} is just being asked for by ARP"),
            Silence::StrangersAnswer { count } => write!(
                f,
                "devices without a lease answered under {count} addresses in a row. Look for a router with proxy ARP, or for \
                 addresses set by hand"
            ),
            Silence::BeingWritten { address } => write!(f, "its lease of {address} is just being written to disk"),
            Silence::DiskTrouble { why } => {
                write!(f, "the disk takes nothing at present ({why}), so nothing new can be promised")
            }
            Silence::StoreBehind => write!(f, "the disk is too far behind; it may ask again"),
            Silence::BootpOff => write!(f, "BOOTP is switched off. Set bootp = true under [server] to answer it"),
            Silence::BootpNotKept => write!(f, "BOOTP is answered only for devices with a kept address. Keep one for it"),
            Silence::LeaseQueryOff => write!(f, "LEASEQUERY is switched off. Set leasequery = true under [server] to answer it"),
            Silence::NowhereToSend => write!(f, "it gave no address to answer to"),
            Silence::NotServing { state } => write!(f, "this one of the two answers nobody now: it is {state}"),
            Silence::WaitsForTwin => write!(
                f,
                "this server shall be one of two and has not met the other yet, which may know who has which address. \
                 Start the twin; or `twinlease twin serve`, if no device here has an address of it"
            ),
            Silence::TwinAnswers => write!(f, "the twin answers this device"),
            Silence::TwinDidNotConfirm { address } => {
                write!(f, "{address} is the twin's to give, and its word did not come in time; the device may ask again")
            }
            Silence::TwinMayKnow { address } => {
                write!(f, "{address} may be a lease that the twin prolongs, so it is not denied either")
            }
            Silence::Superseded { address } => write!(f, "the twin's record of {address} took the place of this one's"),
            Silence::NoAddressOfOurs => write!(f, "this server has no address on that interface"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Offered { address, secs } => write!(f, "offered {address} for {}", spell(u64::from(*secs))),
            Outcome::Acked { address, secs } => write!(f, "given {address} for {}", spell(u64::from(*secs))),
            Outcome::AckedWhatIsDurable { address, secs } => {
                write!(
                    f,
                    "told again that it has {address} for {}; no longer, because the disk takes nothing",
                    spell(u64::from(*secs))
                )
            }
            Outcome::Informed { address } => write!(f, "options sent to {address}"),
            Outcome::BootpReply { address } => write!(f, "given {address} by BOOTP"),
            Outcome::Naked { why } => write!(f, "told to ask anew (NAK): {why}"),
            Outcome::Released { address } => write!(f, "{address} is free again"),
            Outcome::Declined { address, quarantine_secs } => write!(f, "{address} rests for {}", spell(*quarantine_secs)),
            Outcome::QueryAnswered => write!(f, "answered"),
            Outcome::Silent { why } => write!(f, "not answered: {why}"),
        }
    }
}

/// `3 min`, `2 h`, `5 d`: as precise as a person wants it.
pub fn spell(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ if secs >= u64::from(u32::MAX) => "ever".into(),
        _ => format!("{} d", secs / 86_400),
    }
}

/// Whole seconds, rounded up.
pub fn whole_secs(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn list(codes: &[u8]) -> String {
    codes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}
