//! See `settee_fuzz::connstr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| settee_fuzz::connstr(data));
