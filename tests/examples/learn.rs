//! The example `learn` from outside: what it prints, what it writes, how it refuses.

mod goals;
mod kill;
mod masks;
mod norms;
mod numbers;
mod outputs;
mod program;

use std::path::Path;

use dbksvd::Model;
use dbksvd::export::read_dictionary_npy;
use program::{Bench, events, one_line, result};

use crate::programs::with;

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
    let (last, rest) = lines.split_last().unwrap();
    let of = |event: &str| rest.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let (epochs, evaluations) = (of("epoch"), of("evaluation"));
    assert_eq!((epochs.len(), evaluations.len(), rest.len()), (3, 3, 6));
    for evaluation in evaluations {
        assert!(evaluation["eval_fvu"].is_f64() && evaluation["eval_fvu_within"].is_f64());
    }
    for (nth, epoch) in epochs.into_iter().enumerate() {
        assert_eq!(epoch["event"], "epoch");
        assert_eq!(epoch["epoch"], nth + 1);
        assert!(epoch["fvu"].is_f64() && epoch["seconds"].is_f64());
        assert_eq!(epoch["fvu"], epoch["fvu_within"], "there is no limit");
    }
    assert_eq!(last["event"], "result");
    let keys = ["samples", "dim", "atoms", "sparsity"].map(|key| last[key].as_u64().unwrap());
    assert_eq!(keys, [program::ROWS as u64, program::DIM as u64, 24, 3]);
    for key in ["norm_limit", "massive"] {
        assert!(last[key].is_null(), "{key} of {last}");
    }
    assert_eq!((&last["fvu_within"], &last["within"]), (&last["fvu"], &last["samples"]));
    assert_eq!(last["eval_fvu_within"], last["eval_fvu"]);
    for key in ["fvu", "explained_variance", "relative_error", "eval_fvu", "l0", "coherence"] {
        assert!(last[key].is_f64(), "{key} of {last}");
    }
    for key in ["encode", "update", "other", "total"] {
        assert!(last["seconds"][key].is_f64(), "{key} of {last}");
    }
    for key in ["dead_atoms", "masked", "eval_masked"] {
        assert!(last[key].is_u64(), "{key} of {last}");
    }
    assert_eq!(last["stop"], "completed");
    assert!(last.as_object().unwrap().contains_key("peak_rss_bytes"));
    assert_eq!(last.as_object().unwrap().len(), 28);
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
        let means = usize::from(learned[0] == "--center");
        assert_eq!(names(&bench.path("coded")).len(), 4 + means, "no plot of errors");
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
    assert!(lines.len() <= 64 && lines.iter().all(|line| line.chars().count() <= 100));
    let text = lines.join("\n");
    for option in
        "data goal tensor atoms sparsity epochs minibatch atom-batch seed threads non-negative mean \
         eval out quiet json dictionary selection help version held-out scale clip-norm drop-norm \
         mask eval-mask steps time target-fvu evaluate-every checkpoint-every resume start-at \
         no-codes precision device"
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
        (&["--quiet", "surplus"], "surplus"),
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
        (&["--atoms", "23", "--dictionary", model], "--dictionary"),
    ];
    for (arguments, part) in cases {
        one_line(&bench.learn(arguments), 2, part);
    }
    one_line(&bench.learn(&["--selection", "best"]), 2, "omp or ols");
    let more: [(&[&str], &str); 9] = [
        (&["--time", "soon"], "--time is \"soon\""),
        (&["--time", "0s"], "--time"),
        (&["--checkpoint-every", "0"], "--checkpoint-every is 0"),
        (&["--clip-norm", "much"], "--clip-norm is \"much\""),
        (&["--clip-norm", "-1", "--sparsity", "3"], "--clip-norm is -1"),
        (&["--held-out", "1.5"], "--held-out is 1.5, expected a share"),
        (&["--target-fvu", "-1", "--sparsity", "3"], "--target-fvu is -1"),
        (&["--start-at", "1", "--sparsity", "3"], "--start-at is 1"),
        (&["--steps", "0", "--sparsity", "3"], "--steps is 0"),
    ];
    for (arguments, part) in more {
        one_line(&bench.learn(arguments), 2, part);
    }
}

