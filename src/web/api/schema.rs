//! The shapes of what is sent and answered, for the document. Settings have the keys of the settings file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Options by name (`dns`) or by code (`"224"`), each as in the settings file.
#[derive(Debug, Serialize, ToSchema)]
pub struct Options(pub BTreeMap<String, Value>);

/// A kept address. Exactly one of `mac`, `client-id` and `circuit-id`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = Reservation)]
pub struct ReservationDoc {
    #[schema(example = "a4:cf:12:9b:00:1e")]
    pub mac: Option<String>,
    /// `text:…`, or hex digits.
    pub client_id: Option<String>,
    pub circuit_id: Option<String>,
    #[schema(example = "192.168.1.31")]
    pub address: String,
    #[schema(example = "printer")]
    pub name: Option<String>,
    /// Words with `#` are tags, like `#kitchen`.
    pub note: Option<String>,
    pub force_broadcast: Option<bool>,
    pub echo_client_id: Option<bool>,
    pub options: Option<Options>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = Subnet)]
pub struct SubnetDoc {
    #[schema(example = "192.168.1.0/24")]
    pub network: String,
    pub interface: Option<String>,
    /// `192.168.1.100-192.168.1.199`
    pub pools: Option<Vec<String>>,
    /// Pools with options of their own.
    pub pool: Option<Vec<PoolDoc>>,
    /// Never given to anybody.
    pub exclude: Option<Vec<String>>,
    /// Lease times of its own: `default`, `min`, `max`, `infinite`, `t1`, `t2`.
    pub lease: Option<Options>,
    pub options: Option<Options>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Pool)]
pub struct PoolDoc {
    pub range: String,
    pub options: Option<Options>,
}

/// All settings, by the sections of the settings file. Who may sign in is not among them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schema(as = Settings)]
pub struct SettingsDoc {
    pub server: Option<Options>,
    pub lease: Option<Options>,
    pub twin: Option<Options>,
    pub alerts: Option<Options>,
    pub options: Option<Options>,
    pub custom_option: Option<Vec<Options>>,
    pub subnet: Option<Vec<SubnetDoc>>,
    pub reservation: Option<Vec<ReservationDoc>>,
}

