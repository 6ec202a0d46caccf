//! TurboQuant: rounds each rotated coordinate to the nearest Lloyd–Max level of its exact law
//! (arXiv 2504.19874). A second variant adds one bit per coordinate, which makes inner products
//! unbiased.
//!
//! **`mse`** (Algorithm 1): b bits choose the level, and S = 1. It is EDEN without a scale rule and
//! with the law of the sphere in place of its Gaussian limit.
//!
//! **`prod`** (Algorithm 2): b − 1 bits of Algorithm 1, then one bit per coordinate of the residual
//! r = u − c by QJL, a quantized Johnson–Lindenstrauss transform. With γ = ‖r‖, a seeded d × d
//! Gaussian matrix G and q = sign(G r), the decoded coordinates are
//!
//! ```text
//! û = c + √(π/2)/d · γ · Gᵀ q
//! ```
//!
//! γ is stored as a second scalar per row. An inner product does not need Gᵀ q, because
//! ⟨Gᵀ q, y⟩ = ⟨q, G y⟩: a query y is multiplied by G once.
//!
//! FROZEN: the draws of G, row by row; the bit 1 means the sign +1.

use super::{Blueprint, LevelMethod, Method, Parameters, Workspace};
use crate::codebook::{Law, lloyd_max};
use crate::codes::Field;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::quantize::{self, Levels};
use crate::kernels::{dense, reduce};
use crate::rng::SeedStream;
use crate::threads;

const LABEL_QJL: u64 = 3;

/// The levels of Algorithm 1. With 0 bits the only level is 0.
fn levels(dim: usize, bits: u32) -> Result<Levels> {
    Ok(match bits {
        0 => Levels::new(&[0.0]),
        _ => Levels::new(&lloyd_max(Law::Sphere { dim }, bits)?),
    })
}

/// Algorithm 1 at 1 to 8 bits per coordinate.
#[derive(Debug)]
struct TurboMse {
    levels: Levels,
}

pub(super) fn build_mse(parameters: Parameters) -> Result<Box<dyn Method>> {
    let levels = levels(parameters.dim, parameters.width())?;
    Ok(Box::new(TurboMse { levels }))
}

impl LevelMethod for TurboMse {
    fn levels(&self) -> &Levels {
        &self.levels
    }
}

/// Algorithm 2 at 1 to 8 bits per coordinate.
#[derive(Debug)]
struct TurboProd {
    dim: usize,
    bits: u32,
    /// Indexes per row.
    indices: usize,
    levels: Levels,
    /// G, row-major.
    projection: Vec<f32>,
}

/// The indexes of b − 1 bits, then the signs.
pub(super) fn prod_layout(parameters: Parameters) -> Result<Blueprint> {
    let (count, bits) = (parameters.dim, parameters.width());
    let field = |width| Field { count, width };
    Ok(Blueprint::new([field(bits - 1), field(1)]))
}

/// The seed determines G.
pub(super) fn build_prod(parameters: Parameters) -> Result<Box<dyn Method>> {
    let Parameters { dim, seed, .. } = parameters;
    let bits = parameters.width();
    let mut stream = SeedStream::new(seed, LABEL_QJL);
    let mut projection = vec![0f32; dim * dim];
    for row in projection.chunks_mut(dim) {
        threads::check();
        row.fill_with(|| stream.gaussian() as f32);
    }
    Ok(Box::new(TurboProd {
        dim,
        bits,
        indices: prod_layout(parameters)?.layout.indices(),
        levels: levels(dim, bits - 1)?,
        projection,
    }))
}

impl TurboProd {
    /// The indexes of the levels (there are none at 1 bit) and the bits of the signs.
    fn split<'a>(&self, index: &'a [u16]) -> (&'a [u16], &'a [u16]) {
        index.split_at(index.len() - self.dim)
    }

    /// The factor √(π/2)/d of the residual.
    fn weight(&self) -> f32 {
        (std::f64::consts::FRAC_PI_2.sqrt() / self.dim as f64) as f32
    }
}

