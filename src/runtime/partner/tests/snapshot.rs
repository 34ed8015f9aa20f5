//! The copy of each database at the other node.

use std::{
    fs,
    path::{Path, PathBuf},
};

use axum::{
    body::{Body, Bytes},
    http::HeaderMap,
};

use super::*;
use crate::runtime::{
    partner::{
        dial::{self, Answer, Connection, Trouble},
        freight::Outgoing,
        snapshot::SNAPSHOT_PATH,
        tls::{self, Expect},
    },
    store::{self, Report, TWINS_BYTES_MAX},
};

const NOTHING: [PathBuf; 0] = [];

/// Of a new database in this folder, made as each night.
fn made_in(folder: &Path) -> PathBuf {
    let (store, _) = store::open(folder, WallTrust::Always).expect("opens");
    let (sender, reports) = std::sync::mpsc::channel();
    let handle = store.start(move |report| drop(sender.send(report))).expect("a thread");
    handle.snapshot_now();
    let made = reports.iter().find_map(|report| if let Report::SnapshotMade(path) = report { Some(path) } else { None });
    handle.close();
    made.expect("a snapshot")
}

/// All that lies where the twin's are kept.
fn kept(node: &Node) -> Vec<PathBuf> {
    let entries = fs::read_dir(node.data.path().join("snapshots/twin")).into_iter().flatten();
    entries.map(|entry| entry.expect("readable").path()).collect()
}

fn is_coming(node: &Node) -> bool {
    kept(node).iter().any(|path| path.ends_with("making"))
}

async fn one_kept(node: &Node) -> PathBuf {
    for_sure("a snapshot is kept", || kept(node).into_iter().find(|path| !path.ends_with("making"))).await
}

async fn snapshot_trouble(node: &Node, words: &str) {
    let trouble = || node.link.facts().twin?.snapshot_trouble.filter(|trouble| trouble.contains(words));
    for_sure(words, trouble).await;
}

/// `identity` speaks to the node as its twin does.
async fn call(node: &Node, identity: &Identity) -> Connection {
    let config = tls::client_config(identity, Expect::Only(node.identity.key));
    dial::dial(&config, &[node.address().await]).await.expect("the node listens")
}

/// Says that `said` bytes come, and sends these. The sender: to send more, or to cut it off.
async fn pieces(said: u64, sent: Vec<Bytes>) -> (Body, mpsc::Sender<Bytes>) {
    let (sender, pieces) = mpsc::channel(16);
    for piece in sent {
        sender.send(piece).await.expect("room");
    }
    (Body::new(Outgoing { pieces, left: said }), sender)
}

async fn post(connection: &mut Connection, body: Body) -> Result<Answer, Trouble> {
    connection.post_body(SNAPSHOT_PATH, body, HeaderMap::new(), PATIENCE).await
}

/// A node that is paired with a key in the test's hands.
async fn with_partner() -> (Node, Identity) {
    let (data, partner) = (Scratch::new("a"), Identity::generate(None));
    was_paired(&data, Step::Paired, partner.key, None);
    (Node::start_in(data, Identity::generate(None), "a", |_| {}), partner)
}

#[tokio::test]
async fn a_snapshot_travels_and_equals_the_original() {
    let (a, b) = twins().await;
    let made = made_in(a.data.path());
    a.link.send_snapshot(made.clone());
    let copy = one_kept(&b).await;
    assert_eq!(fs::read(copy).expect("readable"), fs::read(made).expect("readable"));
    for_sure("the sender knows", || a.link.facts().twin?.snapshot_sent_ms).await;
    for_sure("the other knows", || b.link.facts().twin?.snapshot_kept_ms).await;
    let facts = a.link.facts().twin.expect("a twin");
    assert_eq!((facts.snapshot_kept_ms, facts.snapshot_trouble), (None, None));
    assert_eq!(kept(&a), NOTHING);
}

#[tokio::test]
async fn what_an_earlier_run_has_made_is_sent_when_the_link_comes_up() {
    let (mut a, mut b) = (Node::start("a"), Node::start("b"));
    let made = made_in(a.data.path());
    pair(&mut a, &mut b).await;
    assert_eq!(fs::read(one_kept(&b).await).expect("readable"), fs::read(made).expect("readable"));
}

