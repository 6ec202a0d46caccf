//! Products of a row-major matrix with a few vectors, for the Haar rotation and the QJL projection.
//!
//! One fused multiply-add a matrix entry and vector. A matrix for d = 1536 has 9 MB, so one vector is bound by reading it; with several vectors an entry
//! serves all. [`products`] takes two matrix rows against three vectors at a time: twelve accumulators, ten loads for twelve
//! fused multiply-adds, bound by those as long as most loads are from L1, where a group of matrix rows stays. [`transposed_products`] adds four matrix rows to a result at a time: one load and store of the
//! result for four fused multiply-adds.

mod scalar;
mod vector;

use super::{kernel, vector_kernel};

/// Vectors to give at once: enough that reading the matrix costs less than using it, few enough to stay in the second-level cache.
pub const BATCH: usize = 24;

vector_kernel! {
    /// out\[i·r + j\] ← ⟨Mⱼ, xᵢ⟩: M has r rows of d entries, x and out are n vectors of d and r; each product a fixed-order
    /// [`dot`](super::reduce::dot).
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn products(matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32])
}

kernel! {
    /// out\[i·d + k\] ← Σⱼ xᵢⱼ Mⱼₖ: M has r rows of d = `dim` entries, x and out are n vectors of r and d; rows added in order.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn transposed_products(matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32])
}

/// The number of matrix rows, for `from` vectors' entries going in and `to` coming out.
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
