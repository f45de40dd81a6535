//! The example `features`, run as a program: its page holds what it should and nothing that runs.

use std::path::PathBuf;
use std::process::Output;

use dbksvd::faer::Mat;
use dbksvd::{Dictionary, Model, Sign};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{run, stdout_of, write_npy};

/// Rows of dimension 4, with tokens and texts that would be markup if they were not text.
struct Bench(TempDir);

const ROWS: usize = 40;
const HOSTILE: &str = "</script><img/src=x/onerror=alert(1)>&\u{2028}";

impl Bench {
    fn new() -> Self {
        let bench = Self(TempDir::new().unwrap());
        let header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({ROWS}, 4), }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        for i in 0..ROWS * 4 {
            bytes.extend(((i * i) as f32 * 0.37).sin().to_le_bytes());
        }
        std::fs::write(bench.path("data.npy"), bytes).unwrap();
        let token = |i| if i % 4 == 0 { HOSTILE.to_owned() } else { format!("t{i}") };
        let tokens: Vec<String> = (0..ROWS).map(token).collect();
        std::fs::write(bench.path("tokens.txt"), tokens.join("\n")).unwrap();
        std::fs::write(bench.path("groups.txt"), "<b>\n".repeat(ROWS)).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The arguments that name the data, and `more`.
    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let files =
            [("--data", "data.npy"), ("--tokens", "tokens.txt"), ("--groups", "groups.txt")];
        let files = files.into_iter().chain([("--out", "page.html")]);
        let files = files.filter(|(option, _)| !more.contains(option));
        let mut arguments: Vec<String> =
            files.flat_map(|(option, name)| [option.to_owned(), self.text(name)]).collect();
        arguments.extend(more.iter().map(|&more| more.to_owned()));
        arguments
    }

    #[track_caller]
    fn page(&self, more: &[&str]) -> String {
        stdout_of(&call(&self.arguments(more)));
        std::fs::read_to_string(self.path("page.html")).unwrap()
    }

    /// What it says of arguments that it refuses, on one line.
    #[track_caller]
    fn error(&self, more: &[&str]) -> String {
        refused(&self.arguments(more))
    }
}

