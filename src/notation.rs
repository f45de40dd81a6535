//! Letters, names and shapes: the API speaks in words, kernels and formulas in the papers' letters.
//!
//! | letter | name | shape | layout |
//! |---|---|---|---|
//! | d | dimension of a sample (`dim`) | | |
//! | N | number of samples (`samples`) | | |
//! | m | number of atoms (`atoms`) | | |
//! | k | sparsity: most nonzeros a sample (`sparsity`) | | |
//! | Y | samples | d × N | column-major; a row-major (N, d) array has the same bytes |
//! | y | one sample | d | contiguous |
//! | D | dictionary | d × m | column-major; columns have norm 1 |
//! | d_j | atom j | d | contiguous |
//! | X | codes | m × N | [`SparseCodes`](crate::SparseCodes): k slots a sample |
//! | x_j | coefficients of atom j (row j of X) | N | through [`AtomIndex`](crate::codes::AtomIndex) |
//! | S | support: the atoms a sample uses | ≤ k | in the order they were chosen |
//! | γ | coefficients of the chosen atoms | ≤ k | |
//! | R, r | residual Y − DX, of one sample | d × N, d | as Y |
//! | G | Gram matrix DᵀD | m × m | column-major |
//! | α | correlations Dᵀr | m | contiguous |
//! | Ω_j | the samples that use atom j | | |
//! | E_j | R_Ωj + d_j x_jᵀ: the residual without atom j | d × \|Ω_j\| | never formed, but for the exact pair |
//! | J | a batch of atoms | | |
//! | L | lower triangular, LLᵀ = D_SᵀD_S | ≤ k × k | |
//! | W | L⁻¹ D_SᵀD | ≤ k × m | rows |
//! | P | projection onto the span of the chosen atoms | | |
//! | w_j, ρ | weight of atom j's past, and how much of it is kept | | |
//! | A, B | statistics Σ x xᵀ and Σ y xᵀ of online learning | m × m, d × m | column-major |
//! | β | how much of them is kept from one minibatch to the next | | |
//! | μ, μ₁ | coherence and Babel function of a dictionary | | |
//! | FVU | fraction of variance unexplained | | |
