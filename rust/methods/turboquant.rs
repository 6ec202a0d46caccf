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

use super::{Method, ScaleRule, Shape, Workspace, scalar_shape, whole_bits};
use crate::codebook::{Law, lloyd_max};
use crate::codes::{Field, Layout, Scalars};
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
pub struct TurboMse {
    levels: Levels,
    layout: Layout,
}

impl TurboMse {
    /// Algorithm 1 for `dim` coordinates at `bits` bits each.
    pub fn new(dim: usize, bits: f64) -> Result<Self> {
        let width = whole_bits("turboquant/mse", bits, 8)?;
        Ok(Self {
            levels: levels(dim, width)?,
            layout: Self::shape(dim, bits)?.layout,
        })
    }

    /// The shape of the codes. It follows from the parameters, so nothing is built.
    pub fn shape(dim: usize, bits: f64) -> Result<Shape> {
        Ok(scalar_shape(
            dim,
            whole_bits("turboquant/mse", bits, 8)?,
            &[],
        ))
    }
}

impl Method for TurboMse {
    fn name(&self) -> &'static str {
        "turboquant/mse"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn scales(&self) -> &'static [ScaleRule] {
        &[]
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

/// Algorithm 2 at 1 to 8 bits per coordinate.
#[derive(Debug)]
pub struct TurboProd {
    dim: usize,
    bits: u32,
    levels: Levels,
    layout: Layout,
    /// G, row-major.
    projection: Vec<f32>,
}

impl TurboProd {
    /// Algorithm 2 for `dim` coordinates at `bits` bits each; `seed` determines G.
    pub fn new(dim: usize, bits: f64, seed: u64) -> Result<Self> {
        let layout = Self::shape(dim, bits)?.layout;
        let bits = whole_bits("turboquant/prod", bits, 8)?;
        let mut stream = SeedStream::new(seed, LABEL_QJL);
        let mut projection = vec![0f32; dim * dim];
        for row in projection.chunks_mut(dim) {
            threads::check();
            row.fill_with(|| stream.gaussian() as f32);
        }
        Ok(Self {
            dim,
            bits,
            levels: levels(dim, bits - 1)?,
            layout,
            projection,
        })
    }

    /// The shape of the codes. It follows from the parameters, so nothing is built.
    pub fn shape(dim: usize, bits: f64) -> Result<Shape> {
        let bits = whole_bits("turboquant/prod", bits, 8)?;
        let field = |width| Field { count: dim, width };
        Ok(Shape {
            layout: Layout::new([field(bits - 1), field(1)]),
            scales: &[],
            block: None,
            scalars: Scalars {
                residual_norm: true,
                ..Scalars::default()
            },
        })
    }

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
    fn name(&self) -> &'static str {
        "turboquant/prod"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn scales(&self) -> &'static [ScaleRule] {
        &[]
    }

    fn has_residual_norm(&self) -> bool {
        true
    }

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
        let (dim, indices) = (self.dim, self.layout.indices());
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
            .chunks_exact(self.layout.indices())
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

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.levels.levels().to_vec(), 1)
    }
}
