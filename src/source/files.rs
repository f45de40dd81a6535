//! Sets of sample files, given by name, by directory or by pattern.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use glob::Pattern;

use super::file::{FileSource, open};
use super::shards::Shards;
use crate::error::{Error, FileError};

/// The most files that are kept open. Any further file is opened again for each read, so that
/// thousands of shards do not exhaust the file descriptors of a process, of which some systems
/// allow 256.
const MOST_OPEN: usize = 64;

/// Opens sample files as one source. Each of `paths` is a `.npy` or `.safetensors` file, a
/// directory, or a pattern with `*`, `**`, `?` or `[…]`. A directory stands for all sample files in
/// it, but not for files in its subdirectories.
///
/// Some systems leave a hidden file beside each file (`._part1.npy`). Files whose names begin with
/// a dot are therefore passed over in directories, and in patterns unless the pattern spells out
/// the dot. The files of a directory or pattern are taken in natural order (`part2` before
/// `part10`), and those of several paths in the order of the paths. `tensor` names the tensor of
/// `.safetensors` files.
///
/// All headers are read here and compared with the lengths of the files, before learning starts. Up
/// to 64 files stay open; any others are opened again for each read. Files must stay as they are
/// while they are read: reading one that was written to since it was opened gives
/// [`FileError::Changed`], as does one of those opened again whose place another file took. (Those
/// that stay open are read as they were, whatever takes their place.)
///
/// # Errors
/// [`FileError::NoFiles`] for a path or pattern without files; the errors of [`open`] for a file
/// (also for a pipe or a broken link in a directory, if its name is that of a sample file);
/// [`Error::Shard`] for files that differ in dimension; [`Error::Argument`] if there are no paths.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::source::open_shards;
///
/// let rows = open_shards(&["data/minilm_l3_8192_f16.safetensors"], None)?;
/// println!("{} rows in {} files", rows.samples(), rows.shards().len());
/// let learner = DbKsvd::builder(64, 4).epochs(1).max_steps(1).build()?;
/// let (model, _) = learner.fit(&rows)?;
/// assert_eq!(model.dim(), 384);
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub fn open_shards<P: AsRef<Path>>(
    paths: impl IntoIterator<Item = P>,
    tensor: Option<&str>,
) -> Result<Shards<FileSource>, Error> {
    let mut sources = Vec::new();
    for path in paths {
        for file in files(path.as_ref())? {
            let mut source = open(file, tensor)?;
            if sources.len() >= MOST_OPEN {
                source.rows_mut().close();
            }
            sources.push(source);
        }
    }
    Shards::new::<f32>(sources)
}

/// The files that a path stands for.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let none = |reason: &str| FileError::NoFiles { path: path.to_owned(), reason: reason.into() };
    let text = path.to_str();
    let is_pattern = text.is_some_and(|text| text.contains(['*', '?', '[']));
    // A file whose name is exactly this text comes first, even if the text could be a pattern.
    let mut found = if path.is_dir() {
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let entries: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut entries = entries.map_err(failed)?;
        entries.retain(|entry| !is_hidden(entry));
        entries
    } else if !is_pattern || path.exists() {
        return Ok(vec![path.to_owned()]);
    } else {
        let matches = glob::glob(text.unwrap_or_default());
        let matches = matches.map_err(|error| none(&error.to_string()))?;
        let matches: Result<Vec<_>, _> = matches.collect();
        let mut matches = matches.map_err(|error| FileError::Io {
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        matches.retain(|found| spells_out_dots(path, found));
        matches
    };
    found.retain(|file| is_sample_file(file));
    if found.is_empty() {
        return Err(none("no .npy or .safetensors file is there (hidden files do not count)"));
    }
    found.sort_by(|a, b| natural_order(a.as_os_str(), b.as_os_str()));
    Ok(found)
}

/// Whether an entry of a directory is to be opened. Directories are passed over, whatever their
/// names are. Anything else may be meant as samples, so it is opened, and if it cannot be read,
/// opening it says why.
fn is_sample_file(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    let known = extension.is_some_and(|text| text == "npy" || text == "safetensors");
    known && !path.is_dir()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(starts_with_dot)
}

/// Whether the pattern spells out the dot of every hidden file and directory in the path `found`,
/// as a shell requires.
fn spells_out_dots(pattern: &Path, found: &Path) -> bool {
    let dotted = |path: &Path| -> Vec<String> {
        let names = path.components().filter_map(|part| match part {
            Component::Normal(name) if starts_with_dot(name) => Some(name),
            _ => None,
        });
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    };
    let spelt_out = dotted(pattern);
    let names = |part: &String, hidden: &String| {
        Pattern::new(part).is_ok_and(|pattern| pattern.matches(hidden))
    };
    dotted(found).iter().all(|hidden| spelt_out.iter().any(|part| names(part, hidden)))
}

fn starts_with_dot(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Compares digits as numbers and everything else as bytes; if that gives equality, compares bytes
/// only.
fn natural_order(a: &OsStr, b: &OsStr) -> Ordering {
    let (whole_a, whole_b) = (a.as_encoded_bytes(), b.as_encoded_bytes());
    let (mut a, mut b) = (whole_a, whole_b);
    while let (Some(first_a), Some(first_b)) = (a.first(), b.first()) {
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, number_b) = (take_number(&mut a), take_number(&mut b));
            number_a.len().cmp(&number_b.len()).then(number_a.cmp(number_b))
        } else {
            let order = first_a.cmp(first_b);
            (a, b) = (&a[1..], &b[1..]);
            order
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len()).then(whole_a.cmp(whole_b))
}

/// Takes the digits at the beginning of `text` and returns them without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        let sorted = ["a", "a01", "a1", "a2.npy", "a10.npy", "a10b", "b", "b3x2", "b3x10"];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                let found = natural_order(OsStr::new(a), OsStr::new(b));
                assert_eq!(found, i.cmp(&j), "{a} and {b}");
            }
        }
    }
}
