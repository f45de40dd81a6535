#![no_main]

libfuzzer_sys::fuzz_target!(
    init: dbksvd_fuzz::write_seeds(dbksvd_fuzz::saelens::seeds),
    |bytes: &[u8]| dbksvd_fuzz::saelens::try_out(bytes)
);
