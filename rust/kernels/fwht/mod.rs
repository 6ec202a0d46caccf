//! One window of a rotation: the Walsh–Hadamard transform of a power-of-two piece with its signs, x ← H D x or x ← D H x.
//!
//! H is the ±1 Sylvester matrix: butterflies (a, b) → (a + b, a − b) at strides 1, 2, 4, …, n/2 in that order. D is diagonal: the caller's
//! signs times 1/√n, so one product a coordinate is all that signs and norm cost. The order of strides is part of the definition. The runs of
//! eight that `forward` and `backward` can read from elsewhere are the rotation's shuffle, free of charge in the first pass.
//!
//! **Vector body.** log₂ n additions a coordinate are unavoidable; loads and stores are not. The first pass takes 64 coordinates in eight
//! registers through six strides: 1, 2, 4 within a register (a permutation and a fused multiply-add by ±1, exact), then 8, 16, 32 between registers; each
//! further pass takes three more strides in eight registers. n = 512 is two passes: 112 vector operations a 64-block and 40 a column of eight
//! registers, 2.4 a coordinate; callgrind counts 3.0 instructions. Bound by the floating-point units, not by memory: a window stays in L1, and leaving out a
//! quarter of the instructions that were not vector operations gained 3 %.

mod scalar;
mod vector;

use super::vector_kernel;

/// Coordinates that move together when a rotation shuffles.
pub const RUN: usize = 8;

/// Runs read from elsewhere: run i is run `order[i]` of `values`.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    /// Coordinates, whole runs of [`RUN`] (a rest is not read).
    pub values: &'a [f32],
    /// For each run of the window the run of `values` that goes there.
    pub order: &'a [u32],
}

vector_kernel! {
    /// x ← H D x, where the old x is read from `runs` if there are any; D has `factors` on its diagonal.
    ///
    /// # Panics
    /// If the length is not a power of two or the lengths differ, or with `runs` of another number or out of range.
    pub fn forward(runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32])
}

vector_kernel! {
    /// x ← D H x, as [`forward`].
    ///
    /// # Panics
    /// As [`forward`].
    pub fn backward(runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32])
}

fn check(runs: Option<Runs<'_>>, factors: &[f32], x: &[f32]) {
    let n = x.len();
    assert!(
        n.is_power_of_two(),
        "a window of {n} values, expected a power of two"
    );
    assert_eq!(factors.len(), n, "one factor a coordinate");
    if let Some(runs) = runs {
        assert_eq!(runs.order.len() * RUN, n, "runs of a window");
    }
}
