//! Kernels over several rows at a time, residuals or atoms, in explicit vectors.
//!
//! Rows lie far apart, often beyond the caches. With several of them in one loop there are as many
//! independent loads in flight, and what the rows share is loaded once. Compilers do not keep the
//! sums of several rows in registers when such loops are left to them, so these kernels say what
//! the vectors are. Products and sums are fused where the processor can: see the
//! [promise about bits](super#bits).

use faer::MatMut;
use pulp::Simd;

use crate::Scalar;
use crate::matrix::column_mut;
use crate::scalar::registers::lanes;

/// The whole registers of a slice, and the rest, for writing.
#[inline(always)]
fn registers_mut<T: Scalar, S: Simd>(a: &mut [T]) -> (&mut [T::V<S>], &mut [T]) {
    let lanes = lanes::<T, S>();
    let (head, rest) = a.split_at_mut(a.len() / lanes * lanes);
    (T::registers_mut::<S>(head), rest)
}

/// Σ aᵢ bᵢ.
#[inline(always)]
pub(crate) fn dot<T: Scalar, S: Simd>(simd: S, a: &[T], b: &[T]) -> T {
    let ((a, a_rest), (b, b_rest)) = (T::registers::<S>(a), T::registers::<S>(b));
    let ((a, a_last), (b, b_last)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    // The part that does not fill a register comes first: it starts one of the sums.
    let mut sums = [T::splat(simd, T::zero()); 4];
    sums[0] = T::times(simd, T::partial(simd, a_rest), T::partial(simd, b_rest));
    for (a, b) in a.iter().zip(b) {
        for r in 0..4 {
            sums[r] = T::fused(simd, a[r], b[r], sums[r]);
        }
    }
    for (&a, &b) in a_last.iter().zip(b_last) {
        sums[1] = T::fused(simd, a, b, sums[1]);
    }
    let [s0, s1, s2, s3] = sums;
    T::total(simd, T::plus(simd, T::plus(simd, s0, s1), T::plus(simd, s2, s3)))
}

/// Σ aᵢ bᵢ for four vectors b: one read of a instead of four.
#[inline(always)]
pub(crate) fn dot4<T: Scalar, S: Simd>(simd: S, a: &[T], b: [&[T]; 4]) -> [T; 4] {
    let [b0, b1, b2, b3] = b;
    let (a, a_rest) = T::registers::<S>(a);
    let ((b0, rest0), (b1, rest1)) = (T::registers::<S>(b0), T::registers::<S>(b1));
    let ((b2, rest2), (b3, rest3)) = (T::registers::<S>(b2), T::registers::<S>(b3));
    let n = a.len();
    let (b0, b1, b2, b3) = (&b0[..n], &b1[..n], &b2[..n], &b3[..n]);
    let load = |rest| T::partial(simd, rest);
    // The parts that do not fill a register come first: they start the sums.
    let x = load(a_rest);
    let mut s0 = T::times(simd, x, load(rest0));
    let mut s1 = T::times(simd, x, load(rest1));
    let mut s2 = T::times(simd, x, load(rest2));
    let mut s3 = T::times(simd, x, load(rest3));
    for i in 0..n {
        s0 = T::fused(simd, a[i], b0[i], s0);
        s1 = T::fused(simd, a[i], b1[i], s1);
        s2 = T::fused(simd, a[i], b2[i], s2);
        s3 = T::fused(simd, a[i], b3[i], s3);
    }
    [T::total(simd, s0), T::total(simd, s1), T::total(simd, s2), T::total(simd, s3)]
}

/// r_q·v_p for each row and each of P vectors.
#[inline(always)]
pub(crate) fn dots<T: Scalar, S: Simd, const Q: usize, const P: usize>(
    simd: S,
    rows: [&[T]; Q],
    v: [&[T]; P],
) -> [[T; P]; Q] {
    let count = T::registers::<S>(v[0]).0.len();
    let mut heads: [&[T::V<S>]; Q] = [&[]; Q];
    for q in 0..Q {
        heads[q] = &T::registers::<S>(rows[q]).0[..count];
    }
    let mut v_heads: [&[T::V<S>]; P] = [&[]; P];
    for p in 0..P {
        v_heads[p] = &T::registers::<S>(v[p]).0[..count];
    }
    let zero = [[T::splat(simd, T::zero()); P]; Q];
    let (mut sums, mut odd_sums) = (zero, zero);
    // Few sums would wait for each other: then two vectors of a row are taken at a time.
    let mut done = 0;
    if Q * P < 4 {
        while done + 2 <= count {
            for q in 0..Q {
                let (r, odd_r) = (heads[q][done], heads[q][done + 1]);
                for p in 0..P {
                    sums[q][p] = T::fused(simd, r, v_heads[p][done], sums[q][p]);
                    odd_sums[q][p] = T::fused(simd, odd_r, v_heads[p][done + 1], odd_sums[q][p]);
                }
            }
            done += 2;
        }
        for q in 0..Q {
            for p in 0..P {
                sums[q][p] = T::plus(simd, sums[q][p], odd_sums[q][p]);
            }
        }
    }
    for i in done..count {
        for q in 0..Q {
            let r = heads[q][i];
            for p in 0..P {
                sums[q][p] = T::fused(simd, r, v_heads[p][i], sums[q][p]);
            }
        }
    }
    let mut dots = [[T::zero(); P]; Q];
    for q in 0..Q {
        for p in 0..P {
            let mut dot = T::total(simd, sums[q][p]);
            let (r, v) = (T::registers::<S>(rows[q]).1, T::registers::<S>(v[p]).1);
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
    let ((d, d_rest), (v, v_rest)) = (T::registers::<S>(d), T::registers::<S>(v));
    let v = &v[..d.len()];
    let mut along_d = [T::splat(simd, T::zero()); Q];
    let mut along_v = along_d;
    for q in 0..Q {
        along_d[q] = T::splat(simd, x[q]);
        along_v[q] = T::splat(simd, -c[q]);
    }
    let heads = rows.map(
        #[inline(always)]
        |r| registers_mut::<T, S>(r),
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
            let r = T::fused(simd, along_d[q], d, heads[q][i]);
            heads[q][i] = T::fused(simd, along_v[q], v, r);
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
    let (u, u_rest) = registers_mut::<T, S>(u);
    let mut heads: [&[T::V<S>]; Q] = [&[]; Q];
    let mut factors = [T::splat(simd, T::zero()); Q];
    for q in 0..Q {
        let (head, rest) = T::registers::<S>(rows[q]);
        heads[q] = &head[..u.len()];
        factors[q] = T::splat(simd, x[q]);
        for (u, &r) in u_rest.iter_mut().zip(rest) {
            *u += x[q] * r;
        }
    }
    for i in 0..u.len() {
        let mut sum = u[i];
        for q in 0..Q {
            sum = T::fused(simd, factors[q], heads[q][i], sum);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::vector::testing::{LENGTHS, assert_near, naive, wave};
    use crate::cpu::vector::vectorized;

    vectorized! {
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

    vectorized! {
        fn exchange_two<'a, T>(
            simd; rows: [&'a mut [T]; 2], old: ([T; 2], &'a [T]), new: ([T; 2], &'a [T]),
        ) -> () {
            exchange(simd, rows, old, new);
        }
    }

    vectorized! {
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
}
