//! Kernels over the residuals of several samples at a time, in explicit vectors.
//!
//! Rows lie far apart, often beyond the caches. With several of them in one loop there are as many
//! independent loads in flight, and what the rows share is loaded once. Compilers do not keep the
//! sums of several rows in registers when such loops are left to them, so these kernels say what
//! the vectors are. Multiplications and additions are fused where the processor can: bits may
//! differ between instruction sets, not between numbers of threads.

use faer::MatMut;
use pulp::{Simd, bytemuck};

use crate::Scalar;
use crate::cpu::vector::loops;
use crate::matrix::column_mut;

/// Defines a function whose body is compiled for every instruction set, with the set at hand as
/// `$simd`: [`loops::vectorized!`] with explicit vectors.
macro_rules! with_simd {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident<$life:lifetime, $scalar:ident>(
            $simd:ident; $($argument:ident: $type:ty),* $(,)?
        ) -> $output:ty $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name<$life, $scalar: $crate::Scalar>($($argument: $type),*) -> $output {
            struct Arguments<$life, $scalar: $crate::Scalar> {
                $($argument: $type),*
            }
            impl<$life, $scalar: $crate::Scalar> pulp::WithSimd for Arguments<$life, $scalar> {
                type Output = $output;

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, $simd: S) -> Self::Output {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Arguments { $($argument),* })
        }
    };
}
pub(crate) use with_simd;

/// A vector of the instruction set S.
type Vector<T, S> = <T as faer::traits::ComplexField>::SimdVec<S>;

/// The whole vectors of a slice, and the rest.
#[inline(always)]
fn vectors<T: Scalar, S: Simd>(a: &[T]) -> (&[Vector<T, S>], &[T]) {
    let lanes = size_of::<Vector<T, S>>() / size_of::<T>();
    let (head, rest) = a.split_at(a.len() / lanes * lanes);
    (bytemuck::cast_slice(head), rest)
}

/// The same, for writing.
#[inline(always)]
fn vectors_mut<T: Scalar, S: Simd>(a: &mut [T]) -> (&mut [Vector<T, S>], &mut [T]) {
    let lanes = size_of::<Vector<T, S>>() / size_of::<T>();
    let (head, rest) = a.split_at_mut(a.len() / lanes * lanes);
    (bytemuck::cast_slice_mut(head), rest)
}

/// r_q·v_p for each row and each of P vectors.
#[inline(always)]
pub(crate) fn dots<T: Scalar, S: Simd, const Q: usize, const P: usize>(
    simd: S,
    rows: [&[T]; Q],
    v: [&[T]; P],
) -> [[T; P]; Q] {
    let ctx = T::simd_ctx(simd);
    let count = vectors::<T, S>(v[0]).0.len();
    let mut heads: [&[Vector<T, S>]; Q] = [&[]; Q];
    for q in 0..Q {
        heads[q] = &vectors::<T, S>(rows[q]).0[..count];
    }
    let mut v_heads: [&[Vector<T, S>]; P] = [&[]; P];
    for p in 0..P {
        v_heads[p] = &vectors::<T, S>(v[p]).0[..count];
    }
    let zero = [[T::simd_splat(&ctx, &T::zero()); P]; Q];
    let (mut sums, mut odd_sums) = (zero, zero);
    // Few sums would wait for each other: then two vectors of a row are taken at a time.
    let mut done = 0;
    if Q * P < 4 {
        while done + 2 <= count {
            for q in 0..Q {
                let (r, odd_r) = (heads[q][done], heads[q][done + 1]);
                for p in 0..P {
                    sums[q][p] = T::simd_mul_add(&ctx, r, v_heads[p][done], sums[q][p]);
                    odd_sums[q][p] =
                        T::simd_mul_add(&ctx, odd_r, v_heads[p][done + 1], odd_sums[q][p]);
                }
            }
            done += 2;
        }
        for q in 0..Q {
            for p in 0..P {
                sums[q][p] = T::simd_add(&ctx, sums[q][p], odd_sums[q][p]);
            }
        }
    }
    for i in done..count {
        for q in 0..Q {
            let r = heads[q][i];
            for p in 0..P {
                sums[q][p] = T::simd_mul_add(&ctx, r, v_heads[p][i], sums[q][p]);
            }
        }
    }
    let mut dots = [[T::zero(); P]; Q];
    for q in 0..Q {
        for p in 0..P {
            let mut dot = T::simd_reduce_sum(&ctx, sums[q][p]);
            let (r, v) = (vectors::<T, S>(rows[q]).1, vectors::<T, S>(v[p]).1);
            for (&r, &v) in r.iter().zip(v) {
                dot += r * v;
            }
            dots[q][p] = dot;
        }
    }
    dots
}

