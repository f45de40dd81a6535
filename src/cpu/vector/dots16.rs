//! Sums of 16-bit rows in 32-bit integers, two rows at a time: the inner loop of batch-OMP.
//!
//! x86 multiplies 16-bit numbers and adds adjacent products in one instruction (`vpmaddwd`). Two
//! rows x and y are interleaved, (x₀ y₀ x₁ y₁ …), and multiplied by the repeated pair of their
//! weights: each 32-bit lane then holds p xᵢ + q yᵢ. Interleaving works within 128-bit lanes, so
//! rows are stored in the order ([`Dots16::stored`]) that makes the sums come out in the order of
//! the atoms.

/// An instruction set's way to add two weighted 16-bit rows. The value proves that it is there.
pub(crate) trait Dots16: pulp::Simd {
    /// 16-bit numbers that one step of a row handles.
    const WIDTH: usize;
    /// [`WIDTH`](Self::WIDTH) numbers of a row.
    type Row: pulp::bytemuck::Pod;
    /// As many sums.
    type Sums: pulp::bytemuck::Pod;
    /// A pair of weights, repeated.
    type Weights: Copy;

    /// Where the number of column `column` of a row is stored.
    #[inline(always)]
    fn stored(column: usize) -> usize {
        let half = Self::WIDTH / 2;
        let (step, within) = (column / Self::WIDTH, column % Self::WIDTH);
        let (upper, lane, place) = (within / half, within % half / 4, within % 4);
        step * Self::WIDTH + 8 * lane + 4 * upper + place
    }

    /// Stores 32 numbers of a row, whose first is at a multiple of 32.
    #[inline(always)]
    fn store(numbers: &[i16; 32], row: &mut [i16]) {
        for (column, &number) in numbers.iter().enumerate() {
            row[Self::stored(column)] = number;
        }
    }

    /// The weights p and q, [`packed`].
    fn weights(self, packed: i32) -> Self::Weights;

    /// sums + p x + q y.
    fn add(
        self,
        sums: Self::Sums,
        weights: Self::Weights,
        x: Self::Row,
        y: Self::Row,
    ) -> Self::Sums;

    /// A register of 32-bit numbers.
    type Dots: pulp::bytemuck::Pod;
    /// Atoms of a panel, and samples of a tile, of a product of matrices.
    const PANEL: usize;
    const TILE: usize;
    /// Whether products of 16-bit numbers are faster than those of scalars.
    const FASTER: bool;

    /// sums + p x + q y for the [`packed`] x and y of each lane.
    fn add_products(
        self,
        sums: Self::Dots,
        weights: Self::Weights,
        packed: Self::Dots,
    ) -> Self::Dots;

    /// The product with the panels and tiles that suit the registers.
    fn multiply(self, product: impl TiledProduct);

    /// The product with tiles of one column, for one column alone: the rows are read once, and take
    /// longer than the products.
    fn multiply_one(self, product: impl TiledProduct);

    /// The product with tiles of four columns.
    fn multiply_four(self, product: impl TiledProduct);
}

/// A product of packed matrices, tile by tile.
pub(crate) trait TiledProduct {
    /// Takes `R` registers of rows by `N` columns at a time: their sums stay in registers.
    fn multiply<P: Dots16, const R: usize, const N: usize>(self, pairs: P)
    where
        [P::Dots; R]: pulp::bytemuck::Pod;
}

/// Plain loops, which compilers turn into what the target has.
impl Dots16 for pulp::Scalar {
    const WIDTH: usize = 16;
    type Row = [i16; 16];
    type Sums = [i32; 16];
    type Weights = [i32; 2];

    #[inline(always)]
    fn stored(column: usize) -> usize {
        column
    }

    #[inline(always)]
    fn weights(self, packed: i32) -> [i32; 2] {
        [i32::from(packed as i16), packed >> 16]
    }

