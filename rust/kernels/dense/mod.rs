//! Products of a dense row-major matrix with a few vectors, or with many.
//!
//! The Haar rotation and the QJL projection multiply rows by a d × d matrix, and the inner products
//! of all pairs multiply queries by a tile of expanded rows. Each product is the fixed-order
//! [`dot`](super::reduce::dot), to the bit.
//!
//! **A few vectors.** A matrix for d = 1536 takes 9 MB, so one vector is bound by reading it; with
//! several vectors, one read serves all. [`products`] takes two matrix rows against three vectors
//! at a time: twelve accumulators, and ten loads for twelve multiply-adds. [`transposed_products`]
//! holds sixteen columns of six results in registers while all matrix rows are added: eight loads
//! for twelve multiply-adds and no store. That reads columns, which a cache does at little cost if
//! the matrix has at most 192² entries. Of a larger one, blocks of 128 rows and 32 columns are
//! copied, and each is added to three results at a time: seven loads for twelve multiply-adds.
//!
//! **Many vectors.** [`panel_products`] first packs [`ROWS_PER_PANEL`] matrix rows into a panel,
//! coordinate by coordinate. A lane of an accumulator then belongs to a row, so that no sum is
//! taken across a vector. The sixteen lanes of the contract are summed one after the other, in
//! bit-reversed order, so that at most four partial sums wait for their partner:
//!
//! ```text
//! panel_products(panel of 16 rows, 6 vectors x):
//!     for l in 0, 8, 4, 12, 2, 10, …, 15:            lanes of the contract, bit-reversed
//!         sums[6][2 vectors of rows] ← 0
//!         for each coordinate i ≡ l (mod 16):        panel and x are in this order
//!             for each x: sums ← fma(panel[i], splat(x[i]), sums)
//!         while a pending sum of the same size waits: sums ← pending + sums
//!         keep sums as pending
//!     out ← sums
//! ```
//!
//! **Cost.** One multiply-add per matrix entry and vector, eight per instruction. [`products`] is
//! bound by the multiply-adds as long as most loads come from the first-level cache, where a group
//! of matrix rows stays. [`panel_products`] takes eight loads for twelve multiply-adds, and fifteen
//! additions besides the d multiply-adds per pair; it is bound by the multiply-adds, two vectors
//! per cycle, since a panel of d = 384 (24 KiB) stays in the first-level cache. AVX-512 has the
//! lanes of a sum, or the rows of a panel, in one register: [`products`] takes four rows against
//! four vectors, [`panel_products`] eight vectors in a pass, and [`transposed_products`] adds a
//! block of a large matrix to eight results at a time; small matrices keep their AVX2 body.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocked;
mod held;
mod panel;
mod scalar;
mod vector;

use super::{SUM_LANES, kernel, vector_kernel};

/// Vectors that a caller gives [`products`] at once: enough that reading the matrix costs less than
/// using it, and few enough that they stay in the second-level cache.
pub const VECTORS_PER_BATCH: usize = 24;

vector_kernel! {
    /// out\[i·r + j\] ← ⟨Mⱼ, xᵢ⟩, each product a fixed-order [`dot`](super::reduce::dot).
    ///
    /// M has r rows of d = `dim` entries; x holds n vectors of d values, and out n vectors of r.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn products(matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]); avx512
}

/// Vectors that [`panel_products`] multiplies with a panel in one pass over it.
pub const VECTORS_PER_PASS: usize = 6;

/// Rows of a panel.
pub const ROWS_PER_PANEL: usize = 16;

kernel! {
    /// out ← the coordinates of x in lane order: first those at multiples of 16, then those one
    /// after a multiple of 16, and so on.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn to_lane_order(x: &[f32], out: &mut [f32])
}

vector_kernel! {
    /// Packs up to [`ROWS_PER_PANEL`] rows of d = `dim` entries into a panel.
    ///
    /// The i-th coordinate in lane order of row r goes to panel\[i·16 + r\]. Entries of rows that
    /// are not given stay as they are.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn pack_panel(rows: &[f32], dim: usize, panel: &mut [f32])
}

vector_kernel! {
    /// out\[i·16 + r\] ← ⟨Mᵣ, xᵢ⟩ for the rows M of a panel; the same bits as [`products`].
    ///
    /// The vectors x are in the order of [`to_lane_order`].
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn panel_products(panel: &[f32], dim: usize, x: &[f32], out: &mut [f32]); avx512
}

/// Entries of the largest matrix of which [`transposed_products`] reads the columns in place. It
/// covers every size at which the Hadamard rotation is dense, and the matrix stays in the
/// second-level cache.
const MAX_HELD_ENTRIES: usize = 192 * 192;

vector_kernel! {
    /// out\[i·d + k\] ← Σⱼ xᵢⱼ Mⱼₖ, with the rows of M added in order.
    ///
    /// M has r rows of d = `dim` entries; x holds n vectors of r values, and out n vectors of d.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn transposed_products(matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]); avx512
}

/// Checks the lengths and returns the number of matrix rows r; `long` holds vectors of d values,
/// `short` as many vectors of r values.
fn row_count(matrix: &[f32], dim: usize, long: &[f32], short: &[f32]) -> usize {
    assert!(
        dim > 0 && matrix.len().is_multiple_of(dim),
        "matrix entries"
    );
    let rows = matrix.len() / dim;
    assert!(
        long.len().is_multiple_of(dim) && long.len() / dim * rows == short.len(),
        "vectors of a product"
    );
    rows
}

/// The coordinates in lane order: lane 0's in ascending order, then lane 1's, and so on.
fn lane_order(dim: usize) -> impl Iterator<Item = usize> {
    (0..SUM_LANES).flat_map(move |lane| (lane..dim).step_by(SUM_LANES))
}

/// Checks the lengths of a panel, of vectors and of their products.
fn check_panel(panel: &[f32], dim: usize, x: &[f32], out: &[f32]) {
    assert!(
        dim > 0 && panel.len() == dim * ROWS_PER_PANEL && x.len().is_multiple_of(dim),
        "entries of a panel and of vectors"
    );
    assert_eq!(
        x.len() / dim * ROWS_PER_PANEL,
        out.len(),
        "products of a panel"
    );
}
