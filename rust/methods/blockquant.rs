//! BlockQuant: cuts the rotated row into blocks of p coordinates and replaces each block by the
//! nearest word of a codebook (Block-Sphere Vector Quantization, arXiv 2605.19972).
//!
//! A code is one index per block. A codebook of K = 2^w words has indexes of w bits, and b bits per
//! coordinate give w = round(b·p).
//!
//! With m = ⌊d/p⌋ blocks, coordinate j of block i is u\[i + j·m\]. After the rotation all
//! coordinates are exchangeable, so the choice is free. This one makes the blocks of a vector
//! register neighbours in memory.
//!
//! **The tail.** The last p′ = d mod p coordinates get one index of ⌈p′·w/p + ¼⌉ bits and the
//! codebook of (d, p′). A smaller block is a worse quantizer at the same rate. The added quarter of
//! a bit and the rounding up make its error per coordinate no larger than that of the other blocks.
//! They cost at most a bit and a quarter per row, and no byte for the rates in use.
//!
//! FROZEN: the place of each coordinate, the bits of the tail and the order of the fields.

use std::sync::Arc;

use super::{Blueprint, Method, Parameters, Workspace};
use crate::codebook::{BlockCodebook, block_codebook};
use crate::codes::{Field, Layout};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::asymmetric::{self, ROWS_PER_CALL};
use crate::kernels::nearest::{self, Words};

/// The most bits per index.
const MOST_WIDTH: f64 = 16.0;

/// The most coordinates per block.
const MOST_BLOCK: usize = 1 << 16;
/// The most numbers in a codebook, K·p. Within these limits its construction takes at most 1 GiB of
/// memory and some minutes.
const MOST_NUMBERS: usize = 1 << 22;

/// BlockQuant with blocks of any size.
#[derive(Debug)]
struct BlockQuant {
    block: usize,
    blocks: usize,
    body: Part,
    tail: Option<Part>,
}

/// The codebook of all blocks of one size.
#[derive(Debug)]
struct Part(Arc<BlockCodebook>);

impl Part {
    fn new(dim: usize, block: usize, width: u32) -> Result<Self> {
        let codebook = block_codebook(dim, block, width)?;
        // The grid is made here, so that the first row is encoded as fast as the others.
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

/// The block size p for callers who do not choose one. Among the sizes up to 16 with
/// 1 ≤ round(b·p) ≤ 8 it is the one whose rate is closest to b, and the largest of several equally
/// close ones. At 3 bits it is p = 4 with 4,096 codewords.
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

/// How d coordinates are divided into blocks and a tail.
struct Division {
    /// p.
    block: usize,
    /// w, the bits per index.
    width: u32,
    /// p′, the coordinates of the tail.
    rest: usize,
    /// The bits of the tail's index.
    rest_width: u32,
}

impl Division {
    fn new(parameters: Parameters) -> Result<Self> {
        let Parameters {
            dim, bits, block, ..
        } = parameters;
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
                "bits={bits} with block={block} needs 2^{width} codewords of {block} numbers, \
                 expected blocks of at most {MOST_BLOCK} and at most {MOST_NUMBERS} numbers in all"
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

/// The fields of the blocks and of the tail, and the block size. Codebooks are not built.
pub(super) fn layout(parameters: Parameters) -> Result<Blueprint> {
    let division = Division::new(parameters)?;
    let field = |count, width| Field { count, width };
    let body = field(parameters.dim / division.block, division.width);
    let tail = field(usize::from(division.rest > 0), division.rest_width);
    Ok(Blueprint {
        block: Some(division.block),
        ..Blueprint::new([body, tail])
    })
}

/// BlockQuant in blocks of the size that is asked for, or of [`default_block`].
pub(super) fn build(parameters: Parameters) -> Result<Box<dyn Method>> {
    let dim = parameters.dim;
    let division = Division::new(parameters)?;
    let (block, rest) = (division.block, division.rest);
    let body = Part::new(dim, block, division.width)?;
    let tail = match rest {
        0 => None,
        _ => Some(Part::new(dim, rest, division.rest_width)?),
    };
    Ok(Box::new(BlockQuant {
        block,
        blocks: dim / block,
        body,
        tail,
    }))
}

impl Method for BlockQuant {
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

    /// The blocks are put one after the other, not coordinate by coordinate. So a block is one
    /// copy, and the products of packed codes in [`asymmetric`] need no copy at all.
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

    fn collapse(&self, _isa: Isa, sum: &[f32], out: &mut [f32]) {
        let (body, rest) = sum.split_at(self.blocks * self.block);
        let (out, out_rest) = out.split_at_mut(body.len());
        for (j, coordinates) in out.chunks_exact_mut(self.blocks).enumerate() {
            let places = body.iter().skip(j).step_by(self.block);
            coordinates
                .iter_mut()
                .zip(places)
                .for_each(|(to, &c)| *to = c);
        }
        out_rest.copy_from_slice(rest);
    }

    fn products(
        &self,
        isa: Isa,
        layout: &Layout,
        rows: [&[u8]; ROWS_PER_CALL],
        y: &[f32],
        index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        if self.tail.is_some() || !matches!(self.block, 2 | 4 | 8) {
            return None;
        }
        index.resize(ROWS_PER_CALL * self.blocks, 0);
        for (row, index) in rows.into_iter().zip(index.chunks_exact_mut(self.blocks)) {
            layout.unpack(isa, row, index);
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
