//! Values as serde sees them (feature `serde`): plain data, checked when it is read.
//!
//! What has private fields is written as a structure of plain fields, and read through the
//! functions that make such values, so that no codes, dictionary or model can be had that those
//! functions refuse. Reports and the configurations of coders are what their public fields say;
//! a coder's [`check`](crate::coder::SparseCoder::check) judges its configuration, as ever.

use faer::{Mat, MatRef};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::coder::{LinearEncoder, TopK};
use crate::codes::CsrParts;
use crate::cpu::vector::outlined;
use crate::error::Error;
use crate::matrix::column;
use crate::{Dictionary, Model, Preprocessing, Scalar, Sign, SparseCodes};

/// X by the samples' codes, one after the other, each in the order in which atoms were chosen.
#[derive(Serialize, Deserialize)]
#[serde(rename = "SparseCodes", deny_unknown_fields)]
struct Codes<T> {
    atoms: usize,
    sparsity: usize,
    /// Nonzeros of each sample.
    lengths: Vec<u32>,
    support: Vec<u32>,
    values: Vec<T>,
}

impl<T: Scalar + Serialize> Serialize for SparseCodes<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut codes = Codes {
            atoms: self.atoms(),
            sparsity: self.sparsity(),
            lengths: Vec::with_capacity(self.samples()),
            support: Vec::with_capacity(self.nnz()),
            values: Vec::with_capacity(self.nnz()),
        };
        for (support, values) in self.iter() {
            codes.lengths.push(support.len() as u32);
            codes.support.extend_from_slice(support);
            codes.values.extend_from_slice(values);
        }
        codes.serialize(serializer)
    }
}

impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for SparseCodes<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        codes(Codes::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

fn codes<T: Scalar>(codes: Codes<T>) -> Result<SparseCodes<T>, Error> {
    let Codes { atoms, sparsity, lengths, support: indices, values } = codes;
    if u32::try_from(atoms).is_err() {
        return Err(Error::argument("atoms", atoms, "below 2³²"));
    }
    if sparsity > atoms {
        return Err(Error::argument("sparsity", sparsity, format!("at most {atoms}, all atoms")));
    }
    // The budget comes without data of its size: ask for the memory before it is taken.
    let slots = lengths.len().checked_mul(sparsity);
    let bytes = slots.and_then(|slots| slots.checked_mul(size_of::<u32>() + size_of::<T>()));
    let has_room = bytes.is_some_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    if !has_room {
        let expected = format!("memory for {} samples of this budget", lengths.len());
        return Err(Error::argument("sparsity", sparsity, expected));
    }
    if let Some(at) = outlined::first_not_finite(&values) {
        return Err(Error::argument("values", values[at].widen(), "finite values"));
    }
    let mut offsets = Vec::with_capacity(lengths.len() + 1);
    let mut end = 0_usize;
    offsets.push(end);
    for length in lengths {
        end = end.saturating_add(length as usize);
        offsets.push(end);
    }
    SparseCodes::from_csr_parts(atoms, sparsity, &CsrParts { indices, values, offsets })
}

/// A matrix by its columns, one after the other.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns<T> {
    rows: usize,
    columns: usize,
    values: Vec<T>,
}

impl<T: Scalar> Columns<T> {
    fn of(matrix: MatRef<'_, T>) -> Self {
        let (rows, columns) = matrix.shape();
        let values = (0..columns).flat_map(|j| column(matrix, j)).copied().collect();
        Self { rows, columns, values }
    }

    fn into_mat(self) -> Result<Mat<T>, Error> {
        let Self { rows, columns, values } = self;
        if rows == 0 || columns == 0 || rows.checked_mul(columns) != Some(values.len()) {
            let expected = format!("{rows} × {columns}, and at least one");
            return Err(Error::argument("values", format!("{} numbers", values.len()), expected));
        }
        Ok(MatRef::from_column_major_slice(&values, rows, columns).to_owned())
    }
}

impl<T: Scalar + Serialize> Serialize for Dictionary<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Columns::of(self.as_mat()).serialize(serializer)
    }
}

impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Dictionary<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let columns = Columns::deserialize(deserializer)?;
        columns.into_mat().and_then(Dictionary::new).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Preprocessing", deny_unknown_fields)]
struct Given<T> {
    mean: Option<Vec<T>>,
    scale: f64,
    norm_limit: Option<f64>,
}

impl<T: Scalar + Serialize> Serialize for Preprocessing<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mean = self.mean().map(<[T]>::to_vec);
        Given { mean, scale: self.scale(), norm_limit: self.norm_limit() }.serialize(serializer)
    }
}

impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Preprocessing<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Given { mean, scale, norm_limit } = Given::deserialize(deserializer)?;
        let given = Preprocessing::none().with_mean(mean);
        let given = given.and_then(|given| given.with_scale(scale));
        given.and_then(|given| given.with_norm_limit(norm_limit)).map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "LinearEncoder", deny_unknown_fields)]
struct Linear<T> {
    weights: Columns<T>,
    bias: Option<Vec<T>>,
}

impl<T: Scalar + Serialize> Serialize for LinearEncoder<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bias = self.bias().map(<[T]>::to_vec);
        Linear { weights: Columns::of(self.weights()), bias }.serialize(serializer)
    }
}

impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for LinearEncoder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Linear { weights, bias } = Linear::deserialize(deserializer)?;
        let weights = weights.into_mat();
        weights.and_then(|weights| LinearEncoder::new(weights, bias)).map_err(D::Error::custom)
    }
}

#[derive(Serialize)]
#[serde(rename = "Model", bound = "T: Serialize")]
struct ModelFields<'a, T: Scalar> {
    dictionary: &'a Dictionary<T>,
    preprocessing: &'a Preprocessing<T>,
    sparsity: usize,
    sign: Sign,
    linear_coder: Option<&'a TopK<T>>,
}

#[derive(Deserialize)]
#[serde(rename = "Model", deny_unknown_fields, bound = "T: Deserialize<'de>")]
struct ModelData<T: Scalar> {
    dictionary: Dictionary<T>,
    preprocessing: Preprocessing<T>,
    sparsity: usize,
    sign: Sign,
    linear_coder: Option<TopK<T>>,
}

impl<T: Scalar + Serialize> Serialize for Model<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = ModelFields {
            dictionary: self.dictionary(),
            preprocessing: self.preprocessing(),
            sparsity: self.sparsity(),
            sign: self.sign(),
            linear_coder: self.linear_coder(),
        };
        fields.serialize(serializer)
    }
}

impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Model<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ModelData { dictionary, preprocessing, sparsity, sign, linear_coder } =
            ModelData::deserialize(deserializer)?;
        let model = Model::new(dictionary, None, sparsity, sign);
        let model = model.and_then(|model| model.preprocessed(preprocessing));
        model.and_then(|model| model.with_linear_coder(linear_coder)).map_err(D::Error::custom)
    }
}

/// Values that several owners share: each gets one of its own.
pub(crate) mod shared {
    use std::sync::Arc;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<V: Serialize, S: Serializer>(
        value: &Option<Arc<V>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<V>>, D::Error> {
        Ok(Option::<V>::deserialize(deserializer)?.map(Arc::new))
    }
}

/// Numbers that may be NaN or infinite, which texts such as JSON have no numbers for: there, they
/// are the words `NaN`, `inf` and `-inf`.
pub(crate) mod number {
    use std::fmt;

    use serde::de::{Error, Visitor};

    use super::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() || !serializer.is_human_readable() {
            serializer.serialize_f64(*value)
        } else {
            serializer.collect_str(value)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Number)
        } else {
            deserializer.deserialize_f64(Number)
        }
    }

    struct Number;

    impl Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, \"NaN\", \"inf\" or \"-inf\"")
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<f64, E> {
            match value {
                "NaN" => Ok(f64::NAN),
                "inf" => Ok(f64::INFINITY),
                "-inf" => Ok(f64::NEG_INFINITY),
                _ => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
            }
        }
    }
}
