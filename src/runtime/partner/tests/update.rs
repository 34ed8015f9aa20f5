//! What the two tell each other of updates, and the file that one of them lacks.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::*;
use crate::runtime::{
    journal::Journal,
    partner::{
        dial::{self, Connection},
        tls::{self, Expect},
        update::{FILE_PATH, UPDATE_PATH},
    },
    update::{Card, Updates, card::tests::flash, file::tests::image},
};

fn of_a_card(folder: &Scratch) -> Arc<Updates> {
    flash(folder.path());
    let updates = Updates::default();
    updates.begin(folder.path(), Card::in_folder(folder.path()), Journal::default());
    Arc::new(updates)
}

#[tokio::test]
async fn what_is_approved_on_one_reaches_the_other_with_its_file() {
    let (card_a, card_b) = (Scratch::new("card-a"), Scratch::new("card-b"));
    let (of_a, of_b) = (of_a_card(&card_a), of_a_card(&card_b));
    let mut a = Node::start_with("a", |config| config.updates = Arc::clone(&of_a));
    let mut b = Node::start_with("b", |config| config.updates = Arc::clone(&of_b));
    pair(&mut a, &mut b).await;
    let held = of_a.take(&image(card_a.path(), "9.0.0", 'n')).expect("good");
    let plan = of_a.approve("dashboard", &held.sha256, false).expect("approved");
    for_sure("the file is there", || of_b.view().held.filter(|there| *there == held)).await;
    assert_eq!(of_b.view().plan, Some(plan));
    for_sure("the first one knows", || of_a.view().twin.filter(|twin| twin.holds.as_ref() == Some(&held.sha256))).await;
    assert_eq!(of_a.to_send(), None);
    // A stop on the second reaches the first.
    of_b.stop("dashboard").expect("stopped");
    for_sure("the first one stops", || of_a.view().plan.filter(|plan| plan.end.is_some())).await;
}

/// `identity` speaks to the node as its twin does.
async fn call(node: &Node, identity: &Identity) -> Connection {
    let config = tls::client_config(identity, Expect::Only(node.identity.key));
    dial::dial(&config, &[node.address().await]).await.expect("the node listens")
}

#[tokio::test]
async fn a_file_that_nobody_approved_and_a_word_without_sense_are_refused() {
    let (data, partner, card) = (Scratch::new("a"), Identity::generate(None), Scratch::new("card"));
    was_paired(&data, Step::Paired, partner.key, None);
    let updates = of_a_card(&card);
    let node = Node::start_in(data, Identity::generate(None), "a", |config| config.updates = Arc::clone(&updates));
    let mut connection = call(&node, &partner).await;
    for (word, status) in [
        (b"{}".to_vec(), StatusCode::OK),
        (b"what?".to_vec(), StatusCode::BAD_REQUEST),
        (vec![b' '; 20 << 10], StatusCode::BAD_REQUEST),
    ] {
        // One that was not read to its end is closed.
        if connection.is_closed() {
            connection = call(&node, &partner).await;
        }
        let answer = connection.post(UPDATE_PATH, word, HeaderMap::new(), PATIENCE).await.expect("an answer");
        assert_eq!(answer.status, status);
    }
    let mut headers = HeaderMap::new();
    headers.insert("twin-sha256", HeaderValue::from_static("0000"));
    let mut connection = call(&node, &partner).await;
    let answer = connection.post(FILE_PATH, b"something".to_vec(), headers, PATIENCE).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(updates.view().held.is_none() && updates.view().twin.is_some());
}
