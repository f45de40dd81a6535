#![no_main]

libfuzzer_sys::fuzz_target!(
    init: dbksvd_fuzz::write_seeds(dbksvd_fuzz::safetensors::seeds),
    |bytes: &[u8]| dbksvd_fuzz::safetensors::try_out(bytes)
);
