//! Decoding: packed rows become indexes, bytes, codewords, or products with a query.
//!
//! Labels are linear: a label is the exclusive-or of what each bit of its window adds to it. So the
//! labels of four neighbouring coordinates are looked up by the four path bits that enter there and
//! by the eight bits before, four bits at a time, with byte shuffles.
//!
//! ```text
//! block: 128 coordinates, in groups of four; lane k of a vector has group 2k (low half of the
//!        register) or 2k + 1 (high half)
//!     n₀ ← path bits of the group, n₁ ← the four before, n₂ ← the four before these
//!     a ← A₀[n₀] ⊕ A₁[n₁] ⊕ A₂[n₂]         labels of coordinates 0 and 1 of the group
//!     b ← B₀[n₀] ⊕ B₁[n₁] ⊕ B₂[n₂]         labels of coordinates 2 and 3
//!     for each coordinate r of a group:
//!         value ← table[uncoded = 0][label], table[1][label], …    one shuffle per choice
//!         value ← the one that the uncoded bits choose             one blend per choice but one
//!     the four vectors are interleaved
//! ```
//!
//! At whole rates group g has the bits of nibble g of the path. At half rates two groups have the
//! bits of one nibble, each by tables of its own. Planes may begin at any bit; where that is inside
//! a byte, two loads are shifted. What is read beyond a plane or a row decodes to something that is
//! not written.
//!
//! A value of two bytes, as codewords are, is looked up byte by byte.
//!
//! **Cost.** Instructions per 32 coordinates on AVX2: 7 for the labels; at 1, 2, 3 and 4 bits 1, 4,
//! 10 and 19 for each byte of a value, with the masks of the uncoded bits; 4 for the order and the
//! stores of bytes, 8 and two conversions per 8 coordinates for codewords; some 10 to read the path
//! and the planes. Shuffles, shifts and permutations bound it, which share two ports: at 2 bits,
//! bytes take 9 of them. A row adds some 40 instructions for the bits before its first, and in each
//! block a plane that begins inside a byte adds four.

pub mod blocks;
pub mod scalar;
mod tables;
pub mod vector;

pub use tables::{CHOICES, Tables};

use super::Code;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::vector_kernel;

vector_kernel! {
    /// out\[i\] ← the index 16·uncoded + label of coordinate i in the words of the code.
    ///
    /// # Panics
    /// If `packed` is not one row of as many coordinates as `out` has.
    pub fn indexes(code: &Code, packed: &[u8], out: &mut [u8])
}

vector_kernel! {
    /// out ← the bytes of `table` at the indexes of some rows of `dim` coordinates.
    ///
    /// # Panics
    /// If the lengths do not fit together, or if there is not one byte for each codeword.
    pub fn bytes(code: &Code, dim: usize, table: &[u8], packed: &[u8], out: &mut [u8])
}

vector_kernel! {
    /// c\[i\] ← the codeword of coordinate i.
    ///
    /// # Panics
    /// If `packed` is not one row of as many coordinates as `c` has.
    pub fn codewords(code: &Code, packed: &[u8], c: &mut [f32])
}

vector_kernel! {
    /// out\[r\] ← the inner product of y with the codewords of row r, with the bits of
    /// [`dot`](crate::kernels::reduce::dot).
    ///
    /// # Panics
    /// If a row does not have as many coordinates as y.
    pub fn products(
        code: &Code,
        rows: [&[u8]; ROWS_PER_CALL],
        y: &[f32],
        out: &mut [f32; ROWS_PER_CALL],
    )
}

fn check_row(code: &Code, packed: &[u8], dim: usize) {
    assert_eq!(packed.len(), code.row_bytes(dim), "bytes of a row");
}

fn check_rows(code: &Code, dim: usize, packed: &[u8], out: &[u8]) {
    let row_bytes = code.row_bytes(dim);
    assert!(
        dim > 0
            && packed.len().is_multiple_of(row_bytes)
            && packed.len() * dim == out.len() * row_bytes,
        "rows and room for their bytes"
    );
}
