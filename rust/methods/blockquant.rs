//! BlockQuant: the nearest codeword of a block of p coordinates (Block-Sphere Vector Quantization, arXiv 2605.19972).
//!
//! With m = ⌊d/p⌋ blocks, coordinate j of block i is u\[i + j·m\] (after the rotation all coordinates are exchangeable, so the choice is free,
//! and this one makes the blocks of a register neighbours in memory). The codebook has K = 2^w codewords, w = round(b·p).
//!
//! **The tail.** The t = d mod p last coordinates get one index of ⌈t·w/p + ¼⌉ bits and the codebook of (d, t): a smaller block is a worse
//! quantizer at the same rate, and the added quarter of a bit, with the rounding up, makes its error per coordinate no more than the body's.
//! It costs at most one bit and a quarter a row, and for the rates in use no byte.

use std::sync::Arc;

use super::{Method, ScaleRule, Shape, Workspace};
use crate::codebook::{BlockCodebook, block_codebook};
use crate::codes::{Field, Layout};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::asymmetric::{self, ROWS_PER_CALL};
use crate::kernels::nearest::{self, Words};

/// Largest index of a block, in bits.
const MOST_WIDTH: f64 = 16.0;

/// Largest block, and most numbers of a codebook: its construction then takes 1 GiB and minutes at the most.
const MOST_BLOCK: usize = 1 << 16;
const MOST_NUMBERS: usize = 1 << 22;

const SCALES: &[ScaleRule] = &[ScaleRule::Unbiased, ScaleRule::Mse, ScaleRule::None];

/// BlockQuant with blocks of any size.
#[derive(Debug)]
pub struct BlockQuant {
    block: usize,
    blocks: usize,
    body: Part,
    tail: Option<Part>,
    layout: Layout,
}

/// The blocks of one size.
#[derive(Debug)]
struct Part(Arc<BlockCodebook>);

impl Part {
    fn new(dim: usize, block: usize, width: u32) -> Result<Self> {
        let codebook = block_codebook(dim, block, width)?;
        // Made here, so that the first row is encoded as fast as the others.
        codebook.plan();
        Ok(Self(codebook))
    }

    fn assign(&self, isa: Isa, u: &[f32], index: &mut [u16]) {
        nearest::pruned(isa, u, self.0.plan(), index);
    }

    fn words(&self) -> &Words {
        self.0.plan().words()
    }

    fn gather(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        nearest::gather(isa, index, self.words(), c);
    }
}

/// The block size used where the caller names none: of the sizes with 1 ≤ round(b·p) ≤ 8 the one whose rate is closest to b, the
/// largest of equals; at 3 bits p = 4 with 4096 codewords.
pub fn default_block(dim: usize, bits: f64) -> usize {
    if bits == 3.0 && dim >= 4 {
        return 4;
    }
    let off = |p: usize| {
        let width = (bits * p as f64).round();
        if (1.0..=8.0).contains(&width) {
            (width / p as f64 - bits).abs()
        } else {
            f64::INFINITY
        }
    };
    let mut best = 1;
    for p in 2..=dim.min(16) {
        if off(p) <= off(best) && off(p).is_finite() {
            best = p;
        }
    }
    best
}

/// How d coordinates are divided.
struct Division {
    /// p.
    block: usize,
    /// Bits of a block's index.
    width: u32,
    /// t.
    rest: usize,
    /// Bits of the tail's index.
    rest_width: u32,
}

impl Division {
    fn new(dim: usize, bits: f64, block: Option<usize>) -> Result<Self> {
        if !(bits.is_finite() && bits > 0.0) {
            return Err(Error::invalid(format!(
                "bits={bits}, expected a positive number"
            )));
        }
        let block = match block {
            Some(p) if p == 0 || p > dim => {
                return Err(Error::invalid(format!(
                    "block={p}, expected 1 to dim={dim}"
                )));
            }
            Some(p) => p,
            None => default_block(dim, bits),
        };
        let width = (bits * block as f64).round();
        if !(1.0..=MOST_WIDTH).contains(&width) {
            return Err(Error::invalid(format!(
                "bits={bits} with block={block} needs indexes of {width} bits, expected 1 to 16"
            )));
        }
        if block > MOST_BLOCK || block << width as u32 > MOST_NUMBERS {
            return Err(Error::invalid(format!(
                "bits={bits} with block={block} needs 2^{width} codewords of {block} numbers, expected blocks of at most \
                 {MOST_BLOCK} and at most {MOST_NUMBERS} numbers in all"
            )));
        }
        let rest = dim % block;
        let rest_width = (rest as f64 * width / block as f64 + 0.25).ceil();
        Ok(Self {
            block,
            width: width as u32,
            rest,
            rest_width: rest_width.min(MOST_WIDTH) as u32,
        })
    }
}

