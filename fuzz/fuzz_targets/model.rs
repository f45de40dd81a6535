#![no_main]

libfuzzer_sys::fuzz_target!(
    init: dbksvd_fuzz::write_seeds(dbksvd_fuzz::model::seeds),
    |bytes: &[u8]| dbksvd_fuzz::model::try_out(bytes)
);