/// r_q ← r_q + x_q d − c_q v for each row.
#[inline(always)]
pub(crate) fn exchange<T: Scalar, S: Simd, const Q: usize>(
    simd: S,
    rows: [&mut [T]; Q],
    (x, d): ([T; Q], &[T]),
    (c, v): ([T; Q], &[T]),
) {
    let ctx = T::simd_ctx(simd);
    let ((d, d_rest), (v, v_rest)) = (vectors::<T, S>(d), vectors::<T, S>(v));
    let v = &v[..d.len()];
    let mut along_d = [T::simd_splat(&ctx, &T::zero()); Q];
    let mut along_v = along_d;
    for q in 0..Q {
        along_d[q] = T::simd_splat(&ctx, &x[q]);
        along_v[q] = T::simd_splat(&ctx, &-c[q]);
    }
    let heads = rows.map(
        #[inline(always)]
        |r| vectors_mut::<T, S>(r),
    );
    for q in 0..Q {
        for ((r, &d), &v) in heads[q].1.iter_mut().zip(d_rest).zip(v_rest) {
            *r = *r + x[q] * d - c[q] * v;
        }
    }
    let heads = heads.map(
        #[inline(always)]
        |(head, _)| &mut head[..d.len()],
    );
    for i in 0..d.len() {
        // Read before rows are written: for all the compiler knows, they could overlap.
        let (d, v) = (d[i], v[i]);
        for q in 0..Q {
            let r = T::simd_mul_add(&ctx, along_d[q], d, heads[q][i]);
            heads[q][i] = T::simd_mul_add(&ctx, along_v[q], v, r);
        }
    }
}

/// u ← u + Σ_q x_q r_q.
#[inline(always)]
pub(crate) fn gather<T: Scalar, S: Simd, const Q: usize>(
    simd: S,
    u: &mut [T],
    x: [T; Q],
    rows: [&[T]; Q],
) {
    let ctx = T::simd_ctx(simd);
    let (u, u_rest) = vectors_mut::<T, S>(u);
    let mut heads: [&[Vector<T, S>]; Q] = [&[]; Q];
    let mut factors = [T::simd_splat(&ctx, &T::zero()); Q];
    for q in 0..Q {
        let (head, rest) = vectors::<T, S>(rows[q]);
        heads[q] = &head[..u.len()];
        factors[q] = T::simd_splat(&ctx, &x[q]);
        for (u, &r) in u_rest.iter_mut().zip(rest) {
            *u += x[q] * r;
        }
    }
    for i in 0..u.len() {
        let mut sum = u[i];
        for q in 0..Q {
            sum = T::simd_mul_add(&ctx, factors[q], heads[q][i], sum);
        }
        u[i] = sum;
    }
}

/// Columns of a matrix, handed out for writing in increasing order.
pub(crate) struct Rows<'a, T> {
    rest: MatMut<'a, T>,
    /// Index of the first column of `rest`.
    first: usize,
}

impl<'a, T> Rows<'a, T> {
    /// The columns of `matrix`, counted from `first`.
    #[inline(always)]
    pub(crate) fn new(matrix: MatMut<'a, T>, first: usize) -> Self {
        Self { rest: matrix, first }
    }

    /// Column `i`, beyond all that were taken.
    #[inline(always)]
    pub(crate) fn take(self, i: usize) -> (&'a mut [T], Self) {
        let (_, rest) = self.rest.split_at_col_mut(i - self.first);
        let (row, rest) = rest.split_at_col_mut(1);
        (column_mut(row, 0), Self { rest, first: i + 1 })
    }
}