impl BlockQuant {
    /// BlockQuant for `dim` coordinates at `bits` bits each, in blocks of `block` (or [`default_block`]) coordinates.
    pub fn new(dim: usize, bits: f64, block: Option<usize>) -> Result<Self> {
        let layout = Self::shape(dim, bits, block)?.layout;
        let division = Division::new(dim, bits, block)?;
        let (block, rest) = (division.block, division.rest);
        let body = Part::new(dim, block, division.width)?;
        let tail = match rest {
            0 => None,
            _ => Some(Part::new(dim, rest, division.rest_width)?),
        };
        Ok(Self {
            block,
            blocks: dim / block,
            body,
            tail,
            layout,
        })
    }

    /// What its parameters say of its codes.
    pub fn shape(dim: usize, bits: f64, block: Option<usize>) -> Result<Shape> {
        let division = Division::new(dim, bits, block)?;
        let field = |count, width| Field { count, width };
        let body = field(dim / division.block, division.width);
        let tail = field(usize::from(division.rest > 0), division.rest_width);
        Ok(Shape {
            layout: Layout::new([body, tail]),
            scales: SCALES,
            block: Some(division.block),
            has_residual_norm: false,
        })
    }

    /// p.
    pub fn block(&self) -> usize {
        self.block
    }
}

impl Method for BlockQuant {
    fn name(&self) -> &'static str {
        "blockquant"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn scales(&self) -> &'static [ScaleRule] {
        SCALES
    }

    fn assign(&self, isa: Isa, u: &[f32], _work: &mut Workspace, index: &mut [u16]) {
        let (body, rest) = u.split_at(self.blocks * self.block);
        let (body_index, tail_index) = index.split_at_mut(self.blocks);
        self.body.assign(isa, body, body_index);
        if let Some(tail) = &self.tail {
            tail.assign(isa, rest, tail_index);
        }
    }

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        let (body, rest) = c.split_at_mut(self.blocks * self.block);
        let (body_index, tail_index) = index.split_at(self.blocks);
        self.body.gather(isa, body_index, body);
        if let Some(tail) = &self.tail {
            tail.gather(isa, tail_index, rest);
        }
    }

    /// The blocks one after the other, not coordinate by coordinate: so a block is one copy, and [`asymmetric`] needs none.
    fn expand(&self, isa: Isa, index: &[u16], _gamma: f32, out: &mut [f32]) {
        let (body, rest) = out.split_at_mut(self.blocks * self.block);
        let (body_index, tail_index) = index.split_at(self.blocks);
        asymmetric::concatenate(isa, body_index, self.body.words(), body);
        if let Some(tail) = &self.tail {
            asymmetric::concatenate(isa, tail_index, tail.words(), rest);
        }
    }

    fn prepare(&self, _isa: Isa, _dim: usize, out: &mut [f32]) {
        let body = out[..self.blocks * self.block].to_vec();
        for (j, coordinates) in body.chunks_exact(self.blocks).enumerate() {
            let places = out.iter_mut().skip(j).step_by(self.block);
            places.zip(coordinates).for_each(|(to, &y)| *to = y);
        }
    }

    fn products(
        &self,
        isa: Isa,
        rows: [&[u8]; ROWS_PER_CALL],
        y: &[f32],
        index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        if self.tail.is_some() || !matches!(self.block, 2 | 4 | 8) {
            return None;
        }
        index.resize(ROWS_PER_CALL * self.blocks, 0);
        for (row, index) in rows.into_iter().zip(index.chunks_exact_mut(self.blocks)) {
            self.layout.unpack(isa, row, index);
        }
        let index = std::array::from_fn(|r| &index[r * self.blocks..][..self.blocks]);
        let mut out = [0.0; ROWS_PER_CALL];
        asymmetric::codeword_products(isa, index, self.body.words(), y, &mut out);
        Some(out)
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.body.0.words.clone(), self.block)
    }

    fn tail_codebook(&self) -> Option<(Vec<f32>, usize)> {
        let part = &self.tail.as_ref()?.0;
        Some((part.words.clone(), part.block))
    }
}
