//! The overcomplete discrete cosine transform: a dictionary to start from, and to compare with.

use std::f64::consts::PI;

use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::matrix::zeros;

/// `atoms` cosines for patches of `side` × `side` pixels with `channels` channels, in the order of
/// [`Patches`](super::Patches).
///
/// An atom is the product of a cosine of each axis. With p = ⌈√m⌉ frequencies an axis, cosine u is
/// cos(π u i / p) at pixel i, without its mean for u > 0, and the m atoms of the least u + v are
/// taken (Elad & Aharon 2006). Of c channels, the first axis of colour is their mean, which gets
/// all but (c − 1) · ⌊m / 2c⌋ of the atoms; the other axes are the cosines of a transform over the
/// channels (red against blue; green against both), which get ⌊m / 2c⌋ each: colours vary less.
///
/// Atoms of one axis of colour are all different from a side of 3 on. On two pixels, the cosines of
/// all u > 0 are the same but for their length, so there are at most four different atoms, over and
/// over. O(d m), and memory for the d m values.
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
/// [`Error::Argument`] for a side of less than 2, for no channels, for no atoms, and for fewer than
/// two atoms a channel if there is more than one, which would leave axes of colour without;
/// [`Error::Backend`] if memory cannot be allocated.
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
    let least = if channels > 1 { channels.saturating_mul(2) } else { 1 };
    if atoms < least {
        let expected = match channels {
            1 => "at least 1".to_owned(),
            channels => format!("at least {least}, two for each of {channels} channels"),
        };
        return Err(Error::argument("atoms", atoms, expected));
    }
    let dim = side.saturating_mul(side).saturating_mul(channels);
    let mut dictionary = zeros(dim, atoms)?;
    let of_colour = if channels > 1 { atoms / (2 * channels) } else { 0 };
    let grey = atoms - of_colour * (channels - 1);
    let mut first = 0;
    for channel in 0..channels {
        let count = if channel == 0 { grey } else { of_colour };
        let weights = over_channels(channel, channels);
        let (axis, frequencies) = cosines(side, count);
        for (j, (u, v)) in (first..).zip(frequencies) {
            let patch = axis[u].iter().flat_map(|a| axis[v].iter().map(move |b| a * b));
            let atom = patch.flat_map(|value| weights.iter().map(move |w| (w * value) as f32));
            let into = dictionary.col_as_slice_mut(j).iter_mut();
            into.zip(atom).for_each(|(into, value)| *into = value);
        }
        first += count;
    }
    Dictionary::normalized(dictionary)
}

/// The cosines of an axis, and the frequencies of the lowest `count` of their products.
fn cosines(side: usize, count: usize) -> (Vec<Vec<f64>>, Vec<(usize, usize)>) {
    let root = count.isqrt();
    let across = root + usize::from(root * root < count);
    let axis: Vec<Vec<f64>> = (0..across).map(|u| cosine(side, u, across)).collect();
    let mut frequencies: Vec<(usize, usize)> =
        (0..across).flat_map(|u| (0..across).map(move |v| (u, v))).collect();
    frequencies.sort_by_key(|&(u, v)| u + v);
    frequencies.truncate(count);
    (axis, frequencies)
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
