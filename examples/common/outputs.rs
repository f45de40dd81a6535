//! What a program writes is none of what it reads: an output that replaces an input would destroy
//! it, and one that comes to lie among the inputs would be read by the next run.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::options::Usage;

/// Refuses outputs that are among the inputs, or would be once they are written.
///
/// Each path comes with the argument that it is from. Inputs are files, directories (of which all
/// `.npy` and `.safetensors` files are read, but not those in directories below) or patterns;
/// outputs are files. Paths are compared as the system finds them, through symbolic links and `..`.
pub fn keep_apart(inputs: &[(&str, &Path)], outputs: &[(&str, PathBuf)]) -> Result<(), Usage> {
    for (input_option, input) in inputs {
        let input_files = files(input);
        for (output_option, output) in outputs {
            let target = resolved(output);
            let place = place(output);
            if input_files.iter().any(|file| *file == target || *file == place)
                || may_hold(input, &place)
            {
                return Err(Usage(format!(
                    "{output_option} would write {}, which {input_option} {} stands for: inputs and \
                     outputs must be kept apart",
                    output.display(),
                    input.display()
                )));
            }
        }
    }
    Ok(())
}

/// The files that an input stands for now.
fn files(input: &Path) -> Vec<PathBuf> {
    let found: Vec<PathBuf> = if input.is_dir() {
        let entries = std::fs::read_dir(input).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| is_sample_file(path)).collect()
    } else if is_pattern(input) {
        let matches = input.to_str().and_then(|pattern| glob::glob(pattern).ok());
        matches.into_iter().flatten().flatten().filter(|path| is_sample_file(path)).collect()
    } else {
        vec![input.to_owned()]
    };
    found.iter().map(|path| resolved(path)).collect()
}

/// Whether an input stands for a file at `place` if there is one.
fn may_hold(input: &Path, place: &Path) -> bool {
    if !is_sample_file(place) {
        return false;
    }
    if input.is_dir() {
        return place.parent() == Some(&resolved(input));
    }
    if !is_pattern(input) {
        return false;
    }
    // What comes before the first wildcard is a directory, which links may lead to.
    let is_plain = |part: &Component<'_>| !has_wildcards(part.as_os_str());
    let folder: PathBuf = input.components().take_while(is_plain).collect();
    let rest: PathBuf = input.components().skip_while(is_plain).collect();
    let folder = resolved(if folder.as_os_str().is_empty() { Path::new(".") } else { &folder });
    let (Some(folder), Some(rest)) = (folder.to_str(), rest.to_str()) else { return false };
    let whole = Path::new(&Pattern::escape(folder)).join(rest);
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
    let pattern = whole.to_str().and_then(|whole| Pattern::new(whole).ok());
    pattern.is_some_and(|pattern| pattern.matches_path_with(place, options))
}

fn is_sample_file(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    extension.is_some_and(|text| text == "npy" || text == "safetensors")
}

/// A file of that very name comes first, whatever characters it has.
fn is_pattern(input: &Path) -> bool {
    has_wildcards(input.as_os_str()) && !input.exists()
}

fn has_wildcards(text: &OsStr) -> bool {
    text.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

/// Where a file is or will be: its folder as the system finds it, and its name.
fn place(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    resolved(folder.unwrap_or(Path::new("."))).join(file.file_name().unwrap_or_default())
}

/// The path without links and `..`, as far as it exists; what does not exist is taken as it is
/// written.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in absolute.ancestors() {
        let Ok(mut found) = ancestor.canonicalize() else { continue };
        for part in absolute.strip_prefix(ancestor).into_iter().flat_map(Path::components) {
            match part {
                Component::ParentDir => drop(found.pop()),
                part => found.push(part),
            }
        }
        return found.canonicalize().unwrap_or(found);
    }
    absolute
}
