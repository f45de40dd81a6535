//! Sources made of other sources, and splits of them.

use std::fs;
use std::ops::Range;

use dbksvd::coder::BatchOmp;
use dbksvd::error::{FileError, SourceError};
use dbksvd::faer::Mat;
use dbksvd::source::{
    FileSource, HeldOut, Mask, SampleSource, Shards, Subset, check_read, check_rounding,
    open_shards, split,
};
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Error, Faer, Model, Scalar, Sign, SparseCodes};
use proptest::prelude::*;
use tempfile::TempDir;

/// Sample i is (i, −i).
#[derive(Debug)]
struct Counted(usize);

impl SampleSource<f32> for Counted {
    fn dim(&self) -> usize {
        2
    }

    fn len(&self) -> usize {
        self.0
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.0, 2)?;
        for (i, sample) in range.zip(into.chunks_exact_mut(2)) {
            sample.copy_from_slice(&[i as f32, -(i as f32)]);
        }
        Ok(())
    }
}

fn read(source: &impl SampleSource<f32>, range: Range<usize>) -> Vec<f32> {
    let mut values = vec![f32::NAN; range.len() * source.dim()];
    source.read(range, &mut values).unwrap();
    values
}

proptest! {
    #[test]
    fn shards_read_as_their_concatenation(
        lengths in prop::collection::vec(0_usize..9, 1..7), a: prop::sample::Index, b: prop::sample::Index,
    ) {
        let mut all = Vec::new();
        let mut shards = Vec::new();
        for (shard, &length) in lengths.iter().enumerate() {
            let matrix = Mat::from_fn(3, length, |r, c| (100 * shard + 10 * c + r) as f32);
            for c in 0..length {
                all.extend_from_slice(matrix.col_as_slice(c));
            }
            shards.push(matrix);
        }
        let shards = Shards::new::<f32>(shards).unwrap();
        let samples = all.len() / 3;
        prop_assert_eq!(shards.samples(), samples);
        let (a, b) = (a.index(samples + 1), b.index(samples + 1));
        let range = a.min(b)..a.max(b);
        prop_assert_eq!(read(&shards, range.clone()), &all[3 * range.start..3 * range.end]);
        prop_assert!(shards.locate(samples).is_none());
    }

    #[test]
    fn splits_are_disjoint_and_complete(samples in 2_usize..3000, share in 0.02_f64..0.9, seed: u64) {
        let source = Counted(samples);
        match split(&source, &HeldOut::Share(share), seed) {
            Ok((learned, held_out)) => {
                let mut seen = vec![false; samples];
                for part in [&learned, &held_out] {
                    for (at, sample) in read(part, 0..part.samples()).chunks_exact(2).enumerate() {
                        let index = sample[0] as usize;
                        prop_assert!(!std::mem::replace(&mut seen[index], true));
                        prop_assert_eq!(part.index_in_source(at), Some(index));
                        prop_assert_eq!(SampleSource::<f32>::origin(part, at), index);
                    }
                }
                prop_assert!(seen.into_iter().all(|seen| seen));
                let asked = share * samples as f64;
                // Rounded to whole blocks, of which the last may be short.
                prop_assert!((held_out.samples() as f64 - asked).abs() <= 1.0 + 1.5 * asked / 16.0);
            }
            Err(error) => {
                prop_assert!(share * (samples as f64) < 1.0, "{} of {samples}: {error}", share);
            }
        }
    }
}

#[test]
fn a_split_depends_on_the_seed_alone() {
    let source = Counted(10_000);
    let ranges = |seed| split(&source, &HeldOut::Share(0.1), seed).unwrap().1.ranges().to_vec();
    assert_eq!(ranges(1), ranges(1));
    assert_ne!(ranges(1), ranges(2));
    let (learned, held_out) = split(&source, &HeldOut::Range(10..30), 0).unwrap();
    assert_eq!(learned.ranges(), [0..10, 30..10_000]);
    assert_eq!(held_out.ranges(), std::slice::from_ref(&(10..30)));
}

