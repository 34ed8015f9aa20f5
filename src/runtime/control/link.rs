//! The link to the twin, as the local door asks it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::twin::{Answer, ShownCode, TwinLink};
use crate::runtime::partner::{CodeFacts, LinkHandle};

/// The running link, and a word to the server's loop.
pub struct DoorLink {
    pub link: LinkHandle,
    /// Set before the link says `Unpaired` because another node takes the twin's place: the node stays one of two, with its
    /// rank and its waits. Whoever takes that message clears it.
    pub is_replacing: Arc<AtomicBool>,
}

impl TwinLink for DoorLink {
    fn facts(&self) -> serde_json::Value {
        serde_json::to_value(self.link.facts()).expect("facts are plain data")
    }

    fn show_code(&self) -> Answer<'_, ShownCode> {
        Box::pin(async { self.link.show_code().await.map(shown) })
    }

    fn enter_code(&self, code: String, address: Option<SocketAddr>) -> Answer<'_, ()> {
        Box::pin(async move { self.link.enter_code(&code, address).await })
    }

    fn unpair(&self) -> Answer<'_, ()> {
        Box::pin(self.link.unpair())
    }

    fn replace(&self) -> Answer<'_, ShownCode> {
        Box::pin(async {
            // Asked again because its code ran out: the old one's key is forgotten already.
            if self.link.record().is_some() {
                self.is_replacing.store(true, Ordering::SeqCst);
                if let Err(refusal) = self.link.unpair().await {
                    self.is_replacing.store(false, Ordering::SeqCst);
                    return Err(refusal);
                }
            }
            self.link.show_code().await.map(shown)
        })
    }
}

fn shown(CodeFacts { digits, secs_left, tries_left: _ }: CodeFacts) -> ShownCode {
    ShownCode { digits, secs_left }
}
