//! A node that has a twin: what the failover rules make of each event.

use super::Node;
use crate::protocol::{
    Action, TwinCommand,
    failover::{Envelope, GivenUp, Memory, Session},
    replica::Entry,
    time::Time,
};

/// What a node that has a twin starts from.
#[derive(Debug)]
pub struct Pair {
    pub memory: Memory,
    /// Random, new at each start.
    pub session: Session,
    pub given_up: Vec<GivenUp>,
    pub entries: Vec<Entry>,
}

impl Node {
    /// This node has a twin, and is in `Startup` now: right after `new`, or when it has just been paired.
    pub fn pair(&mut self, _now: Time, _pair: Pair, _out: &mut Vec<Action>) {}

    pub(super) fn partner_said(&mut self, _now: Time, _envelope: Envelope, _out: &mut Vec<Action>) {}

    /// `None`: on its way to the disk.
    pub(super) fn twin_command(
        &mut self,
        _now: Time,
        _id: u64,
        _command: TwinCommand,
        _out: &mut Vec<Action>,
    ) -> Option<Result<(), String>> {
        Some(Err("This server has no twin. `twinlease twin pair` makes it one of two.".into()))
    }
}
