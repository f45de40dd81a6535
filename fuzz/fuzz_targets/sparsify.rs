#![no_main]

libfuzzer_sys::fuzz_target!(
    init: dbksvd_fuzz::write_seeds(dbksvd_fuzz::sparsify::seeds),
    |bytes: &[u8]| dbksvd_fuzz::sparsify::try_out(bytes)
);
