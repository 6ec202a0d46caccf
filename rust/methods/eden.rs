//! EDEN: rounds each rotated coordinate to the nearest of the 2^b Lloyd–Max levels of N(0, 1). One
//! scale per row then makes the estimates unbiased or the error least.
//!
//! The papers are DRIVE (arXiv 2105.08339), which has 1 bit, EDEN (ICML 2022), which has any number
//! of bits, and a note on both (arXiv 2604.18555).

use super::{LevelMethod, Method, Parameters};
use crate::codebook::{Law, lloyd_max};
use crate::error::Result;
use crate::kernels::quantize::Levels;

/// EDEN at 1 to 8 bits per coordinate.
#[derive(Debug)]
struct Eden {
    levels: Levels,
}

pub(super) fn build(parameters: Parameters) -> Result<Box<dyn Method>> {
    let levels = Levels::new(&lloyd_max(Law::Gaussian, parameters.width())?);
    Ok(Box::new(Eden { levels }))
}

impl LevelMethod for Eden {
    fn levels(&self) -> &Levels {
        &self.levels
    }
}