#[test]
fn impossible_splits_and_subsets_are_refused() {
    let source = Counted(100);
    let all = [
        HeldOut::Range(0..100),
        HeldOut::Range(5..5),
        HeldOut::Range(90..101),
        HeldOut::Share(0.0),
        HeldOut::Share(1.0),
        HeldOut::Share(f64::NAN),
        HeldOut::Share(0.001),
        HeldOut::Share(0.999),
    ];
    for held_out in all {
        let result = split(&source, &held_out, 0);
        let is_refused = matches!(result, Err(Error::Argument { argument: "held_out", .. }));
        assert!(is_refused, "{held_out:?}");
    }
    for ranges in [vec![0..5, 4..6], vec![1..2, 99..101]] {
        let result = Subset::new::<f32>(&source, ranges);
        assert!(matches!(result, Err(Error::Argument { argument: "ranges", .. })));
    }
    let none: Vec<Mat<f32>> = Vec::new();
    assert!(matches!(Shards::new::<f32>(none), Err(Error::Argument { argument: "shards", .. })));
    let unlike = vec![Mat::<f32>::zeros(3, 2), Mat::zeros(3, 1), Mat::zeros(4, 1)];
    let result = Shards::new::<f32>(unlike);
    assert!(matches!(result, Err(Error::Shard { shard: 2, found: 4, expected: 3 })));
}

/// Counts reads of 40 samples.
#[derive(Default)]
struct Reads(std::sync::Mutex<Vec<Range<usize>>>);

impl SampleSource<f32> for Reads {
    fn dim(&self) -> usize {
        2
    }

    fn len(&self) -> usize {
        40
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        self.0.lock().unwrap().push(range.clone());
        Counted(40).read(range, into)
    }
}

proptest! {
    #[test]
    fn a_masked_source_reads_the_kept_rows(
        keep in prop::collection::vec(any::<bool>(), 1..60), a: prop::sample::Index, b: prop::sample::Index,
    ) {
        let source = Counted(keep.len());
        let mask: Mask = keep.iter().copied().collect();
        let kept: Vec<usize> = (0..keep.len()).filter(|&row| keep[row]).collect();
        prop_assert_eq!((mask.rows(), mask.kept()), (keep.len(), kept.len()));
        let used = Subset::masked(&source, &mask).unwrap();
        let (a, b) = (a.index(kept.len() + 1), b.index(kept.len() + 1));
        let range = a.min(b)..a.max(b);
        let expected: Vec<f32> =
            kept[range.clone()].iter().flat_map(|&row| [row as f32, -(row as f32)]).collect();
        prop_assert_eq!(read(&used, range.clone()), expected);
        let within: Vec<usize> = used.ranges_in_source(range.clone()).flatten().collect();
        prop_assert_eq!(within, &kept[range]);
        for (at, &row) in kept.iter().enumerate() {
            prop_assert_eq!(SampleSource::<f32>::origin(&used, at), row);
        }
        // A part of a part.
        if let Ok((learned, held_out)) = split(&used, &HeldOut::Share(0.3), 1) {
            let mut rows: Vec<usize> = [&learned, &held_out]
                .iter()
                .flat_map(|part| (0..part.samples()).map(|i| SampleSource::<f32>::origin(*part, i)))
                .collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, kept);
        }
    }
}

