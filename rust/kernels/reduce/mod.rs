//! Sums over a row: inner product in single precision or double, squared norm in double.
//!
//! One fused multiply-add a coordinate in [`SUM_LANES`](super::SUM_LANES) independent lanes. In float64 the
//! products of float32 values are exact and can neither overflow nor underflow, so no row needs scaling before squaring.

pub(crate) mod scalar;
pub(crate) mod vector;

use super::kernel;

kernel! {
    /// Σ aᵢ bᵢ.
    pub fn dot(a: &[f32], b: &[f32]) -> f32
}

kernel! {
    /// Σ aᵢ bᵢ in double precision.
    pub fn dot_f64(a: &[f32], b: &[f32]) -> f64
}

kernel! {
    /// Σ uᵢcᵢ and Σ cᵢ².
    pub fn dot_and_square(u: &[f32], c: &[f32]) -> (f32, f32)
}

kernel! {
    /// Σ xᵢ² in double precision.
    pub fn squared_norm(x: &[f32]) -> f64
}
