//! A configuration as named values: what a checkpoint compares before a run goes on.

use std::fmt::Display;

use crate::fingerprint::Fingerprint;

/// Named values, in words, of a coder, an updater, or a part of one.
///
/// A checkpoint holds them by name, and a run that resumes compares each with its own. So a name is
/// part of the format of checkpoints, while the names of types and private fields are not.
///
/// ```
/// use dbksvd::Parameters;
///
/// let memory = Parameters::of("ramp").with("start", 0.4).with("full", 0.8);
/// let updater = Parameters::of("KSvd").with("sweeps", 2).with("memory", memory);
/// let listed: Vec<_> = updater.iter().collect();
/// assert_eq!(listed[0], ("", "KSvd"));
/// assert_eq!(listed[2], ("memory", "ramp"));
/// assert_eq!(listed[3], ("memory.start", "0.4"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The first has an empty name: it says what has the others.
    values: Vec<(String, String)>,
}

impl Parameters {
    /// A value that has no parameters yet: the name of an algorithm or of a choice, or a number.
    #[must_use]
    pub fn of(value: impl Display) -> Self {
        Self { values: vec![(String::new(), value.to_string())] }
    }

    /// Adds a parameter, and those that its own value has as `name.inner`.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<Parameters>) -> Self {
        self.with_all(name, value.into())
    }

    fn with_all(mut self, name: &str, added: Parameters) -> Self {
        for (inner, value) in added.values {
            let name = if inner.is_empty() { name.to_owned() } else { format!("{name}.{inner}") };
            self.values.push((name, value));
        }
        self
    }

    /// Adds an array of numbers by a hash of their bits, where they are too many to be listed.
    #[must_use]
    pub fn with_hash_of(self, name: &str, numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut hash = Fingerprint::new();
        numbers.into_iter().for_each(|number| hash.add(&number.to_bits().to_le_bytes()));
        self.with(name, Self::of(hash))
    }

    /// Names and values in the order in which they were added. The first name is empty, and its
    /// value says what has these parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

macro_rules! from_displayed {
    ($($type:ty),*) => {$(
        impl From<$type> for Parameters {
            /// The value in words; texts of floating-point numbers read back to the same bits.
            fn from(value: $type) -> Self {
                Self::of(value)
            }
        }
    )*};
}

from_displayed!(bool, u32, i32, u64, usize, f64, &str, String);

impl<T: Into<Parameters>> From<Option<T>> for Parameters {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(|| Self::of("none"), Into::into)
    }
}

impl From<&[usize]> for Parameters {
    fn from(values: &[usize]) -> Self {
        let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
        Self::of(texts.join(" "))
    }
}
