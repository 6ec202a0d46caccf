//! RaBitQ: the grid point with the largest cosine to u (arXiv 2405.12497; extended to b bits, arXiv 2409.09913).
//!
//! The grid is {±½, ±3/2, …, ±(2^b − 1)/2}^d; at b = 1 the optimum is the sign. Index k stands for the level k − (2^b − 1)/2.

use super::{Method, ScaleRule, Shape, Workspace, scalar_shape, whole_bits};
use crate::codes::Layout;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::rescale;

const SCALES: &[ScaleRule] = &[ScaleRule::Unbiased, ScaleRule::Mse];

/// RaBitQ at 1 to 8 bits a coordinate, the exact optimum.
#[derive(Debug)]
pub struct RaBitQ {
    bits: u32,
    layout: Layout,
}

impl RaBitQ {
    /// RaBitQ for `dim` coordinates of `bits` bits.
    pub fn new(dim: usize, bits: f64) -> Result<Self> {
        Ok(Self {
            bits: whole_bits("rabitq", bits, 8)?,
            layout: Self::shape(dim, bits)?.layout,
        })
    }

    /// What its parameters say of its codes.
    pub fn shape(dim: usize, bits: f64) -> Result<Shape> {
        Ok(scalar_shape(dim, whole_bits("rabitq", bits, 8)?, SCALES))
    }

    fn level(&self, index: u16) -> f32 {
        f32::from(index) - 0.5 * ((1u32 << self.bits) - 1) as f32
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

    fn codewords(&self, _isa: Isa, index: &[u16], c: &mut [f32]) {
        for (value, &k) in c.iter_mut().zip(index) {
            *value = self.level(k);
        }
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        ((0..1u16 << self.bits).map(|k| self.level(k)).collect(), 1)
    }
}
