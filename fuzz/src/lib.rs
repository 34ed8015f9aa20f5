//! What each fuzz target does with its bytes. Shared: libFuzzer runs it on new inputs, `tests/corpus.rs` on those
//! that were kept.

pub mod decode;
pub mod link;
pub mod paired;
pub mod reply;
pub mod rules;
pub mod seeds;
pub mod settings;