#[test]
fn runs_end_resume_and_hold_out() {
    let bench = Bench::new();
    let options = ["--held-out", "0.2", "--minibatch", "40", "--mean", "--clip-norm", "3"];
    let options = [&SMALL[..], &options[..]].concat();
    let whole = result(&bench.learn(&[&options[..], &["--json", "--out", "whole"]].concat()));
    assert_eq!((whole["samples"].as_u64(), whole["steps"].as_u64()), (Some(240), Some(18)));
    let saved = [&options[..], &["--checkpoint-every", "4", "--out", "run"]].concat();
    // Ended by a target that is reached at once, and gone on with without it.
    let first = result(&bench.learn(&[&saved[..], &["--json", "--target-fvu", "2"]].concat()));
    assert_eq!((first["stop"].as_str(), first["steps"].as_u64()), (Some("target-fvu"), Some(6)));
    let again = bench.learn(&[&saved[..], &["--quiet"]].concat());
    one_line(&again, 1, "resume it, or choose another directory");
    let second = bench.learn(&[&saved[..], &["--json", "--resume"]].concat());
    let evaluations = events(&second);
    let evaluated = evaluations.iter().filter(|event| event["event"] == "evaluation");
    assert!(evaluated.count() == 2, "{evaluations:?}");
    let second = result(&second);
    assert_eq!(second["resumed_from"].as_u64(), Some(6));
    let [one, other] = ["whole", "run"]
        .map(|out| std::fs::read(bench.path(out).join("dictionary.safetensors")).unwrap());
    assert!(one == other);
    let other_seed = with(&saved, &["--resume", "--seed", "8"]);
    one_line(&bench.learn(&other_seed), 1, "`seed` was 7, now it is 8");
}

#[test]
fn several_files_and_patterns_are_one_data_set() {
    let bench = Bench::new();
    bench.write("part1.npy", 200, program::DIM);
    bench.write("part2.npy", 100, program::DIM);
    let base = ["--atoms", "24", "--sparsity", "3", "--epochs", "1", "--json", "--out", "out"];
    for data in [&["part1.npy", "part2.npy"][..], &["part*.npy"]] {
        let run = result(&bench.call(&[&base[..], &["--data"], data].concat()));
        assert_eq!(run["samples"].as_u64(), Some(300), "{data:?}");
    }
    bench.write_nan("part3.npy", 30, 2);
    let run = bench.call(&[&base[..], &["--data", "part*.npy", "--minibatch", "50"]].concat());
    one_line(&run, 1, "part3.npy: sample 30 is not finite: coordinate 2");
}

#[test]
#[cfg(unix)]
fn an_interrupt_ends_a_run_after_its_step() {
    let bench = Bench::new();
    let arguments =
        ["--data", "data.npy", "--atoms", "24", "--sparsity", "3", "--json", "--epochs"];
    let mut command = bench.command(&[&arguments[..], &["100000000", "--out", "out"]].concat());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let kill = ["-INT", &child.id().to_string()].map(str::to_owned);
    assert!(std::process::Command::new("kill").args(kill).status().unwrap().success());
    // Its events fill the pipe: they are read to the end.
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((last["event"].as_str(), last["stop"].as_str()), (Some("result"), Some("token")));
    assert!(bench.path("out").join("dictionary.safetensors").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_keeps_the_checkpoints_before() {
    let bench = Bench::new();
    // A limit on the size of files stands for the full disk: the checkpoint, the model that is to
    // be saved when the run has failed: nothing fits.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let learn = ["--data", "data.npy", "--epochs", "2", "--minibatch", "100", "--out", "out"];
    let learn =
        [&learn[..], &["--atoms", "24", "--sparsity", "3", "--checkpoint-every", "1"]].concat();
    let command = bench.command(&learn);
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", script]).arg(command.get_program()).args(command.get_args());
    let run = limited.current_dir(bench.path("")).output().unwrap();
    one_line(&run, 1, "checkpoint-000000000001.safetensors: ");
    let left = std::fs::read_dir(bench.path("out").join("checkpoints")).unwrap().count();
    assert_eq!(left, 1, "the lock alone, and nothing half written");
    assert!(bench.call(&[&learn[..], &["--resume"]].concat()).status.success());
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
        let run = match arguments.contains(&"--data") {
            true => bench.call(&arguments),
            false => bench.learn(&arguments),
        };
        one_line(&run, 1, part);
    }
    // Tensors have names in safetensors files alone.
    one_line(&bench.learn(&["--tensor", "wrong"]), 1, "wrong");
    one_line(&bench.call(&["--tensor", "wrong"]), 1, "no tensor `wrong`");
}
