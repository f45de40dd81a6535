//! The example `service`, run as a program: every request has an answer of its kind.

use crate::programs::{run, stdout_of};

#[test]
fn every_request_is_answered_by_its_kind() {
    let said = stdout_of(&run("service", &[]));
    for line in [
        "2000 requests by 4 threads: 1940 coded, ",
        "refused: 20 not finite, 20 out of range, 20 too short",
        "failed: 0; reloads: 1",
        "learning ended by token: ProblemShape { dim: 32, atoms: 96, sparsity: 4, sign: Signed }",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let reason = said.lines().find(|line| line.starts_with("one of the refusals")).expect("one");
    assert!(reason.contains("the norm of sample 0 is") && reason.contains("in f32"), "{reason}");
}
