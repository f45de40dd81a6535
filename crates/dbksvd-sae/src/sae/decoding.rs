//! What an SAE's decoder is to dbksvd: a dictionary of unit atoms, a model, and the
//! way from codes back to latents.
//!
//! A decoder row may be zero, as of a latent that died in training. Such a latent adds nothing to a
//! reconstruction, whatever its encoder says, and has no code. An atom has norm 1, however: in the
//! dictionary another row stands in for it, so that the atoms span what the rows span.

use dbksvd::{Dictionary, Error, Model, Scalar, SparseCodes};

use super::types::{Architecture, Sae};
use crate::vector::{column, normalize};

impl<T: Scalar> Sae<T> {
    /// The decoder's rows, scaled to norm 1. For a row that is zero, the nearest before it that is
    /// not stands in, or the first of all: a copy, which a pursuit does not prefer to the row
    /// itself and which adds nothing to what the atoms span.
    ///
    /// # Errors
    /// [`Error::ZeroAtom`] if every row is zero.
    pub fn dictionary(&self) -> Result<Dictionary<T>, Error> {
        let mut atoms = self.decoder().to_owned();
        for (j, row) in self.stand_ins(&self.norms())?.into_iter().enumerate() {
            if row != j {
                atoms.col_as_slice_mut(j).copy_from_slice(self.row(row));
            }
        }
        Dictionary::normalized(atoms)
    }

    /// The decoder as a model for any coder: its [`dictionary`](Self::dictionary), b_dec as the
    /// mean (none for matching pursuit on samples that are not centred, which SAELens decodes
    /// without b_dec), `sparsity` nonzeros at most, of the sign of its latents.
    ///
    /// # Errors
    /// [`Error::ZeroAtom`] if every row is zero, and [`Error::Argument`] for a sparsity outside
    /// 1..=min(d, m).
    pub fn model(&self, sparsity: usize) -> Result<Model<T>, Error> {
        let mean = self.has_mean().then(|| self.decoder_bias().to_vec());
        Model::new(self.dictionary()?, mean, sparsity, self.architecture().sign())
    }

    /// Whether b_dec is added in decoding.
    pub(super) fn has_mean(&self) -> bool {
        let pursuit = matches!(self.architecture(), Architecture::MatchingPursuit { .. });
        self.is_input_centred() || !pursuit
    }

    /// What the encoder put out, from codes on unit atoms: each code divided by the norm of its
    /// decoder row, unless the encoder [rescales](Architecture::TopK) by it.
    ///
    /// [`encode`](Self::encode) gives no codes for latents whose decoder row is zero;
    /// [`encode_latents`](Self::encode_latents) has them too. A code on the atom that stands in for
    /// such a row counts for the latent whose row that is.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the codes are over another number of atoms, [`Error::ZeroAtom`] if
    /// every row is zero and there are codes.
    pub fn latents(&self, codes: &SparseCodes<T>) -> Result<SparseCodes<T>, Error> {
        if codes.atoms() != self.atoms() {
            let (found, expected) = (codes.atoms(), self.atoms());
            return Err(Error::Dimension { argument: "codes", found, expected });
        }
        let mut latents = codes.clone();
        if codes.iter().all(|(support, _)| support.is_empty()) {
            return Ok(latents);
        }
        let norms = self.norms();
        let rows = self.stand_ins(&norms)?;
        let mut found: Vec<(u32, f64)> = Vec::with_capacity(codes.sparsity());
        for (i, (support, coefficients)) in codes.iter().enumerate() {
            found.clear();
            for (&atom, value) in support.iter().zip(coefficients) {
                let row = rows[atom as usize];
                let norm = if self.architecture().is_rescaled() { 1.0 } else { norms[row] };
                let value = value.widen() / norm;
                // A row and its stand-in may both have a code.
                match found.iter_mut().find(|(known, _)| *known as usize == row) {
                    Some((_, sum)) => *sum += value,
                    None => found.push((row as u32, value)),
                }
            }
            let (support, values): (Vec<u32>, Vec<T>) =
                found.iter().map(|&(atom, value)| (atom, T::narrow(value))).unzip();
            latents.set(i, &support, &values);
        }
        Ok(latents)
    }

    /// The norms of the decoder's rows.
    pub(super) fn norms(&self) -> Vec<f64> {
        let mut row = vec![T::zero(); self.dim()];
        let norm = |j| {
            row.copy_from_slice(self.row(j));
            normalize(&mut row)
        };
        (0..self.atoms()).map(norm).collect()
    }

    /// For each atom the row whose direction it is.
    fn stand_ins(&self, norms: &[f64]) -> Result<Vec<usize>, Error> {
        let first = norms.iter().position(|&norm| norm > 0.0).ok_or(Error::ZeroAtom { atom: 0 })?;
        let mut last = first;
        Ok(norms
            .iter()
            .enumerate()
            .map(|(j, &norm)| {
                if norm > 0.0 {
                    last = j;
                }
                last
            })
            .collect())
    }

    /// Row j of W_dec.
    fn row(&self, j: usize) -> &[T] {
        column(self.decoder(), j)
    }
}
