//! What the training of autoencoders needs: rows to learn from, and how long DB-KSVD took.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use dbksvd::Sign;
use dbksvd::faer::MatRef;
use npyz::WriterBuilder;
use serde_json::{Map, json};

use crate::arguments::Arguments;
use crate::data::Data;
use crate::methods;
use crate::program::Outcome;

/// Runs of which the median time counts.
const TIMED: u64 = 3;

/// Writes `rows.npy`, `small.npy` and `prepared.json`.
pub fn prepare(folder: &Path, arguments: &Arguments, data: &Data) -> Outcome<()> {
    let Arguments { atoms, sparsities, seeds, small, .. } = arguments;
    crate::make_folder(folder)?;
    write_npy(&folder.join("rows.npy"), data.learned())?;
    write_npy(&folder.join("small.npy"), data.reduced(small.directions)?.learned())?;
    let mut seconds = Map::new();
    for &sparsity in sparsities {
        let mut times = Vec::new();
        for seed in 0..TIMED {
            times.push(methods::learn(arguments, data, sparsity, seed, Sign::Signed)?.1);
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        eprintln!("k {sparsity}: {median:.1} s");
        seconds.insert(sparsity.to_string(), json!(median));
    }
    let prepared = json!({
        "atoms": atoms,
        "sparsities": sparsities,
        "seconds": seconds,
        "seeds": seeds,
        "small": { "atoms": small.atoms, "sparsities": small.sparsities },
    });
    let path = folder.join("prepared.json");
    std::fs::write(&path, format!("{prepared:#}\n"))
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Writes the columns of a matrix as rows.
fn write_npy(path: &Path, matrix: MatRef<'_, f32>) -> Outcome<()> {
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[matrix.ncols() as u64, matrix.nrows() as u64])
        .writer(BufWriter::new(file))
        .begin_nd()?;
    for column in matrix.col_iter() {
        writer.extend(column.iter().copied())?;
    }
    Ok(writer.finish()?)
}
