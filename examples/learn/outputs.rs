//! The files that a run leaves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dbksvd::Model;
use dbksvd::export::{write_codes_npz, write_dictionary_npy};

use crate::failure::Failure;
use crate::plots;
use crate::run::Outcome;
use crate::table::thousands;

/// A directory, and what was written to it.
pub struct Outputs {
    directory: PathBuf,
    written: Vec<(PathBuf, String)>,
}

impl Outputs {
    /// Makes the directory if it is not there.
    pub fn new(directory: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(directory)
            .map_err(|error| Failure::Run(format!("{}: {error}", directory.display())))?;
        Ok(Self { directory: directory.to_owned(), written: Vec::new() })
    }

    /// Writes everything; files of these names are replaced.
    pub fn write(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let Outcome { model, best, report, fitted, codes, .. } = outcome;
        self.write_models(model, best.as_ref())?;
        if let Some(codes) = codes {
            let (rows, atoms) = (codes.samples(), model.atoms());
            let matrix =
                format!("the codes of {} rows, ({rows}, {atoms}) CSR, for SciPy", thousands(rows));
            write_codes_npz(self.path("codes.npz", &matrix), codes)?;
        }
        if !report.epochs.is_empty() {
            let held_out = outcome.held_out.as_ref().map(|measured| measured.fvu_within());
            let path = self.path("error.png", "the error by epoch");
            let has_limit = model.preprocessing().norm_limit().is_some();
            plots::error(&path, report, held_out, has_limit)?;
        }
        let path = self.path("usage.png", "how many rows use each atom");
        plots::usage(&path, fitted.usage(), fitted.samples())
    }

    /// Writes the model, and the one that did best on held-out rows if it is another.
    pub fn write_models(
        &mut self,
        model: &Model<f32>,
        best: Option<&(Model<f32>, f64)>,
    ) -> Result<(), Failure> {
        let (atoms, dim) = (model.atoms(), model.dim());
        model.save(self.path("dictionary.safetensors", "the model: `Model::load`"))?;
        let array = format!("the dictionary, ({atoms}, {dim}), for NumPy");
        write_dictionary_npy(self.path("dictionary.npy", &array), model.dictionary())?;
        if let Some((best, fvu)) = best {
            let what = match best.preprocessing().norm_limit() {
                None => format!("the model that did best on held-out rows, FVU {fvu:.4}"),
                Some(_) => format!(
                    "the model that did best on held-out rows within the norm limit, FVU {fvu:.4}"
                ),
            };
            best.save(self.path("best.safetensors", &what))?;
        }
        Ok(())
    }

    /// What was written.
    pub fn list(&self) -> String {
        let mut text = String::from("\nWrote\n");
        let paths = self.written.iter().map(|(path, _)| path.display().to_string());
        let width = paths.map(|path| path.chars().count()).max().unwrap_or(0);
        for (path, what) in &self.written {
            let _ = writeln!(text, "  {:<width$}  {what}", path.display().to_string());
        }
        text
    }

    fn path(&mut self, name: &str, what: &str) -> PathBuf {
        let path = self.directory.join(name);
        self.written.push((path.clone(), what.to_owned()));
        path
    }
}
