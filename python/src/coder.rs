//! Coders as the classes of `dbksvd.coders` describe them.

use dbksvd::Groups;
use dbksvd::backend::PursuitRule;
use dbksvd::coder::{
    AnyCoder, BatchOmp, Coefficients, Exact, Lasso, MatchingPursuit, Matryoshka, Omp, Selection,
    Swaps, ThresholdPursuit, Tolerance, TopK,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::unexpected;
use crate::number::Number;

/// `(name, parameters)`, as the classes of `dbksvd.coders` describe themselves.
pub type Described<'py> = (String, Bound<'py, PyDict>);

/// A parameter of a description.
pub fn parameter<'py, V>(of: &Bound<'py, PyDict>, name: &str) -> PyResult<V>
where
    V: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    let value = of.get_item(name)?.ok_or_else(|| unexpected(name, "missing", "a value"))?;
    value.extract().map_err(|error: PyErr| {
        PyValueError::new_err(format!("`{name}` is {value}: {}", error.value(of.py())))
    })
}

/// The coder that is described; `learned` is the linear coder of the model, if it has one.
pub fn coder_of<T: Number>(
    described: &Described<'_>,
    learned: Option<&TopK<T>>,
) -> PyResult<AnyCoder<T>> {
    let (name, of) = described;
    let coefficients = |of| -> PyResult<Coefficients> {
        let is_refitted: bool = parameter(of, "refit")?;
        Ok(if is_refitted { Coefficients::Refitted } else { Coefficients::AsChosen })
    };
    Ok(match name.as_str() {
        "batch_omp" => {
            let mut coder = BatchOmp::new();
            coder.rule = rule(of)?;
            if let Some(bytes) = parameter(of, "gram_limit")? {
                coder = coder.gram_limit(bytes);
            }
            coder.into()
        }
        "textbook_omp" => Omp::from(rule(of)?).into(),
        "matching_pursuit" => {
            let mut coder = MatchingPursuit::new().coefficients(coefficients(of)?);
            if let Some(tolerance) = tolerance(of)? {
                coder = coder.tolerance(tolerance);
            }
            if let Some(least) = parameter(of, "min_correlation")? {
                coder = coder.min_correlation(least);
            }
            coder.into()
        }
        "threshold" => AnyCoder::ThresholdPursuit(
            ThresholdPursuit::new(parameter(of, "threshold")?)
                .share(parameter(of, "share")?)
                .prune(parameter(of, "prune")?),
        ),
        "threshold_of_noise" => {
            AnyCoder::ThresholdPursuit(ThresholdPursuit::of_noise(parameter(of, "noise")?))
        }
        "swaps" => {
            let start = coder_of::<T>(&parameter(of, "start")?, learned)?;
            let mut coder = Swaps::after(start);
            if let Some(swaps) = parameter(of, "max_swaps")? {
                coder = coder.max_swaps(swaps);
            }
            coder.into()
        }
        "top_k" => AnyCoder::TopK(
            TopK::new().threshold(parameter(of, "threshold")?).coefficients(coefficients(of)?),
        ),
        "linear" => {
            let expected = "a coder, since this model was learned without a linear one";
            let coder = learned.ok_or_else(|| unexpected("coder", "\"linear\"", expected))?;
            coder.clone().into()
        }
        "exact" => Exact.into(),
        "lasso" => {
            let mut coder = Lasso::new(parameter(of, "penalty")?).coefficients(coefficients(of)?);
            if let Some(bytes) = parameter(of, "gram_limit")? {
                coder = coder.gram_limit(bytes);
            }
            coder.into()
        }
        "matryoshka" => {
            let inner = coder_of::<T>(&parameter(of, "coder")?, learned)?;
            Matryoshka::new(groups(of)?).coder(inner).into()
        }
        name => return Err(unexpected("coder", format!("{name:?}"), "the name of a coder")),
    })
}

fn rule(of: &Bound<'_, PyDict>) -> PyResult<PursuitRule> {
    let is_least_squares: bool = parameter(of, "ols")?;
    Ok(PursuitRule {
        selection: if is_least_squares { Selection::LeastSquares } else { Selection::Correlation },
        tolerance: tolerance(of)?,
        min_correlation: parameter(of, "min_correlation")?,
    })
}

fn tolerance(of: &Bound<'_, PyDict>) -> PyResult<Option<Tolerance>> {
    let of = |name: &str| -> PyResult<Option<f64>> {
        let found: Option<f64> = parameter(of, name)?;
        match found {
            Some(found) if !(found >= 0.0 && found.is_finite()) => {
                Err(unexpected(name, found, "a number of at least 0"))
            }
            _ => Ok(found),
        }
    };
    match (of("tol")?, of("relative_tol")?) {
        (Some(_), Some(relative)) => {
            Err(unexpected("relative_tol", relative, "None, since `tol` is given"))
        }
        (absolute, relative) => {
            Ok(absolute.map(Tolerance::Absolute).or(relative.map(Tolerance::Relative)))
        }
    }
}

/// The groups of a description.
pub fn groups(of: &Bound<'_, PyDict>) -> PyResult<Groups> {
    let sizes: Vec<usize> = parameter(of, "sizes")?;
    let budgets: Option<Vec<usize>> = parameter(of, "budgets")?;
    let groups = Groups::new(sizes);
    Ok(match budgets {
        None => groups,
        Some(budgets) => groups.budgets(budgets),
    })
}
