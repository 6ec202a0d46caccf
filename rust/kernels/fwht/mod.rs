//! The Walsh–Hadamard transform of a power-of-two piece: x ← scale · H x, H the ±1 Sylvester matrix.
//!
//! Butterflies (a, b) → (a + b, a − b) at strides 1, 2, 4, …, n/2 in that order, then one product with `scale`: log₂ n additions
//! and one multiplication a coordinate, no other rounding. The order of strides is part of the definition.

mod scalar;

use super::kernel;

kernel! {
    /// x ← scale · H x in place.
    ///
    /// # Panics
    /// If the length is not a power of two.
    pub fn fwht(x: &mut [f32], scale: f32)
}
