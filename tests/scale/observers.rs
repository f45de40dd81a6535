//! What logs say of every kind of event.

use std::fmt::{Debug, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use dbksvd::DbKsvd;
use dbksvd::learn::{Checkpoints, OnFailure, Report, StopReason};
use dbksvd::observe::{JsonLines, Trace, on_epoch, on_evaluation, on_step};
use dbksvd::source::HeldOut;
use dbksvd::synthetic::Planted;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What events said: level, fields and message.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(Level, String)>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("memory");
    }
}

impl Subscriber for Told {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().expect("no panic").push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A run with every kind of event: more atoms than were planted, of which some are renewed; three
/// samples that hold most of the variance; and checkpoints.
fn logged() -> (Report, Vec<Value>, Vec<(Level, String)>) {
    let mut data = Planted::new(16, 24, 3, 900).noise(0.05).generate::<f32>().unwrap().samples;
    for i in [100, 400, 700] {
        data.col_mut(i).iter_mut().for_each(|x| *x *= 1e3);
    }
    let learner = DbKsvd::builder(96, 3).minibatch(100).epochs(3).held_out(HeldOut::Share(0.1));
    let learner = learner.build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(directory.path()).every_steps(10).every(None);
    let (told, mut observers) = (Told::default(), (JsonLines::new(Vec::new()), Trace));
    let fit = tracing::subscriber::with_default(told.clone(), || {
        learner.run(&data).checkpoints(checkpoints).observer(&mut observers).finish().unwrap()
    });
    let text = String::from_utf8(observers.0.finish().unwrap()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = told.0.lock().unwrap().clone();
    (fit.report, lines, told)
}

#[test]
fn json_lines_and_events_are_those_of_the_report() {
    let (report, lines, told) = logged();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let with = |message: &str| -> Vec<&(Level, String)> {
        let message = format!("message={message} ");
        told.iter().filter(|(_, text)| text.contains(&message)).collect()
    };

    let total = |lines: &[&Value], key: &str| -> u64 {
        lines.iter().map(|line| line[key].as_u64().expect("a count")).sum()
    };
    let renewals = of("renewal");
    let (replaced, merged) = (total(&renewals, "replaced"), total(&renewals, "merged"));
    let of_epochs = report.epochs.iter().map(|epoch| (epoch.replaced + epoch.merged) as u64);
    assert_eq!(replaced + merged, of_epochs.sum::<u64>());
    assert!(replaced > 0, "no atom was renewed");
    assert_eq!(with("renewal").len(), renewals.len());
    for ((level, text), line) in with("renewal").into_iter().zip(&renewals) {
        assert_eq!(*level, Level::DEBUG);
        let expected = format!(
            "step={} replaced={} merged={} ",
            line["step"], line["replaced"], line["merged"]
        );
        assert!(text.contains(&expected), "{text} without {expected}");
    }

    let checkpoints = of("checkpoint");
    let steps: Vec<u64> = checkpoints.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [10, 20, report.steps]);
    assert_eq!(with("checkpoint").len(), 3);
    for ((level, text), line) in with("checkpoint").into_iter().zip(&checkpoints) {
        assert_eq!(*level, Level::INFO);
        let path = line["path"].as_str().expect("a path");
        assert!(path.contains(&line["step"].to_string()), "{path}");
        assert!(text.contains(&format!("path={path} step={} ", line["step"])), "{text}");
        assert!(line["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0));
    }

    let massive: Vec<_> = report.epochs.iter().filter_map(|epoch| epoch.massive).collect();
    assert_eq!(massive.len(), 3, "{:?}", report.epochs);
    for (line, massive) in of("epoch").into_iter().zip(&massive) {
        assert_eq!(line["massive"]["samples"].as_u64(), Some(massive.samples as u64));
        assert_eq!(line["massive"]["share"].as_f64(), Some(massive.share));
    }
    let warned = with("a few samples hold most of the variance");
    assert_eq!(warned.len(), 3);
    assert!(warned.iter().all(|(level, _)| *level == Level::WARN));
    for (message, count) in [("step", report.steps), ("epoch", 3), ("evaluation", 3), ("stop", 1)] {
        assert_eq!(with(message).len() as u64, count, "{message}");
    }
}

#[test]
fn closures_are_told_of_their_kind_of_event_and_can_end_a_run() {
    let data = Planted::new(16, 24, 3, 900).noise(0.05).generate::<f32>().unwrap().samples;
    let learner = DbKsvd::builder(24, 3).minibatch(270).epochs(5).held_out(HeldOut::Share(0.1));
    let learner = learner.build().unwrap();
    let (mut steps, mut epochs, mut evaluations) = (Vec::new(), Vec::new(), Vec::new());
    let mut observers = (
        on_step(|progress| {
            steps.push(progress.total_steps);
            ControlFlow::Continue(())
        }),
        (
            on_evaluation(|evaluation, _| {
                evaluations.push(evaluation.step);
                ControlFlow::Continue(())
            }),
            on_epoch(|epoch, snapshot| {
                epochs.push((epoch.epoch, snapshot.model().unwrap().atoms()));
                if epoch.epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }),
        ),
    );
    let fit = learner.run(&data).observer(&mut observers).finish().unwrap();
    drop(observers);
    assert_eq!(fit.report.stop, StopReason::Observer);
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    assert_eq!(epochs, [(1, 24), (2, 24)]);
    assert_eq!(evaluations[0], 3);
}

#[test]
fn a_checkpoint_that_is_not_written_is_logged() {
    let data = Planted::new(16, 24, 3, 900).noise(0.05).generate::<f32>().unwrap().samples;
    let learner = DbKsvd::builder(24, 3).minibatch(100).epochs(1).build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (here, away) = (directory.path().join("here"), directory.path().join("away"));
    let checkpoints = Checkpoints::new(&here).every_steps(4).every(None);
    let checkpoints = checkpoints.on_failure(OnFailure::GoOn);
    let moved = on_step(|progress| {
        match progress.total_steps {
            3 => std::fs::rename(&here, &away).unwrap(),
            7 => std::fs::rename(&away, &here).unwrap(),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let (told, mut observers) = (Told::default(), ((JsonLines::new(Vec::new()), Trace), moved));
    tracing::subscriber::with_default(told.clone(), || {
        learner.run(&data).checkpoints(checkpoints).observer(&mut observers).finish().unwrap()
    });
    let text = String::from_utf8(observers.0.0.finish().unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let failures = of("checkpoint-failure");
    assert_eq!(failures.len(), 1, "at step 4");
    let error = failures[0]["error"].as_str().expect("a text");
    assert!(error.contains(&here.display().to_string()), "{error}");
    let steps: Vec<_> = of("checkpoint").iter().map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, [Some(8), Some(9)]);
    let told = told.0.lock().unwrap();
    let warned: Vec<_> = told.iter().filter(|(level, _)| *level == Level::WARN).collect();
    let [(_, text)] = warned.as_slice() else { panic!("{warned:?}") };
    assert!(text.contains("message=checkpoint not written") && text.contains(error), "{text}");
}
