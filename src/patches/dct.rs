//! The overcomplete discrete cosine transform: a dictionary to start from, and to compare with.

use std::f64::consts::PI;

use faer::Mat;

use crate::dictionary::Dictionary;
use crate::error::Error;

/// `atoms` cosines for patches of `side` × `side` pixels with `channels` channels, in the order of
/// [`Patches`](super::Patches).
///
/// An atom is the product of a cosine of each axis. With p = ⌈√m⌉ frequencies an axis, cosine u is
/// cos(π u i / p) at pixel i, without its mean for u > 0, and the m atoms of the least u + v are
/// taken (Elad & Aharon 2006). Of c channels, the first axis of colour is their mean, which gets
/// all but (c − 1) · ⌊m / 2c⌋ of the atoms; the other axes are the cosines of a transform over the
/// channels (red against blue; green against both), which get ⌊m / 2c⌋ each: colours vary less.
///
/// ```
/// use dbksvd::patches::overcomplete_dct;
///
/// let dictionary = overcomplete_dct(8, 1, 256)?;
/// assert_eq!((dictionary.dim(), dictionary.atoms()), (64, 256));
/// assert!(dictionary.atom(0).iter().all(|&value| value == dictionary.atom(0)[0])); // constant
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for a side of less than 2, for no channels, and for fewer atoms than
/// channels.
pub fn overcomplete_dct(
    side: usize,
    channels: usize,
    atoms: usize,
) -> Result<Dictionary<f32>, Error> {
    if side < 2 {
        return Err(Error::argument("side", side, "at least 2"));
    }
    if channels == 0 {
        return Err(Error::argument("channels", channels, "at least 1"));
    }
    if atoms < channels {
        let expected = format!("at least {channels}, the number of channels");
        return Err(Error::argument("atoms", atoms, expected));
    }
    let of_colour = if channels > 1 { atoms / (2 * channels) } else { 0 };
    let grey = atoms - of_colour * (channels - 1);
    let mut columns: Vec<Vec<f32>> = Vec::with_capacity(atoms);
    for channel in 0..channels {
        let count = if channel == 0 { grey } else { of_colour };
        let weights = over_channels(channel, channels);
        columns.extend(cosines(side, count).into_iter().map(|patch| {
            patch.iter().flat_map(|value| weights.iter().map(move |w| (w * value) as f32)).collect()
        }));
    }
    let dim = side * side * channels;
    Dictionary::normalized(Mat::from_fn(dim, atoms, |i, j| columns[j][i]))
}

/// The separable cosines of the lowest frequencies.
fn cosines(side: usize, count: usize) -> Vec<Vec<f64>> {
    let across = (1..).find(|across| across * across >= count).unwrap_or(1);
    let axis: Vec<Vec<f64>> = (0..across).map(|u| cosine(side, u, across)).collect();
    let mut frequencies: Vec<(usize, usize)> =
        (0..across).flat_map(|u| (0..across).map(move |v| (u, v))).collect();
    frequencies.sort_by_key(|&(u, v)| u + v);
    let patch = |&(u, v): &(usize, usize)| {
        axis[u].iter().flat_map(|a| axis[v].iter().map(move |b| a * b)).collect()
    };
    frequencies[..count].iter().map(patch).collect()
}

/// cos(π u i / p) for pixel i, without its mean unless it is constant: the mean of a patch is then
/// the business of one atom.
fn cosine(side: usize, u: usize, p: usize) -> Vec<f64> {
    let mut cosine: Vec<f64> = (0..side).map(|i| (PI * (u * i) as f64 / p as f64).cos()).collect();
    if u > 0 {
        let mean = cosine.iter().sum::<f64>() / side as f64;
        cosine.iter_mut().for_each(|value| *value -= mean);
    }
    cosine
}

/// Axis `c` of colour: the cosine transform over the channels.
fn over_channels(c: usize, channels: usize) -> Vec<f64> {
    let at = |i: usize| (PI * c as f64 * (i as f64 + 0.5) / channels as f64).cos();
    (0..channels).map(at).collect()
}