#[test]
fn consecutive_rows_that_are_kept_are_one_read() {
    let source = Reads::default();
    let mask: Mask = (0..40).map(|row| row != 0 && row != 20 && row != 21).collect();
    assert_eq!(mask.ranges(), [1..20, 22..40]);
    let used = Subset::masked(&source, &mask).unwrap();
    read(&used, 0..37);
    read(&used, 3..19);
    read(&used, 19..20);
    read(&used, 4..4);
    assert_eq!(*source.0.lock().unwrap(), [1..20, 22..40, 4..20, 22..23]);
    let beyond: Vec<_> =
        used.ranges_in_source(36..90).chain(used.ranges_in_source(37..90)).collect();
    assert_eq!(beyond, std::slice::from_ref(&(39..40)));
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let mask: Mask = [true, false, true].into_iter().collect();
    match Subset::masked::<f32>(&Counted(4), &mask) {
        Err(Error::Argument { argument: "mask", found, expected }) => {
            assert_eq!(
                (found.as_str(), expected.as_str()),
                ("3 values", "one value for each of 4 samples")
            );
        }
        other => panic!("{other:?}"),
    }
    let mut codes = SparseCodes::<f32>::new(5, 2, 2);
    codes.set(0, &[4, 1], &[1.0, 2.0]);
    codes.set(1, &[3], &[-1.0]);
    let spread = mask.spread(&codes).unwrap();
    let rows: Vec<_> =
        spread.iter().map(|(atoms, values)| (atoms.to_vec(), values.to_vec())).collect();
    assert_eq!(rows, [(vec![4, 1], vec![1.0, 2.0]), (vec![], vec![]), (vec![3], vec![-1.0])]);
    let wrong = mask.spread(&SparseCodes::<f32>::new(5, 3, 2));
    assert!(matches!(wrong, Err(Error::Argument { argument: "codes", .. })));
    assert_eq!(Mask::all(3), [true; 3].into_iter().collect());
    assert_eq!(Mask::all(0), Mask::default());
}

/// A selection is told from another of as many samples, and all samples are none.
#[test]
fn selections_are_told_apart() {
    let source = Counted(20);
    let selection = |source: &dyn SampleSource<f32>| source.selection();
    let part = |ranges| Subset::new::<f32>(&source, ranges).unwrap();
    assert_eq!(selection(&source), "");
    assert_eq!(selection(&part(vec![0..12, 12..20])), "");
    let (one, other) = (part(vec![0..5, 7..9]), part(vec![0..4, 6..9]));
    assert!(selection(&one).starts_with("7 of 20 in 2 ranges ("), "{}", selection(&one));
    assert_ne!(selection(&one), selection(&other));
    assert_eq!(selection(&&one), selection(&one));
    let within = |part| selection(&Subset::new::<f32>(part, vec![0..2, 3..4]).unwrap());
    assert_ne!(within(&one), within(&other), "a part of another part");
    let shards = |part: &Subset<&Counted>| selection(&Shards::new(vec![part.clone()]).unwrap());
    assert_ne!(shards(&one), shards(&other));
    assert_eq!(selection(&Shards::new(vec![Counted(3), Counted(4)]).unwrap()), "");
}

