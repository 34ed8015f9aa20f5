//! Which conditions hold, each with the sentence that says what is wrong and what to do.

use std::{net::Ipv4Addr, time::Duration};

use super::{Finding, Kind, Scope};
use crate::protocol::{explain::spell, failover::State, lease::HwAddr, node::Status};

/// A snapshot is made each day; a night may be missed.
const BACKUP_LATE: Duration = Duration::from_secs(36 * 3600);
/// A new server makes its first within the hour.
const FIRST_BACKUP_LATE: Duration = Duration::from_secs(6 * 3600);
/// Room for a snapshot and some days of log.
const DISK_FREE_MIN_BYTES: u64 = 64 << 20;
/// As the card counts: of its expected life.
const CARD_WORN_PERCENT: u8 = 90;
/// No lease depends on it; certificates and logs do.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
/// Named in one sentence.
const NAMED_MAX: usize = 5;

/// All that the rules look at, at one moment.
#[derive(Debug)]
pub struct Facts<'a> {
    pub status: &'a Status,
    /// In percent: above it, a pool is nearly full.
    pub pool_percent_max: u8,
    /// Addresses that devices declined, or under which a stranger answered.
    pub in_conflict: &'a [Ipv4Addr],
    /// Other machines that have an address of this server's, a sentence each.
    pub doubled: &'a [String],
    /// Devices with a lease whose client-id another one has, too.
    pub clones: &'a [HwAddr],
    /// Other DHCP servers that answered the last probe, a sentence each.
    pub rivals: &'a [String],
    pub disk: &'a DiskFacts,
    /// Since the newest snapshot of the database; `None`: there is none.
    pub backup_age: Option<Duration>,
    pub clock: ClockFacts,
    /// What of an update needs somebody, a sentence, and who knows of it.
    pub update: Option<(Scope, &'a str)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskFacts {
    /// `None`: the system does not say.
    pub free_bytes: Option<u64>,
    /// How much of its life the card has used up, in percent, as it says itself (eMMC, some cards).
    pub worn_percent: Option<u8>,
    /// The card says that its spare blocks are nearly used up.
    pub is_near_its_end: bool,
    /// The database on it is.
    pub is_damaged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockFacts {
    pub trusted: bool,
    /// Since this server started.
    pub up_for: Duration,
    /// Of the twin's wall clock from this one.
    pub skew: Option<Duration>,
}

/// Of a pair that is well, the active tells what both know. Anything else, and both tell it: twice is better than never.
pub fn speaks(status: &Status) -> bool {
    let Some(twin) = &status.twin else { return true };
    let in_contact = twin.partner.as_ref().is_some_and(|partner| partner.in_contact && !partner.in_trouble);
    twin.is_active || twin.state != State::Normal || !in_contact
}

pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    not_serving(facts, &mut found);
    twin(facts, &mut found);
    pools(facts, &mut found);
    rivals(facts, &mut found);
    conflicts(facts, &mut found);
    doubled(facts, &mut found);
    clones(facts, &mut found);
    disk(facts, &mut found);
    backup(facts, &mut found);
    clock(facts, &mut found);
    to_reconcile(facts, &mut found);
    update(facts, &mut found);
    found
}

fn finding(kind: Kind, scope: Scope, text: String, over: &str) -> Finding {
    Finding { kind, subject: String::new(), scope, text, over: over.into(), weight: 1 }
}

