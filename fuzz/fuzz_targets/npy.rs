#![no_main]

libfuzzer_sys::fuzz_target!(
    init: dbksvd_fuzz::write_seeds(dbksvd_fuzz::npy::seeds),
    |bytes: &[u8]| dbksvd_fuzz::npy::try_out(bytes)
);
