//! How two become twins, and every way in which they do not.

use super::*;
use crate::runtime::partner::pairing::Secret;

async fn refusal(a: &Node, code: &str, address: SocketAddr) -> String {
    a.link.handle().enter_code(code, Some(address)).await.expect_err("refused")
}

fn wrong(code: &str) -> String {
    let number: u32 = code.parse().expect("digits");
    format!("{:06}", (number + 1) % 1_000_000)
}

#[tokio::test]
async fn a_code_typed_on_one_pairs_both_with_different_ranks() {
    let mut a = Node::start_in(Scratch::new("a"), Identity::generate(Some("200".into())), "a", |_| {});
    let mut b = Node::start_in(Scratch::new("b"), Identity::generate(Some("100".into())), "b", |_| {});
    b.link.set_standing(Standing { has_leases: true, is_blank_first: false, ..standing("b") });
    let code = b.link.handle().show_code().await.expect("a code");
    assert_eq!(b.link.facts().code.map(|code| code.digits), Some(code.digits.clone()));
    a.link.handle().enter_code(&code.digits, Some(b.address().await)).await.expect("twins");
    let (of_a, of_b) = (a.next_paired().await, b.next_paired().await);
    assert_eq!((of_a.key, of_b.key), (b.identity.key, a.identity.key));
    assert_eq!((of_a.rank, of_b.rank), (Rank::Second, Rank::First), "the lower serial is first");
    assert_eq!((of_a.serial.as_deref(), of_a.name.as_str()), (Some("100"), "b"));
    assert_eq!((of_a.partner_has_leases, of_b.partner_has_leases), (true, false));
    assert_eq!((of_a.partner_is_blank_first, of_b.partner_is_blank_first), (false, true));
    assert_eq!((of_a.address, of_b.address), (Some(b.address().await), Some(a.address().await)));
    assert_eq!(b.link.facts().code.map(|code| code.digits), None, "it has done its work");
    for node in [&a, &b] {
        let (kept, _) = record::load(node.data.path()).expect("readable");
        assert_eq!(kept.expect("kept").step, Step::Paired);
    }
}

#[tokio::test]
async fn a_rank_from_an_earlier_pair_is_kept() {
    let mut a = Node::start_in(Scratch::new("a"), Identity::generate(Some("100".into())), "a", |_| {});
    let mut b = Node::start_in(Scratch::new("b"), Identity::generate(Some("200".into())), "b", |config| {
        config.standing.fixed_rank = Some(Rank::First);
    });
    let code = b.link.handle().show_code().await.expect("a code").digits;
    a.link.handle().enter_code(&code, Some(b.address().await)).await.expect("twins");
    assert_eq!((a.next_paired().await.rank, b.next_paired().await.rank), (Rank::Second, Rank::First));
}

#[tokio::test]
async fn five_wrong_tries_make_a_new_code_and_a_pause() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let address = b.address().await;
    let code = b.link.handle().show_code().await.expect("a code").digits;
    for left in (1..5).rev() {
        let told = refusal(&a, &wrong(&code), address).await;
        assert!(told.contains(&format!("{left} tries are left")), "{told}");
        assert_eq!(b.link.facts().code.map(|code| code.tries_left), Some(left));
    }
    let told = refusal(&a, &wrong(&code), address).await;
    assert!(told.contains("fifth time"), "{told}");
    let now = b.link.facts().code.expect("a new one");
    assert_eq!(now.tries_left, 5);
    assert_ne!(now.digits, code);
    let told = refusal(&a, &now.digits, address).await;
    assert!(told.contains("Wait "), "{told}");
    assert!(b.link.facts().pairing.expect("told here too").contains("fifth time"));
    assert!(a.link.record().is_none() && b.link.record().is_none());
}

#[tokio::test]
async fn each_refusal_names_its_cause() {
    let (mut a, mut b, c) = (Node::start("a"), Node::start("b"), Node::start("c"));
    let (at_a, at_b) = (a.address().await, b.address().await);
    let told = refusal(&a, "123456", at_a).await;
    assert!(told.contains("this very node's own address"), "{told}");
    let told = refusal(&a, "123456", at_b).await;
    assert!(told.contains("shows no code"), "{told}");
    let told = refusal(&a, "12345", at_b).await;
    assert!(told.contains("has 6 digits"), "{told}");

    let twin_of_a = Node::start_in(Scratch::new("copy"), a.identity.clone(), "copy", |_| {});
    let told = refusal(&a, "123456", twin_of_a.address().await).await;
    assert!(told.contains("very same identity"), "{told}");

    for node in [&a, &b] {
        node.link.set_standing(Standing { has_leases: true, ..standing("") });
    }
    let code = b.link.handle().show_code().await.expect("a code").digits;
    let told = refusal(&a, &code, at_b).await;
    assert!(told.contains("Both nodes have given addresses"), "{told}");
    for node in [&a, &b] {
        node.link.set_standing(Standing { fixed_rank: Some(Rank::Second), ..standing("") });
    }
    let told = refusal(&a, &code, at_b).await;
    assert!(told.contains("Both nodes own the odd addresses"), "{told}");
    assert!(a.link.record().is_none() && b.link.record().is_none(), "refused by both");

    for node in [&a, &b] {
        node.link.set_standing(standing(""));
    }
    pair(&mut a, &mut b).await;
    let told = refusal(&c, "123456", at_b).await;
    assert!(told.contains("already has a twin"), "{told}");
    let told = refusal(&a, "123456", c.address().await).await;
    assert!(told.contains("already has a twin"), "{told}");
    assert!(a.link.handle().show_code().await.expect_err("refused").contains("already has a twin"));
    heartbeat_arrives(&b, &mut a, 1).await;
}

