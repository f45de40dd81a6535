//! The page: a template, and the data as JSON in it.

use std::collections::BTreeMap;

use dbksvd::metrics::Reconstruction;
use dbksvd::{Model, Sign, SparseCodes};
use dbksvd_sae::metrics::{Likeness, Neighbours};
use serde_json::{Value, json};

use crate::dozen::{dozen, strength};
use crate::feature::{Feature, collect, counted_tokens};
use crate::texts::Texts;

const TEMPLATE: &str = include_str!("page.html");
/// Bars of a histogram of coefficients.
const BINS: usize = 24;
/// Other atoms named for each.
const NEAREST: usize = 6;

/// What the page is about.
pub struct Subject<'a> {
    pub name: &'a str,
    pub model: &'a Model<f32>,
    /// Of all rows of the data; those of rows that are left out are empty.
    pub codes: &'a SparseCodes<f32>,
    /// Of each row, whether it is used and within the norm limit: features are judged by those.
    pub within: &'a [bool],
    pub measured: &'a Reconstruction,
}

/// The page's text.
pub fn page(subject: &Subject<'_>, texts: &Texts) -> String {
    TEMPLATE.replacen("/*DATA*/", &inert(&data(subject, texts)), 1)
}

/// JSON that cannot end the script element that it stands in, nor be anything but text: `<`, `>`
/// and `&` are escaped, as are the two line separators that only JSON allows in strings.
fn inert(data: &Value) -> String {
    let mut text = String::new();
    for character in data.to_string().chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => text.push(other),
        }
    }
    text
}

fn data(subject: &Subject<'_>, texts: &Texts) -> Value {
    let Subject { name, model, codes, within, measured } = subject;
    let features = collect(codes, |row| within[row]);
    let likeness = match model.sign() {
        Sign::Signed => Likeness::Absolute,
        Sign::NonNegative => Likeness::Signed,
    };
    let neighbours = Neighbours::new(model.dictionary(), NEAREST, likeness);
    let rows_used = measured.samples();
    let first: Vec<usize> =
        dozen(&features, rows_used, Some(texts)).into_iter().map(|feature| feature.atom).collect();

    // A row that several atoms show is written once.
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    for &(row, _) in features.iter().flat_map(|feature| &feature.top) {
        rows.insert(row, 0);
    }
    rows.values_mut().enumerate().for_each(|(place, value)| *value = place);
    let mut groups: Vec<&str> = rows.keys().map(|&row| texts.group(row)).collect();
    groups.sort_unstable();
    groups.dedup();
    let contexts: Vec<Value> = rows
        .keys()
        .map(|&row| {
            let (before, token, after) = texts.context(row);
            json!([before, token, after, groups.binary_search(&texts.group(row)).ok()])
        })
        .collect();

    let limited = model.preprocessing().norm_limit().is_some();
    let values = values(codes, within);
    let atoms: Vec<Value> = features
        .chunks_exact(2)
        .enumerate()
        .map(|(atom, sides)| {
            let near = neighbours.of(atom).iter();
            let near: Vec<Value> =
                near.map(|near| json!([near.atom, rounded(near.cosine)])).collect();
            let side = |negative| {
                let side = sides.iter().find(|side| side.negative == negative && side.uses > 0);
                side.map(|side| side_of(side, texts, &rows))
            };
            let sides = [side(false), side(true)];
            let (lowest, highest, bars) = histogram(&values[atom]);
            json!({ "sides": sides, "near": near, "low": rounded(lowest.into()),
                    "high": rounded(highest.into()), "bars": bars })
        })
        .collect();
    json!({
        "name": name,
        "rows": rows_used,
        "masked": codes.samples() - rows_used,
        "dim": model.dim(),
        "sparsity": model.sparsity(),
        "signed": model.sign() == Sign::Signed,
        "fvu": rounded(measured.fvu()),
        // Of the rows within the norm limit, if the model has one.
        "within": limited.then(|| measured.samples_within()),
        "fvuWithin": limited.then(|| rounded(measured.fvu_within())),
        "l0": rounded(measured.l0()),
        "dead": measured.dead_atoms().count(),
        "first": first,
        "groups": groups,
        "contexts": contexts,
        "atoms": atoms,
    })
}

/// Its usage, strength, tokens with counts, and strongest rows with coefficients.
fn side_of(side: &Feature, texts: &Texts, rows: &BTreeMap<usize, usize>) -> Value {
    let top = side.top.iter().map(|&(row, value)| json!([rows[&row], rounded(value)]));
    json!({
        "uses": side.uses,
        "strength": rounded(strength(side)),
        "tokens": counted_tokens(side.rows(), texts),
        "top": top.collect::<Vec<Value>>(),
    })
}

/// The coefficients of every atom, in the rows within the norm limit.
fn values(codes: &SparseCodes<f32>, within: &[bool]) -> Vec<Vec<f32>> {
    let mut all = vec![Vec::new(); codes.atoms()];
    for ((support, values), _) in codes.iter().zip(within).filter(|&(_, &within)| within) {
        for (&atom, &value) in support.iter().zip(values) {
            all[atom as usize].push(value);
        }
    }
    all
}

/// Lowest and highest edge, zero between or at one of them, and how many values each bar has.
fn histogram(values: &[f32]) -> (f32, f32, Vec<usize>) {
    let lowest = values.iter().copied().fold(0.0, f32::min);
    let highest = values.iter().copied().fold(0.0, f32::max);
    let mut bars = vec![0; BINS];
    for value in values {
        let place = (value - lowest) / (highest - lowest) * BINS as f32;
        bars[(place as usize).min(BINS - 1)] += 1;
    }
    (lowest, highest, bars)
}

/// Three decimals are enough to look at.
fn rounded(value: f64) -> f64 {
    (1000.0 * value).round() / 1000.0
}
