//! Elementwise steps on rows: scaling, moving the origin, and turning products into estimates.
//!
//! A row is multiplied by a factor when it is normalized or decoded, and a center is subtracted
//! before encoding and added after decoding. Each value is rounded as few times as possible.
//!
//! **Mathematics.** [`scaled`] computes f·x with one product in float32. If |f| is outside 10⁻³⁰ …
//! 10³⁰, where float32 would lose precision or overflow, the product is taken in float64 and then
//! rounded. x − c and x + c round once, so that the error of x − c is at most 2⁻²⁴ of the
//! difference, not of x. [`estimates`] computes in float64 and rounds once, to float32.
//!
//! ```text
//! if 1e-30 ≤ |f| ≤ 1e30:   f ← float32(f);  out[i] ← x[i] · f
//! else:                    out[i] ← float32(float64(x[i]) · f)
//! ```
//!
//! **Cost.** A load, an operation and a store for eight values: bound by memory.

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

/// The number in fixed point: the nearest whole number, ties to even, at most 32767 in magnitude.
#[inline(always)]
pub fn to_fixed(x: f32) -> i16 {
    // Numbers from 2²³ to 2²⁴ are the whole ones: the sum is rounded to one, and the low bits of
    // its fraction are those of the number.
    const WHOLE: f32 = 1.5 * (1 << 23) as f32;
    (x.clamp(-32767.0, 32767.0) + WHOLE).to_bits() as i16
}

kernel! {
    /// out ← factor·x [in fixed point](to_fixed); entries of out beyond x become 0.
    ///
    /// # Panics
    /// If x is longer than out.
    pub fn scaled_to_fixed(x: &[f32], factor: f64, out: &mut [i16])
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

/// Whether float32 holds the factor with full precision, and products with it do not overflow for
/// usual values.
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

/// How the estimates of rows become scores.
#[derive(Debug, Clone, Copy)]
pub enum Score<'a> {
    /// The estimate.
    Product,
    /// Minus the squared distance, own² + norm² − 2·estimate, at most 0.
    MinusDistance {
        /// ‖x‖ of each row.
        own: &'a [f32],
        /// ‖y‖.
        norm: f64,
    },
    /// The estimate over own·norm; 0 where this is not positive.
    Cosine {
        /// ‖x‖ of each row.
        own: &'a [f32],
        /// ‖y‖.
        norm: f64,
    },
}

kernel! {
    /// out ← scores of dots·scale·factor + (offset + along·products), each step in float64, rounded
    /// to float32 in the end. Without products their addend is left out.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn scores(
        dots: &[f32],
        scale: &[f32],
        products: Option<&[f32]>,
        query: Centered,
        score: Score<'_>,
        out: &mut [f32],
    )
}

/// The factors that float32 sums of bounds can do with. Rows of other factors, but for 0, have no
/// bounds.
pub const USABLE: std::ops::Range<f32> = 1e-30..1e30;

kernel! {
    /// scaled_factor ← alpha·factor and scaled_spread ← alpha·spread; 0 and ∞ where alpha is
    /// neither 0 nor [`USABLE`]. Returns the largest usable alpha.
    ///
    /// # Panics
    /// If the lengths differ, or are not a multiple of 16.
    pub fn scale_columns(
        alpha: &[f32],
        factor: &[f32],
        spread: &[f32],
        scaled_factor: &mut [f32],
        scaled_spread: &mut [f32],
    ) -> f32
}
