//! Rows brought to another scale or another origin.
//!
//! Each value is multiplied once, in float32; where the factor is near the ends of float32's range, in float64. Sums and differences round once, so
//! that x − c errs by 2⁻²⁴ of itself, not of x. One load, operation and store for eight values: bound by memory.

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

kernel! {
    /// out ← x − y.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn subtract(x: &[f32], y: &[f32], out: &mut [f32])
}

kernel! {
    /// out ← x − factor·y, in float64 and rounded once to float32.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn subtract_scaled(x: &[f32], y: &[f32], factor: f64, out: &mut [f32])
}

kernel! {
    /// x ← x + y.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add(x: &mut [f32], y: &[f32])
}

/// Whether a float32 holds the factor with full precision and some room.
fn is_moderate(factor: f64) -> bool {
    (1e-30..=1e30).contains(&factor.abs())
}

kernel! {
    /// out ← dots·scale·factor + offset, each step in float64, rounded to float32.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn estimates(dots: &[f32], scale: &[f32], factor: f64, offset: f64, out: &mut [f32])
}

/// The numbers of a centered query that estimates are made with.
#[derive(Debug, Clone, Copy)]
pub struct Centered {
    /// Factor of dots·scale.
    pub factor: f64,
    /// Added to every estimate.
    pub offset: f64,
    /// Factor of the rows' products with the center.
    pub along: f64,
}

kernel! {
    /// out ← dots·scale·factor + (offset + along·products), each step in float64, and rounded to
    /// float32 in the end.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn centered_estimates(
        dots: &[f32],
        scale: &[f32],
        products: &[f32],
        query: Centered,
        out: &mut [f32],
    )
}
