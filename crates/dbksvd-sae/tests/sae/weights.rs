//! A safetensors file taken apart, changed, and written again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A tensor: type, shape, bytes.
pub struct Tensor {
    pub dtype: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// The numbers of a tensor of type F32.
    pub fn singles(&self) -> Vec<f32> {
        assert_eq!(self.dtype, "F32");
        self.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    /// The same shape with other numbers, of a type that `bytes` converts to.
    pub fn set<const SIZE: usize>(
        &mut self,
        dtype: &str,
        bytes: impl Fn(usize, f32) -> [u8; SIZE],
    ) {
        let numbers = self.singles().into_iter().enumerate();
        self.bytes = numbers.flat_map(|(at, number)| bytes(at, number)).collect();
        dtype.clone_into(&mut self.dtype);
    }
}

pub struct Weights {
    path: PathBuf,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    pub fn open(path: &Path) -> Self {
        let file = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let (header, data) = file[8..].split_at(length);
        let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
        let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
        let tensors = tensors.map(|(name, info)| {
            let numbers = |value: &Value| -> Vec<usize> {
                value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
            };
            let offsets = numbers(&info["data_offsets"]);
            let bytes = data[offsets[0]..offsets[1]].to_vec();
            let dtype = info["dtype"].as_str().unwrap().to_owned();
            (name, Tensor { dtype, shape: numbers(&info["shape"]), bytes })
        });
        Self { path: path.to_owned(), tensors: tensors.collect() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn get(&mut self, name: &str) -> &mut Tensor {
        self.tensors.get_mut(name).unwrap()
    }

    /// Adds a vector of ones times `value`.
    pub fn add(&mut self, name: &str, len: usize, value: f32) {
        let bytes = value.to_le_bytes().repeat(len);
        let tensor = Tensor { dtype: "F32".to_owned(), shape: vec![len], bytes };
        self.tensors.insert(name.to_owned(), tensor);
    }

    pub fn write(&self) {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, tensor) in &self.tensors {
            let start = data.len();
            data.extend_from_slice(&tensor.bytes);
            let offsets = [start, data.len()];
            let info = json!({
                "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets,
            });
            header.insert(name.clone(), info);
        }
        let mut header = serde_json::to_vec(&header).unwrap();
        header.resize(header.len().next_multiple_of(8), b' ');
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(&self.path, [&length[..], &header, &data].concat()).unwrap();
    }
}
