//! What waits for one channel: in order, tried again after growing pauses, bounded.

use std::{collections::VecDeque, time::Duration};

use super::{ChannelState, Delivery, Message};
use crate::protocol::{alerts::Phase, time::Time};

/// Two weeks of a house in trouble.
const WAITING_MAX: usize = 64;
/// After the first failure, the second …; the last for all that follow.
const PAUSES_SECS: [u64; 6] = [5, 15, 60, 300, 900, 1800];

#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Message>,
    failures: usize,
    next_try: Time,
    is_sending: bool,
    lost: u64,
    last: Option<Delivery>,
}

impl Queue {
    pub fn push(&mut self, message: Message) {
        // "It still holds" says no more when it is said twice.
        let is_same = |old: &Message| old.phase == Phase::GoesOn && old.kind == message.kind && old.subject == message.subject;
        let first = usize::from(self.is_sending);
        if message.phase == Phase::GoesOn {
            let mut nth = 0;
            self.waiting.retain(|old| {
                nth += 1;
                nth <= first || !is_same(old)
            });
        }
        if self.waiting.len() >= WAITING_MAX {
            // The one on its way stays; of the others, a repetition is missed least.
            let repetition = self.waiting.iter().skip(first).position(|old| old.phase == Phase::GoesOn);
            self.waiting.remove(first + repetition.unwrap_or_default());
            self.lost += 1;
        }
        self.waiting.push_back(message);
    }

    /// What is to be tried now. The outcome is told to `note`.
    pub fn next(&mut self, now: Time) -> Option<Message> {
        if self.is_sending || now < self.next_try {
            return None;
        }
        let message = self.waiting.front().cloned();
        self.is_sending = message.is_some();
        message
    }

    pub fn note(&mut self, now: Time, outcome: Result<String, String>) {
        self.is_sending = false;
        let Some(front) = self.waiting.front() else { return };
        let trouble = outcome.err();
        self.last = Some(Delivery { at: now, kind: front.kind, phase: front.phase, trouble: trouble.clone() });
        if trouble.is_none() {
            self.waiting.pop_front();
            (self.failures, self.next_try) = (0, now);
        } else {
            let pause = PAUSES_SECS[self.failures.min(PAUSES_SECS.len() - 1)];
            self.failures += 1;
            self.next_try = now + Duration::from_secs(pause);
        }
    }

    /// Its settings have changed: the pauses of the old ones count no more.
    pub fn try_now(&mut self) {
        (self.failures, self.next_try) = (0, Time::ZERO);
    }

    pub fn state(&self) -> ChannelState {
        ChannelState { waiting: self.waiting.len(), lost: self.lost, last: self.last.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, phase: Phase) -> Message {
        Message { subject: subject.into(), phase, ..Message::test("a", String::new()) }
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(message) = queue.next(Time::NEVER) {
            sent.push(message.subject);
            queue.note(Time::ZERO, Ok(String::new()));
        }
        sent
    }

    #[test]
    fn nothing_is_lost_while_a_channel_is_down_and_all_arrives_in_order() {
        let mut queue = Queue::default();
        let mut tries = Vec::new();
        for secs in 0..7200 {
            if secs % 1000 == 0 {
                queue.push(message(&secs.to_string(), Phase::Begins));
            }
            if queue.next(Time(secs * 1000)).is_some() {
                tries.push(secs);
                queue.note(Time(secs * 1000), Err("nobody is there".into()));
            }
        }
        assert_eq!(tries, [0, 5, 20, 80, 380, 1280, 3080, 4880, 6680]);
        assert_eq!(queue.state().waiting, 8);
        assert_eq!(drain(&mut queue), ["0", "1000", "2000", "3000", "4000", "5000", "6000", "7000"]);
    }

    #[test]
    fn one_at_a_time_is_on_its_way() {
        let mut queue = Queue::default();
        queue.push(message("a", Phase::Begins));
        assert!(queue.next(Time(0)).is_some());
        assert!(queue.next(Time(0)).is_none());
    }

    #[test]
    fn a_queue_is_bounded_and_gives_up_repetitions_first() {
        let mut queue = Queue::default();
        queue.push(message("begin", Phase::Begins));
        for n in 0..WAITING_MAX + 3 {
            queue.push(message(&n.to_string(), Phase::GoesOn));
        }
        assert_eq!((queue.state().waiting, queue.state().lost), (WAITING_MAX, 4));
        assert_eq!(drain(&mut queue)[0], "begin");
        for _ in 0..9 {
            queue.push(message("same", Phase::GoesOn));
        }
        assert_eq!(queue.state().waiting, 1, "the same, again and again, is one message");
    }
}
