use super::*;
use crate::runtime::partner::scratch::Scratch;

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn introduction(name: &str) -> Introduction {
    Introduction { name: name.into(), serial: None, fixed_rank: None, has_leases: false, is_blank_first: true, link_port: 8067 }
}

fn desk(data: &Scratch) -> Desk {
    Desk::new(Identity::generate(None), data.path().to_owned(), None, None)
}

/// The initiator's side, as far as the seal.
fn begin(desk: &mut Desk, now: Instant, peer: &Identity, code: &str) -> Result<Seal, Refusal> {
    begin_with(desk, now, peer, Secret::code(code).expect("six digits"))
}

fn begin_with(desk: &mut Desk, now: Instant, peer: &Identity, secret: Secret) -> Result<Seal, Refusal> {
    let (exchange, share) = Exchange::initiate(&secret, &peer.key, &desk.identity.key);
    let start = serde_json::to_vec(&Start { method: secret.method, share }).expect("json");
    let answer = desk.start(now, peer.key, &start)?;
    let started: Started = serde_json::from_slice(&answer).expect("json");
    exchange.finish(&started.share, [&peer.key, &desk.identity.key], &start, &answer)
}

fn confirm(desk: &mut Desk, now: Instant, peer: &Identity, seal: &Seal) -> Result<Proof, Refusal> {
    let proof = seal.prove(Role::Initiator, &introduction("peer"))?;
    desk.confirm(now, (peer.key, FROM), &introduction("desk"), &serde_json::to_vec(&proof).expect("json"))
}

