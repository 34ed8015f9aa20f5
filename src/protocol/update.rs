//! Updates of a card in place: what the owner approved, what each twin says of itself, and what a node does next.
//!
//! ```text
//!            the standby                                 the active
//!   Install ── starts anew, on trial ── proven      waits; its devices notice nothing
//!                                         └────────► SwitchRoles: the one that is proven answers
//!   answers                                          Install ── starts anew, on trial ── proven
//! ```
//!
//! One of the two is always as it was, and answers. Whatever is not well makes both wait; a trial that fails stops the plan on both,
//! and the second never begins.

mod version;

use serde::{Deserialize, Serialize};

pub use version::Version;

/// So long the two must have been together before a step that takes one of them away.
const TOGETHER_SECS: u64 = 10;
/// So long a plan may wait for a pair that is not well before somebody is told.
pub const PATIENCE_SECS: u64 = 5 * 60;

/// What the owner approved. Both twins keep it; of two, the later one is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Who approves counts on from what is known here, so a later word has a higher number.
    pub number: u64,
    pub version: String,
    /// What a system that runs says of itself: two of one version may differ.
    pub build: String,
    /// Of the file.
    pub sha256: String,
    pub bytes: u64,
    /// As Activity names people.
    pub by: String,
    /// Ms since 1970.
    pub approved_ms: i64,
    /// `None`: it goes on.
    pub end: Option<End>,
}

/// How a plan has ended. Of two that the twins come to apart, the later one in this list is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Somebody must look: one or two sentences.
    Failed(String),
    /// By somebody's word: one or two sentences.
    Stopped(String),
    Done,
}

impl Plan {
    /// The one that counts, whoever heard of which first.
    pub fn is_later_than(&self, other: &Plan) -> bool {
        let ended = |plan: &Plan| match plan.end {
            None => 0,
            Some(End::Failed(_)) => 1,
            Some(End::Stopped(_)) => 2,
            Some(End::Done) => 3,
        };
        let key = |plan: &Plan| (plan.number, plan.sha256.clone(), ended(plan));
        key(self) > key(other)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// Writes the other slot.
    Writing,
    /// Written and checked: it starts anew at any moment.
    Restarting,
    /// What a later version may say, too.
    #[default]
    #[serde(other)]
    Nothing,
}

/// What each of the two says of itself to the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    pub name: String,
    pub version: String,
    /// Of the system that runs; `None`: not started from a card.
    pub build: Option<String>,
    /// It can be updated in place.
    pub is_card: bool,
    /// What runs was started from a slot that must prove itself yet.
    pub on_trial: bool,
    /// The file that it has, by its SHA-256.
    pub holds: Option<String>,
    pub doing: Doing,
    pub percent: u8,
    pub plan: Option<Plan>,
}

impl Standing {
    fn runs(&self, plan: &Plan) -> bool {
        self.build.as_deref() == Some(&plan.build)
    }

    fn has_proven(&self, plan: &Plan) -> bool {
        self.runs(plan) && !self.on_trial
    }
}

/// Who answers the devices, by role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Active,
    Standby,
    /// Both answer, each its half: the second by rank goes first.
    SharingFirst,
    SharingSecond,
}

/// How the pair is, as far as an update asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<'a> {
    pub role: Role,
    /// Why neither may be missed at this moment, as a sentence; `None`: all is well.
    pub obstacle: Option<String>,
    /// Since this node stands as it does.
    pub since_secs: u64,
    /// What the twin said of itself a moment ago; `None`: nothing.
    pub twin: Option<&'a Standing>,
}

/// What a node does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Both run it: that is to be written down.
    Finish,
    Wait(Reason),
    Install,
    SwitchRoles,
    /// Nothing, until somebody approves something anew.
    Ended(End),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The file comes from the twin.
    FileComes,
    /// The file goes to the twin.
    FileGoes,
    /// What runs here must prove itself.
    ProvesItself,
    TwinProvesItself,
    /// It installs, or switches roles first.
    TwinsTurn,
    /// The pair is not well: a sentence.
    NotWell(String),
    /// They are together, and not for long.
    Settles,
    /// It says nothing of updates.
    TwinIsSilent,
    /// It was not started from a card.
    TwinIsNoCard,
    /// It has not heard of this plan yet.
    TwinHasAnotherPlan,
}

