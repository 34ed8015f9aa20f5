//! What the one hears of devices, the other knows too.

use super::*;
use crate::{protocol::lease::HwAddr, runtime::presence::Presence};

fn hw(nth: u16) -> HwAddr {
    let [c, d] = nth.to_be_bytes();
    HwAddr::ethernet([2, 0, 0, 0, c, d])
}

fn hears(presence: &Presence, nths: std::ops::Range<u16>) {
    let mut ear = presence.listen();
    nths.for_each(|nth| ear.device(hw(nth)));
}

#[tokio::test]
async fn a_device_that_one_hears_is_known_to_both_also_to_one_that_comes_later() {
    let (a, b) = twins().await;
    let (heard_by_a, heard_by_b) = (a.presence(), b.presence());
    // More than goes with one POST.
    hears(&heard_by_a, 1..1000);
    hears(&heard_by_b, 2000..2001);
    for_sure("each knows all", || {
        let counts = (heard_by_a.all().len(), heard_by_b.all().len());
        (counts == (1000, 1000)).then_some(())
    })
    .await;
    hears(&heard_by_b, 3000..3001);
    let first = for_sure("one that came since", || heard_by_a.of(hw(3000))).await.first_wall_ms;
    let there = heard_by_b.of(hw(3000)).expect("it was heard there").first_wall_ms;
    assert!((first - there).abs() < 1000, "{first} {there}");
}
