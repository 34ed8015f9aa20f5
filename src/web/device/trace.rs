//! Why: the way that led to each answer and each silence, as it was stored, numbered.

use std::sync::Arc;

use crate::{
    protocol::{
        Node,
        explain::{Asked, Decision, Outcome, Silence, Step},
        lease::HwAddr,
    },
    web::{House, devices::when::When},
};

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// By which it is known again on a page that is live.
    pub id: String,
    pub when: When,
    pub asked: String,
    pub steps: Vec<String>,
    pub outcome: String,
    /// "780 times in 13 h", where it was more than once.
    pub times: Option<String>,
    pub is_refusal: bool,
    pub remedy: Option<Remedy>,
}

/// A way to where something can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy {
    pub to: &'static str,
    pub words: &'static str,
}

/// Latest first.
pub fn of_device(node: &Node, hw: HwAddr) -> Vec<Arc<Decision>> {
    let mut decisions: Vec<Arc<Decision>> = node.explain().of_device(hw).cloned().collect();
    decisions.reverse();
    decisions
}

/// All decisions as they are shown: an offer that was taken up at once is one way with the lease that came of it.
pub fn story(decisions: &[Arc<Decision>], house: &House) -> Vec<Told> {
    let mut story = Vec::new();
    let mut rest = decisions;
    while let [decision, earlier @ ..] = rest {
        let mut told = Told::new(decision, house);
        rest = earlier;
        if let [offer, before @ ..] = earlier
            && offer.last_at <= decision.at
            && is_taken_up(offer, decision)
        {
            let taken = Step::OfferedBefore { address: offer.outcome.address().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED) };
            let fresh = decision.steps.iter().filter(|step| **step != taken && !offer.steps.contains(step));
            told.steps = offer.steps.iter().chain(fresh).map(|step| capital(&step.to_string())).collect();
            told.asked = capital(&offer.asked.to_string());
            rest = before;
        }
        story.push(told);
    }
    story
}

fn is_taken_up(offer: &Decision, decision: &Decision) -> bool {
    decision.asked == Asked::Select
        && matches!((&offer.outcome, &decision.outcome), (Outcome::Offered { address, .. }, Outcome::Acked { address: given, .. }) if address == given)
}

impl Told {
    pub fn new(decision: &Decision, house: &House) -> Told {
        let times = decision.repeats.saturating_add(1);
        let span = (decision.last_at - decision.at).as_secs();
        Told {
            id: format!("asked-{}", decision.at.0),
            when: When::of(house, decision.last_at),
            asked: capital(&decision.asked.to_string()),
            steps: decision.steps.iter().map(|step| capital(&step.to_string())).collect(),
            outcome: capital(&decision.outcome.to_string()),
            times: (times > 1).then(|| format!("{times} times in {}", crate::protocol::explain::spell(span))),
            is_refusal: matches!(decision.outcome, Outcome::Silent { .. } | Outcome::Naked { .. }),
            remedy: remedy(&decision.outcome),
        }
    }
}

pub fn remedy(outcome: &Outcome) -> Option<Remedy> {
    let Outcome::Silent { why } = outcome else { return None };
    match why {
        Silence::NoSubnet => Some(Remedy { to: "/settings/network", words: "Set up its network" }),
        Silence::PoolFull { .. } => Some(Remedy { to: "/map", words: "Grow the pool" }),
        Silence::NoPool { .. } => Some(Remedy { to: "/map", words: "Make a pool" }),
        Silence::StrangersAnswer { .. } => Some(Remedy { to: "/map", words: "See who uses addresses" }),
        Silence::NotServing { .. } | Silence::WaitsForTwin | Silence::TwinDidNotConfirm { .. } | Silence::TwinMayKnow { .. } => {
            Some(Remedy { to: "/twins", words: "See how the twins are" })
        }
        Silence::BootpOff | Silence::LeaseQueryOff => Some(Remedy { to: "/settings", words: "Open the settings" }),
        Silence::BootpNotKept => Some(Remedy { to: "#keep", words: "Keep an address for it" }),
        Silence::OtherServer { .. }
        | Silence::UnknownClient
        | Silence::BareRequest
        | Silence::NotItsAddress
        | Silence::TooOften
        | Silence::ProbePending { .. }
        | Silence::BeingWritten { .. }
        | Silence::DiskTrouble { .. }
        | Silence::StoreBehind
        | Silence::NowhereToSend
        | Silence::NoAddressOfOurs
        | Silence::TwinAnswers
        | Silence::Superseded { .. } => None,
    }
}

/// The steps begin in small letters, because the log puts them behind one another.
pub fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
