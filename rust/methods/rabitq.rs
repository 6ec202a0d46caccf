//! RaBitQ: replaces the rotated row by the grid point that points most nearly in its direction, the
//! one with the largest cosine to u (arXiv 2405.12497; extended to b bits in arXiv 2409.09913).
//!
//! The grid is {±½, ±3/2, …, ±(2^b − 1)/2}^d. At b = 1 the best point has the signs of u; at more
//! bits [`rescale`] searches for it, and the result is the exact optimum.
//!
//! FROZEN: index k stands for the level k − (2^b − 1)/2.

use super::{Method, ScaleRule, Shape, Workspace, scalar_shape, whole_bits};
use crate::codes::Layout;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::quantize::{self, Levels};
use crate::kernels::rescale;

const SCALES: &[ScaleRule] = &[ScaleRule::Unbiased, ScaleRule::Mse];

/// RaBitQ at 1 to 8 bits per coordinate.
#[derive(Debug)]
pub struct RaBitQ {
    bits: u32,
    levels: Levels,
    layout: Layout,
}

impl RaBitQ {
    /// RaBitQ for `dim` coordinates at `bits` bits each.
    pub fn new(dim: usize, bits: f64) -> Result<Self> {
        let layout = Self::shape(dim, bits)?.layout;
        let bits = whole_bits("rabitq", bits, 8)?;
        let middle = 0.5 * ((1u32 << bits) - 1) as f32;
        let levels: Vec<f32> = (0..1u16 << bits).map(|k| f32::from(k) - middle).collect();
        Ok(Self {
            bits,
            levels: Levels::new(&levels),
            layout,
        })
    }

    /// The shape of the codes. It follows from the parameters, so nothing is built.
    pub fn shape(dim: usize, bits: f64) -> Result<Shape> {
        Ok(scalar_shape(dim, whole_bits("rabitq", bits, 8)?, SCALES))
    }
}

impl Method for RaBitQ {
    fn name(&self) -> &'static str {
        "rabitq"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn scales(&self) -> &'static [ScaleRule] {
        SCALES
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

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        quantize::dequantize(isa, index, &self.levels, c);
    }

    fn levels(&self) -> Option<&Levels> {
        Some(&self.levels)
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.levels.levels().to_vec(), 1)
    }
}