/// The first few by name, and how many more there are.
fn some_of<T: ToString>(all: &[T]) -> String {
    let named: Vec<String> = all.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    match all.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn not_serving(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let status = facts.status;
    let told_to = status.twin.as_ref().is_some_and(|twin| matches!(twin.state, State::ShuttingDown | State::Drilled));
    if status.serving || status.subnets.is_empty() || told_to {
        return;
    }
    let why = match (&status.twin, status.not_listening.first()) {
        (_, Some(why)) => why.clone(),
        (Some(twin), None) if !twin.is_serving => format!("It is {}.", twin.state_told),
        _ if status.interfaces.is_empty() => "No interface with one of its networks is up: look at the cable.".into(),
        _ => status.notices.first().cloned().unwrap_or_else(|| "`twinlease status` says more.".into()),
    };
    found.push(finding(
        Kind::NotServing,
        Scope::Own,
        format!("This server answers no device. {why}"),
        "This server answers again.",
    ));
}

fn twin(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(twin) = &facts.status.twin else { return };
    if twin.is_unpaired || matches!(twin.state, State::Alone | State::ShuttingDown | State::Drilled) {
        return;
    }
    // It plays dead because somebody said so, and ends that by itself.
    if twin.partner.as_ref().is_some_and(|partner| partner.drill_secs_left.is_some()) {
        return;
    }
    let Some(partner) = twin.partner.as_ref().filter(|partner| partner.in_contact) else {
        let since = match &twin.partner {
            Some(partner) if partner.silent_ms < u64::MAX => format!(" for {}", spell(partner.silent_ms / 1000)),
            Some(_) | None => String::new(),
        };
        let devices = if twin.is_serving { "Your devices are answered by this one" } else { "This one does not answer either" };
        let text = format!(
            "The twin has been silent{since}. {devices}; if this one fails too, nobody is. Look at the power and the cable of the twin."
        );
        found.push(finding(Kind::TwinSilent, Scope::Shared, text, "The twin is back."));
        return;
    };
    let unwell = if partner.in_trouble {
        Some("The twin answers, but its disk takes nothing, so it cannot promise anything new. Look at its disk.")
    } else if partner.is_deaf {
        Some(
            "The twin answers, but hears no device: it could not take over. Look at its cable, its switch port and its interfaces.",
        )
    } else if twin.is_level == Some(false) && twin.state == State::Normal {
        Some(
            "The twin answers, but does not hold the same leases and settings. They even it out by themselves; if this lasts, look at `twinlease twin status` on both.",
        )
    } else {
        None
    };
    if let Some(text) = unwell {
        found.push(finding(Kind::TwinUnwell, Scope::Own, text.into(), "The twin is well again."));
    }
}

fn pools(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for subnet in &facts.status.subnets {
        let (used, size) = (subnet.pool_used, subnet.pool_size);
        if !subnet.turned_away && (size == 0 || used * 100 < size * u64::from(facts.pool_percent_max)) {
            continue;
        }
        let network = &subnet.network;
        let text = if subnet.turned_away && used < size {
            format!(
                "A device asked for an address in {network} and got none, though {used} of {size} are held: the others are the twin's half, or rest. \
                 Look at the page Twins, and at the device's reason; or make a pool larger."
            )
        } else if used >= size {
            format!(
                "The pools of {network} are full: {used} of {size} addresses are held. New devices get none. Make a pool larger, or shorten the lease time."
            )
        } else {
            format!(
                "The pools of {network} are nearly full: {used} of {size} addresses are held. Make a pool larger, or shorten the lease time."
            )
        };
        let over = format!("The pools of {network} have room again.");
        // Full is news after nearly full.
        let weight = if subnet.turned_away || used >= size { 2 } else { 1 };
        found.push(Finding { kind: Kind::PoolNearlyFull, subject: network.clone(), scope: Scope::Shared, text, over, weight });
    }
}

fn rivals(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    if facts.rivals.is_empty() {
        return;
    }
    let named = facts.rivals.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(" ");
    let text = format!("{named} Switch it off, or its devices and yours will collide.");
    let weight = facts.rivals.len() as u64;
    found.push(Finding { weight, ..finding(Kind::Rival, Scope::Shared, text, "No other DHCP server answers any more.") });
}

fn conflicts(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let count = facts.in_conflict.len();
    if count == 0 {
        return;
    }
    let text = format!(
        "In use by somebody who did not get it here: {}. Such addresses rest for a while. Look for a device with a fixed address, or for another DHCP server.",
        some_of(facts.in_conflict)
    );
    let over = "No address is in use by a stranger any more.";
    found.push(Finding { weight: count as u64, ..finding(Kind::Conflict, Scope::Shared, text, over) });
}

fn doubled(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    if facts.doubled.is_empty() {
        return;
    }
    let over = "This server has its addresses for itself again.";
    let told = finding(Kind::Conflict, Scope::Own, facts.doubled.join(" "), over);
    found.push(Finding { subject: "own".into(), weight: facts.doubled.len() as u64, ..told });
}

fn clones(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let count = facts.clones.len();
    if count == 0 {
        return;
    }
    let text = format!(
        "{}: another device here sends the same client-id, so they are told apart by their MAC. Copied disks and containers do this: give each an \
         identity of its own (on Linux: remove /etc/machine-id and start again).",
        some_of(facts.clones)
    );
    let over = "Every device has a client-id of its own again.";
    found.push(Finding { weight: count as u64, ..finding(Kind::Clones, Scope::Shared, text, over) });
}

fn disk(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let disk = facts.disk;
    let text = if let Some(trouble) = &facts.status.trouble {
        format!("Nothing new can be promised to a device: {trouble}. Devices keep what they have.")
    } else if disk.is_damaged {
        "The database is damaged; devices are answered from memory. Start the server again: it mends the database, or takes the newest good snapshot. Then look at the disk.".into()
    } else if disk.free_bytes.is_some_and(|free| free < DISK_FREE_MIN_BYTES) {
        let mib = disk.free_bytes.unwrap_or_default() >> 20;
        format!("The disk is nearly full: {mib} MiB are left. Free some space; when it is full, nothing new can be promised.")
    } else if disk.is_near_its_end || disk.worn_percent.is_some_and(|worn| worn >= CARD_WORN_PERCENT) {
        let worn = disk.worn_percent.map(|worn| format!(" ({worn} % of its life is used up)")).unwrap_or_default();
        format!(
            "The memory card says that it is worn out{worn}. Put in a new one soon: this server learns everything from its twin."
        )
    } else {
        return;
    };
    found.push(finding(Kind::Disk, Scope::Own, text, "The disk is well again."));
}

fn backup(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let text = match facts.backup_age {
        Some(age) if age >= BACKUP_LATE => {
            format!(
                "The last backup was made {} ago, though one is made each day. The log says why: look for `snapshot`.",
                spell(age.as_secs())
            )
        }
        None if facts.clock.up_for >= FIRST_BACKUP_LATE => {
            "No backup was made yet, though this server has run for hours. The log says why: look for `snapshot`.".into()
        }
        Some(_) | None => return,
    };
    found.push(finding(Kind::BackupLate, Scope::Own, text, "A backup was made."));
}

fn clock(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let text = if !facts.clock.trusted {
        "The clock is not set: no time server answers. Leases do not need it, but dates in lists are wrong, and after a power cut leases run longer than they would. Look at the time server (NTP).".into()
    } else if let Some(skew) = facts.clock.skew.filter(|skew| *skew > CLOCK_SKEW_MAX) {
        format!(
            "The clocks of the twins differ by {}. Leases do not need them, but dates in lists do. Look at the time server (NTP) on both.",
            spell(skew.as_secs())
        )
    } else {
        return;
    };
    found.push(finding(Kind::ClockWrong, Scope::Own, text, "The clock is right again."));
}

fn to_reconcile(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(list) = facts.status.twin.as_ref().map(|twin| &twin.to_reconcile).filter(|list| !list.is_empty()) else { return };
    let text = format!(
        "{} of your edits contradict each other, because they were made while the twins were apart. {} Decide on the page Twins.",
        list.len(),
        list[0]
    );
    let over = "No edits contradict each other any more.";
    found.push(Finding { weight: list.len() as u64, ..finding(Kind::ToReconcile, Scope::Shared, text, over) });
}

fn update(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some((scope, problem)) = facts.update else { return };
    let text = format!("{problem} Devices are answered all the while. The page Updates, under Settings, has what to do.");
    found.push(finding(
        Kind::UpdateFailed,
        scope,
        text,
        "The update needs nobody any more: it went on, was stopped, or somebody has seen it.",
    ));
}

#[cfg(test)]
mod tests;
