//! The dictionary that a run starts from, and the shape of the problem.

use std::path::Path;

use dbksvd::export::read_dictionary_npy;
use dbksvd::{Dictionary, Model, Outliers, Preprocessing, ProblemShape, Scalar, Sign};

use crate::arguments::Arguments;
use crate::failure::Failure;

const ATOMS: usize = 1024;
const SPARSITY: usize = 16;

/// A given dictionary, with what its file says besides.
pub struct Given<T: Scalar> {
    pub dictionary: Dictionary<T>,
    pub preprocessing: Preprocessing<T>,
    /// Whether the arguments ask for statistics of the data instead.
    pub is_preprocessed_anew: bool,
}

/// What learning starts from.
pub struct Start<T: Scalar> {
    pub shape: ProblemShape,
    pub given: Option<Given<T>>,
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
        let is_preprocessed_anew =
            arguments.center || arguments.scale || arguments.outliers != Outliers::Keep;
        let (dictionary, preprocessing) = match extension.as_deref() {
            Some("npy") => (read_dictionary_npy(path)?, Preprocessing::none()),
            Some("safetensors") => {
                let model = Model::<T>::load(path)?;
                self.shape.sparsity = arguments.sparsity.unwrap_or(model.sparsity());
                if model.sign() == Sign::NonNegative {
                    self.shape.sign = Sign::NonNegative;
                }
                (model.dictionary().clone(), model.preprocessing().clone())
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
        self.accept(
            arguments,
            Given { dictionary, preprocessing, is_preprocessed_anew },
            path,
            data,
        )
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