/// How the server is doing.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusDoc {
    /// This machine's name.
    pub host: String,
    pub version: &'static str,
    /// Of all settings; changes whenever they do, and is the same on both twins.
    pub revision: String,
    /// What the light on the box says.
    #[schema(value_type = String)]
    pub light: crate::runtime::led::Sign,
    pub serving: bool,
    pub interfaces: Vec<String>,
    /// Why nothing new can be promised.
    pub trouble: Option<String>,
    pub notices: Vec<String>,
    pub subnets: Vec<SubnetUse>,
    /// Decisions since the start, by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// What somebody should look at.
    pub alerts: Vec<AlertDoc>,
    /// Absent: it has no twin.
    pub twin: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SubnetUse {
    pub network: String,
    pub pool_size: u64,
    pub pool_used: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseDoc {
    pub address: String,
    pub mac: String,
    /// Option 61 as the device sent it, or its MAC.
    pub client: String,
    pub name: Option<String>,
    /// `leased`, `expired`, `released`, `declined`, `tentative` or `free`.
    pub state: String,
    /// The address is kept for this device.
    pub kept: bool,
    /// RFC 3339, UTC.
    pub since: String,
    /// Absent: without end.
    pub expires: Option<String>,
    pub secs_left: Option<u64>,
}

/// A piece of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeasePage {
    pub items: Vec<LeaseDoc>,
    pub total: usize,
    /// The `offset` of what follows; absent at the end.
    pub next: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReservationPage {
    pub items: Vec<ReservationDoc>,
    pub total: usize,
    pub next: Option<usize>,
}

/// Why a device was answered as it was.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoryDoc {
    pub mac: String,
    pub name: Option<String>,
    pub address: Option<String>,
    /// Latest first.
    pub decisions: Vec<DecisionDoc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionDoc {
    pub at: String,
    pub asked: String,
    pub steps: Vec<String>,
    pub outcome: String,
    pub times: u32,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Its number in `/api/v1/changes`, which takes it back; absent: no setting was changed.
    pub change: Option<u64>,
    /// Where it was saved, in words.
    pub told: String,
}

/// What an import would change.
#[derive(Debug, Serialize, ToSchema)]
pub struct Differences {
    /// A line each.
    pub changes: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeDoc {
    pub id: u64,
    /// RFC 3339, by the clock of the twin where it was made.
    pub at: String,
    /// Who made it.
    pub by: String,
    /// It was made on the other one.
    pub on_twin: bool,
    /// The first of the records that were changed at once.
    pub records: Vec<ChangedRecord>,
    pub total: usize,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedRecord {
    pub key: String,
    /// In the words of the settings file; absent: it was not there.
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TwinDoc {
    /// The pair as this one sees it; absent: no twin.
    pub pair: Option<Value>,
    /// The link; absent: it is off.
    pub link: Option<Value>,
    pub serving: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CodeDoc {
    pub digits: String,
    pub secs_left: u64,
}

/// Pairs with the one that shows this code.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PairDoc {
    #[schema(example = "123456")]
    pub code: String,
    /// `address:port`, where the other one is not found by itself.
    pub address: Option<String>,
}

/// What would happen; nothing changes by it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhatIfDoc {
    /// The way to it.
    pub steps: Vec<String>,
    /// Absent: it would not be answered.
    pub address: Option<String>,
    pub lease_secs: Option<u32>,
    /// It holds that address already.
    pub has_it: bool,
    /// Why it would not be answered.
    pub silence: Option<String>,
}

/// Of this node; the twin keeps its own.
#[derive(Debug, Serialize, ToSchema)]
pub struct DrillsDoc {
    pub under_way: Option<DrillDoc>,
    pub last: Option<DrillDoc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DrillDoc {
    pub by: String,
    pub node: String,
    pub began: String,
    pub planned_secs: u32,
    pub lasted_ms: Option<u64>,
    /// From the beginning to the first answer of the other one.
    pub took_over_ms: Option<u64>,
    pub longest_wait_ms: u64,
    /// Made-up devices that asked, and those of them that were answered.
    pub asked: u32,
    pub answered: u32,
    pub together_after_ms: Option<u64>,
    /// The program was started again before the end: what came after that is not in it.
    pub cut_off: bool,
    pub told: String,
}

/// This node plays dead for so long, and comes back by itself.
#[derive(Debug, Deserialize, ToSchema)]
pub struct StartDrillDoc {
    #[schema(example = 60)]
    pub secs: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ConflictDoc {
    pub key: String,
    pub text: String,
}

/// Decides between two edits.
#[derive(Debug, Deserialize, ToSchema)]
pub struct DecideDoc {
    /// As `/api/v1/twin/conflicts` names it.
    pub key: String,
    /// What is in force now, or what waits.
    #[schema(value_type = String, pattern = "^(in-force|waiting)$")]
    pub keep: crate::protocol::replica::Keep,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BackupDoc {
    pub name: String,
    pub bytes: u64,
    /// It is a copy of the twin's database.
    pub of_twin: bool,
    /// RFC 3339, as the file system has it.
    pub written: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AlertDoc {
    pub kind: &'static str,
    pub subject: String,
    pub text: String,
    pub since: String,
    /// Messages so far.
    pub told: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AlertsDoc {
    pub open: Vec<AlertDoc>,
    pub channels: Vec<ChannelDoc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChannelDoc {
    pub name: &'static str,
    /// Messages that are not sent yet.
    pub waiting: usize,
    pub lost: u64,
    pub last_at: Option<String>,
    /// Why the last try failed.
    pub trouble: Option<String>,
}

/// What came of a test message.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestDoc {
    pub channel: &'static str,
    pub arrived: bool,
    pub told: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RivalsDoc {
    /// `null`: nobody has looked yet.
    pub looked_at: Option<String>,
    /// Why the last look did not come about.
    pub trouble: Option<String>,
    pub rivals: Vec<RivalDoc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RivalDoc {
    pub interface: String,
    pub server: String,
    pub mac: String,
    pub offered: String,
    pub routers: Vec<String>,
    pub dns: Vec<String>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenDoc {
    pub name: String,
    /// `read` or `write`.
    pub scope: String,
    pub created: String,
}

/// Versions, and an update of both twins.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Update)]
pub struct UpdateDoc {
    /// The version that runs here.
    pub here: String,
    /// On the twin; absent: none, or it was not heard a moment ago.
    pub twin: Option<String>,
    pub has_twin: bool,
    /// A file that was sent and is whole.
    pub file: Option<HeldDoc>,
    pub is_under_way: bool,
    /// How far it is, in a sentence.
    pub told: Option<String>,
    /// What needs somebody.
    pub problem: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpdateFile)]
pub struct HeldDoc {
    pub version: String,
    pub sha256: String,
    pub bytes: u64,
    /// What speaks against it; `anyway` says yes to all of them.
    pub questions: Vec<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApproveUpdate)]
pub struct ApproveDoc {
    /// Of the file that was sent.
    pub sha256: String,
    /// Also where questions speak against it: it is older, the same, or has failed before.
    #[serde(default)]
    pub anyway: bool,
}
