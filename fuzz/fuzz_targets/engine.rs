//! See `settee_fuzz::engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| settee_fuzz::engine(data));
