//! Products of a row-major matrix with a few vectors, for the Haar rotation and the QJL projection.
//!
//! One fused multiply-add a matrix entry and vector. A matrix for d = 1536 has 9 MB, so one vector is bound by reading it; with several vectors an entry
//! serves all. [`products`] takes two matrix rows against three vectors at a time: twelve accumulators, ten loads for twelve
//! fused multiply-adds, bound by those as long as most loads are from L1, where a group of matrix rows stays. [`transposed_products`] adds four matrix rows to a result at a time: one load and store of the
//! result for four fused multiply-adds.

//!
//! **[`panel_products`]** is for many vectors, with the same results to the bit. A panel has [`ROWS_PER_PANEL`] rows side by side, so that an accumulator belongs to as many
//! rows and no sum has to be taken across a register: each of the sixteen lanes of [`dot`](super::reduce::dot) is summed on its own, for two
//! registers of rows and six vectors (eight loads for twelve multiply-adds), and the lanes are added in the order of the halving, bit-reversed, with four sums
//! pending at the most. Coordinates of panels and vectors stand lane by lane. Fifteen additions a pair besides its d multiply-adds; bound by the
//! multiply-adds, two registers a cycle, as a panel of d = 384 (24 KiB) stays in the first-level cache.

mod panel;
mod scalar;
mod vector;

use super::{SUM_LANES, kernel, vector_kernel};

/// Vectors to give at once: enough that reading the matrix costs less than using it, few enough to stay in the second-level cache.
pub const VECTORS_PER_BATCH: usize = 24;

vector_kernel! {
    /// out\[i·r + j\] ← ⟨Mⱼ, xᵢ⟩: M has r rows of d entries, x and out are n vectors of d and r; each product a fixed-order
    /// [`dot`](super::reduce::dot).
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn products(matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32])
}

/// Vectors that meet a panel together.
pub const VECTORS_PER_PASS: usize = 6;

/// Rows of a panel.
pub const ROWS_PER_PANEL: usize = 16;

kernel! {
    /// The coordinates lane by lane: first those at multiples of 16, then those after, ….
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn to_lane_order(x: &[f32], out: &mut [f32])
}

vector_kernel! {
    /// The panel of up to [`ROWS_PER_PANEL`] rows of d entries: entry i of row r, i lane by lane, at \[i·16 + r\]; what no row fills is left.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn pack_panel(rows: &[f32], dim: usize, panel: &mut [f32])
}

vector_kernel! {
    /// out\[i·16 + r\] ← ⟨Mᵣ, xᵢ⟩ for the rows of a panel and vectors lane by lane: the bits of [`products`].
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn panel_products(panel: &[f32], dim: usize, x: &[f32], out: &mut [f32])
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

/// Of the places lane by lane: lanes in order with their coordinates.
fn lane_order(dim: usize) -> impl Iterator<Item = usize> {
    (0..SUM_LANES).flat_map(move |lane| (lane..dim).step_by(SUM_LANES))
}

/// The lengths of a panel, vectors and their products, checked.
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
