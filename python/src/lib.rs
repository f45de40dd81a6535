//! The part of the Python package `dbksvd` that is in Rust: `dbksvd._core`.
//!
//! | module | |
//! |---|---|
//! | `arrays` | rows of NumPy arrays and of files as sources, compressed rows as codes, and back |
//! | `coder`, `updater` | all coders and all updaters as one type each, chosen at run time |
//! | `masked` | samples of which coordinates are missing: codes, and learning |
//! | `model`, `encoder`, `sae` | what is learned, and what codes with it |
//! | `learner`, `run`, `session`, `device` | learning: what is set, runs, step by step, devices |
//! | `supervised` | work that Python can interrupt and watch |
//! | `measures` | errors, coherence, recovery |
//! | `pursuit` | paths of atoms, and pursuit on products |
//! | `pool`, `error` | threads, and errors as exceptions |
//!
//! Rust sees C-contiguous arrays of floating-point numbers and dictionaries of parameters; what
//! Python users may give is brought into this form in Python, and documented there.
#![forbid(unsafe_code)]

mod arrays;
mod coder;
mod device;
mod encoder;
mod error;
mod learner;
mod masked;
mod measures;
mod model;
mod number;
mod pool;
mod pursuit;
mod run;
mod sae;
mod session;
mod supervised;
mod updater;

/// Everything of the package that computes.
#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use crate::arrays::files::Files;
    #[pymodule_export]
    use crate::device::devices;
    #[pymodule_export]
    use crate::encoder::Encoder;
    #[pymodule_export]
    use crate::learner::doubling_groups;
    #[pymodule_export]
    use crate::masked::{encode_masked, learn_masked};
    #[pymodule_export]
    use crate::measures::{coherence, measure, recovery};
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::pool::{get_num_threads, set_num_threads};
    #[pymodule_export]
    use crate::pursuit::{AnyPath, omp, omp_gram};
    #[pymodule_export]
    use crate::run::{Fit, fit};
    #[pymodule_export]
    use crate::sae::Sae;
    #[pymodule_export]
    use crate::session::Session;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
