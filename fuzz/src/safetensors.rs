//! Safetensors files: of samples, and of the weights of sparse autoencoders.

use dbksvd::source::{self, SafetensorsSource};

use crate::bytes::{safetensors, singles, tensors};
use crate::{Seed, check_error, check_source, put, sae};

pub fn seeds() -> Vec<Seed> {
    let entry = |dtype: &str, shape: &str, end: usize| {
        format!("\"a\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}")
    };
    let file = |dtype: &str, shape: &str, end: usize| {
        safetensors(&format!("{{{}}}", entry(dtype, shape, end)), &singles(end.div_ceil(4)))
    };
    let described =
        format!("{{\"__metadata__\":{{\"model\":\"x\"}},{}}}", entry("F32", "[2,3]", 24));
    vec![
        ("single.safetensors", file("F32", "[2,3]", 24)),
        ("double.safetensors", file("F64", "[2,3]", 48)),
        ("half.safetensors", file("F16", "[2,2]", 8)),
        ("bfloat16.safetensors", file("BF16", "[2,2]", 8)),
        ("integers.safetensors", file("I64", "[2,1]", 16)),
        ("rank3.safetensors", file("F32", "[2,2,3]", 48)),
        ("empty.safetensors", file("F32", "[0,3]", 0)),
        ("described.safetensors", safetensors(&described, &singles(6))),
        ("sae.safetensors", tensors(&sae::STANDARD)),
        ("sparsify.safetensors", tensors(&sae::SPARSIFY)),
        ("short.safetensors", safetensors(&format!("{{{}}}", entry("F32", "[2,3]", 24)), &[])),
        ("huge.safetensors", file("F32", "[4611686018427387904,4]", 4)),
    ]
}

pub fn try_out(bytes: &[u8]) {
    let path = put("file.safetensors", bytes);
    let tensors = [None, Some("a"), Some("W_dec")];
    for tensor in tensors {
        match SafetensorsSource::open(&path, tensor) {
            Ok(source) => check_source(&source),
            Err(error) => check_error(&error, &path),
        }
    }
    if let Ok(source) = source::open(&path, None) {
        check_source(&source);
    }
    sae::weights(bytes);
}
