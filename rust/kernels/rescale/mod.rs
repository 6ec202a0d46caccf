//! The rescaling search of extended RaBitQ (arXiv 2409.09913): the point of the grid {½, 3/2, …, M + ½}^d with the largest cosine to |u|.
//!
//! The best grid point is the nearest one to t·|u| for some t > 0, that is gᵢ(t) + ½ with gᵢ(t) = min(M, the number of k ≥ 1 with
//! k/|uᵢ| ≤ t): raising t past a critical value k/|uᵢ| adds one to gᵢ. With a(t) = Σ |uᵢ|(gᵢ + ½) and n(t) = Σ (gᵢ + ½)²,
//! the search maximises a²/n over all t; equal scores go to the smallest t.
//!
//! **Exact and free of order.** |uᵢ| is taken to the nearest multiple of 2⁻²⁴, so a and n are sums of float64 values with
//! no rounding at all: every order of summation, and every algorithm, finds the same point.
//!
//! **No sort of all critical values.** Between t₁ < t₂ each step raises a by v and n by 2k = 2·t·v ≥ 2·t₁·v, so
//! a²/n on the interval is at most the larger of its value at t₁ and a₂²/(n₁ + 2·t₁·(a₂ − a₁)) (quasi-convex in a, so the ends decide).
//! The gap of that bound is of second order in the interval's width. Intervals whose bound is below the best value seen are
//! dropped, others halved until few critical values are left in them, and only those are sorted and swept: some ten to thirty passes
//! over the row in place of a sort of d·M values.

mod scalar;

use super::kernel;

/// Buffers of [`search`], kept from row to row.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    magnitude: Vec<f64>,
    low: Vec<u16>,
    high: Vec<u16>,
    critical: Vec<(f64, u32)>,
    intervals: Vec<(f64, f64)>,
}

kernel! {
    /// steps\[i\] ← gᵢ of the best grid point for |u|, 0 ≤ gᵢ ≤ `most`.
    pub fn search(u: &[f32], most: u16, work: &mut Workspace, steps: &mut [u16])
}
