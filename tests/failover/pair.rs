//! What is under test: two servers that act as one, whoever made them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::crafted::Mac;
use crate::lab::{Daemon, Lab, wait_until};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::A, Side::B];

    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    pub fn host(self) -> &'static str {
        match self {
            Side::A => "a",
            Side::B => "b",
        }
    }

    /// On the LAN, where it serves.
    pub fn address(self) -> Ipv4Addr {
        match self {
            Side::A => Ipv4Addr::new(10, 77, 0, 1),
            Side::B => Ipv4Addr::new(10, 77, 0, 2),
        }
    }

    /// On the link of their own, in the worlds that have one.
    pub fn link_address(self) -> Ipv4Addr {
        match self {
            Side::A => Ipv4Addr::new(10, 99, 0, 1),
            Side::B => Ipv4Addr::new(10, 99, 0, 2),
        }
    }
}

/// The process of each side, while it runs.
#[derive(Default)]
pub struct Processes([Option<Daemon>; 2]);

impl Processes {
    pub fn start(&mut self, lab: &Lab, side: Side, words: &[String]) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.0[side as usize] = Some(lab.daemon(side.host(), &words));
    }

    /// By TERM: an ordinary end of the process.
    pub fn terminate(&mut self, side: Side) {
        if let Some(mut daemon) = self.0[side as usize].take() {
            daemon.terminate();
        }
    }

    pub fn is_running(&mut self, side: Side) -> bool {
        self.0[side as usize].as_mut().is_some_and(Daemon::is_running)
    }

    pub fn log(&self, side: Side) -> String {
        self.0[side as usize].as_ref().map(Daemon::log).unwrap_or_default()
    }
}

pub trait Pair {
    fn label(&self) -> String;
    fn processes(&self) -> &Processes;
    fn processes_mut(&mut self) -> &mut Processes;
    /// Starts the process and waits for nothing.
    fn start(&mut self, side: Side);
    /// Both say that they are in contact, serve and hold the same.
    fn is_together(&self) -> bool;
    /// Whom both expect to answer new clients.
    fn active(&self) -> Side;
    /// What this node has on record as leased, running or not.
    fn holders(&self, side: Side) -> HashMap<Ipv4Addr, Mac>;
    /// How long it may take to come together again, by its own settings.
    fn patience(&self) -> Duration;
    /// Between two new clients, where they come all the time. Each goes on asking until it is answered, so a pair that lets
    /// them wait for minutes meets fewer.
    fn arrival_interval(&self) -> Duration;
    /// Its last words, for a test that fails.
    fn words(&self) -> String;

    /// By -9, as a power cut ends it.
    fn kill(&mut self, side: Side) {
        self.processes_mut().0[side as usize] = None;
    }

    /// STOP or CONT.
    fn signal(&self, side: Side, signal: &str) {
        self.processes().0[side as usize].as_ref().expect("it runs").signal(signal);
    }

    fn start_both(&mut self) {
        Side::BOTH.into_iter().for_each(|side| self.start(side));
        self.wait_until_together();
    }

    fn wait_until_together(&self) {
        let began = std::time::Instant::now();
        while !self.is_together() {
            assert!(began.elapsed() < self.patience(), "{} does not come together:\n{}", self.label(), self.words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until this node has each of these on record, for that client.
    fn wait_until_known(&self, side: Side, holders: &HashMap<Ipv4Addr, Mac>, within: Duration) {
        wait_until(&format!("{side:?} of {} knows all {} leases", self.label(), holders.len()), within, || {
            self.unknown(side, holders) == 0
        });
    }

    /// How many of these this node does not have on record for that client.
    fn unknown(&self, side: Side, holders: &HashMap<Ipv4Addr, Mac>) -> usize {
        let known = self.holders(side);
        holders.iter().filter(|(address, mac)| known.get(address) != Some(mac)).count()
    }
}

pub fn mac_of(text: &str) -> Option<Mac> {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    bytes.try_into().ok()
}