    #[inline(always)]
    fn add(self, mut sums: [i32; 16], [p, q]: [i32; 2], x: [i16; 16], y: [i16; 16]) -> [i32; 16] {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += p * i32::from(x) + q * i32::from(y);
        }
        sums
    }

    type Dots = [i32; 8];
    const PANEL: usize = 8;
    const TILE: usize = 4;
    const FASTER: bool = false;

    #[inline(always)]
    fn add_products(self, mut sums: [i32; 8], [p, q]: [i32; 2], packed: [i32; 8]) -> [i32; 8] {
        for (sum, packed) in sums.iter_mut().zip(packed) {
            *sum += p * i32::from(packed as i16) + q * (packed >> 16);
        }
        sums
    }

    #[inline(always)]
    fn multiply(self, product: impl TiledProduct) {
        product.multiply::<Self, 1, 4>(self);
    }

    #[inline(always)]
    fn multiply_one(self, product: impl TiledProduct) {
        product.multiply::<Self, 1, 1>(self);
    }

    #[inline(always)]
    fn multiply_four(self, product: impl TiledProduct) {
        product.multiply::<Self, 1, 4>(self);
    }
}

/// The weights (p, q) as one 32-bit number, p in the lower half.
#[inline(always)]
pub(crate) fn packed(p: i16, q: i16) -> i32 {
    (i32::from(q) << 16) | i32::from(p.cast_unsigned())
}

#[cfg(target_arch = "x86_64")]
impl Dots16 for pulp::x86::V3 {
    const WIDTH: usize = 16;
    type Row = pulp::i16x16;
    type Sums = [pulp::i32x8; 2];
    type Weights = pulp::i16x16;

    #[inline(always)]
    fn weights(self, packed: i32) -> Self::Weights {
        pulp::cast(self.splat_i32x8(packed))
    }

    #[inline(always)]
    fn add(
        self,
        sums: Self::Sums,
        weights: Self::Weights,
        x: Self::Row,
        y: Self::Row,
    ) -> Self::Sums {
        let lower = self.avx2._mm256_unpacklo_epi16(pulp::cast(x), pulp::cast(y));
        let upper = self.avx2._mm256_unpackhi_epi16(pulp::cast(x), pulp::cast(y));
        let lower = self.multiply_wrapping_add_adjacent_i16x16(pulp::cast(lower), weights);
        let upper = self.multiply_wrapping_add_adjacent_i16x16(pulp::cast(upper), weights);
        let add = |a, b| pulp::cast(self.avx2._mm256_add_epi32(pulp::cast(a), pulp::cast(b)));
        [add(sums[0], lower), add(sums[1], upper)]
    }

    type Dots = pulp::i32x8;
    const PANEL: usize = 16;
    const TILE: usize = 4;
    const FASTER: bool = true;

    #[inline(always)]
    fn add_products(
        self,
        sums: Self::Dots,
        weights: Self::Weights,
        packed: Self::Dots,
    ) -> Self::Dots {
        let products = self.multiply_wrapping_add_adjacent_i16x16(pulp::cast(packed), weights);
        pulp::cast(self.avx2._mm256_add_epi32(pulp::cast(sums), pulp::cast(products)))
    }

    #[inline(always)]
    fn multiply(self, product: impl TiledProduct) {
        product.multiply::<Self, 2, 4>(self);
    }

    #[inline(always)]
    fn multiply_one(self, product: impl TiledProduct) {
        product.multiply::<Self, 2, 1>(self);
    }

    #[inline(always)]
    fn multiply_four(self, product: impl TiledProduct) {
        product.multiply::<Self, 2, 4>(self);
    }
}

#[cfg(target_arch = "x86_64")]
impl Dots16 for pulp::x86::V4 {
    const WIDTH: usize = 32;
    type Row = pulp::i16x32;
    type Sums = [pulp::i32x16; 2];
    type Weights = pulp::i16x32;

    #[inline(always)]
    fn weights(self, packed: i32) -> Self::Weights {
        pulp::cast(self.splat_i32x16(packed))
    }

