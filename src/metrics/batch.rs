//! Samples with their codes, read and decoded one by one. All measures of errors use this.

use faer::MatRef;

use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::model::Model;
use crate::source::SampleSource;

/// Samples that one task sums. The number is fixed, so that results do not depend on the number of
/// threads.
pub(super) const BLOCK: usize = 256;

/// The arguments of one call, whose sizes were checked to agree. `offset` samples came before.
pub(super) struct Batch<'a, T: Scalar> {
    model: &'a Model<T>,
    samples: MatRef<'a, T>,
    codes: &'a SparseCodes<T>,
    offset: usize,
}

impl<'a, T: Scalar> Batch<'a, T> {
    pub(super) fn new(
        model: &'a Model<T>,
        samples: MatRef<'a, T>,
        codes: &'a SparseCodes<T>,
        offset: usize,
    ) -> Result<Self, Error> {
        let (dim, atoms) = (model.dim(), model.atoms());
        agree("samples", samples.nrows(), dim)?;
        agree("codes", codes.atoms(), atoms)?;
        agree("samples of the codes", codes.samples(), samples.ncols())?;
        Ok(Self { model, samples, codes, offset })
    }

    pub(super) fn dim(&self) -> usize {
        self.model.dim()
    }

    pub(super) fn samples(&self) -> usize {
        self.samples.ncols()
    }

    /// Reads sample i and checks that it is finite.
    pub(super) fn read(&self, i: usize, sample: &mut [T]) -> Result<(), Error> {
        self.samples.read(i..i + 1, sample)?;
        match loops::first_not_finite(sample) {
            None => Ok(()),
            Some(coordinate) => {
                let value = sample[coordinate].widen();
                Err(Error::NotFinite { sample: self.offset + i, coordinate, value })
            }
        }
    }

    /// ŷ ← scale · D x_i + mean, in double precision. In single precision, a large coefficient
    /// would round away the parts that small ones explain.
    pub(super) fn decode(&self, i: usize, decoded: &mut [f64]) -> Result<(), Error> {
        let dictionary = self.model.dictionary();
        decoded.fill(0.0);
        for (&atom, &value) in self.codes.support(i).iter().zip(self.codes.values(i)) {
            if !value.widen().is_finite() {
                return Err(Error::argument("codes", value, "finite coefficients"));
            }
            if atom as usize >= dictionary.atoms() {
                let expected = format!("atoms below {}", dictionary.atoms());
                return Err(Error::argument("codes", atom, expected));
            }
            let atom = dictionary.atom(atom as usize);
            loops::add_wide(decoded, value.widen(), atom);
        }
        self.model.preprocessing().undo_wide(decoded);
        Ok(())
    }
}

/// Returns an error unless the two sizes are the same.
pub(super) fn agree(argument: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Dimension { argument, found, expected }) }
}
