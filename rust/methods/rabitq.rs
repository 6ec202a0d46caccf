//! RaBitQ: the grid point with the largest cosine to u (arXiv 2405.12497; extended to b bits, arXiv 2409.09913).
//!
//! The grid is {±½, ±3/2, …, ±(2^b − 1)/2}^d; at b = 1 the optimum is the sign. Index k stands for the level k − (2^b − 1)/2.

use super::{Method, ScaleRule, Shape, Workspace, scalar_shape, whole_bits};
use crate::codes::Layout;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::quantize::{self, Levels};
use crate::kernels::rescale;

const SCALES: &[ScaleRule] = &[ScaleRule::Unbiased, ScaleRule::Mse];

/// RaBitQ at 1 to 8 bits a coordinate, the exact optimum.
#[derive(Debug)]
pub struct RaBitQ {
    bits: u32,
    levels: Levels,
    layout: Layout,
}

impl RaBitQ {
    /// RaBitQ for `dim` coordinates of `bits` bits.
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

    /// What its parameters say of its codes.
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
