//! By beacons, which every host on this network may send.

use tokio::net::UdpSocket;

use super::*;
use crate::runtime::partner::beacon::Beacon;

fn on_a_port_of_its_own() -> Discovery {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("bound").port();
    Discovery { beacon_port: Some(port), mdns: false }
}

#[tokio::test]
async fn nodes_that_hear_each_other_pair_without_an_address() {
    let discovery = on_a_port_of_its_own();
    let everywhere = |config: &mut LinkConfig| {
        config.discovery = discovery;
        config.listen = "0.0.0.0:0".parse().expect("an address");
    };
    let mut a = Node::start_with("a", everywhere);
    assert!(a.link.handle().enter_code("123456", None).await.expect_err("alone").contains("No other node was found"));
    let mut b = Node::start_with("b", everywhere);
    let b_port = b.address().await.port();
    let found = for_sure("found", || a.link.facts().found.pop()).await;
    assert_eq!((found.name.as_str(), found.address.port(), found.paired), ("b", b_port, false));
    for_sure("found back", || b.link.facts().found.pop()).await;
    let code = b.link.handle().show_code().await.expect("a code").digits;
    a.link.handle().enter_code(&code, None).await.expect("twins");
    assert_eq!((a.next_paired().await.key, b.next_paired().await.key), (b.identity.key, a.identity.key));
}

#[tokio::test]
async fn a_copy_of_this_node_is_told_and_a_stranger_cannot_flood_what_is_known() {
    let discovery = on_a_port_of_its_own();
    let mut node = Node::start_with("a", |config| config.discovery = discovery);
    node.address().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let to = ("127.0.0.1", discovery.beacon_port.expect("on"));
    for number in 0..300_u16 {
        let id = PublicKey::new([number as u8; 32]).fingerprint().prefix();
        socket.send_to(&Beacon::new(id, u64::from(number), 8067, "x", false).encode(), to).await.expect("sent");
        socket.send_to(b"TWINLEASE {", to).await.expect("sent");
    }
    for_sure("some are known", || (!node.link.facts().found.is_empty()).then_some(())).await;
    sleep(Duration::from_secs(1)).await;
    assert!(node.link.facts().found.len() <= 32);
    let own = node.identity.key.fingerprint().prefix();
    socket.send_to(&Beacon::new(own, 1, 8067, "a", false).encode(), to).await.expect("sent");
    loop {
        if let Inbound::Notice(notice) = node.next().await {
            assert!(notice.contains("very same identity") && notice.ends_with("from 127.0.0.1."), "{notice}");
            return;
        }
    }
}
