//! TurboQuant (arXiv 2504.19874).
//!
//! **`mse`** (Algorithm 1): the nearest Lloyd–Max level of the exact law of a coordinate, with S = 1. It is EDEN without a scale rule and
//! with the law of the sphere in place of its Gaussian limit.
//!
//! **`prod`** (Algorithm 2): b − 1 bits of Algorithm 1, then one bit a coordinate of the residual r = u − c by QJL: with γ = ‖r‖, G a seeded
//! d × d Gaussian matrix and q = sign(G r), û = c + √(π/2)/d · γ · Gᵀ q. Stores γ as a second scalar. An inner product needs no Gᵀq:
//! ⟨Gᵀq, y⟩ = ⟨q, G y⟩, so a query is multiplied by G once.

use super::{Method, ScaleRule, Workspace, whole_bits};
use crate::codebook::{Law, lloyd_max};
use crate::codes::{Field, Layout};
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::level::{self, Levels};
use crate::kernels::{dense, reduce};
use crate::rng::SeedStream;

const LABEL_QJL: u64 = 3;

/// The levels of Algorithm 1; with no bits, c = 0.
fn levels(dim: usize, bits: u32) -> Result<Levels> {
    Ok(match bits {
        0 => Levels::new(&[0.0]),
        _ => Levels::new(&lloyd_max(Law::Sphere { dim }, bits)?),
    })
}

/// Algorithm 1, 1 to 8 bits a coordinate.
#[derive(Debug)]
pub struct TurboMse {
    levels: Levels,
    layout: Layout,
}

impl TurboMse {
    /// Algorithm 1 for `dim` coordinates of `bits` bits.
    pub fn new(dim: usize, bits: f64) -> Result<Self> {
        let width = whole_bits("turboquant/mse", bits, 8)?;
        Ok(Self {
            levels: levels(dim, width)?,
            layout: Layout::new([Field { count: dim, width }]),
        })
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

    fn assign(&self, isa: Isa, u: &[f32], _work: &mut Workspace, index: &mut [u16]) -> f32 {
        level::nearest(isa, u, &self.levels, index);
        0.0
    }

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        level::look_up(isa, index, &self.levels, c);
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.levels.levels().to_vec(), 1)
    }
}

/// Algorithm 2, 1 to 8 bits a coordinate.
#[derive(Debug)]
pub struct TurboProd {
    bits: u32,
    levels: Levels,
    layout: Layout,
    projection: Vec<f32>,
}

impl TurboProd {
    /// Algorithm 2 for `dim` coordinates of `bits` bits; `seed` fixes G.
    pub fn new(dim: usize, bits: f64, seed: u64) -> Result<Self> {
        let bits = whole_bits("turboquant/prod", bits, 8)?;
        let mut stream = SeedStream::new(seed, LABEL_QJL);
        Ok(Self {
            bits,
            levels: levels(dim, bits - 1)?,
            layout: Layout::new([
                Field {
                    count: dim,
                    width: bits - 1,
                },
                Field {
                    count: dim,
                    width: 1,
                },
            ]),
            projection: (0..dim * dim).map(|_| stream.gaussian() as f32).collect(),
        })
    }

    /// The level indexes (none at 1 bit) and the signs.
    fn split<'a>(&self, dim: usize, index: &'a [u16]) -> (&'a [u16], &'a [u16]) {
        index.split_at(if self.bits > 1 { dim } else { 0 })
    }

    fn weight(dim: usize) -> f32 {
        (std::f64::consts::FRAC_PI_2.sqrt() / dim as f64) as f32
    }
}

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

    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]) -> f32 {
        let dim = u.len();
        let (body, signs) = index.split_at_mut(if self.bits > 1 { dim } else { 0 });
        let mut residual = u.to_vec();
        if self.bits > 1 {
            level::nearest(isa, u, &self.levels, body);
            work.vector.resize(dim, 0.0);
            level::look_up(isa, body, &self.levels, &mut work.vector);
            for (r, c) in residual.iter_mut().zip(&work.vector) {
                *r -= c;
            }
        }
        work.vector.resize(dim, 0.0);
        dense::product(isa, &self.projection, &residual, &mut work.vector);
        for (slot, &value) in signs.iter_mut().zip(&work.vector) {
            *slot = u16::from(value >= 0.0);
        }
        reduce::squared_norm(isa, &residual).sqrt() as f32
    }

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        let (body, _) = self.split(c.len(), index);
        if self.bits > 1 {
            level::look_up(isa, body, &self.levels, c);
        } else {
            c.fill(0.0);
        }
    }

    fn add_residual(&self, isa: Isa, index: &[u16], gamma: f32, c: &mut [f32]) {
        let dim = c.len();
        let (_, signs) = self.split(dim, index);
        let signs: Vec<f32> = signs.iter().map(|&bit| sign(bit)).collect();
        let mut back = vec![0.0; dim];
        dense::transposed_product(isa, &self.projection, &signs, &mut back);
        let weight = Self::weight(dim) * gamma;
        for (value, r) in c.iter_mut().zip(&back) {
            *value += weight * r;
        }
    }

    fn expanded_len(&self, dim: usize) -> usize {
        2 * dim
    }

    fn expand(&self, isa: Isa, index: &[u16], gamma: f32, out: &mut [f32]) {
        let (c, q) = out.split_at_mut(out.len() / 2);
        self.codewords(isa, index, c);
        let (_, signs) = self.split(c.len(), index);
        for (value, &bit) in q.iter_mut().zip(signs) {
            *value = gamma * sign(bit);
        }
    }

    fn prepare(&self, isa: Isa, dim: usize, out: &mut [f32]) {
        let (y, projected) = out.split_at_mut(dim);
        dense::product(isa, &self.projection, y, projected);
        for value in projected {
            *value *= Self::weight(dim);
        }
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.levels.levels().to_vec(), 1)
    }
}
