//! Files made by hand.

/// A `.npy` file of version 1.0.
pub(crate) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

/// A safetensors file.
pub(crate) fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), data].concat()
}

/// Some numbers of single precision, none of them special.
pub(crate) fn singles(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| ((i as f32 + 1.0) * 0.7).sin().to_le_bytes()).collect()
}

/// A safetensors file of F32 tensors, one after the other.
pub(crate) fn tensors(parts: &[(&str, &[usize])]) -> Vec<u8> {
    let mut start = 0;
    let entries = parts.iter().map(|(name, shape)| {
        let end = start + 4 * shape.iter().product::<usize>();
        let entry = format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
        );
        start = end;
        entry
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    safetensors(&header, &singles(start / 4))
}
