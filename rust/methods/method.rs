//! What a method is: the middle step of the pipeline.
//!
//! It assigns indexes to rotated rows, turns indexes into codewords, and multiplies codewords with
//! queries that are not quantized.

use std::fmt::Debug;

use crate::codes::Layout;
use crate::isa::Isa;
use crate::kernels::asymmetric::{self, MAX_LEVEL_BITS, ROWS_PER_CALL};
use crate::kernels::quantize::{self, Levels};
use crate::kernels::rescale;
use crate::kernels::trellis::{self, Code};

/// Buffers of [`Method::assign`], kept from row to row.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    /// Buffers of the search for the best rescaling.
    pub rescale: rescale::Workspace,
    /// Vectors of d values.
    pub vectors: Vec<f32>,
    /// Buffers of the search for a path.
    pub path: trellis::Workspace,
    /// Packed bytes of a few rows.
    pub bytes: Vec<u8>,
}

/// How a packed row names its codewords.
#[derive(Debug, Clone, Copy)]
pub enum RowsOf<'a> {
    /// By the indexes of its fields: those of the first field are of the codebook, and those of the
    /// second one of the codebook of the tail. A vector that γ belongs to may follow.
    Indexes,
    /// As a path through the trellis of this code. Its indexes name nothing one by one.
    Path(&'a Code),
}

/// The middle step of the pipeline.
///
/// **Assign**: u to indexes ([`assign`](Method::assign)), and for a method that quantizes its own
/// residual, residuals to indexes and γ.
///
/// **Decode**: indexes to the codeword vector c, plus the part that γ belongs to.
///
/// **Asymmetric inner products**: the query is not quantized. With û the codeword vector including
/// the part that γ belongs to,
///
/// ```text
/// ⟨û, y⟩ = ⟨expand(index, γ), prepare(y)⟩
/// ```
pub trait Method: Debug + Send + Sync {
    // Assign.

    /// The rows that [`Method::assign`] takes together at most.
    fn rows(&self) -> usize {
        1
    }

    /// Chooses the indexes for u: for one row or, one after the other, for up to
    /// [`Method::rows`].
    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]);

    /// Chooses the indexes of the residuals of several rows, after [`Method::assign`] of each row,
    /// and writes their γ. Changes u.
    fn assign_residual(
        &self,
        _isa: Isa,
        _u: &mut [f32],
        _work: &mut Workspace,
        _index: &mut [u16],
        _gamma: &mut [f32],
    ) {
    }

    // Decode.

    /// The codeword vector c of these indexes, in a fixed multiple of u's units, without the part
    /// that γ belongs to.
    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]);

    /// Adds the part with the factor γ to the codeword vectors of several rows, in u's units.
    fn add_residual(
        &self,
        _isa: Isa,
        _index: &[u16],
        _gamma: &[f32],
        _work: &mut Workspace,
        _c: &mut [f32],
    ) {
    }

    /// The codebook of a block, K × p, or the levels, K × 1, with its number of columns.
    fn codebook(&self) -> (Vec<f32>, usize);

    /// The codebook of the tail, K × t, with its number of columns, where there is a tail.
    fn tail_codebook(&self) -> Option<(Vec<f32>, usize)> {
        None
    }

    /// How packed rows name the words of the codebooks.
    fn rows_of(&self) -> RowsOf<'_> {
        RowsOf::Indexes
    }

    // Asymmetric inner products.

    /// Length of the vectors of [`Method::expand`].
    fn expanded_len(&self, dim: usize) -> usize {
        dim
    }

    /// A vector whose inner product with the [prepared](Method::prepare) y is ⟨û, y⟩.
    fn expand(&self, isa: Isa, index: &[u16], _gamma: f32, out: &mut [f32]) {
        self.codewords(isa, index, out);
    }

    /// [`Method::expand`] of a packed row without γ. A method whose indexes are the packed bits
    /// takes them as they are.
    fn expand_packed(
        &self,
        isa: Isa,
        layout: &Layout,
        row: &[u8],
        index: &mut Vec<u16>,
        out: &mut [f32],
    ) {
        index.resize(layout.indices(), 0);
        layout.unpack(isa, row, index);
        self.expand(isa, index, 0.0, out);
    }

    /// The query's side of [`Method::expand`]. The first d values of `out` are y rotated; fills the
    /// others.
    fn prepare(&self, _isa: Isa, _dim: usize, _out: &mut [f32]) {}

    /// The adjoint of [`Method::prepare`]: takes a sum of expansions to the sum of their û, the
    /// codeword vectors in the order of u, d values.
    fn collapse(&self, _isa: Isa, sum: &[f32], out: &mut [f32]) {
        out.copy_from_slice(sum);
    }

    /// The inner products of the expansions of some packed rows with a prepared query, if the
    /// method can compute them without expanding. They have the same bits as
    /// [`dot`](crate::kernels::reduce::dot) of the expansions.
    fn products(
        &self,
        _isa: Isa,
        _layout: &Layout,
        _rows: [&[u8]; ROWS_PER_CALL],
        _y: &[f32],
        _index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        None
    }
}

/// A method whose code is one index per coordinate, the index of a level. Everything but the choice
/// of the indexes follows from the levels.
pub(super) trait LevelMethod: Debug + Send + Sync {
    /// The levels.
    fn levels(&self) -> &Levels;

    /// Chooses the indexes for u: by default those of the nearest levels.
    fn assign(&self, isa: Isa, u: &[f32], _work: &mut Workspace, index: &mut [u16]) {
        quantize::quantize(isa, u, self.levels(), index);
    }
}

impl<T: LevelMethod> Method for T {
    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]) {
        LevelMethod::assign(self, isa, u, work, index);
    }

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        quantize::dequantize(isa, index, self.levels(), c);
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.levels().levels().to_vec(), 1)
    }

    fn products(
        &self,
        isa: Isa,
        layout: &Layout,
        rows: [&[u8]; ROWS_PER_CALL],
        y: &[f32],
        _index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        let width = layout.fields().first().map_or(0, |field| field.width);
        if !(1..=MAX_LEVEL_BITS).contains(&width) {
            return None;
        }
        let mut out = [0.0; ROWS_PER_CALL];
        asymmetric::level_products(isa, rows, width, self.levels(), y, &mut out);
        Some(out)
    }
}
