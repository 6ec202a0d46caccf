//! RaBitQ's rescaling: the grid point whose direction is nearest to that of a row.
//!
//! Extended RaBitQ (arXiv 2409.09913) rounds |u| to the grid {½, 3/2, …, M + ½}^d after scaling it
//! by the factor t that makes the rounded point's cosine with |u| largest. This kernel finds that
//! point exactly, without trying all factors.
//!
//! **Mathematics.** The best grid point is the nearest one to t·|u| for some t > 0: coordinate gᵢ +
//! ½ with gᵢ(t) = min(M, ⌊t·|uᵢ|⌋), where the product is as float64 rounds it. gᵢ grows by one
//! where t passes a critical value of (i, k), the smallest t with ⌊t·|uᵢ|⌋ ≥ k. With a(t) = Σ
//! |uᵢ|(gᵢ + ½) and n(t) = Σ (gᵢ + ½)², the search maximizes the score a²/n, as float64 rounds it,
//! over all float64 t; equal scores go to the smallest t.
//!
//! **Exact, in any order.** |uᵢ| is first rounded to a multiple of 2⁻²⁴. Then a and n are sums of
//! float64 values without any rounding as long as Σ|uᵢ|·(M + ½) < 2²⁸ (at 8 bits: d < 2²¹). Every
//! order of summation, and every algorithm, finds the same point.
//!
//! **Pruning of intervals.** A step at t raises a by v = |uᵢ| and n by 2k = 2·t·v. Between t₁ < t₂
//! the pair (a, n) therefore stays above two lines, n ≥ n₁ + 2t₁(a − a₁) and n ≥ n₂ − 2t₂(a₂ − a).
//! The score a²/n is convex along a line, so its maximum is at an end or where the lines cross:
//! this is an upper bound for the interval. It exceeds the scores at the ends by a share of (t₂ −
//! t₁)²/4t², and those fall short of the optimum by the square of their distance from it. Intervals
//! that widen geometrically away from the optimum are all dropped; the one or two around it are
//! halved until few critical values are left, which are sorted and walked.
//!
//! ```text
//! search(u):
//!     t₀ ← the best factor for a Gaussian row; two secant steps towards n/a = t
//!     cut (0, ∞) at t₀ ± δ, t₀ ± 2.5δ, t₀ ± 2.5²δ, …
//!     while intervals are left, take one:
//!         if it has no critical value, or its bound is below the best score:  drop it
//!         else if it has more than 64 critical values:  halve it, evaluate (a, n) there
//!         else:  sort them, walk them, score each distinct one
//!     return g at the best t
//! ```
//!
//! **Cost.** At d = 1536 about 20 evaluations of (a, n), each 1.8 instructions per coordinate in
//! the compiler's vector code of the definition, four float64 per instruction. Bound by these. A
//! walk through everything would sort d·M critical values.

mod scalar;

use super::kernel;

/// Buffers of [`search`], which are reused from row to row.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    magnitude: Vec<f64>,
    critical: Vec<(f64, f64)>,
    intervals: Vec<(Point, Point)>,
    cuts: Vec<f64>,
}

/// The grid point of a factor t, with its sums.
#[derive(Debug, Clone, Copy)]
struct Point {
    t: f64,
    /// Σ v(g + ½), with v = |u|.
    a: f64,
    /// Σ (g + ½)².
    n: f64,
    /// Σ g.
    steps: f64,
}

kernel! {
    /// steps\[i\] ← gᵢ of the best grid point for |u|, from 0 to `max_step`; all 0 for a zero row.
    ///
    /// # Panics
    /// If a value is NaN or infinite and `max_step` is not 0, or if the lengths differ.
    pub fn search(u: &[f32], max_step: u16, work: &mut Workspace, steps: &mut [u16])
}
