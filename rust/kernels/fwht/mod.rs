//! The fast Walsh–Hadamard transform of one window, with random signs: one step of a rotation.
//!
//! A rotation mixes the coordinates of a row so that each one has about the same distribution. This
//! kernel does that for a power-of-two window of the row in n·log₂ n additions, in place.
//!
//! **Mathematics.** [`forward`] is x ← H D x and [`backward`] is x ← D H x. H is the Sylvester
//! matrix of ±1, and D is diagonal: the caller's signs times 1/√n, so that signs and norm cost one
//! product per coordinate. H is applied as butterflies (a, b) → (a + b, a − b) at strides 1, 2, 4,
//! …, n/2, in this order, which is part of the definition. The old x can be read from runs of eight
//! coordinates elsewhere ([`Runs`]): this is the rotation's shuffle, free in the first pass.
//!
//! ```text
//! forward(x, D):
//!     for each block of 64 coordinates, in 8 vectors v[0..8]:           first pass
//!         v[i] ← D · (x or the runs that go there)
//!         strides 1, 2, 4:     v[i] ← fma(v[i], ±1, shuffle_xor{1,2,4}(v[i]))   exact
//!         strides 8, 16, 32:   butterflies between vectors
//!         store v
//!     for strides 64·8^k, three strides per pass:                       later passes
//!         for each column of 8 vectors at this stride:
//!             load, butterflies between vectors, store
//! ```
//!
//! **Cost.** The log₂ n additions per coordinate are unavoidable; the loads and stores are not,
//! which is why a pass takes as many strides as eight registers allow. n = 512 is two passes: 112
//! vector operations per block of 64 and 40 per column of eight vectors, together 2.4 per
//! coordinate; callgrind counts 3.0 instructions per coordinate. Bound by the floating-point units,
//! not by memory, since a window stays in the first-level cache: leaving out a quarter of the
//! instructions that were not vector operations gained 3 %.
//!
//! AVX-512 has sixteen vectors of sixteen coordinates in registers: windows of 128 and of 256
//! coordinates are one pass, and in longer ones every second block of 256 adds the stride of 256 to
//! the first pass. It takes 0.75 to 0.83 times as long: a stride within a vector takes a shuffle
//! and a multiply-add, and the units for these are fewer for registers of 512 bits.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod vector;

use super::vector_kernel;

/// Coordinates of a run: a rotation's shuffle moves them together.
pub const RUN: usize = 8;

/// Runs to read in place of the window: run i of the window is run `order[i]` of `values`.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    /// Coordinates, in runs of [`RUN`]; a last run that is not whole is never read.
    pub values: &'a [f32],
    /// For each run of the window, the number of the run of `values` that goes there.
    pub order: &'a [u32],
}

vector_kernel! {
    /// x ← H D x, with `factors` on the diagonal of D; reads the old x from `runs`, if there are
    /// any.
    ///
    /// # Panics
    /// If the length of x is not a power of two or not that of `factors`, if `runs` do not have
    /// that length, or if `order` names a run that `values` does not have.
    pub fn forward(runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]); avx512
}

vector_kernel! {
    /// x ← D H x, with the arguments of [`forward`].
    ///
    /// # Panics
    /// Under the conditions of [`forward`].
    pub fn backward(runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]); avx512
}

/// Checks the lengths.
fn check(runs: Option<Runs<'_>>, factors: &[f32], x: &[f32]) {
    let n = x.len();
    assert!(
        n.is_power_of_two(),
        "a window of {n} values, expected a power of two"
    );
    assert_eq!(factors.len(), n, "one factor per coordinate");
    if let Some(runs) = runs {
        assert_eq!(runs.order.len() * RUN, n, "runs of a window");
    }
}