/// With a proof that is none.
fn guess(desk: &mut Desk, now: Instant, peer: &Identity) -> Result<Proof, Refusal> {
    desk.confirm(now, (peer.key, FROM), &introduction("desk"), br#"{"mac":"00","introduction":""}"#)
}

#[test]
fn a_code_is_good_for_ten_minutes_and_a_newer_one_voids_it() {
    let (data, now) = (Scratch::new("desk"), Instant::now());
    let (mut desk, peer) = (desk(&data), Identity::generate(None));
    let code = desk.show_code(now).expect("a code").digits;
    assert!(begin(&mut desk, now + CODE_LIFE - Duration::from_secs(1), &peer, &code).is_ok());
    assert!(matches!(begin(&mut desk, now + CODE_LIFE, &peer, &code), Err(Refusal::NoCode)));
    let code = desk.show_code(now).expect("a code").digits;
    let seal = begin(&mut desk, now, &peer, &code).expect("begun");
    desk.show_code(now).expect("another");
    assert!(matches!(confirm(&mut desk, now, &peer, &seal), Err(Refusal::Garbage { .. })), "begun with the void one");
    desk.hide_code();
    assert!(matches!(begin(&mut desk, now, &peer, &code), Err(Refusal::NoCode)));
}

#[test]
fn an_exchange_is_good_for_one_guess_and_a_few_seconds() {
    let (data, now) = (Scratch::new("desk"), Instant::now());
    let (mut desk, peer) = (desk(&data), Identity::generate(None));
    let code = desk.show_code(now).expect("a code").digits;
    let seal = begin(&mut desk, now, &peer, &code).expect("begun");
    let wrong = guess(&mut desk, now, &peer);
    assert_eq!(wrong, Err(Refusal::WrongCode { tries_left: 4 }));
    assert!(matches!(confirm(&mut desk, now, &peer, &seal), Err(Refusal::Garbage { .. })), "the right word comes too late");
    let seal = begin(&mut desk, now, &peer, &code).expect("begun");
    assert!(matches!(confirm(&mut desk, now + EXCHANGE_LIFE, &peer, &seal), Err(Refusal::Garbage { .. })));
    let seal = begin(&mut desk, now, &peer, &code).expect("begun");
    let stranger = Identity::generate(None);
    assert!(matches!(confirm(&mut desk, now, &stranger, &seal), Err(Refusal::Garbage { .. })), "by another key");
    assert!(confirm(&mut desk, now, &peer, &seal).is_ok());
}

#[test]
fn wrong_tries_count_for_all_strangers_together_and_end_in_a_pause() {
    let (data, now) = (Scratch::new("desk"), Instant::now());
    let mut desk = desk(&data);
    let first = desk.show_code(now).expect("a code");
    for left in (0..TRIES).rev() {
        let peer = Identity::generate(None);
        begin(&mut desk, now, &peer, &first.digits).expect("begun");
        assert_eq!(guess(&mut desk, now, &peer), Err(Refusal::WrongCode { tries_left: left }));
    }
    let peer = Identity::generate(None);
    assert!(matches!(begin(&mut desk, now, &peer, &first.digits), Err(Refusal::TooFast { .. })));
    let second = desk.code(now).expect("a new one").clone();
    assert_eq!((second.until, second.tries_left), (first.until, TRIES));
    let later = now + CODE_PAUSE;
    let seal = begin(&mut desk, later, &peer, &first.digits).expect("begun");
    if first.digits != second.digits {
        assert_eq!(confirm(&mut desk, later, &peer, &seal), Err(Refusal::WrongCode { tries_left: 4 }), "the old one is void");
    }
}

#[test]
fn exchanges_that_nobody_ends_are_few() {
    let (data, now) = (Scratch::new("desk"), Instant::now());
    let mut desk = desk(&data);
    let code = desk.show_code(now).expect("a code").digits;
    let peers: Vec<Identity> = (0..20).map(|_| Identity::generate(None)).collect();
    let seals: Vec<Seal> = peers.iter().map(|peer| begin(&mut desk, now, peer, &code).expect("begun")).collect();
    assert_eq!(desk.exchanges.len(), EXCHANGES_MAX);
    let (peer, seal) = (&peers[19], &seals[19]);
    assert!(confirm(&mut desk, now, peer, seal).is_ok(), "the newest is one of them");
}

#[test]
fn only_the_one_that_was_agreed_with_can_commit() {
    let (data, now) = (Scratch::new("desk"), Instant::now());
    let (mut desk, peer, third) = (desk(&data), Identity::generate(None), Identity::generate(None));
    assert_eq!(desk.commit(peer.key), Err(Refusal::Forgotten));
    let code = desk.show_code(now).expect("a code").digits;
    let seal = begin(&mut desk, now, &peer, &code).expect("begun");
    confirm(&mut desk, now, &peer, &seal).expect("confirmed");
    assert!(!desk.is_paired());
    assert_eq!(desk.commit(third.key), Err(Refusal::Forgotten));
    let record = desk.commit(peer.key).expect("committed");
    assert_eq!((record.step, record.address), (Step::Paired, Some(SocketAddr::new(FROM, 8067))));
    assert_eq!(desk.commit(peer.key), Ok(record.clone()), "said twice");
    assert_eq!(desk.commit(third.key), Err(Refusal::HasTwin));
    assert_eq!(record::load(data.path()).expect("readable").0, Some(record));
    assert!(desk.show_code(now).is_err());
    assert!(matches!(begin(&mut desk, now, &third, "123456"), Err(Refusal::HasTwin)));
}

#[test]
fn a_disk_that_takes_nothing_means_no_pairing() {
    let (data, now) = (Scratch::new("desk"), Instant::now());
    let (mut desk, peer) = (desk(&data), Identity::generate(None));
    let code = desk.show_code(now).expect("a code").digits;
    let seal = begin(&mut desk, now, &peer, &code).expect("begun");
    drop(data);
    assert!(matches!(confirm(&mut desk, now, &peer, &seal), Err(Refusal::Disk { .. })));
    assert_eq!(desk.commit(peer.key), Err(Refusal::Forgotten));
}

#[test]
fn the_twin_is_who_it_was_until_the_one_in_its_place_is_paired() {
    let (data, now) = (Scratch::new("desk-replaces"), Instant::now());
    let (mut desk, old, new) = (desk(&data), Identity::generate(None), Identity::generate(None));
    let address = SocketAddr::new(FROM, 8067);
    let blank = || Introduction { serial: Some("100".into()), is_blank_first: true, has_leases: false, ..introduction("attic") };
    desk.agree(old.key, (Rank::Second, true), address, blank(), false).expect("agreed");
    let before = desk.commit(old.key).expect("paired");
    assert_eq!(desk.agree(new.key, (Rank::Second, true), address, blank(), false), Err(Refusal::HasTwin));
    for is_after_a_crash in [false, true] {
        desk.agree(new.key, (Rank::Second, true), address, blank(), true).expect("the same box");
        if is_after_a_crash {
            let (record, _) = record::load(data.path()).expect("readable");
            desk = Desk::new(Identity::generate(None), data.path().into(), record, None);
        }
        assert_eq!(desk.paired(), Some(&before), "it counts until then");
        assert!(desk.show_code(now).is_err());
        desk.break_off().expect("broken off");
        assert_eq!((desk.record(), record::load(data.path()).expect("readable").0), (Some(&before), Some(before.clone())));
    }
    desk.agree(new.key, (Rank::Second, true), address, blank(), true).expect("agreed");
    // Agreed once more, because the answer was lost.
    desk.agree(new.key, (Rank::Second, true), address, blank(), true).expect("agreed again");
    assert_eq!(desk.paired(), Some(&before));
    let after = desk.commit(new.key).expect("paired");
    assert_eq!((after.key, &after.replaces, desk.paired()), (new.key, &None, Some(&after)));
    desk.break_off().expect("nothing to break off");
    assert_eq!(desk.paired(), Some(&after));
}

#[test]
fn guesses_at_the_pair_key_hold_back_guesses_at_it_and_no_code() {
    let (data, now) = (Scratch::new("desk-pauses"), Instant::now());
    let key = |words: &str| Secret::pair_key(words).expect("long enough");
    let mut desk = Desk::new(Identity::generate(None), data.path().to_owned(), None, Some(key("correct horse battery")));
    let (stranger, peer) = (Identity::generate(None), Identity::generate(None));
    let code = desk.show_code(now).expect("a code").digits;
    let typed = begin(&mut desk, now, &peer, &code).expect("begun");
    begin_with(&mut desk, now, &stranger, key("wrong horse battery")).expect("begun");
    assert_eq!(guess(&mut desk, now, &stranger), Err(Refusal::OtherPair));
    let again = begin_with(&mut desk, now, &stranger, key("another horse battery"));
    assert!(matches!(again, Err(Refusal::TooFast { .. })), "one guess for each pause");
    begin(&mut desk, now, &Identity::generate(None), &code).expect("the code is not held back");
    confirm(&mut desk, now, &peer, &typed).expect("nor what was typed before");
}

#[test]
fn whoever_has_this_nodes_own_serial_is_not_told_by_it() {
    let data = Scratch::new("desk-serial");
    let identity = Identity::generate(Some("100".into()));
    let mut desk = Desk::new(identity, data.path().to_owned(), None, None);
    let (old, new, address) = (Identity::generate(None), Identity::generate(None), SocketAddr::new(FROM, 8067));
    let blank = || Introduction { serial: Some("100".into()), ..introduction("attic") };
    desk.agree(old.key, (Rank::Second, true), address, blank(), false).expect("agreed");
    desk.commit(old.key).expect("paired");
    let other = desk.agree(new.key, (Rank::Second, true), address, blank(), true);
    assert_eq!(other, Err(Refusal::HasTwin), "three machines set up from one image");
}
