//! The rescaling search of extended RaBitQ (arXiv 2409.09913): the point of the grid {½, 3/2, …, M + ½}^d with the largest cosine to |u|.
//!
//! The best grid point is the nearest one to t·|u| for some t > 0: level gᵢ + ½ with gᵢ(t) = min(M, ⌊t·|uᵢ|⌋), the product as float64 rounds
//! it. Raising t past the critical value of (i, k), the least t with ⌊t·|uᵢ|⌋ ≥ k, adds one to gᵢ. With a(t) = Σ |uᵢ|(gᵢ + ½) and n(t) = Σ (gᵢ + ½)²
//! the search maximises a²/n, as float64 rounds it, over all float64 t; equal scores go to the smallest t.
//!
//! **Exact and free of order.** |uᵢ| is taken to the nearest multiple of 2⁻²⁴, so a and n are sums of float64 values with
//! no rounding at all while Σ|uᵢ|·(M + ½) < 2²⁸ (8 bits: d < 2²¹): every order of summation, and every algorithm, finds the same point.
//!
//! **No sort of all critical values.** A step at t raises a by v and n by 2k = 2·t·v. So between t₁ < t₂ the pair (a, n) stays above two lines, n ≥ n₁ + 2t₁(a − a₁)
//! and n ≥ n₂ − 2t₂(a₂ − a); a²/n is convex along a line, so its maximum is at an end or where the lines cross. That
//! bound exceeds the ends by a share (t₂ − t₁)²/4t², the deficit of the ends grows as the square of their distance from the optimum:
//! intervals that widen geometrically away from it are all dropped, and the one or two around it are halved until few critical values are left, which
//! are sorted and swept. The optimum is guessed where a step changes nothing, n/a = t, by two secant steps from where it is for a Gaussian row.
//! At d = 1536 this takes about 20 evaluations of (a, n), 1.8 instructions a coordinate each (the compiler's vector code of the definition, four float64 a
//! register), where a sweep of everything would sort d·M values.

mod scalar;

use super::kernel;

/// Buffers of [`search`], kept from row to row.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    magnitude: Vec<f64>,
    critical: Vec<(f64, f64)>,
    intervals: Vec<(Point, Point)>,
    cuts: Vec<f64>,
}

/// The grid point of a rescaling.
#[derive(Debug, Clone, Copy)]
struct Point {
    t: f64,
    /// Σ v(g + ½).
    a: f64,
    /// Σ (g + ½)².
    n: f64,
    /// Σ g.
    steps: f64,
}

kernel! {
    /// steps\[i\] ← gᵢ of the best grid point for |u|, 0 ≤ gᵢ ≤ `most`.
    ///
    /// # Panics
    /// If a value is NaN or infinite and `most` is not 0, or the lengths differ.
    pub fn search(u: &[f32], most: u16, work: &mut Workspace, steps: &mut [u16])
}
