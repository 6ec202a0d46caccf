//! The search over scales: the codewords nearest to several multiples of a row, of which those are
//! kept that point most nearly in its direction.
//!
//! A codebook is made for the law of a coordinate, and the coordinates of one row follow this law
//! only roughly: in few dimensions their largest ones are often well inside the codebook, or
//! outside. The scale rule gives c the right length whatever it is. So the codewords of another
//! multiple of u may be better ones, and only encoding takes more time for them. Codes, format and
//! decoding stay as they are.
//!
//! ```text
//! t ← 1, 1 − h, 1 + h, 1 − 2h, 1 + 2h, …        n scales, h = min(0.08, 0.32/(n − 1))
//! for each t, in this order:
//!     y ← t·u,  c ← the nearest codewords of y,  e ← y − c
//!     sin²θ ← (Y·‖e‖² − ⟨y, e⟩²) / (Y·C)         Y = t²d = ‖y‖²,  C = Y − 2⟨y, e⟩ + ‖e‖² = ‖c‖²
//! keep the c of the least sin²θ, of equals the first
//! ```
//!
//! This is the sin²θ of the scale rules, since u and y have one direction. It is computed from e
//! because cos²θ is so close to 1 at many bits that float32 sums do not tell its candidates apart.
//! Where c does not point in the direction of u at all, the row decodes to zeros, and sin²θ counts
//! as 1.
//!
//! **Contract.** sin²θ is at most that of t = 1, up to the rounding of the sums. They have the
//! order of [`reduce::error_sums`], and all else is computed in float64, so the choice is the same
//! on every instruction set.
//!
//! **Cost.** n times the assignment, with a product, a look-up of the codewords and two sums for
//! each. A row is loaded, rotated and packed once.
//!
//! FROZEN: the scales, their order and the choice.

use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::{convert, reduce};
use crate::methods::{Entry, Method, ScaleRule, Workspace};

/// The most scales.
pub const MAX_SCALES: usize = 33;
/// The fewest bits per coordinate at which other scales lower the error noticeably.
const LEAST_BITS: f64 = 3.0;
/// How far the outermost scales are from 1. A longer reach gains more in 64 coordinates and less in
/// many, where the best scales of rows are close to 1.
const REACH: f64 = 0.16;
/// How far neighbors are from each other at most. So three scales have half the reach, which gains
/// little less in 64 coordinates and far more in many.
const STEP: f64 = 0.08;

/// Checks the number of scales. One scale is the same as none given, for every method.
pub(super) fn check(
    entry: &Entry,
    scale: ScaleRule,
    bits: f64,
    count: Option<usize>,
) -> Result<()> {
    let Some(count) = count.filter(|&count| count != 1) else {
        return Ok(());
    };
    if count.is_multiple_of(2) || count > MAX_SCALES {
        return Err(Error::invalid(format!(
            "scale_search={count}, expected an odd number of scales from 3 to {MAX_SCALES}, or 1 \
             for no search"
        )));
    }
    if !entry.has_scale_search {
        return Err(Error::invalid(format!(
            "scale_search is not an option of {}",
            entry.name
        )));
    }
    if bits < LEAST_BITS {
        return Err(Error::invalid(format!(
            "scale_search={count} at bits={bits}, expected at least {LEAST_BITS} bits: with fewer, \
             other scales hardly lower the error"
        )));
    }
    if scale == ScaleRule::None {
        return Err(Error::invalid(format!(
            "scale_search={count} with scale=\"none\", expected another scale rule: without one \
             the nearest codewords are the best ones"
        )));
    }
    Ok(())
}

/// The scales besides 1, in their order.
fn scales(count: usize) -> impl Iterator<Item = f32> {
    let steps = count / 2;
    let step = STEP.min(REACH / steps as f64);
    (1..=steps).flat_map(move |k| {
        let offset = k as f64 * step;
        [(1.0 - offset) as f32, (1.0 + offset) as f32]
    })
}

/// Buffers for the codewords of one more scale.
#[derive(Default)]
pub(super) struct Trial {
    /// A multiple of u.
    y: Vec<f32>,
    /// Its indexes.
    index: Vec<u16>,
    /// Its codewords.
    c: Vec<f32>,
}

/// Replaces `index`, the indexes that the method assigns to u, by those of the best of the scales.
pub(super) fn search(
    isa: Isa,
    method: &dyn Method,
    count: usize,
    u: &[f32],
    index: &mut [u16],
    trial: &mut Trial,
    work: &mut Workspace,
) {
    let Trial { y, index: other, c } = trial;
    y.resize(u.len(), 0.0);
    c.resize(u.len(), 0.0);
    other.resize(index.len(), 0);
    let dim = u.len() as f64;
    method.codewords(isa, index, c);
    let mut least = sine_square(isa, u, dim, c);
    for scale in scales(count) {
        let scale = f64::from(scale);
        convert::scaled(isa, u, scale, y);
        method.assign(isa, y, work, other);
        method.codewords(isa, other, c);
        let found = sine_square(isa, y, scale * scale * dim, c);
        if found < least {
            least = found;
            index.copy_from_slice(other);
        }
    }
}

/// sin²θ of y and c, with Y = ‖y‖²; 1 where the angle is 90° or more.
pub(super) fn sine_square(isa: Isa, y: &[f32], square: f64, c: &[f32]) -> f64 {
    let (along, error) = reduce::error_sums(isa, y, c);
    let (along, error) = (f64::from(along), f64::from(error));
    let norm = square - 2.0 * along + error;
    if along >= square || norm <= 0.0 {
        return 1.0;
    }
    (square * error - along * along) / (square * norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_go_outward_from_1_and_end_at_most_at_the_reach() {
        let all = |count| scales(count).collect::<Vec<_>>();
        assert_eq!(all(3), [0.92, 1.08]);
        assert_eq!(all(5), [0.92, 1.08, 0.84, 1.16]);
        assert_eq!(all(9), [0.96, 1.04, 0.92, 1.08, 0.88, 1.12, 0.84, 1.16]);
        assert_eq!(all(33).len(), 32);
        assert_eq!((all(33)[0], all(33)[31]), (0.99, 1.16));
    }

    #[test]
    fn the_sine_is_that_of_the_angle() {
        let isa = Isa::Scalar;
        let sine = |y: &[f32], c: &[f32]| sine_square(isa, y, reduce::squared_norm(isa, y), c);
        assert_eq!(sine(&[1.0, 0.0], &[2.0, 2.0]), 0.5);
        assert_eq!(sine(&[3.0, 4.0], &[1.5, 2.0]), 0.0);
        assert_eq!(sine(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
        assert_eq!(sine(&[1.0, 0.0], &[-1.0, 0.0]), 1.0);
        assert_eq!(sine(&[1.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(sine(&[0.0, 0.0], &[1.0, 0.0]), 1.0);
    }
}
