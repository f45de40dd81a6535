//! The dictionary that a run starts from, and the shape of the problem.

use std::path::Path;

use dbksvd::coder::TopK;
use dbksvd::export::read_dictionary_npy;
use dbksvd::{Dictionary, Model, Outliers, Preprocessing, ProblemShape, Scalar, Sign};

use crate::arguments::Arguments;
use crate::failure::Failure;

const ATOMS: usize = 1024;
const SPARSITY: usize = 16;

/// A given dictionary, with what its file says besides.
pub struct Given<T: Scalar> {
    pub dictionary: Dictionary<T>,
    /// Its file's, without the parts that are to be taken from the data.
    pub preprocessing: Preprocessing<T>,
    /// Whether there are such parts.
    pub is_preprocessed_anew: bool,
    /// The linear coder that was learned with it.
    pub linear_coder: Option<TopK<T>>,
}

/// Where a part of what is done to rows comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// It is not done.
    #[default]
    Nowhere,
    /// From the model that `--dictionary` names.
    Model,
    /// From the rows learned from.
    Data,
}

impl Origin {
    fn of(is_asked_for: bool, has_model: bool) -> Self {
        match (is_asked_for, has_model) {
            (true, _) => Self::Data,
            (false, true) => Self::Model,
            (false, false) => Self::Nowhere,
        }
    }

    /// Its name, if the part is there.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Nowhere => None,
            Self::Model => Some("model"),
            Self::Data => Some("data"),
        }
    }
}

/// Where mean, scale and norm limit come from. Each option takes its own part from the data and
/// leaves the others as they are in the model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origins {
    pub mean: Origin,
    pub scale: Origin,
    pub norm_limit: Origin,
}

impl Origins {
    fn new<T: Scalar>(arguments: &Arguments, model: &Preprocessing<T>) -> Self {
        Self {
            mean: Origin::of(arguments.center, model.mean().is_some()),
            scale: Origin::of(arguments.scale, model.scale() != 1.0),
            norm_limit: Origin::of(
                arguments.outliers != Outliers::Keep,
                model.norm_limit().is_some(),
            ),
        }
    }

    /// The parts of this origin.
    pub fn parts(&self, origin: Origin) -> Vec<&'static str> {
        let parts = [(self.mean, "mean"), (self.scale, "scale"), (self.norm_limit, "norm limit")];
        parts.into_iter().filter(|&(other, _)| other == origin).map(|(_, name)| name).collect()
    }

    /// What of a model's preprocessing stays.
    fn kept<T: Scalar>(&self, model: &Preprocessing<T>) -> Result<Preprocessing<T>, Failure> {
        let is_kept = |origin| origin == Origin::Model;
        let mean = model.mean().filter(|_| is_kept(self.mean)).map(<[T]>::to_vec);
        let scale = if is_kept(self.scale) { model.scale() } else { 1.0 };
        let limit = model.norm_limit().filter(|_| is_kept(self.norm_limit));
        let kept = Preprocessing::none().with_mean(mean)?;
        Ok(kept.with_scale(scale)?.with_norm_limit(limit)?)
    }
}

/// What learning starts from.
pub struct Start<T: Scalar> {
    pub shape: ProblemShape,
    pub given: Option<Given<T>>,
    pub origins: Origins,
}

impl<T: Scalar> Start<T> {
    /// What the arguments say, completed by `--dictionary` and the defaults, for rows of
    /// dimension `dim`.
    pub fn new(arguments: &Arguments, dim: usize, data: &str) -> Result<Self, Failure> {
        let mut start = Self {
            shape: ProblemShape {
                dim,
                atoms: arguments.atoms.unwrap_or(ATOMS),
                sparsity: arguments.sparsity.unwrap_or(SPARSITY),
                sign: if arguments.non_negative { Sign::NonNegative } else { Sign::Signed },
            },
            given: None,
            origins: Origins::new(arguments, &Preprocessing::<T>::none()),
        };
        if let Some(path) = &arguments.dictionary {
            start.take_dictionary(arguments, path, data)?;
        }
        let ProblemShape { atoms, sparsity, .. } = start.shape;
        let most = atoms.min(dim);
        if arguments.sparsity.is_none() && sparsity > most && most > 0 {
            return Err(Failure::Usage(format!(
                "--sparsity is {sparsity} unless given, expected 1 to {most} for {atoms} atoms of \
                 dimension {dim}"
            )));
        }
        start.shape.check()?;
        Ok(start)
    }

    fn take_dictionary(
        &mut self,
        arguments: &Arguments,
        path: &Path,
        data: &str,
    ) -> Result<(), Failure> {
        let extension = path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase());
        let (dictionary, preprocessing, linear_coder) = match extension.as_deref() {
            Some("npy") => (read_dictionary_npy(path)?, Preprocessing::none(), None),
            Some("safetensors") => {
                let model = Model::<T>::load(path)?;
                self.shape.sparsity = arguments.sparsity.unwrap_or(model.sparsity());
                if model.sign() == Sign::NonNegative {
                    self.shape.sign = Sign::NonNegative;
                }
                let linear_coder = model.linear_coder().cloned();
                (model.dictionary().clone(), model.preprocessing().clone(), linear_coder)
            }
            _ if path.is_dir() => {
                let name = path.display();
                return Err(Failure::Run(format!("{name}: a directory, expected a file")));
            }
            _ => {
                let name = path.display();
                return Err(Failure::Run(format!(
                    "{name}: a dictionary's extension is .npy or .safetensors"
                )));
            }
        };
        self.origins = Origins::new(arguments, &preprocessing);
        let is_preprocessed_anew = !self.origins.parts(Origin::Data).is_empty();
        let preprocessing = self.origins.kept(&preprocessing)?;
        let given = Given { dictionary, preprocessing, is_preprocessed_anew, linear_coder };
        self.accept(arguments, given, path, data)
    }

    fn accept(
        &mut self,
        arguments: &Arguments,
        given: Given<T>,
        path: &Path,
        data: &str,
    ) -> Result<(), Failure> {
        let (atoms, dim) = (given.dictionary.atoms(), given.dictionary.dim());
        let path = path.display();
        if let Some(asked) = arguments.atoms.filter(|&asked| asked < atoms) {
            return Err(Failure::Usage(format!(
                "--atoms is {asked}, but --dictionary {path} has {atoms} atoms"
            )));
        }
        if dim != self.shape.dim {
            let expected = self.shape.dim;
            return Err(Failure::Run(format!(
                "{path}: atoms of dimension {dim}, but the rows of {data} have {expected}"
            )));
        }
        self.shape.atoms = arguments.atoms.unwrap_or(atoms);
        self.given = Some(given);
        Ok(())
    }
}
