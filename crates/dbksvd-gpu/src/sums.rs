//! Sums of squares as exact as in `f64`: integers on the device, and `f64` here.

use std::ops::Range;

use dbksvd::error::BackendError;

use crate::buffer::Buffer;
use crate::device::{Device, Kernel};

const SQUARES: Kernel = Kernel::new(
    concat!(include_str!("wgsl/exact.wgsl"), include_str!("wgsl/squares.wgsl")),
    "squares",
);

/// The most numbers of a part: a sum of more terms might overflow.
const PART: usize = 1 << 17;

/// A sum of squares as the device gives it: 96 bits and the largest exponent field.
pub(crate) fn value(limbs: &[u32]) -> f64 {
    let [low, middle, high, exponent] = [limbs[0], limbs[1], limbs[2], limbs[3]];
    if exponent == 0xff {
        return f64::INFINITY;
    }
    let integer = (u128::from(high) << 64) | (u128::from(middle) << 32) | u128::from(low);
    // The integer 1 of the largest exponent stands 27 bits up, and for 2^(2 (e - 150)).
    integer as f64 * 2.0_f64.powi(2 * (exponent as i32 - 150) - 27)
}

/// Σ x² of ranges of a buffer.
pub(crate) fn squares(
    device: &Device,
    buffer: &Buffer,
    ranges: impl Iterator<Item = Range<usize>>,
    sums: &mut [f64],
) -> Result<(), BackendError> {
    let (mut bounds, mut owners) = (Vec::new(), Vec::new());
    for (owner, range) in ranges.enumerate() {
        for start in range.clone().step_by(PART) {
            bounds.push([start as u32, range.end.min(start + PART) as u32]);
            owners.push(owner);
        }
    }
    sums.fill(0.0);
    let parts = bounds.len();
    let table = device.buffer(2 * parts, "bounds of sums")?;
    device.write_all(&table, &bounds)?;
    let results = device.buffer(4 * parts, "sums")?;
    device.run(&SQUARES, &[buffer, &table, &results], &[parts as u32, 0], parts);
    let found: Vec<u32> = device.read(&[(&results, 0, 4 * parts)])?;
    for (&owner, limbs) in owners.iter().zip(found.chunks_exact(4)) {
        sums[owner] += value(limbs);
    }
    Ok(())
}

/// ‖a‖² of every column of a matrix of so many rows.
pub(crate) fn of_columns(
    device: &Device,
    buffer: &Buffer,
    rows: usize,
    cols: usize,
) -> Result<Vec<f64>, BackendError> {
    let (none, results) = (device.buffer(2, "no bounds")?, device.buffer(4 * cols, "sums")?);
    let numbers = [cols as u32, rows as u32];
    device.run(&SQUARES, &[buffer, &none, &results], &numbers, cols);
    let found: Vec<u32> = device.read(&[(&results, 0, 4 * cols)])?;
    Ok(found.chunks_exact(4).map(value).collect())
}

/// A sum of numbers of either sign as the device gives it: 64 bits in two's complement, and the
/// largest exponent field.
pub(crate) fn signed_value(low: u32, high: u32, exponent: u32) -> f64 {
    if exponent == 0xff {
        return f64::INFINITY;
    }
    let integer = ((u64::from(high) << 32) | u64::from(low)) as i64;
    integer as f64 * 2.0_f64.powi(exponent as i32 - 166)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_their_units() {
        // 1.5² = 2.25: the integer 1.5 · 2^23, squared, 27 bits up.
        let square = ((3_u128 << 22) * (3 << 22)) << 27;
        let limbs = [square as u32, (square >> 32) as u32, (square >> 64) as u32, 127];
        assert_eq!(value(&limbs), 2.25);
    }

    #[test]
    fn signed_integers_are_read_in_their_units() {
        // −1.5: the integer 1.5 · 2^23, 16 bits up, in two's complement.
        let number = (-((3_i64 << 22) << 16)) as u64;
        assert_eq!(signed_value(number as u32, (number >> 32) as u32, 127), -1.5);
    }
}
