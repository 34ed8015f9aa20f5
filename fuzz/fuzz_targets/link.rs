//! Feeds libFuzzer's bytes to `link`; what must hold is said there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| twinlease_fuzz::link::run(bytes));
