//! "Is it there now?": who is asked by ARP because somebody looks at a page, and who answered.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::arp::Heard;

/// Questions open at a time; with more, the oldest is given up.
const OPEN_MAX: usize = 64;

/// Somebody uses the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub mac: [u8; 6],
    pub after: Duration,
}

#[derive(Debug, Default)]
pub struct Questions {
    open: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    address: Ipv4Addr,
    asked: Instant,
    answered: oneshot::Sender<Result<Answer, String>>,
}

impl Questions {
    /// A probe for this address is about to leave.
    pub fn note(&mut self, address: Ipv4Addr, answered: oneshot::Sender<Result<Answer, String>>) {
        self.open.retain(|question| !question.answered.is_closed());
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(Question { address, asked: Instant::now(), answered });
    }

    pub fn heard(&mut self, heard: &Heard) {
        if self.open.is_empty() {
            return;
        }
        for question in self.open.extract_if(.., |question| question.address == heard.address) {
            let answer = Answer { mac: heard.mac, after: question.asked.elapsed() };
            // Whoever asked may have gone away meanwhile.
            let _ = question.answered.send(Ok(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 57);
    const MAC: [u8; 6] = [0, 0, 0x5e, 0, 0x53, 1];

    #[test]
    fn only_who_was_asked_for_is_an_answer() {
        let mut questions = Questions::default();
        let (answered, mut answer) = oneshot::channel();
        questions.note(ADDRESS, answered);
        questions.heard(&Heard { interface: 2, address: Ipv4Addr::new(192, 0, 2, 58), mac: MAC });
        assert!(answer.try_recv().is_err());
        questions.heard(&Heard { interface: 2, address: ADDRESS, mac: MAC });
        assert_eq!(answer.try_recv().map(|answer| answer.map(|answer| answer.mac)), Ok(Ok(MAC)));
    }

    #[test]
    fn questions_that_nobody_waits_for_are_dropped_and_the_rest_is_bounded() {
        let mut questions = Questions::default();
        drop((0..1000).map(|_| questions.note(ADDRESS, oneshot::channel().0)).collect::<Vec<_>>());
        assert!(questions.open.len() <= 1);
        let waiting: Vec<_> = (0..1000)
            .map(|_| {
                let (answered, answer) = oneshot::channel();
                questions.note(ADDRESS, answered);
                answer
            })
            .collect();
        assert_eq!((questions.open.len(), waiting.len()), (OPEN_MAX, 1000));
    }
}
