#![no_main]

libfuzzer_sys::fuzz_target!(
    init: dbksvd_fuzz::write_seeds(dbksvd_fuzz::codes::seeds),
    |bytes: &[u8]| dbksvd_fuzz::codes::try_out(bytes)
);