    #[inline(always)]
    fn add(
        self,
        sums: Self::Sums,
        weights: Self::Weights,
        x: Self::Row,
        y: Self::Row,
    ) -> Self::Sums {
        let lower = self.avx512bw._mm512_unpacklo_epi16(pulp::cast(x), pulp::cast(y));
        let upper = self.avx512bw._mm512_unpackhi_epi16(pulp::cast(x), pulp::cast(y));
        let lower = self.multiply_wrapping_add_adjacent_i16x32(pulp::cast(lower), weights);
        let upper = self.multiply_wrapping_add_adjacent_i16x32(pulp::cast(upper), weights);
        let add = |a, b| pulp::cast(self.avx512f._mm512_add_epi32(pulp::cast(a), pulp::cast(b)));
        [add(sums[0], lower), add(sums[1], upper)]
    }

    type Dots = pulp::i32x16;
    const PANEL: usize = 48;
    const TILE: usize = 8;
    const FASTER: bool = true;

    #[inline(always)]
    fn add_products(
        self,
        sums: Self::Dots,
        weights: Self::Weights,
        packed: Self::Dots,
    ) -> Self::Dots {
        let products = self.multiply_wrapping_add_adjacent_i16x32(pulp::cast(packed), weights);
        pulp::cast(self.avx512f._mm512_add_epi32(pulp::cast(sums), pulp::cast(products)))
    }

    #[inline(always)]
    fn multiply(self, product: impl TiledProduct) {
        product.multiply::<Self, 3, 8>(self);
    }

    #[inline(always)]
    fn multiply_one(self, product: impl TiledProduct) {
        product.multiply::<Self, 3, 1>(self);
    }

    #[inline(always)]
    fn multiply_four(self, product: impl TiledProduct) {
        product.multiply::<Self, 3, 4>(self);
    }
}

/// Work to be done with the fastest instructions at hand. What it calls is compiled for them only
/// if it is inlined.
pub(crate) trait WithDots16 {
    fn run<P: Dots16>(self, pairs: P);
}

/// Runs `work` with the best instructions of this processor.
pub(crate) fn with_fastest(work: impl WithDots16) {
    match pulp::Arch::new() {
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V4(simd) => pulp::Simd::vectorize(simd, Vectorized { pairs: simd, work }),
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V3(simd) => pulp::Simd::vectorize(simd, Vectorized { pairs: simd, work }),
        _ => work.run(pulp::Scalar::new()),
    }
}

struct Vectorized<P, W> {
    pairs: P,
    work: W,
}

impl<P: Dots16, W: WithDots16> pulp::WithSimd for Vectorized<P, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.work.run(self.pairs);
    }
}

#[cfg(test)]
mod tests {
    use pulp::bytemuck;

    use super::*;

    /// Sums of two weighted rows against their definition.
    fn check<P: Dots16>(pairs: P) {
        let row = |seed: i32| -> Vec<i16> {
            (0..64).map(|i: i32| ((i * i * 977 + seed * 7919) % 32_512) as i16).collect()
        };
        let (x, y, p, q) = (row(1), row(-2), -15_000_i16, 12_345_i16);
        let mut stored = [vec![0_i16; 64], vec![0_i16; 64]];
        for (stored, row) in stored.iter_mut().zip([&x, &y]) {
            for (into, numbers) in stored.chunks_exact_mut(32).zip(row.as_chunks::<32>().0) {
                P::store(numbers, into);
            }
        }
        let rows: [&[P::Row]; 2] = [&stored[0], &stored[1]].map(|row| bytemuck::cast_slice(row));
        let mut sums = Vec::new();
        for (&x, &y) in rows[0].iter().zip(rows[1]) {
            let weights = pairs.weights(packed(p, q));
            let once = pairs.add(bytemuck::Zeroable::zeroed(), weights, x, y);
            let twice = [pairs.add(once, weights, x, y)];
            sums.extend_from_slice(bytemuck::cast_slice::<_, i32>(&twice));
        }
        for (column, &sum) in sums.iter().enumerate() {
            let [x, y] = [x[column], y[column]].map(i32::from);
            assert_eq!(sum, 2 * (i32::from(p) * x + i32::from(q) * y), "column {column}");
        }
    }

    #[test]
    fn plain_loops_sum_in_the_order_of_atoms() {
        check(pulp::Scalar::new());
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn so_do_vectors() {
        if let Some(simd) = pulp::x86::V3::try_new() {
            check(simd);
        }
        if let Some(simd) = pulp::x86::V4::try_new() {
            check(simd);
        }
    }
}
