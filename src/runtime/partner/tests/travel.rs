//! Between twins.

use std::net::Ipv4Addr;

use super::*;
use crate::protocol::{
    failover::{Page, WireBinding},
    lease::{BindingState, ClientId, HwAddr},
};

#[tokio::test]
async fn messages_travel_both_ways_in_their_order() {
    let (mut a, mut b) = twins().await;
    // What is under way while a connection is made or lost is for the protocol to send again.
    a.is_connected().await;
    b.is_connected().await;
    for number in 0..1000 {
        a.link.send(record_message(number));
    }
    let mut got = Vec::new();
    while got.len() < 1000 {
        got.extend(b.next_batch().await.envelopes);
    }
    assert!(got.iter().eq((0..1000).map(record_message).collect::<Vec<_>>().iter()), "each once, in order");
    heartbeat_arrives(&b, &mut a, 7).await;
}

#[tokio::test]
async fn the_facts_tell_the_round_trip_and_the_clock() {
    let (mut a, mut b) = twins().await;
    a.is_connected().await;
    heartbeat_arrives(&a, &mut b, 1).await;
    let twin = for_sure("a round trip", || a.link.facts().twin.filter(|twin| twin.round_trip_ms.is_some())).await;
    assert_eq!((twin.name.as_str(), twin.address), ("b", Some(b.address().await)));
    assert_eq!(twin.fingerprint, b.identity.key.fingerprint());
    assert_eq!(twin.software.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let skew_ms = twin.clock_skew_ms.expect("told with the answer");
    assert!(skew_ms.abs() < 2000, "one machine has one clock: {skew_ms}");
    loop {
        if let Inbound::PartnerWall(ms) = a.next().await {
            assert!(ms > 1_700_000_000_000, "{ms}");
            return;
        }
    }
}

fn page(records: u32) -> Envelope {
    let record = |number: u32| WireBinding {
        address: Ipv4Addr::from(0xc000_0200 + number),
        client: ClientId::Given([1; 200].into()),
        hw: HwAddr::ethernet([2, 0, 0, 0, 0, 1]),
        state: BindingState::Leased,
        age_ms: 1,
        left_ms: Some(1),
        generation: 1,
        version: Version::default(),
        host_name: None,
    };
    let page = Page {
        pull: 1,
        after: None,
        records: (0..records).map(record).collect(),
        settings: None,
        more: false,
        state: State::Normal,
        forgot: None,
    };
    Envelope { from: Session(1), to: Some(Session(2)), body: Body::Page(Box::new(page)) }
}

#[tokio::test]
async fn heartbeats_pass_pages_that_nobody_takes() {
    let (a, mut b) = twins().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        a.link.send(page(3000));
        held.push(b.next_batch().await);
    }
    // No room for a third one, so it waits in the other's hands.
    a.link.send(page(3000));
    for number in 0..20 {
        let sent = Instant::now();
        heartbeat_arrives(&a, &mut b, number).await;
        assert!(sent.elapsed() < Duration::from_millis(1500), "{:?} for a heartbeat", sent.elapsed());
    }
    held.clear();
    a.link.send(page(3000));
    assert_eq!(b.next_batch().await.envelopes.len(), 1, "there is room again");
}

#[tokio::test]
async fn a_server_that_takes_nothing_costs_its_twin_only_the_link() {
    let (a, mut b) = twins().await;
    let until = Instant::now() + Duration::from_secs(5);
    let mut number = 0;
    // More than its queue holds.
    while Instant::now() < until && !a.trouble().is_some_and(|trouble| trouble.contains("503")) {
        let sent = std::time::Instant::now();
        a.link.send(record_message(number));
        assert!(sent.elapsed() < Duration::from_millis(100), "sending never waits");
        number += 1;
        sleep(Duration::from_millis(1)).await;
    }
    a.trouble_with("503").await;
    // Once it takes again, it gets what is new.
    let taking = tokio::spawn(async move { b.receives(&record_message(u32::MAX)).await });
    let mut taken = taking;
    loop {
        a.link.send(record_message(u32::MAX));
        match timeout(Duration::from_millis(200), &mut taken).await {
            Ok(done) => return done.expect("taken"),
            Err(_) => continue,
        }
    }
}

#[tokio::test]
async fn a_twin_that_comes_back_at_another_address_is_found_by_its_call() {
    let (mut a, b) = twins().await;
    let before = b.address().await;
    let (data, identity) = b.stop();
    a.link.send(beat(1));
    a.trouble_with("127.0.0.1").await;
    let mut b = Node::start_in(data, identity, "b", |_| {});
    assert_ne!(b.address().await, before);
    assert!(b.link.record().is_some(), "paired on disk");
    for number in 2.. {
        b.link.send(beat(number));
        a.link.send(beat(number));
        let received = timeout(Duration::from_millis(100), b.next_batch()).await;
        if received.is_ok_and(|received| received.envelopes.contains(&beat(number))) {
            break;
        }
        assert!(number < 100, "never found again");
    }
    let address = b.address().await;
    for_sure("the new address is kept", || {
        let (record, _) = record::load(a.data.path()).expect("readable");
        record.filter(|record| record.address == Some(address))
    })
    .await;
    while a.inbound.try_recv().is_ok() {}
}

#[tokio::test]
async fn what_is_queued_when_a_link_stops_is_still_sent() {
    let (a, mut b) = twins().await;
    a.is_connected().await;
    let farewell = Envelope { body: Body::ShuttingDown, ..record_message(0) };
    for number in 0..2000 {
        a.link.send(record_message(number));
    }
    a.link.send(farewell.clone());
    a.stop();
    b.receives(&farewell).await;
}