with_simd! {
    /// y ← y + c x.
    pub(crate) fn add<'a, T>(simd; y: &'a mut [T], c: T, x: &'a [T]) -> () {
        gather(simd, y, [c], [x]);
    }
}

/// Values that are widened to f64 at a time.
const WIDE: usize = 16;

/// a·a, a·b and b·b, accumulated in f64.
#[inline(always)]
fn wide_sums<T: Scalar, S: Simd>(simd: S, a: &[T], b: &[T]) -> [f64; 3] {
    let (a_chunks, a_rest) = a.as_chunks::<WIDE>();
    let (b_chunks, b_rest) = b.as_chunks::<WIDE>();
    let mut sums = [[simd.splat_f64s(0.0); WIDE]; 3];
    let vectors = WIDE * size_of::<f64>() / size_of::<S::f64s>();
    let (mut wide_a, mut wide_b) = ([0.0_f64; WIDE], [0.0_f64; WIDE]);
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for l in 0..WIDE {
            wide_a[l] = a[l].widen();
            wide_b[l] = b[l].widen();
        }
        let a: &[S::f64s] = bytemuck::cast_slice(&wide_a);
        let b: &[S::f64s] = bytemuck::cast_slice(&wide_b);
        for v in 0..vectors {
            sums[0][v] = simd.mul_add_e_f64s(a[v], a[v], sums[0][v]);
            sums[1][v] = simd.mul_add_e_f64s(a[v], b[v], sums[1][v]);
            sums[2][v] = simd.mul_add_e_f64s(b[v], b[v], sums[2][v]);
        }
    }
    let mut totals = [0.0; 3];
    for (total, sums) in totals.iter_mut().zip(sums) {
        let mut sum = sums[0];
        for &more in &sums[1..vectors] {
            sum = simd.add_f64s(sum, more);
        }
        *total = simd.reduce_sum_f64s(sum);
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        let (a, b) = (a.widen(), b.widen());
        totals[0] += a * a;
        totals[1] += a * b;
        totals[2] += b * b;
    }
    totals
}

with_simd! {
    /// a·a, a·b and b·b, accumulated in f64.
    pub(crate) fn wide_products<'a, T>(simd; a: &'a [T], b: &'a [T]) -> [f64; 3] {
        wide_sums(simd, a, b)
    }
}

with_simd! {
    /// ‖a‖², accumulated in f64.
    pub(crate) fn energy<'a, T>(simd; a: &'a [T]) -> f64 {
        wide_sums(simd, a, a)[0]
    }
}

