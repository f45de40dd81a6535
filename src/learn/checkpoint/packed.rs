//! A run as one message: how owners that learn together begin with the same.

use faer::{Mat, MatRef};

use super::numbers::{epoch_numbers, evaluation_numbers, run_numbers, tally_numbers};
use super::parts::{Parts, TallyParts};
use super::saved_run::SavedRun;
use crate::Scalar;
use crate::group::{Message, Reading};
use crate::updater::{SavedArray, SavedState};

impl<T: Scalar> SavedRun<'_, T> {
    /// Adds the run to a message.
    pub(in crate::learn) fn put_into(&self, message: &mut Message) {
        let Self { training, record, .. } = self;
        message.put_all(&run_numbers(self));
        put_matrix(message, training.dictionary.as_ref());
        let best = record.best.as_ref().map(|best| best.dictionary.as_mat());
        put_matrix(message, best.unwrap_or_else(|| MatRef::from_column_major_slice(&[], 0, 0)));
        message.put_all(training.preprocessing.mean().unwrap_or_default());
        for tally in [&record.tally, &record.watched] {
            message.put_all(&tally_numbers(tally));
            message.put_all(&tally.figures.all.mean);
            message.put_all(&tally.figures.within.mean);
            message.put_all(&tally.spectrum.to_numbers());
        }
        message.put_all(&record.epochs.iter().flat_map(epoch_numbers).collect::<Vec<_>>());
        let evaluations = record.evaluations.iter().flat_map(evaluation_numbers);
        message.put_all(&evaluations.collect::<Vec<_>>());
        put_state(message, &training.updater);
    }

    /// The run that was put into a message.
    ///
    /// # Errors
    /// A message that is none of a run.
    pub(in crate::learn) fn take_from(
        message: &mut Reading<'_>,
    ) -> Result<SavedRun<'static, T>, String> {
        let course = message.take_all()?;
        let dictionary = take_matrix(message)?;
        let best = Some(take_matrix(message)?).filter(|best| best.ncols() > 0);
        let mean = Some(message.take_all::<T>()?).filter(|mean| !mean.is_empty());
        let (tally, watched) = (take_tally(message)?, take_tally(message)?);
        let (epochs, evaluations) = (message.take_all()?, message.take_all()?);
        let updater = take_state(message)?;
        Parts { dictionary, best, mean, course, tally, watched, epochs, evaluations, updater }
            .checked()
    }
}

fn put_matrix<T: Scalar>(message: &mut Message, matrix: MatRef<'_, T>) {
    message.put(matrix.nrows() as u64);
    let values: Vec<T> = matrix.col_iter().flat_map(|column| column.iter().copied()).collect();
    message.put_all(&values);
}

fn take_matrix<T: Scalar>(message: &mut Reading<'_>) -> Result<Mat<T>, String> {
    let rows = message.take::<u64>()? as usize;
    let values: Vec<T> = message.take_all()?;
    let columns = values.len() / rows.max(1);
    if !values.len().is_multiple_of(rows.max(1)) {
        return Err(format!("{} numbers, expected columns of {rows}", values.len()));
    }
    Ok(MatRef::from_column_major_slice(&values, rows, columns).to_owned())
}

fn take_tally(message: &mut Reading<'_>) -> Result<TallyParts, String> {
    let numbers = message.take_all()?;
    let means = [message.take_all()?, message.take_all()?];
    Ok(TallyParts { numbers, means, spectrum: message.take_all()? })
}

fn put_state<T: Scalar>(message: &mut Message, state: &SavedState<T>) {
    message.put(state.iter().count() as u64);
    for (name, array) in state.iter() {
        message.put_all(name.as_bytes());
        match array {
            SavedArray::F64(numbers) => {
                message.put(0_u8);
                message.put_all(numbers);
            }
            SavedArray::U64(numbers) => {
                message.put(1_u8);
                message.put_all(numbers);
            }
            SavedArray::Scalars(numbers) => {
                message.put(2_u8);
                message.put_all(numbers);
            }
        }
    }
}

fn take_state<T: Scalar>(message: &mut Reading<'_>) -> Result<SavedState<T>, String> {
    let mut state = SavedState::new();
    for _ in 0..message.take::<u64>()? {
        let name = String::from_utf8(message.take_all()?).map_err(|error| error.to_string())?;
        let array = match message.take::<u8>()? {
            0 => SavedArray::F64(message.take_all()?),
            1 => SavedArray::U64(message.take_all()?),
            2 => SavedArray::Scalars(message.take_all()?),
            kind => return Err(format!("array `{name}` of kind {kind}, expected 0 to 2")),
        };
        state.insert(name, array);
    }
    Ok(state)
}
