//! Pursuits of the device against naive ones, on samples on which digits run out.
//!
//! `DBKSVD_DRAWS` asks for more draws than the test makes by itself; a failure says its seed.

#[allow(dead_code, reason = "the library's own tests use the rest")]
#[path = "../../../tests/differential/oracle.rs"]
mod oracle;
#[allow(dead_code, reason = "the library's own tests use the rest")]
#[path = "../../../tests/differential/problem.rs"]
mod problem;

use dbksvd::backend::{Backend, Selection};
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::{ProblemShape, Sign, SparseCodes};
use dbksvd_gpu::Gpu;

use problem::{Hard, Problem, SIGNS, draws, matrix};

const SHAPES: [(usize, usize); 6] = [(6, 10), (16, 40), (3, 2), (33, 96), (64, 256), (12, 300)];

fn code(gpu: &Gpu, coder: &BatchOmp, problem: &Problem<f32>, sign: Sign) -> SparseCodes<f32> {
    let (atoms, samples) = (matrix(&problem.atoms), matrix(&problem.samples));
    let sparsity = problem.sparsity;
    let shape = ProblemShape { dim: atoms.nrows(), atoms: atoms.ncols(), sparsity, sign };
    let (mut d, mut y) = (gpu.zeros(0, 0).expect("memory"), gpu.zeros(0, 0).expect("memory"));
    gpu.upload(atoms.as_ref(), &mut d).expect("memory");
    gpu.upload(samples.as_ref(), &mut y).expect("memory");
    let mut state = coder.prepare(gpu, &shape).expect("memory");
    let mut codes = gpu.codes(shape.atoms, 0, sparsity).expect("memory");
    coder.set_dictionary(gpu, &mut state, &d).expect("a sound device");
    coder.encode(gpu, &state, &d, &y, &mut codes).expect("a sound device");
    gpu.download_codes(&codes).expect("a sound device")
}

#[test]
fn codes_are_those_of_double_precision() {
    let gpu = Gpu::new().expect("an adapter");
    for seed in 0..draws(42) {
        let (dim, atoms) = SHAPES[(seed / 7) as usize % SHAPES.len()];
        let hard = Hard::draw(seed, dim, atoms);
        let problem = Problem::<f32>::new(seed, &hard);
        for selection in [Selection::Correlation, Selection::LeastSquares] {
            for sign in SIGNS {
                let k = problem.sparsity;
                let expected = problem.naive(
                    |atoms, y| atoms.pursue(y, k, selection, sign),
                    |atoms, y| atoms.pursue(y, k, selection, sign),
                );
                let coder = BatchOmp::new().selection(selection);
                let halves = coder.gram_limit(3 * atoms * atoms);
                let mut forms = vec![(coder, "by G"), (coder.gram_limit(0), "without G")];
                if selection == Selection::Correlation {
                    forms.push((halves, "by G in 16 bits"));
                }
                for (coder, form) in forms {
                    let codes = code(&gpu, &coder, &problem, sign);
                    let name = format!("{selection:?} {sign:?} {form}");
                    problem.compare(&name, &expected, &codes, Some(sign));
                }
            }
        }
    }
}