#[tokio::test]
async fn the_same_pair_key_pairs_two_without_a_click_and_another_does_not() {
    let key = |words: &str| Some(Secret::pair_key(words).expect("long enough"));
    let mut a = Node::start_with("a", |config| config.pair_key = key("correct horse battery"));
    let at_a = a.address().await;
    let other = Node::start_with("other", |config| {
        config.pair_key = key("another pair altogether");
        config.addresses = vec![at_a];
    });
    let told = for_sure("a refusal", || other.link.facts().pairing).await;
    assert!(told.contains("belongs to another pair"), "{told}");
    let mut b = Node::start_with("b", |config| {
        config.pair_key = key("correct horse battery");
        config.addresses = vec![at_a];
    });
    assert_eq!((a.next_paired().await.key, b.next_paired().await.key), (b.identity.key, a.identity.key));
    assert!(other.link.record().is_none());
}

#[tokio::test]
async fn two_that_call_each_other_at_once_become_twins_once() {
    let ports = [0; 2].map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("bound"));
    let start = |own: usize| {
        Node::start_with("n", |config| {
            config.pair_key = Some(Secret::pair_key("correct horse battery").expect("long enough"));
            config.listen = ports[own];
            config.addresses = vec![ports[1 - own]];
        })
    };
    let (mut a, mut b) = (start(0), start(1));
    let (of_a, of_b) = (a.next_paired().await, b.next_paired().await);
    assert_eq!((of_a.key, of_b.key, of_a.rank), (b.identity.key, a.identity.key, of_b.rank.other()));
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "a heartbeat arrives");
        a.link.send(beat(1));
        match timeout(Duration::from_secs(1), b.next()).await {
            Ok(Inbound::Envelopes(received)) if received.envelopes == [beat(1)] => break,
            Ok(Inbound::Paired(_) | Inbound::Unpaired) => panic!("paired twice"),
            Ok(Inbound::Envelopes(_) | Inbound::PartnerWall(_) | Inbound::Notice(_)) | Err(_) => {}
        }
    }
}

#[tokio::test]
async fn a_pairing_whose_last_word_was_lost_is_ended_after_a_restart() {
    let (data_a, data_b) = (Scratch::new("a"), Scratch::new("b"));
    let (a, b) = (Identity::generate(None), Identity::generate(None));
    was_paired(&data_b, Step::Proposed, a.key, None);
    let mut b = Node::start_in(data_b, b, "b", |_| {});
    assert!(b.trouble().expect("half paired").contains("last word"));
    was_paired(&data_a, Step::Agreed, b.identity.key, Some(b.address().await));
    let mut a = Node::start_in(data_a, a, "a", |_| {});
    assert!(a.link.record().is_none(), "not before the other has heard");
    assert_eq!((a.next_paired().await.key, b.next_paired().await.key), (b.identity.key, a.identity.key));
}

#[tokio::test]
async fn a_pairing_that_the_other_has_forgotten_is_undone() {
    let data = Scratch::new("a");
    let b = Node::start("b");
    was_paired(&data, Step::Agreed, b.identity.key, Some(b.address().await));
    let a = Node::start_in(data, Identity::generate(None), "a", |_| {});
    let told = for_sure("a sentence", || a.link.facts().pairing).await;
    assert!(told.contains("knows nothing of this pairing"), "{told}");
    assert!(a.link.facts().twin.is_none() && record::load(a.data.path()).expect("readable").0.is_none());
}

#[tokio::test]
async fn unpairing_ends_the_link_and_both_may_pair_anew() {
    let (mut a, mut b) = twins().await;
    a.is_connected().await;
    a.link.handle().unpair().await.expect("unpaired");
    while !matches!(a.next().await, Inbound::Unpaired) {}
    assert!(record::load(a.data.path()).expect("readable").0.is_none());
    b.link.send(beat(1));
    b.trouble_with("does not know this node as its twin any more").await;
    b.link.handle().unpair().await.expect("unpaired");
    assert!(b.link.handle().unpair().await.expect_err("once").contains("no twin"));
    pair(&mut a, &mut b).await;
    heartbeat_arrives(&a, &mut b, 2).await;
}
