//! An SAE's decoder in terms of dbksvd: a dictionary of unit atoms, a model, and the conversion of
//! codes to latents.
//!
//! A decoder row may be zero, for example if its latent died in training. Such a latent adds
//! nothing to a reconstruction, whatever its encoder computes, and has no code. But an atom must
//! have norm 1, so in the dictionary another row is used in its place. The atoms then span what the
//! rows span.

use dbksvd::{Dictionary, Error, Model, Scalar, SparseCodes};

use super::types::{Architecture, Sae};
use crate::vector::{column, normalize};

impl<T: Scalar> Sae<T> {
    /// The decoder's rows, scaled to norm 1. A row that is zero is replaced by a copy of the
    /// nearest row before it that is not zero, or of the first row that is not zero if there is
    /// none before. A pursuit does not prefer the copy to the row itself, and the copy adds nothing
    /// to the span of the atoms.
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

    /// The decoder as a model for any coder. Its dictionary is [`dictionary`](Self::dictionary),
    /// its budget `sparsity`, and its sign that of the latents. Its mean is b_dec. It has no mean
    /// if the encoder is matching pursuit on samples that are not centred, since SAELens then
    /// decodes without b_dec.
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

    /// The latents that the encoder computed, from codes on unit atoms. Each code is divided by the
    /// norm of its decoder row, unless the encoder [rescales](Architecture::TopK) latents by it.
    ///
    /// [`encode`](Self::encode) gives no codes for latents whose decoder row is zero;
    /// [`encode_latents`](Self::encode_latents) gives these latents, too. If the atom of such a row
    /// has a code, it counts for the latent whose row was copied.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the codes are for another number of atoms, [`Error::ZeroAtom`] if
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
                // A row and a copy of it may both have a code.
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

    /// For each atom, the row that has its direction.
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
