#![no_main]

libfuzzer_sys::fuzz_target!(
    init: dbksvd_fuzz::write_seeds(dbksvd_fuzz::checkpoint::seeds),
    |bytes: &[u8]| dbksvd_fuzz::checkpoint::try_out(bytes)
);
