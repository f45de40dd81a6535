//! The example `learn` from outside: what it prints, what it writes, how it refuses.

#[path = "learn/program.rs"]
mod program;

use std::path::Path;

use dbksvd::Model;
use dbksvd::export::read_dictionary_npy;
use program::{Bench, events, one_line, result};

const SMALL: [&str; 8] = ["--atoms", "24", "--sparsity", "3", "--epochs", "3", "--seed", "7"];

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn json_lines_have_every_key() {
    let bench = Bench::new();
    let run = bench.learn(&[&SMALL[..], &["--eval", "eval.npy", "--json"]].concat());
    let lines = events(&run);
    let (last, epochs) = lines.split_last().unwrap();
    assert_eq!(epochs.len(), 3);
    for (nth, epoch) in epochs.iter().enumerate() {
        assert_eq!(epoch["event"], "epoch");
        assert_eq!(epoch["epoch"], nth + 1);
        assert!(epoch["fvu"].is_f64() && epoch["seconds"].is_f64());
    }
    assert_eq!(last["event"], "result");
    let keys = ["samples", "dim", "atoms", "sparsity"].map(|key| last[key].as_u64().unwrap());
    assert_eq!(keys, [program::ROWS as u64, program::DIM as u64, 24, 3]);
    for key in ["fvu", "explained_variance", "relative_error", "eval_fvu", "l0", "coherence"] {
        assert!(last[key].is_f64(), "{key} of {last}");
    }
    for key in ["encode", "update", "other", "total"] {
        assert!(last["seconds"][key].is_f64(), "{key} of {last}");
    }
    assert!(last["dead_atoms"].is_u64());
    assert_eq!(last["stop"], "completed");
    assert!(last.as_object().unwrap().contains_key("peak_rss_bytes"));
    assert_eq!(last.as_object().unwrap().len(), 15);
}