#[tokio::test]
async fn one_that_is_too_large_is_refused_on_both_sides_and_leaves_nothing_behind() {
    let (a, b) = twins().await;
    let large = a.data.path().join("large.db");
    fs::File::create(&large).and_then(|file| file.set_len(TWINS_BYTES_MAX + 1)).expect("a sparse file");
    a.link.send_snapshot(large);
    snapshot_trouble(&a, "more than 64 MiB").await;
    let (body, _more) = pieces(TWINS_BYTES_MAX + 1, vec![Bytes::from_static(b"SQLite format 3\0")]).await;
    let answer = post(&mut call(&b, &a.identity).await, body).await.expect("an answer");
    assert_eq!(answer.status, 413);
    assert!(answer.body.starts_with(b"The snapshot has more than 64 MiB."), "{:?}", answer.body);
    assert_eq!(kept(&b), NOTHING);
}

#[tokio::test]
async fn one_that_is_none_or_finds_no_place_is_refused_with_a_sentence() {
    let (a, b) = twins().await;
    let page = a.data.path().join("page.html");
    fs::write(&page, "<html>".repeat(100_000)).expect("written");
    a.link.send_snapshot(page);
    snapshot_trouble(&a, "The twin's snapshot was not kept").await;
    assert_eq!(kept(&b), NOTHING);
    fs::remove_dir_all(b.data.path().join("snapshots")).expect("removed");
    fs::write(b.data.path().join("snapshots"), "in the way").expect("written");
    a.link.send_snapshot(made_in(a.data.path()));
    snapshot_trouble(&a, "snapshots/twin").await;
    assert_eq!(a.link.facts().twin.and_then(|twin| twin.snapshot_sent_ms), None);
}

#[tokio::test]
async fn a_stranger_cannot_leave_one() {
    let (node, _partner) = with_partner().await;
    let stranger = Identity::generate(None);
    let made = fs::read(made_in(Scratch::new("stranger").path())).expect("readable");
    let (body, _more) = pieces(made.len() as u64, vec![made.clone().into()]).await;
    let refused = post(&mut call(&node, &stranger).await, body).await.err();
    assert_eq!(refused, Some(Trouble::RefusesUs { address: node.address().await }));
    assert_eq!(kept(&node), NOTHING);

    let alone = Node::start("alone");
    let (body, _more) = pieces(made.len() as u64, vec![made.into()]).await;
    assert_eq!(post(&mut call(&alone, &stranger).await, body).await.expect("an answer").status, 404);
    assert_eq!(kept(&alone), NOTHING);
}

#[tokio::test]
async fn a_cut_in_the_middle_leaves_nothing_and_keeps_no_place() {
    let (node, partner) = with_partner().await;
    let made = fs::read(made_in(Scratch::new("partner").path())).expect("readable");
    let (first, rest) = made.split_at(made.len() - 1);
    let (body, more) = pieces(made.len() as u64, vec![Bytes::copy_from_slice(first)]).await;
    let mut connection = call(&node, &partner).await;
    let posting = tokio::spawn(async move { post(&mut connection, body).await.map(|answer| answer.status) });
    for_sure("it is coming", || is_coming(&node).then_some(())).await;
    let (body, _more) = pieces(made.len() as u64, vec![made.clone().into()]).await;
    assert_eq!(post(&mut call(&node, &partner).await, body).await.expect("an answer").status, 503, "one at a time");
    drop(more);
    assert!(posting.await.expect("no panic").is_err());
    for_sure("nothing is left", || kept(&node).is_empty().then_some(())).await;

    let (body, _more) = pieces(made.len() as u64, vec![Bytes::copy_from_slice(first), Bytes::copy_from_slice(rest)]).await;
    assert_eq!(post(&mut call(&node, &partner).await, body).await.expect("an answer").status, 204);
    assert_eq!(fs::read(one_kept(&node).await).expect("readable"), made);
}

#[tokio::test]
async fn heartbeats_go_on_meanwhile() {
    let (a, mut b) = twins().await;
    let large = a.data.path().join("large.db");
    fs::write(&large, vec![7; 8 << 20]).expect("written");
    a.link.send_snapshot(large);
    for_sure("it is coming", || is_coming(&b).then_some(())).await;
    let mut meanwhile = 0;
    for number in 0.. {
        let sent = Instant::now();
        heartbeat_arrives(&a, &mut b, number).await;
        assert!(sent.elapsed() < Duration::from_millis(750), "{:?} for a heartbeat", sent.elapsed());
        if !is_coming(&b) {
            break;
        }
        meanwhile += 1;
        sleep(Duration::from_millis(50)).await;
    }
    assert!(meanwhile >= 10, "{meanwhile} heartbeats are too few to say something");
}
