//! Sums over a row: inner products and squared norms.
//!
//! These are the plain sums that every other kernel with a sum reproduces to the bit. They are
//! computed in float32, or in float64 where the result must not lose precision.
//!
//! **Mathematics.** [`dot`] is Σ aᵢbᵢ, [`squared_norm`] is Σ xᵢ². In float64 the product of two
//! float32 values is exact and can neither overflow nor underflow, so a row need not be scaled
//! before it is squared.
//!
//! ```text
//! lanes ← [0; 16]
//! for i in 0..d:
//!     lanes[i mod 16] ← fma(a[i], b[i], lanes[i mod 16])
//! for width in 8, 4, 2, 1:
//!     for l in 0..width:
//!         lanes[l] ← lanes[l] + lanes[l + width]
//! return lanes[0]
//! ```
//!
//! **Cost.** One fused multiply-add and two loads for eight coordinates (four in float64, with two
//! conversions). In float32 the [`SUM_LANES`](super::SUM_LANES) lanes are two accumulators of eight
//! lanes, and the sum is bound by the latency of the multiply-add; rows that are not in the cache
//! are bound by memory. The one register of AVX-512 waits as long, so that only [`dot`], which
//! other kernels call there, has a body for it.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod scalar;
pub(crate) mod vector;

use super::kernel;

kernel! {
    /// Returns Σ aᵢbᵢ.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot(a: &[f32], b: &[f32]) -> f32; avx512
}

kernel! {
    /// Returns Σ aᵢbᵢ in float64.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot_f64(a: &[f32], b: &[f32]) -> f64
}

kernel! {
    /// Returns Σ uᵢcᵢ and Σ cᵢ².
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot_and_square(u: &[f32], c: &[f32]) -> (f32, f32)
}

kernel! {
    /// Returns Σ uᵢeᵢ and Σ eᵢ² with e = u − c. Where c is close to u, these tell the angle between
    /// them with all digits, of which Σ uᵢcᵢ and Σ cᵢ² leave few.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn error_sums(u: &[f32], c: &[f32]) -> (f32, f32)
}

kernel! {
    /// Returns Σ xᵢ² in float64.
    pub fn squared_norm(x: &[f32]) -> f64
}
