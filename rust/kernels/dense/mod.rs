//! Products of a square row-major matrix with a vector, for the Haar rotation and the QJL projection.
//!
//! One fused multiply-add a matrix entry; bound by reading the matrix.

mod scalar;

use super::kernel;

kernel! {
    /// out ← M x; M has `out.len()` rows of `x.len()` entries, each row a fixed-order dot product.
    pub fn product(matrix: &[f32], x: &[f32], out: &mut [f32])
}

kernel! {
    /// out ← Mᵀ x; M has `x.len()` rows of `out.len()` entries, rows added in order.
    pub fn transposed_product(matrix: &[f32], x: &[f32], out: &mut [f32])
}
