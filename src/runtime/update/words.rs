//! What people are told and asked about an update, and what of the twin's words is believed.

use super::{
    Held, WORDS_CHARS_MAX,
    card::{CardError, Trial},
};
use crate::protocol::update::{Doing, End, PATIENCE_SECS, Plan, Standing, Version};

/// For a machine that somebody else looks after.
pub const BY_HAND: &str = "This machine was not started from a flashed card, so its program is replaced by hand: on the one that stands by \
                           first, start it, wait until `twinlease twin status` says that both are together, then `twinlease twin switch`, \
                           and the other one. Devices notice nothing.";

pub const TWIN_SILENT: &str = "The twin says nothing of updates: it is not heard, or its version is too old to be updated in place. Look at it \
                               first. While one is missing, the other one is not updated.";

pub fn twin_is_no_card(name: &str) -> String {
    format!("{name} was not started from a flashed card, so it is not updated from here. Replace the program there by hand.")
}

pub fn went_back(here: &str, trial: &Trial) -> String {
    let Trial { version, tries, .. } = trial;
    let how = match tries {
        // The power or the program was away in the last moments before, or its kernel came to nothing.
        0 => {
            return format!(
                "{version} was to start on {here} and did not, so {here} stays with the version of before. It is not tried again until \
                 somebody says so. Activity tells what was seen."
            );
        }
        1 => "was started once".to_owned(),
        times => format!("was started {times} times"),
    };
    format!(
        "{version} {how} on {here} and never said that all is well, so {here} has gone back to the version of before. It is not tried \
         again until somebody says so. STATUS.TXT and Activity tell what was seen."
    )
}

pub fn starts_all_the_same(here: &str, error: &CardError) -> String {
    format!("{here} starts the new version all the same, when it starts again. {error}")
}

/// It stands in STATUS.TXT as well, which is written anew where a word has changed: nothing in it may go with the time.
pub fn waits(version: &str, told: &str, twin: Option<&Standing>) -> String {
    let looks = match twin {
        Some(twin) if twin.doing == Doing::Restarting => format!(
            " {} was starting anew when it was heard last: look at its light and its STATUS.TXT. If it does not come back, take its card, and \
             write `boot_partition=` with the other slot (2 or 3) into autoboot.txt.",
            twin.name
        ),
        Some(_) | None => String::new(),
    };
    let minutes = PATIENCE_SECS / 60;
    format!("The update to {version} has not gone on for more than {minutes} min. {told}{looks} Until then nothing changes here.")
}

/// What somebody must say yes to before this file is taken.
pub fn questions(held: &Held, own: &Standing, twin: Option<&Standing>, end: Option<&End>) -> Vec<String> {
    let mut questions = Vec::new();
    if let Some(End::Failed(why) | End::Stopped(why)) = end {
        questions.push(format!("This very file was approved before, and stopped. {why} Try it again?"));
    }
    let all: Vec<&Standing> = std::iter::once(own).chain(twin).collect();
    if all.iter().all(|one| one.build.as_ref() == Some(&held.build)) {
        let who = if all.len() > 1 { "Both run exactly this already." } else { "This one runs exactly this already." };
        questions.push(format!("{who} Write it again?"));
        return questions;
    }
    let version = |text: &str| text.parse::<Version>().ok();
    for one in all.iter().filter(|one| one.build.as_ref() != Some(&held.build)) {
        match version(&held.version).zip(version(&one.version)) {
            Some((new, old)) if new < old => questions.push(format!(
                "{} is older than {old}, which runs on {}. What the newer one has written may be of no use to it. Go back to {} all the same?",
                held.version, one.name, held.version
            )),
            Some((new, old)) if new == old => {
                questions.push(format!("{} has the same version, {old}, from another build. Replace it?", one.name))
            }
            Some(_) | None => {}
        }
    }
    questions
}

/// A plan that the twin tells of is one that a person approved there; still nothing in it is believed blindly.
pub fn is_sound(plan: &Plan) -> bool {
    let is_sum = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plan.version.parse::<Version>().is_ok() && is_sum(&plan.build) && is_sum(&plan.sha256) && plan.number < u64::MAX
}

pub fn shorten(standing: &mut Standing) {
    let clean = |text: &mut String| *text = text.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect();
    clean(&mut standing.name);
    clean(&mut standing.version);
    standing.percent = standing.percent.min(100);
    if let Some(plan) = &mut standing.plan {
        clean(&mut plan.by);
        if let Some(End::Failed(why) | End::Stopped(why)) = &mut plan.end {
            clean(why);
        }
    }
}
