//! The files that a run leaves.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dbksvd::export::{write_codes_npz, write_dictionary_npy, write_mean_npy, write_scale_npy};
use dbksvd::{Model, Scalar};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::options::Usage;
use crate::paths::keep_apart;
use crate::plots;
use crate::run::Outcome;
use crate::table::thousands;

/// The model itself.
const MODEL: &str = "dictionary.safetensors";

/// Everything that a run may write besides checkpoints.
const FILES: [&str; 8] = [
    MODEL,
    "dictionary.npy",
    "mean.npy",
    "scale.npy",
    "codes.npz",
    "best.safetensors",
    "error.png",
    "usage.png",
];

/// Refuses a run that would learn from or measure on what it writes itself, now or when it is
/// called again, or that would replace a given dictionary by something else than one learned from
/// it.
pub fn keep_apart_from_inputs(arguments: &Arguments) -> Result<(), Usage> {
    let Arguments { data, mask, eval, eval_mask, dictionary, out, .. } = arguments;
    // Of checkpoints, one stands for all.
    let files = FILES.iter().chain(&["checkpoints/checkpoint-000000000001.safetensors"]);
    let mut outputs: Vec<_> = files.map(|name| ("--out", out.join(name))).collect();
    let inputs = [("--data", data), ("--mask", mask), ("--eval", eval), ("--eval-mask", eval_mask)];
    let inputs = inputs
        .into_iter()
        .flat_map(|(option, paths)| paths.iter().map(move |path| (option, path.as_path())));
    keep_apart(&inputs.collect::<Vec<_>>(), &outputs)?;
    // A model may be learned on in its place.
    outputs.retain(|(_, output)| !output.ends_with(MODEL));
    let dictionary = dictionary.iter().map(|path| ("--dictionary", path.as_path()));
    keep_apart(&dictionary.collect::<Vec<_>>(), &outputs)
}

/// A directory, and what was written to it.
pub struct Outputs {
    directory: PathBuf,
    written: Vec<(PathBuf, String)>,
    /// Files of an earlier run that were in the way.
    removed: Vec<PathBuf>,
    /// Whether rows without codes are among those of `codes.npz`.
    are_masked: bool,
}

impl Outputs {
    /// Makes the directory if it is not there.
    pub fn new(directory: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(directory)
            .map_err(|error| Failure::Run(format!("{}: {error}", directory.display())))?;
        Ok(Self {
            directory: directory.to_owned(),
            written: Vec::new(),
            removed: Vec::new(),
            are_masked: false,
        })
    }

    /// Writes what is measured with the models, after these.
    pub fn write_codes_and_plots<T: Scalar>(
        &mut self,
        outcome: &Outcome<T>,
    ) -> Result<(), Failure> {
        let Outcome { model, report, fitted, codes, .. } = outcome;
        if let Some(codes) = codes {
            let (rows, atoms) = (codes.samples(), model.atoms());
            let mut matrix =
                format!("the codes of {} rows, ({rows}, {atoms}) CSR, for SciPy", thousands(rows));
            self.are_masked = outcome.coded < rows;
            if self.are_masked {
                let empty = thousands(rows - outcome.coded);
                let _ = write!(matrix, "; the {empty} that the mask leaves out are empty");
            }
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

    /// Writes the model, and the one that did best on held-out rows if it is another, in place of
    /// all that an earlier run wrote: its codes would not be of this dictionary.
    pub fn write_models<T: Scalar>(
        &mut self,
        model: &Model<T>,
        best: Option<&(Model<T>, f64)>,
    ) -> Result<(), Failure> {
        let (atoms, dim) = (model.atoms(), model.dim());
        // Nothing of an earlier run is lost unless a new model is safely there.
        model.save(self.path(MODEL, "the model: `Model::load`"))?;
        self.remove_earlier()?;
        let array = format!("the dictionary, ({atoms}, {dim}), for NumPy");
        write_dictionary_npy(self.path("dictionary.npy", &array), model.dictionary())?;
        if let Some(mean) = model.mean() {
            let what = format!("the mean that was subtracted, ({dim}), for NumPy");
            write_mean_npy(self.path("mean.npy", &what), mean)?;
        }
        let scale = model.preprocessing().scale();
        if scale != 1.0 {
            let path = self.path("scale.npy", "the scale that was divided by, (), for NumPy");
            write_scale_npy::<T>(path, scale)?;
        }
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

    /// Removes the files of an earlier run, so that never files of two runs lie side by side.
    fn remove_earlier(&mut self) -> Result<(), Failure> {
        for name in FILES.into_iter().filter(|&name| name != MODEL) {
            let path = self.directory.join(name);
            match std::fs::remove_file(&path) {
                Ok(()) => self.removed.push(path),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::Run(format!("{}: {error}", path.display()))),
            }
        }
        Ok(())
    }

    /// What was written, and how to put samples together from it.
    pub fn list(&self) -> String {
        let mut text = String::from("\nWrote\n");
        let paths = self.written.iter().map(|(path, _)| path.display().to_string());
        let width = paths.map(|path| path.chars().count()).max().unwrap_or(0);
        for (path, what) in &self.written {
            let _ = writeln!(text, "  {:<width$}  {what}", path.display().to_string());
        }
        let is_written = |path: &PathBuf| self.written.iter().any(|(written, _)| written == path);
        for path in self.removed.iter().filter(|path| !is_written(path)) {
            let _ = writeln!(
                text,
                "  {:<width$}  of an earlier run: removed",
                path.display().to_string()
            );
        }
        let has = |name: &str| is_written(&self.directory.join(name));
        if has("codes.npz") {
            let scale = if has("scale.npy") { " * scale" } else { "" };
            let mean = if has("mean.npy") { " + mean" } else { "" };
            let rows = if self.are_masked { "rows that are used" } else { "rows" };
            let _ = writeln!(
                text,
                "\nThe {rows} are, but for the error: codes @ dictionary{scale}{mean}"
            );
        }
        text
    }

    fn path(&mut self, name: &str, what: &str) -> PathBuf {
        let path = self.directory.join(name);
        self.written.push((path.clone(), what.to_owned()));
        path
    }
}
