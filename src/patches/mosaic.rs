//! Atoms as tiles of one image.

use super::Image;
use crate::Scalar;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::matrix::check_room;

/// Pixels between tiles.
const GAP: usize = 2;

/// The atoms of a dictionary of patches as one image, 0 black to 255 white: a tile each, in the
/// given `order`, every pixel of a patch enlarged to `scale` × `scale`.
///
/// Each atom is stretched to the full range, in the sign that has its strongest value white; one
/// that is constant is grey. The tiles fill a square, row by row, two pixels apart.
///
/// ```
/// use dbksvd::patches::{mosaic, overcomplete_dct};
///
/// let dictionary = overcomplete_dct(8, 1, 9)?;
/// let order: Vec<usize> = (0..9).collect();
/// let picture = mosaic(&dictionary, &order, 1, 4)?;
/// assert_eq!((picture.width(), picture.height()), (3 * 34 + 2, 3 * 34 + 2));
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for atoms that are no square patches of so many `channels`, for an empty
/// `order` or one that names an atom that there is not, and for a `scale` of 0; [`Error::Backend`]
/// if memory cannot be allocated.
pub fn mosaic<T: Scalar>(
    dictionary: &Dictionary<T>,
    order: &[usize],
    channels: usize,
    scale: usize,
) -> Result<Image, Error> {
    let dim = dictionary.dim();
    let side = (1..=dim).find(|side| side * side * channels >= dim).unwrap_or(dim);
    if side * side * channels != dim {
        let expected = format!("those of square patches of {dim} values");
        return Err(Error::argument("channels", channels, expected));
    }
    if scale == 0 {
        return Err(Error::argument("scale", scale, "at least 1"));
    }
    if order.is_empty() {
        return Err(Error::argument("order", "empty", "at least one atom"));
    }
    if let Some(&atom) = order.iter().find(|&&atom| atom >= dictionary.atoms()) {
        let expected = format!("below {}", dictionary.atoms());
        return Err(Error::argument("order", atom, expected));
    }
    let root = order.len().isqrt();
    let across = root + usize::from(root * root < order.len());
    let down = order.len().div_ceil(across);
    let pitch = side.saturating_mul(scale).saturating_add(GAP);
    let [width, height] = [across, down].map(|n| n.saturating_mul(pitch).saturating_add(GAP));
    check_room::<f32>(width.saturating_mul(channels), height)?;
    let mut all = Image::filled(width, height, channels, 255.0);
    for (n, &atom) in order.iter().enumerate() {
        let tile = Image::new(side, side, channels, stretched(dictionary.atom(atom)))?;
        all.paste(&tile, n / across * pitch + GAP, n % across * pitch + GAP, scale);
    }
    Ok(all)
}

/// An atom from black to white, in the sign that has its strongest value white; grey if constant.
fn stretched<T: Scalar>(atom: &[T]) -> Vec<f32> {
    let atom: Vec<f32> = atom.iter().map(|value| value.widen() as f32).collect();
    let low = atom.iter().copied().fold(f32::INFINITY, f32::min);
    let high = atom.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = high - low;
    let grey = |&value: &f32| match range > 1e-4 {
        false => 127.0,
        true if high >= -low => 255.0 * (value - low) / range,
        true => 255.0 * (high - value) / range,
    };
    atom.iter().map(grey).collect()
}
