//! RaBitQ: replaces the rotated row by the grid point that points most nearly in its direction, the
//! one with the largest cosine to u (arXiv 2405.12497; extended to b bits in arXiv 2409.09913).
//!
//! The grid is {±½, ±3/2, …, ±(2^b − 1)/2}^d. At b = 1 the best point has the signs of u; at more
//! bits [`rescale`] searches for it, and the result is the exact optimum.
//!
//! FROZEN: index k stands for the level k − (2^b − 1)/2.

use super::{LevelMethod, Method, Parameters, Workspace};
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::quantize::Levels;
use crate::kernels::rescale;

/// RaBitQ at 1 to 8 bits per coordinate.
#[derive(Debug)]
struct RaBitQ {
    bits: u32,
    levels: Levels,
}

pub(super) fn build(parameters: Parameters) -> Result<Box<dyn Method>> {
    let bits = parameters.width();
    let middle = 0.5 * ((1u32 << bits) - 1) as f32;
    let levels: Vec<f32> = (0..1u16 << bits).map(|k| f32::from(k) - middle).collect();
    Ok(Box::new(RaBitQ {
        bits,
        levels: Levels::new(&levels),
    }))
}

impl LevelMethod for RaBitQ {
    fn levels(&self) -> &Levels {
        &self.levels
    }

    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]) {
        let half = 1u16 << (self.bits - 1);
        rescale::search(isa, u, half - 1, &mut work.rescale, index);
        for (&value, k) in u.iter().zip(index) {
            *k = if value < 0.0 {
                half - 1 - *k
            } else {
                half + *k
            };
        }
    }
}