with_simd! {
    /// [`loops::normalize`], by one division where the norm is not extreme.
    pub(crate) fn normalize<'a, T>(simd; a: &'a mut [T]) -> f64 {
        let norm = wide_sums(simd, a, a)[0].sqrt();
        if !(1e-140..1e140).contains(&norm) {
            return loops::normalize(a);
        }
        let factor = 1.0 / norm;
        for x in a.iter_mut() {
            *x = T::narrow(x.widen() * factor);
        }
        norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths below, at and beyond whole vectors and pairs of them, of every instruction set.
    const LENGTHS: [usize; 8] = [1, 7, 8, 16, 31, 32, 47, 100];

    fn wave<T: Scalar>(length: usize, pitch: f64) -> Vec<T> {
        (0..length).map(|i| T::narrow((i as f64 * pitch).sin())).collect()
    }

    fn naive<T: Scalar>(a: &[T], b: &[T]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a.widen() * b.widen()).sum()
    }

    #[track_caller]
    fn assert_near<T: Scalar>(found: f64, expected: f64, length: usize) {
        let bound = length as f64 * T::EPSILON;
        assert!((found - expected).abs() <= bound, "{found}, expected {expected}: {length}");
    }

    with_simd! {
        /// Three rows with one vector and with two.
        fn dots_of_three<'a, T>(simd; rows: [&'a [T]; 3], v: [&'a [T]; 2]) -> [[T; 3]; 3] {
            let two = dots(simd, rows, v);
            let mut found = [[T::zero(); 3]; 3];
            for q in 0..3 {
                let [[one]] = dots(simd, [rows[q]], [v[0]]);
                found[q] = [two[q][0], two[q][1], one];
            }
            found
        }
    }

    with_simd! {
        fn exchange_two<'a, T>(
            simd; rows: [&'a mut [T]; 2], old: ([T; 2], &'a [T]), new: ([T; 2], &'a [T]),
        ) -> () {
            exchange(simd, rows, old, new);
        }
    }

    with_simd! {
        fn gather_three<'a, T>(simd; u: &'a mut [T], x: [T; 3], rows: [&'a [T]; 3]) -> () {
            gather(simd, u, x, rows);
        }
    }

    fn kernels_are_those_of_plain_loops<T: Scalar>() {
        for length in LENGTHS {
            let rows: [Vec<T>; 3] = [0.3, 0.5, 1.1].map(|pitch| wave(length, pitch));
            let [d, v]: [Vec<T>; 2] = [0.7, 1.7].map(|pitch| wave(length, pitch));
            let found = dots_of_three(rows.each_ref().map(|r| &r[..]), [&d, &v]);
            for (found, row) in found.iter().zip(&rows) {
                for (found, with) in found.iter().zip([&d, &v, &d]) {
                    assert_near::<T>(found.widen(), naive(row, with), length);
                }
            }

            let [x, c] = [[0.5, -1.5], [0.25, 2.0]].map(|values| values.map(T::narrow));
            let (mut a, mut b) = (rows[0].clone(), rows[1].clone());
            exchange_two([&mut a, &mut b], (x, &d), (c, &v));
            for (q, found) in [a, b].iter().enumerate() {
                for i in 0..length {
                    let (x, c) = (x[q].widen(), c[q].widen());
                    let expected = rows[q][i].widen() + x * d[i].widen() - c * v[i].widen();
                    assert_near::<T>(found[i].widen(), expected, 8);
                }
            }

            let factors = [0.5, -1.5, 2.0].map(T::narrow);
            let mut u = d.clone();
            gather_three(&mut u, factors, rows.each_ref().map(|r| &r[..]));
            for i in 0..length {
                let terms = (0..3).map(|q| factors[q].widen() * rows[q][i].widen());
                assert_near::<T>(u[i].widen(), d[i].widen() + terms.sum::<f64>(), 8);
            }
        }
    }

    #[test]
    fn kernels_are_those_of_plain_loops_in_single_precision() {
        kernels_are_those_of_plain_loops::<f32>();
    }

    #[test]
    fn kernels_are_those_of_plain_loops_in_double_precision() {
        kernels_are_those_of_plain_loops::<f64>();
    }

    #[test]
    fn wide_sums_are_those_of_a_plain_loop() {
        for length in LENGTHS {
            let (a, b) = (wave::<f32>(length, 0.3), wave::<f32>(length, 0.7));
            let found = wide_products(&a, &b);
            let expected = [naive(&a, &a), naive(&a, &b), naive(&b, &b)];
            for (found, expected) in found.into_iter().zip(expected) {
                assert_near::<f64>(found, expected, length);
            }
            assert_near::<f64>(energy(&a), expected[0], length);
        }
    }

    #[test]
    fn normalizing_leaves_norm_one_and_returns_the_norm() {
        for length in LENGTHS {
            for scale in [1e-200, 1.0, 1e200] {
                let mut a: Vec<f64> = wave(length, 0.3);
                a.iter_mut().for_each(|x| *x = (*x + 2.0) * scale);
                let expected = naive(&a.iter().map(|x| x / scale).collect::<Vec<_>>(), &a);
                let expected = (expected / scale).sqrt();
                let norm = normalize(&mut a) / scale;
                assert_near::<f64>(norm / expected, 1.0, length + 8);
                assert_near::<f64>(naive(&a, &a), 1.0, length + 8);
            }
        }
        let mut zero = vec![0.0_f32; 20];
        assert_eq!(normalize(&mut zero), 0.0);
        assert!(zero.iter().all(|&x| x == 0.0));
    }
}
