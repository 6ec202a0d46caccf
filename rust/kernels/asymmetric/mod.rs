//! Asymmetric inner products: a query that is not quantized, with rows that stay coded.
//!
//! A search reranks a few rows that lie far apart. These kernels compute their products directly
//! from the codes, by looking each codeword or level up, without writing the expanded row to
//! memory.
//!
//! **Mathematics.** The result is [`dot`](super::reduce::dot) of the expanded row with the query,
//! to the bit: coordinate i goes to lane i mod 16 in order of i, and the lanes are added by
//! halving. [`ROWS_PER_CALL`] rows go together, since the two accumulators of a single row
//! would spend most of the time waiting for the multiply-add before.
//!
//! ```text
//! codeword_products(index of 4 rows, words, y):
//!     for each 16 coordinates of y:
//!         for each row r:
//!             c ← the codewords that index[r] names here         16/p loads of p values
//!             sums[r] ← fma(c, y, sums[r])                       two vectors
//!     return the lane sums of the four rows
//! level_products(bytes of 4 rows, w bits, levels, y): the same with
//!             bits ← w bytes of the row, for 8 coordinates       one load for both vectors
//!             c ← lookup(levels, (splat(bits) >> [0, w, 2w, …, 7w]) mod 2^w)
//! ```
//!
//! **Cost.** [`codeword_products`] takes an index with its check, a load of the codeword and a
//! share of the multiply-add per block: about 1.2 instructions per coordinate at p = 4, bound by
//! the loads, and twice that at p = 2. [`level_products`] takes one load of the bits for sixteen
//! coordinates, then a broadcast, a shift, a permutation of the table and a multiply-add for eight:
//! about one instruction per coordinate, and one and a half at 4 bits. On AVX-512 it takes four for
//! sixteen coordinates, at each width, since one instruction reads bits from anywhere in a word;
//! [`codeword_products`] gains nothing there, since four codewords join in a register one at a
//! time. For rows that lie far apart
//! both are bound by reading the codes from memory.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod vector;

use super::nearest::Words;
use super::quantize::Levels;
use super::{kernel, vector_kernel};

/// Rows of a call: enough independent sums to hide the latency of a multiply-add.
pub const ROWS_PER_CALL: usize = 4;

/// The most bits per index that [`level_products`] takes.
pub const MAX_LEVEL_BITS: u32 = 4;

kernel! {
    /// out ← the codewords of the blocks, one after the other: the expanded row.
    ///
    /// # Panics
    /// If an index has no codeword, or if `out` does not have one codeword per index.
    pub fn concatenate(index: &[u16], words: &Words, out: &mut [f32])
}

vector_kernel! {
    /// out\[r\] ← the inner product of y with the codewords of row r, one after the other.
    ///
    /// # Panics
    /// If an index has no codeword, or if a row does not have one index per block of y.
    pub fn codeword_products(
        index: [&[u16]; ROWS_PER_CALL],
        words: &Words,
        y: &[f32],
        out: &mut [f32; ROWS_PER_CALL],
    )
}

vector_kernel! {
    /// out\[r\] ← the inner product of y with the levels of row r.
    ///
    /// A row is packed as by [`pack`](super::pack) from bit 0 on, `width` bits per index.
    ///
    /// # Panics
    /// If `width` is not from 1 to [`MAX_LEVEL_BITS`], if there are fewer than 2^`width` levels (a
    /// padded table counts), or if a row is shorter than y.
    pub fn level_products(
        rows: [&[u8]; ROWS_PER_CALL],
        width: u32,
        levels: &Levels,
        y: &[f32],
        out: &mut [f32; ROWS_PER_CALL],
    ); avx512
}

/// Checks the arguments of [`level_products`].
fn check(rows: &[&[u8]; ROWS_PER_CALL], width: u32, levels: &Levels, y: &[f32]) {
    assert!(
        (1..=MAX_LEVEL_BITS).contains(&width) && levels.table().len() >> width > 0,
        "indexes of {width} bits"
    );
    let bytes = (y.len() * width as usize).div_ceil(8);
    assert!(rows.iter().all(|row| row.len() >= bytes), "packed rows");
}