fn call(arguments: &[String]) -> Output {
    run("features", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn refused(arguments: &[String]) -> String {
    let output = call(arguments);
    assert!(!output.status.success() && output.stdout.is_empty());
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with("features: ") && line.lines().count() == 1, "{line}");
    line
}

const START: &str = "<script type=\"application/json\" id=\"data\">";

/// The data in the page.
#[track_caller]
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(START).expect("the data's element");
    let (data, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn the_page_holds_every_atom_with_its_uses() {
    let page = Bench::new().page(&["--atoms", "9", "--sparsity", "2", "--epochs", "2"]);
    let data = data(&page);
    assert_eq!((&data["rows"], &data["signed"]), (&ROWS.into(), &false.into()));
    let atoms = data["atoms"].as_array().unwrap();
    assert_eq!(atoms.len(), 9);
    let mut uses = 0;
    for (j, atom) in atoms.iter().enumerate() {
        assert_eq!(atom["sides"][1], Value::Null, "a negative side");
        assert_eq!(atom["near"].as_array().unwrap().len(), 6);
        assert!(atom["near"].as_array().unwrap().iter().all(|near| near[0] != j));
        let bars: u64 = atom["bars"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
        assert_eq!(atom["sides"][0]["uses"].as_u64().unwrap_or(0), bars);
        uses += bars;
    }
    assert_eq!(data["l0"], (1000.0 * uses as f64 / ROWS as f64).round() / 1000.0);
    // Every row that an atom shows has its token and context.
    let contexts = data["contexts"].as_array().unwrap();
    for row in atoms.iter().flat_map(|atom| atom["sides"][0]["top"].as_array()).flatten() {
        let context = &contexts[row[0].as_u64().unwrap() as usize];
        assert!(context[1] == HOSTILE || context[1].as_str().unwrap().starts_with('t'));
        assert_eq!(data["groups"][context[3].as_u64().unwrap() as usize], "<b>");
    }
}

#[test]
fn signed_codes_have_two_sides() {
    let page = Bench::new().page(&["--atoms", "6", "--sparsity", "2", "--signed"]);
    let data = data(&page);
    let negative = |atom: &Value| atom["sides"][1]["uses"].as_u64().unwrap_or(0) > 0;
    assert!(data["atoms"].as_array().unwrap().iter().any(negative));
}

#[test]
fn nothing_in_the_data_is_markup_and_nothing_is_fetched() {
    let page = Bench::new().page(&["--atoms", "9", "--sparsity", "2", "--epochs", "1"]);
    let (template, rest) = page.split_once(START).unwrap();
    let (data, script) = rest.split_once("</script>").unwrap();
    assert!(data.contains("\\u003c/script\\u003e"), "the hostile token is there");
    for character in ['<', '>', '&', '\u{2028}'] {
        assert!(!data.contains(character), "{character:?} in the data");
    }
    for part in [template, script] {
        for word in ["http:", "https:", "src=", "@import", "url(", "innerHTML", "fetch(", "eval("] {
            assert!(!part.contains(word), "{word} in the page");
        }
    }
    assert!(template.contains("default-src 'none'"));
}

#[test]
fn a_saved_model_is_shown_as_it_is() {
    let bench = Bench::new();
    let atoms = Mat::from_fn(4, 5, |i, j| ((i * 5 + j) as f32 + 0.4).cos());
    let dictionary = Dictionary::normalized(atoms).unwrap();
    let model = Model::new(dictionary, None, 3, Sign::NonNegative).unwrap();
    model.save(bench.path("model.safetensors")).unwrap();
    let path = bench.text("model.safetensors");
    let data = data(&bench.page(&["--model", &path]));
    assert_eq!((data["atoms"].as_array().unwrap().len(), &data["sparsity"]), (5, &3.into()));
    let error = bench.error(&["--model", &path, "--atoms", "7"]);
    assert!(error.contains("--atoms"), "{error}");
}

/// Row i of the data; every fifth is massive where `is_massive`.
fn values(is_massive: bool) -> Vec<u8> {
    let value = |at: usize| {
        let scale = if is_massive && (at / 4).is_multiple_of(5) { 1e4 } else { 1.0 };
        scale * ((at * at) as f32 * 0.37).sin()
    };
    (0..ROWS * 4).flat_map(|at| value(at).to_le_bytes()).collect()
}

#[test]
fn rows_left_out_are_on_no_page() {
    let bench = Bench::new();
    write_npy(bench.path("massive.npy"), "<f4", "(40, 4)", &values(true));
    let mask: Vec<u8> = (0..ROWS).map(|row| u8::from(row % 5 != 0)).collect();
    write_npy(bench.path("mask.npy"), "|b1", "(40,)", &mask);
    let (massive, mask) = (bench.text("massive.npy"), bench.text("mask.npy"));
    let small = ["--atoms", "9", "--sparsity", "2", "--epochs", "2", "--mask", &mask];
    let usual = data(&bench.page(&small));
    let mut found = data(&bench.page(&[&small[..], &["--data", &massive]].concat()));
    assert_eq!((&found["rows"], &found["masked"]), (&32.into(), &8.into()));
    // Massive rows that are left out change nothing but the name.
    found["name"] = usual["name"].clone();
    assert_eq!(found, usual);
    for context in found["contexts"].as_array().unwrap() {
        let token = context[1].as_str().unwrap();
        let row: Option<usize> = token.strip_prefix('t').map(|row| row.parse().unwrap());
        assert!(row.is_none_or(|row| row % 5 != 0), "{token} is left out");
    }
    let said = stdout_of(&call(&bench.arguments(&small)));
    assert!(said.contains("Left out by --mask: 8 of 40 rows\n"), "{said}");
    write_npy(bench.path("short.npy"), "|b1", "(39,)", &[1; 39]);
    for (file, part) in [
        ("short.npy", "short.npy: 39 values, expected 40, one for each row of"),
        ("data.npy", "data.npy: element type <f4, expected booleans"),
    ] {
        let error = bench.error(&["--mask", &bench.text(file)]);
        assert!(error.contains(part), "{error}");
    }
    let error = bench.error(&["--mask", &mask, "--out", &mask]);
    assert!(error.contains("kept apart"), "{error}");
}

/// The page has both figures for a model with a norm limit; without one, a warning is printed.
#[test]
fn massive_rows_are_told_of() {
    let bench = Bench::new();
    let rows = 400;
    let mut bytes: Vec<u8> =
        (0..rows * 4).flat_map(|at| ((at * at) as f32 * 0.37).sin().to_le_bytes()).collect();
    bytes[16..20].copy_from_slice(&1e3_f32.to_le_bytes());
    write_npy(bench.path("many.npy"), "<f4", "(400, 4)", &bytes);
    std::fs::write(bench.path("many.txt"), "t\n".repeat(rows)).unwrap();
    let (many, lines) = (bench.text("many.npy"), bench.text("many.txt"));
    let atoms = Mat::from_fn(4, 5, |i, j| ((i * 5 + j) as f32 + 0.4).cos());
    let model = Model::new(Dictionary::normalized(atoms).unwrap(), None, 3, Sign::Signed).unwrap();
    model.save(bench.path("model.safetensors")).unwrap();
    let limit = dbksvd::Preprocessing::none().with_norm_limit(Some(5.0)).unwrap();
    model.preprocessed(limit).unwrap().save(bench.path("limited.safetensors")).unwrap();
    let page = |model: &str| {
        let model = bench.text(model);
        let files = ["--data", &many, "--tokens", &lines, "--groups", &lines, "--model", &model];
        let said = stdout_of(&call(&bench.arguments(&files)));
        (said, data(&std::fs::read_to_string(bench.path("page.html")).unwrap()))
    };
    let (said, plain) = page("model.safetensors");
    assert!(said.contains("warning: 0.25% of the rows (1) hold 100%"), "{said}");
    assert_eq!((&plain["within"], &plain["fvuWithin"]), (&Value::Null, &Value::Null));
    let (said, limited) = page("limited.safetensors");
    assert!(!said.contains("warning"), "{said}");
    assert_eq!((&limited["within"], &limited["fvu"]), (&399.into(), &plain["fvu"]));
    assert_ne!(limited["fvuWithin"], limited["fvu"]);
}

#[test]
fn failures_are_one_line() {
    let bench = Bench::new();
    for (more, part) in [
        (&["--atoms", "0"][..], "--atoms is 0"),
        (&["--sparsity", "5"], "--sparsity is 5"),
        (&["--atoms", "many"], "--atoms is"),
        (&["--new"], "--new"),
        (&["--tokens", "none.txt"], "none.txt"),
        (&["--model", "none.safetensors"], "none.safetensors"),
    ] {
        let error = bench.error(more);
        assert!(error.contains(part), "{error}");
    }
    let error = refused(&["--data".to_owned(), bench.text("data.npy")]);
    assert!(error.contains("go together"), "{error}");
    std::fs::write(bench.path("tokens.txt"), "one\n").unwrap();
    assert!(bench.error(&[]).contains("1 lines, expected 40"));
}