#[test]
fn files_load_back() {
    let bench = Bench::new();
    let run = bench.learn(&SMALL);
    assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
    let out = bench.path("out");
    let expected =
        ["codes.npz", "dictionary.npy", "dictionary.safetensors", "error.png", "usage.png"];
    assert_eq!(names(&out), expected);
    let model = Model::<f32>::load(out.join("dictionary.safetensors")).unwrap();
    assert_eq!((model.atoms(), model.dim(), model.sparsity()), (24, program::DIM, 3));
    let array = read_dictionary_npy::<f32>(out.join("dictionary.npy")).unwrap();
    assert_eq!((array.atoms(), array.dim()), (24, program::DIM));
    for plot in ["error.png", "usage.png"] {
        let file = std::io::BufReader::new(std::fs::File::open(out.join(plot)).unwrap());
        let reader = png::Decoder::new(file).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (1200, 750));
    }
    let text = String::from_utf8(run.stdout).unwrap();
    for word in ["FVU", "explained variance", "L0", "dead atoms", "coherence", "Wrote"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_given_model_codes_and_learns_on() {
    let bench = Bench::new();
    let eval = ["--eval", "eval.npy", "--json"];
    for learned in [&["--center", "--non-negative"][..], &["--selection", "ols"]] {
        let first = events(&bench.learn(&[&SMALL[..], &eval, learned].concat()));
        let last = first.last().unwrap();
        let model = ["--dictionary", "out/dictionary.safetensors", "--out", "coded"];
        let chosen = if learned[0] == "--selection" { learned } else { &[] };
        let again = [&model[..], &["--epochs", "0"], &eval, chosen].concat();
        let coded = result(&bench.learn(&again));
        assert_eq!(coded["eval_fvu"], last["eval_fvu"]);
        assert_eq!(coded["fvu"], last["fvu"]);
        assert_eq!(coded["seconds"]["update"], 0.0);
        assert_eq!(names(&bench.path("coded")).len(), 4, "no plot of errors");
        let [one, other] = ["out", "coded"].map(|directory| {
            std::fs::read(bench.path(directory).join("dictionary.safetensors")).unwrap()
        });
        assert!(one == other, "the model is kept bit by bit");
        std::fs::remove_dir_all(bench.path("coded")).unwrap();

        let on = [&model[..], &["--epochs", "1", "--json"], chosen].concat();
        let learned_on = events(&bench.learn(&on));
        assert!(learned_on[0]["fvu"].as_f64() < first[0]["fvu"].as_f64(), "a better start");
        std::fs::remove_dir_all(bench.path("coded")).unwrap();
    }
}

#[test]
fn an_array_is_a_dictionary_too() {
    let bench = Bench::new();
    let first = result(&bench.learn(&[&SMALL[..], &["--json"]].concat()));
    assert!(first["eval_fvu"].is_null(), "no rows were held out");
    let array = ["--dictionary", "out/dictionary.npy", "--sparsity", "3", "--epochs", "0"];
    let coded = result(&bench.learn(&[&array[..], &["--out", "coded", "--json"]].concat()));
    let [one, other] = [first, coded].map(|result| result["fvu"].as_f64().unwrap());
    // Atoms read from an array are scaled again, which may change their last bits.
    assert!((one - other).abs() <= 1e3 * f64::from(f32::EPSILON) * one, "{one} and {other}");
}

#[test]
fn threads_change_nothing() {
    let bench = Bench::new();
    let [one, two] = ["1", "2"].map(|threads| {
        let options = ["--threads", threads, "--out", threads, "--minibatch", "100"];
        let run = bench.learn(&[&SMALL[..], &options, &["--atom-batch", "5"]].concat());
        assert!(run.status.success(), "{run:?}");
        std::fs::read(bench.path(threads).join("dictionary.safetensors")).unwrap()
    });
    assert!(one == two);
}

#[test]
fn help_and_version() {
    let bench = Bench::new();
    let help = bench.call(&["--help"]);
    assert!(help.status.success());
    let lines = program::lines(&help.stdout);
    assert!(lines.len() <= 60 && lines.iter().all(|line| line.chars().count() <= 100));
    let text = lines.join("\n");
    for option in
        "data tensor atoms sparsity epochs minibatch atom-batch seed threads non-negative center \
         eval out quiet json dictionary selection help version"
            .split(' ')
    {
        assert!(text.contains(&format!("--{option}")), "{option}");
    }
    assert!(bench.call(&["--version"]).status.success());
}

#[test]
fn wrong_arguments_are_one_line_and_exit_code_2() {
    let bench = Bench::new();
    let model = bench.model();
    let model = model.to_str().unwrap();
    let cases: [(&[&str], &str); 15] = [
        (&["--frobnicate"], "--help"),
        (&["surplus"], "surplus"),
        (&["--quiet=yes"], "quiet"),
        (&["--sparsity"], "sparsity"),
        (&["--sparsity", "25", "--atoms", "24"], "--sparsity is 25"),
        (&["--sparsity", "0"], "--sparsity is 0"),
        (&["--sparsity", "17", "--atoms", "24"], "the dimension of the samples"),
        (&["--atoms", "3"], "unless given"),
        (&["--atoms", "0", "--sparsity", "1"], "--atoms is 0"),
        (&["--atoms", "many"], "--atoms is \"many\""),
        (&["--seed", "-1"], "--seed is \"-1\""),
        (&["--threads", "0"], "--threads is 0"),
        (&["--minibatch", "0", "--sparsity", "3"], "--minibatch is 0"),
        (&["--atom-batch", "0", "--sparsity", "3"], "--atom-batch is 0"),
        (&["--atoms", "25", "--dictionary", model], "--dictionary"),
    ];
    for (arguments, part) in cases {
        one_line(&bench.learn(arguments), 2, part);
    }
    one_line(&bench.learn(&["--selection", "best"]), 2, "omp or ols");
}

#[test]
fn bad_files_are_one_line_and_exit_code_1() {
    let bench = Bench::new();
    bench.write_nan("nan.npy", 130, 5);
    bench.truncate("eval.npy", "cut.npy", 1000);
    bench.write("narrow.npy", 20, program::DIM - 1);
    bench.write("empty.npy", 0, program::DIM);
    std::fs::write(bench.path("file"), "").unwrap();
    let small = ["--atoms", "8", "--sparsity", "2", "--epochs", "1"];
    let cases: [(&[&str], &str); 11] = [
        (&["--data", "absent.npy"], "absent.npy"),
        (&["--data", "absent\nnewline.npy"], "absent"),
        (&["--data", "cut.npy"], "truncated"),
        (&["--data", "file"], "extension"),
        (&["--data", "empty.npy"], "no rows"),
        (&["--data", "nan.npy"], "nan.npy: sample 130 is not finite: coordinate 5"),
        (&["--eval", "nan.npy"], "nan.npy: sample 130 is not finite: coordinate 5"),
        (&["--eval", "narrow.npy"], "dimension 15"),
        (&["--dictionary", "narrow.npy"], "dimension 15"),
        (&["--dictionary", "file"], "extension"),
        (&["--out", "file/below"], "file"),
    ];
    for (arguments, part) in cases {
        let arguments: Vec<&str> = match arguments[0] {
            "--dictionary" => arguments.to_vec(),
            _ => [&small[..], arguments].concat(),
        };
        one_line(&bench.learn(&arguments), 1, part);
    }
    // Tensors have names in safetensors files alone.
    one_line(&bench.learn(&["--tensor", "wrong"]), 1, "wrong");
    one_line(&bench.call(&["--tensor", "wrong"]), 1, "no tensor `wrong`");
}
