//! Feeds libFuzzer's bytes to `rules`; what must hold is said there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| twinlease_fuzz::rules::run(bytes));
