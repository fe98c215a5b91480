#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| memolith_fuzz::variants(data));
