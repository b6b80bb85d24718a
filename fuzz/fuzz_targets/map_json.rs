//! See `settee_fuzz::map_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| settee_fuzz::map_json(data));