/// A `.npy` file of `rows` rows (value, value) in f16, all below 2,048 and so exact.
fn write_npy(path: &std::path::Path, rows: Range<usize>) {
    let header =
        format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({}, 2), }}\n", rows.len());
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    for row in rows {
        let value = half::f16::from_f32(row as f32).to_le_bytes();
        bytes.extend([value, value].concat());
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn directories_and_patterns_in_natural_order() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut start = 0;
    for (shard, rows) in [3, 1, 0, 4, 2, 5, 1, 2, 2, 3, 6].into_iter().enumerate() {
        write_npy(&path(&format!("part{shard}.npy")), start..start + rows);
        start += rows;
    }
    fs::write(path("notes.txt"), "not a shard").unwrap();
    fs::create_dir(path("deeper.npy")).unwrap();
    let expected: Vec<f32> = (0..start).flat_map(|row| [row as f32; 2]).collect();
    for name in [".", "*.npy", "part*"] {
        let shards = open_shards([path(name)], None).unwrap();
        assert_eq!(shards.shards().len(), 11, "{name}");
        assert_eq!(read(&shards, 0..start), expected, "{name}");
        assert_eq!(SampleSource::<f32>::element_type(&shards), "f16");
    }
    let two = open_shards([path("part1.npy"), path("part0.npy")], None).unwrap();
    assert_eq!(read(&two, 0..4), [3.0, 3.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    assert_eq!(two.locate(2).unwrap(), (1, 1));
}

/// Some systems leave a hidden file beside each file, of the same extension.
#[test]
fn hidden_files_are_passed_over_unless_they_are_named() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    write_npy(&path("a.npy"), 0..3);
    write_npy(&path(".hidden.npy"), 3..5);
    fs::write(path("._a.npy"), "not an array").unwrap();
    fs::create_dir(path(".deeper")).unwrap();
    fs::write(path(".deeper/b.npy"), "not an array").unwrap();
    for name in [".", "*", "*.npy", "**/*.npy", "?.npy", "[a.]*.npy"] {
        let shards = open_shards([path(name)], None).unwrap();
        assert_eq!((shards.shards().len(), shards.samples()), (1, 3), "{name}");
    }
    for name in [".hidden.npy", ".hid*.npy"] {
        assert_eq!(open_shards([path(name)], None).unwrap().samples(), 2, "{name}");
    }
    fs::remove_file(path("a.npy")).unwrap();
    let error = open_shards([directory.path()], None).unwrap_err();
    assert!(matches!(error, Error::File(FileError::NoFiles { .. })), "{error:?}");
}

/// What has the name of a shard and cannot be read is not passed over: it may have been meant.
#[test]
#[cfg(unix)]
fn pipes_and_broken_links_among_shards_are_errors() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    write_npy(&path("a.npy"), 0..3);
    std::os::unix::fs::symlink(path("nowhere"), path("b.npy")).unwrap();
    let error = open_shards([directory.path()], None).unwrap_err();
    assert!(matches!(&error, Error::File(FileError::Io { path, .. }) if path.ends_with("b.npy")));
    fs::remove_file(path("b.npy")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path("b.npy")).status().unwrap().success());
    for name in ["", "*.npy", "b.npy"] {
        let error = open_shards([path(name)], None).unwrap_err();
        let is_pipe = matches!(&error, Error::File(FileError::NotAFile { kind: "a pipe", .. }));
        assert!(is_pipe, "{name}: {error:?}");
    }
}

/// Planted samples as f64, each coordinate moved by `offset` and scaled, in a file of two shards.
fn doubles(directory: &std::path::Path, scale: f64, offset: f64) -> Shards<FileSource> {
    let data = Planted::new(16, 24, 3, 2000).noise(0.01).seed(1).generate::<f64>().unwrap().samples;
    for (shard, name) in ["a.npy", "b.npy"].into_iter().enumerate() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 16), }\n";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        for i in 0..1000 {
            let sample = data.col_as_slice(1000 * shard + i);
            bytes.extend(sample.iter().flat_map(|x| (scale * x + offset).to_le_bytes()));
        }
        fs::write(directory.join(name), bytes).unwrap();
    }
    open_shards([directory], None).unwrap()
}

fn fvu_of<T: Scalar>(source: &Shards<FileSource>) -> Result<f64, Error> {
    let backend = Faer::<T>::default();
    let builder = DbKsvd::builder_on(backend, 24, 3).epochs(6).center(true).seed(3);
    let (_, report) = builder.build()?.fit(source)?;
    Ok(report.epochs[5].fvu)
}

