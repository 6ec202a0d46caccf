//! Rows brought to another scale.
//!
//! Each value is multiplied once, in float32; where the factor is near the ends of float32's range, in float64. One load, product and store for
//! eight values: bound by memory.

mod scalar;

use super::kernel;

kernel! {
    /// out ← factor·x.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn scaled(x: &[f32], factor: f64, out: &mut [f32])
}

kernel! {
    /// x ← factor·x.
    pub fn scale(x: &mut [f32], factor: f64)
}

/// Whether a float32 holds the factor with full precision and some room.
fn is_moderate(factor: f64) -> bool {
    (1e-30..=1e30).contains(&factor.abs())
}
