//! See `settee_fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| settee_fuzz::frame(data));