/// Doubles that differ by less than singles of their size can tell are refused in f32, and are what
/// they are in f64.
#[test]
fn doubles_that_singles_cannot_tell_apart_are_refused() {
    let directory = TempDir::new().unwrap();
    let plain = fvu_of::<f64>(&doubles(directory.path(), 1.0, 0.0)).unwrap();
    assert!(plain < 0.2, "{plain}");
    for (scale, offset) in [(1.0, 1e9), (1.0, -1e8), (1e-3, 1e6), (1e-60, 0.0), (1e-40, 1e-32)] {
        let source = doubles(directory.path(), scale, offset);
        let fvu = fvu_of::<f64>(&source).unwrap();
        assert!((fvu - plain).abs() < 1e-2 * plain, "{scale}, {offset}: {fvu}, not {plain}");
        match fvu_of::<f32>(&source).unwrap_err() {
            Error::Rounding { sample, coordinate, share, .. } => {
                assert!(sample < 2000 && coordinate < 16 && share > 1e-3);
            }
            Error::Source(SourceError::File(FileError::Narrowing { row, .. })) => {
                assert!(offset == 0.0 && row < 1000);
            }
            other => panic!("{scale}, {offset}: {other:?}"),
        }
        let model = Planted::new(16, 24, 3, 1).generate::<f32>().unwrap().dictionary;
        let model = Model::new(model, None, 3, Sign::Signed).unwrap();
        let encoded = model.encoder(BatchOmp::new()).unwrap().encode_source(&source);
        assert!(matches!(encoded, Err(Error::Rounding { .. } | Error::Source(_))), "{encoded:?}");
        assert!(check_rounding::<f64>(&source).is_ok());
        // A part of the data is asked as the whole is.
        let part = Subset::new::<f32>(&source, vec![5..60, 900..1400]).unwrap();
        assert!(check_rounding::<f32>(&part).is_err());
    }
    // An offset that singles can bear: another course of learning, but no worse an end.
    let near = fvu_of::<f32>(&doubles(directory.path(), 1.0, 1e4)).unwrap();
    assert!((near - plain).abs() < 0.3 * plain, "{near}, not {plain}");
}

#[test]
fn files_beyond_those_kept_open_are_read_too() {
    let directory = TempDir::new().unwrap();
    for shard in 0..300 {
        write_npy(&directory.path().join(format!("{shard}.npy")), shard..shard + 1);
    }
    let shards = open_shards([directory.path()], None).unwrap();
    assert_eq!(read(&shards, 250..300), (250..300).flat_map(|i| [i as f32; 2]).collect::<Vec<_>>());
    // One that is not kept open, cut meanwhile.
    let last = directory.path().join("299.npy");
    let content = fs::read(&last).unwrap();
    fs::write(&last, &content[..content.len() - 1]).unwrap();
    let mut values = [0.0_f32; 2];
    let result = shards.read(299..300, &mut values);
    assert!(matches!(result, Err(SourceError::File(FileError::Truncated { .. }))));
}

#[test]
fn lying_and_missing_files_are_errors_before_anything_is_read() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let file_error = |result: Result<Shards<FileSource>, Error>| match result {
        Err(Error::File(error)) => error,
        other => panic!("expected a file error, got {other:?}"),
    };
    let none = file_error(open_shards([directory.path()], None));
    assert!(matches!(none, FileError::NoFiles { .. }), "{none}");
    let none = file_error(open_shards([path("*.npy")], None));
    assert!(none.to_string().contains("*.npy"), "{none}");
    let none = file_error(open_shards([path("[.npy")], None));
    assert!(matches!(none, FileError::NoFiles { .. }), "{none}");
    let absent = file_error(open_shards([path("absent.npy")], None));
    assert!(matches!(absent, FileError::Io { .. }), "{absent}");
    write_npy(&path("a.npy"), 0..5);
    write_npy(&path("b.npy"), 5..9);
    let content = fs::read(path("b.npy")).unwrap();
    fs::write(path("b.npy"), &content[..content.len() - 2]).unwrap();
    let lie = file_error(open_shards([directory.path()], None));
    assert!(matches!(&lie, FileError::Truncated { path, .. } if path.ends_with("b.npy")), "{lie}");
    let nothing: [&str; 0] = [];
    let result = open_shards(nothing, None);
    assert!(matches!(result, Err(Error::Argument { argument: "shards", .. })));
}
