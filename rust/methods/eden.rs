//! EDEN: rounds each rotated coordinate to the nearest of the 2^b Lloyd–Max levels of N(0, 1). One
//! scale per row then makes the estimates unbiased or the error least.
//!
//! The papers are DRIVE (arXiv 2105.08339), which has 1 bit, EDEN (ICML 2022), which has any number
//! of bits, and a note on both (arXiv 2604.18555).

use super::{Method, ScaleRule, Shape, Workspace, scalar_shape, whole_bits};
use crate::codebook::{Law, lloyd_max};
use crate::codes::Layout;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::quantize::{self, Levels};

const SCALES: &[ScaleRule] = &[ScaleRule::Unbiased, ScaleRule::Mse];

/// EDEN at 1 to 8 bits per coordinate.
#[derive(Debug)]
pub struct Eden {
    levels: Levels,
    layout: Layout,
}

impl Eden {
    /// EDEN for `dim` coordinates at `bits` bits each.
    pub fn new(dim: usize, bits: f64) -> Result<Self> {
        let width = whole_bits("eden", bits, 8)?;
        Ok(Self {
            levels: Levels::new(&lloyd_max(Law::Gaussian, width)?),
            layout: Self::shape(dim, bits)?.layout,
        })
    }

    /// The shape of the codes. It follows from the parameters, so nothing is built.
    pub fn shape(dim: usize, bits: f64) -> Result<Shape> {
        Ok(scalar_shape(dim, whole_bits("eden", bits, 8)?, SCALES))
    }
}

impl Method for Eden {
    fn name(&self) -> &'static str {
        "eden"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn scales(&self) -> &'static [ScaleRule] {
        SCALES
    }

    fn assign(&self, isa: Isa, u: &[f32], _work: &mut Workspace, index: &mut [u16]) {
        quantize::quantize(isa, u, &self.levels, index);
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
