//! See `settee_fuzz::tls_plain_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| settee_fuzz::tls_plain_bytes(data));