/// The sign that a bit means.
fn sign(bit: u16) -> f32 {
    if bit == 1 { 1.0 } else { -1.0 }
}

impl Method for TurboProd {
    fn assign(&self, isa: Isa, u: &[f32], _work: &mut Workspace, index: &mut [u16]) {
        if self.bits > 1 {
            quantize::quantize(isa, u, &self.levels, &mut index[..u.len()]);
        }
    }

    fn assign_residual(
        &self,
        isa: Isa,
        u: &mut [f32],
        work: &mut Workspace,
        index: &mut [u16],
        gamma: &mut [f32],
    ) {
        let (dim, indices) = (self.dim, self.indices);
        work.vectors.resize(u.len(), 0.0);
        for ((r, c), index) in u
            .chunks_exact_mut(dim)
            .zip(work.vectors.chunks_exact_mut(dim))
            .zip(index.chunks_exact(indices))
        {
            self.codewords(isa, index, c);
            for (r, c) in r.iter_mut().zip(c) {
                *r -= *c;
            }
        }
        for (gamma, r) in gamma.iter_mut().zip(u.chunks_exact(dim)) {
            *gamma = reduce::squared_norm(isa, r).sqrt() as f32;
        }
        dense::products(isa, &self.projection, dim, u, &mut work.vectors);
        for (index, values) in index
            .chunks_exact_mut(indices)
            .zip(work.vectors.chunks_exact(dim))
        {
            for (slot, &value) in index[indices - dim..].iter_mut().zip(values) {
                *slot = u16::from(value >= 0.0);
            }
        }
    }

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        let (body, _) = self.split(index);
        if self.bits > 1 {
            quantize::dequantize(isa, body, &self.levels, c);
        } else {
            c.fill(0.0);
        }
    }

    fn add_residual(
        &self,
        isa: Isa,
        index: &[u16],
        gamma: &[f32],
        work: &mut Workspace,
        c: &mut [f32],
    ) {
        let dim = self.dim;
        let signs = index
            .chunks_exact(self.indices)
            .flat_map(|index| self.split(index).1)
            .map(|&bit| sign(bit));
        work.vectors.clear();
        work.vectors.extend(signs);
        work.vectors.resize(2 * c.len(), 0.0);
        let (signs, back) = work.vectors.split_at_mut(c.len());
        dense::transposed_products(isa, &self.projection, dim, signs, back);
        for ((c, back), gamma) in c
            .chunks_exact_mut(dim)
            .zip(back.chunks_exact(dim))
            .zip(gamma)
        {
            let weight = self.weight() * gamma;
            for (value, r) in c.iter_mut().zip(back) {
                *value += weight * r;
            }
        }
    }

    fn expanded_len(&self, dim: usize) -> usize {
        2 * dim
    }

    fn expand(&self, isa: Isa, index: &[u16], gamma: f32, out: &mut [f32]) {
        let (c, q) = out.split_at_mut(out.len() / 2);
        self.codewords(isa, index, c);
        let (_, signs) = self.split(index);
        for (value, &bit) in q.iter_mut().zip(signs) {
            *value = gamma * sign(bit);
        }
    }

    fn prepare(&self, isa: Isa, dim: usize, out: &mut [f32]) {
        let (y, projected) = out.split_at_mut(dim);
        dense::products(isa, &self.projection, dim, y, projected);
        for value in projected {
            *value *= self.weight();
        }
    }

    fn collapse(&self, isa: Isa, sum: &[f32], out: &mut [f32]) {
        let (c, q) = sum.split_at(self.dim);
        dense::transposed_products(isa, &self.projection, self.dim, q, out);
        for (value, c) in out.iter_mut().zip(c) {
            *value = self.weight().mul_add(*value, *c);
        }
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.levels.levels().to_vec(), 1)
    }
}
