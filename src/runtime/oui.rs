//! Which maker a MAC begins with. The table is made by `scripts/makers` from the public listing of the IEEE Registration
//! Authority (npm's `oui-data` 2.1.9, November 2026), in which the IEEE asserts no copyright: 20,000 of its 40,000 blocks, 100 kB.

use std::sync::LazyLock;

use crate::protocol::lease::HwAddr;

/// A line a maker: its name, a tab, the first three bytes of its MACs in base 36, each as the difference to the one before.
const LISTING: &str = include_str!("oui.txt");

static MAKERS: LazyLock<Vec<(u32, &'static str)>> = LazyLock::new(|| read(LISTING));

/// `None`: not listed, or a private MAC, which tells nothing.
pub fn maker(hw: HwAddr) -> Option<&'static str> {
    let mac = hw.mac().filter(|_| !hw.is_private())?;
    let block = u32::from_be_bytes([0, mac[0], mac[1], mac[2]]);
    let at = MAKERS.binary_search_by_key(&block, |&(block, _)| block).ok()?;
    Some(MAKERS[at].1)
}

fn read(listing: &'static str) -> Vec<(u32, &'static str)> {
    let mut makers = Vec::new();
    for (name, blocks) in listing.lines().filter_map(|line| line.split_once('\t')) {
        let mut block = 0;
        for difference in blocks.split(' ') {
            let Ok(difference) = u32::from_str_radix(difference, 36) else { continue };
            block += difference;
            makers.push((block, name));
        }
    }
    makers.sort_unstable();
    makers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_of_household_things_are_known() {
        for (mac, name) in [
            ("b8:27:eb:00:00:01", "Raspberry Pi"),
            ("f0:18:98:12:34:56", "Apple"),
            ("24:6f:28:00:00:00", "Espressif"),
            ("3c:37:12:ab:cd:ef", "AVM (Fritz!)"),
        ] {
            assert_eq!(maker(mac.parse().expect("a MAC")), Some(name), "{mac}");
        }
    }

    #[test]
    fn a_private_mac_and_an_unknown_block_have_no_maker() {
        assert_eq!(maker(HwAddr::ethernet([0xba, 0x27, 0xeb, 0, 0, 1])), None);
        assert_eq!(maker(HwAddr::ethernet([0, 0, 0x5e, 0, 0x53, 1])), None, "of a maker with one block");
        assert_eq!(maker(HwAddr::new(32, &[0xb8, 0x27, 0xeb, 0, 0, 1]).expect("six bytes")), None, "no Ethernet");
    }

    #[test]
    fn the_whole_listing_is_read() {
        assert!(MAKERS.len() > 20_000, "{}", MAKERS.len());
        let blocks: usize = LISTING.lines().map(|line| line.split(['\t', ' ']).count()).sum();
        assert!(blocks > MAKERS.len(), "every line has a name");
        assert!(MAKERS.windows(2).all(|pair| pair[0].0 < pair[1].0), "a block has one maker");
        assert!(LISTING.lines().all(|line| line.split_once('\t').is_some_and(|(name, _)| !name.trim().is_empty())));
    }
}