/// `pair`: `None`: this node has no twin.
pub fn decide(plan: &Plan, own: &Standing, pair: Option<&Pair<'_>>) -> Step {
    if let Some(end) = &plan.end {
        return Step::Ended(end.clone());
    }
    if own.runs(plan) && own.on_trial {
        return Step::Wait(Reason::ProvesItself);
    }
    let Some(pair) = pair else {
        return match (own.runs(plan), own.holds.as_ref() == Some(&plan.sha256)) {
            (true, _) => Step::Finish,
            (false, true) => Step::Install,
            (false, false) => Step::Wait(Reason::FileComes),
        };
    };
    let Some(twin) = pair.twin else {
        // What it is missing for is said first.
        return Step::Wait(pair.obstacle.clone().map_or(Reason::TwinIsSilent, Reason::NotWell));
    };
    if own.runs(plan) && twin.has_proven(plan) {
        return Step::Finish;
    }
    if !twin.is_card {
        return Step::Wait(Reason::TwinIsNoCard);
    }
    if !own.runs(plan) && own.holds.as_ref() != Some(&plan.sha256) {
        return Step::Wait(Reason::FileComes);
    }
    if let Some(obstacle) = &pair.obstacle {
        return Step::Wait(Reason::NotWell(obstacle.clone()));
    }
    if twin.runs(plan) && twin.on_trial {
        return Step::Wait(Reason::TwinProvesItself);
    }
    // Also one that has stopped it, and whose word is on its way.
    if twin.plan.as_ref() != Some(plan) {
        return Step::Wait(Reason::TwinHasAnotherPlan);
    }
    if own.runs(plan) {
        return Step::Wait(Reason::TwinsTurn);
    }
    let is_my_turn = twin.has_proven(plan)
        || match pair.role {
            Role::Standby | Role::SharingSecond => true,
            Role::Active | Role::SharingFirst => false,
        };
    if !twin.has_proven(plan) && twin.holds.as_ref() != Some(&plan.sha256) {
        return Step::Wait(Reason::FileGoes);
    }
    // Never both at one time, whatever the roles are said to be.
    if !is_my_turn || twin.doing != Doing::Nothing {
        return Step::Wait(Reason::TwinsTurn);
    }
    if pair.since_secs < TOGETHER_SECS {
        return Step::Wait(Reason::Settles);
    }
    if pair.role == Role::Active { Step::SwitchRoles } else { Step::Install }
}

impl Step {
    /// For people. `here`, `twin`: the boxes' names.
    pub fn sentence(&self, plan: &Plan, own: &Standing, twin: Option<&Standing>) -> String {
        let (version, here) = (&plan.version, &own.name);
        let (twins, twin) = (twin, twin.map_or("the twin", |twin| &twin.name));
        match self {
            Step::Finish | Step::Ended(End::Done) => format!("The update to {version} is done."),
            Step::Install if own.doing == Doing::Writing => {
                format!("{here} is writing {version} to its card, {} %. Keep its power on.", own.percent)
            }
            Step::Install => format!("{here} starts anew with {version}. Keep its power on."),
            Step::SwitchRoles => format!("{twin} runs {version} and answers from now on; then {here} is updated."),
            Step::Ended(End::Failed(why) | End::Stopped(why)) => format!("The update to {version} has stopped. {why}"),
            Step::Wait(reason) => match reason {
                Reason::FileComes => format!("The file goes from {twin} to {here}."),
                Reason::FileGoes => format!("The file goes from {here} to {twin}."),
                Reason::ProvesItself => format!("{here} has started with {version} and shows for a minute that all is well."),
                Reason::TwinProvesItself => format!("{twin} has started with {version} and shows for a minute that all is well."),
                Reason::TwinsTurn => match twins.map_or(Doing::Nothing, |twins| twins.doing) {
                    Doing::Writing => {
                        let percent = twins.map_or(0, |twins| twins.percent);
                        format!("{twin} is writing {version} to its card, {percent} %. Keep its power on.")
                    }
                    Doing::Restarting => format!("{twin} starts anew with {version}. Keep its power on."),
                    Doing::Nothing => format!("{twin} is next."),
                },
                Reason::NotWell(why) => format!("It waits until both are well and together. {why}"),
                Reason::Settles => "Both are together again; it goes on in a moment.".into(),
                Reason::TwinIsSilent => format!("{twin} says nothing of updates. It is not heard, or its version is too old."),
                Reason::TwinIsNoCard => {
                    format!("{twin} was not started from a flashed card: replace the program there by hand.")
                }
                Reason::TwinHasAnotherPlan => format!("{twin} is told of it."),
            },
        }
    }
}

#[cfg(test)]
mod tests;
