//! See `settee_fuzz::scram`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| settee_fuzz::scram(data));
