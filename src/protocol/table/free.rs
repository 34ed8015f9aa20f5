//! Addresses that anybody may have, in the order of giving; apart by who owns them (failover rule 3).

use std::collections::{BTreeSet, VecDeque};

use crate::{
    protocol::{failover::Rank, time::Time},
    settings::Pool,
};

/// Which addresses a node may give to a client that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// The node is alone.
    Any,
    /// Apart: its own half.
    Own(Rank),
    /// Together: the half with more free addresses, so that both stay useful. Of the other's half it takes from the far
    /// end, where the owner does not look first.
    Both(Rank),
    /// Together, but the partner's word on its half has come too late of late: that half only where the own one is used up.
    OwnFirst(Rank),
}

/// The free addresses of one subnet.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct FreeList {
    halves: [Half; 2],
}

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Half {
    /// Ranges never handed out since start, in steps of two; taken from their ends.
    fresh: VecDeque<(u32, u32)>,
    /// Never leased, but taken from `fresh` before.
    pub returned: BTreeSet<u32>,
    /// By the moment they became free: the longest-free first, so that a device that was away for long
    /// finds its address again.
    pub reusable: BTreeSet<(Time, u32)>,
}

impl FreeList {
    pub fn new(pools: &[Pool]) -> FreeList {
        let mut list = FreeList::default();
        for pool in pools {
            let (first, last) = (u32::from(pool.range.first), u32::from(pool.range.last));
            for start in [first, first.saturating_add(1)] {
                if start <= last {
                    let end = last - (last - start) % 2;
                    list.half_of(start).fresh.push_back((start, end));
                }
            }
        }
        list
    }

    pub fn half_of(&mut self, address: u32) -> &mut Half {
        &mut self.halves[(address % 2) as usize]
    }

    #[cfg(test)]
    pub fn halves(&self) -> impl Iterator<Item = &Half> {
        self.halves.iter()
    }

    /// The next address, which stays listed. `is_free` tells of one from `fresh` whether it may be given at all.
    pub fn next(&mut self, halves: Halves, is_free: impl Fn(u32) -> bool) -> Option<u32> {
        let parity = |rank: Rank| match rank {
            Rank::First => 0,
            Rank::Second => 1,
        };
        match halves {
            Halves::Any => {
                self.halves.iter_mut().for_each(|half| half.refresh(&is_free));
                self.halves.iter().filter_map(Half::front).min().map(|(_, _, address)| address)
            }
            Halves::Own(rank) => self.halves[parity(rank)].take(false, &is_free),
            Halves::Both(rank) => {
                let (own, other) = (parity(rank), parity(rank.other()));
                let other_first = self.halves[other].len() > self.halves[own].len();
                let order = if other_first { [other, own] } else { [own, other] };
                order.into_iter().find_map(|half| self.halves[half].take(half == other, &is_free))
            }
            Halves::OwnFirst(rank) => {
                let (own, other) = (parity(rank), parity(rank.other()));
                self.halves[own].take(false, &is_free).or_else(|| self.halves[other].take(true, &is_free))
            }
        }
    }
}

impl FreeList {
    /// What `next` would give, and nothing moves.
    pub fn would_be_next(&self, halves: Halves, is_free: impl Fn(u32) -> bool) -> Option<u32> {
        let parity = |rank: Rank| match rank {
            Rank::First => 0,
            Rank::Second => 1,
        };
        match halves {
            Halves::Any => {
                self.halves.iter().filter_map(|half| half.would_be_front(&is_free)).min().map(|(_, _, address)| address)
            }
            Halves::Own(rank) => self.halves[parity(rank)].would_take(false, &is_free),
            Halves::Both(rank) => {
                let (own, other) = (parity(rank), parity(rank.other()));
                let other_first = self.halves[other].len() > self.halves[own].len();
                let order = if other_first { [other, own] } else { [own, other] };
                order.into_iter().find_map(|half| self.halves[half].would_take(half == other, &is_free))
            }
            Halves::OwnFirst(rank) => {
                let (own, other) = (parity(rank), parity(rank.other()));
                self.halves[own].would_take(false, &is_free).or_else(|| self.halves[other].would_take(true, &is_free))
            }
        }
    }
}

impl Half {
    /// `front` as it would be after `refresh`.
    fn would_be_front(&self, is_free: &impl Fn(u32) -> bool) -> Option<(u8, Time, u32)> {
        let fresh = || self.fresh.iter().flat_map(|&(next, last)| (next..=last).step_by(2)).find(|&address| is_free(address));
        let unused = self.returned.first().copied().or_else(fresh).map(|address| (0, Time::ZERO, address));
        unused.or_else(|| self.reusable.first().map(|&(since, address)| (1, since, address)))
    }

    /// What `take` would give.
    fn would_take(&self, from_far_end: bool, is_free: &impl Fn(u32) -> bool) -> Option<u32> {
        if !from_far_end {
            return self.would_be_front(is_free).map(|(_, _, address)| address);
        }
        let mut far = self.fresh.iter().rev().flat_map(|&(next, last)| (0..=(last - next) / 2).map(move |i| last - 2 * i));
        let listed = || self.returned.last().copied().or_else(|| self.reusable.last().map(|&(_, address)| address));
        far.find(|&address| is_free(address)).or_else(listed)
    }

    pub fn is_ahead(&self, address: u32) -> bool {
        self.fresh.iter().any(|&(next, last)| next <= address && address <= last && (address - next).is_multiple_of(2))
    }

    /// At most so many are free.
    fn len(&self) -> u64 {
        let fresh: u64 = self.fresh.iter().map(|(next, last)| u64::from((last - next) / 2) + 1).sum();
        fresh + self.returned.len() as u64 + self.reusable.len() as u64
    }

    /// Order of giving: never used ones first, then the longest free.
    fn front(&self) -> Option<(u8, Time, u32)> {
        let returned = self.returned.first().map(|&address| (0, Time::ZERO, address));
        returned.or_else(|| self.reusable.first().map(|&(since, address)| (1, since, address)))
    }

    /// Sees to it that the next fresh address, if there is one, is listed in `returned`, so that nobody has to look at it again.
    fn refresh(&mut self, is_free: &impl Fn(u32) -> bool) {
        while self.returned.is_empty()
            && let Some(address) = self.take_fresh(false)
        {
            if is_free(address) {
                self.returned.insert(address);
            }
        }
    }

    fn take(&mut self, from_far_end: bool, is_free: &impl Fn(u32) -> bool) -> Option<u32> {
        if !from_far_end {
            self.refresh(is_free);
            return self.front().map(|(_, _, address)| address);
        }
        while let Some(address) = self.take_fresh(true) {
            if is_free(address) {
                self.returned.insert(address);
                return Some(address);
            }
        }
        self.returned.last().copied().or_else(|| self.reusable.last().map(|&(_, address)| address))
    }

    fn take_fresh(&mut self, from_far_end: bool) -> Option<u32> {
        let range = if from_far_end { self.fresh.back_mut() } else { self.fresh.front_mut() }?;
        let address = if from_far_end { range.1 } else { range.0 };
        if range.0 == range.1 {
            let _ = if from_far_end { self.fresh.pop_back() } else { self.fresh.pop_front() };
        } else if from_far_end {
            range.1 -= 2;
        } else {
            range.0 += 2;
        }
        Some(address)
    }
}
