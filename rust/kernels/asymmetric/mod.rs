//! Products of coded rows with a vector, without expanding them.
//!
//! What [`dot`](super::reduce::dot) gives for the expanded row, to the bit: coordinate i goes to lane i mod 16 in order of i, and the lanes are combined by
//! halving. [`ROWS_PER_CALL`] rows go together, for two accumulators of one row would wait for each other.
//!
//! **Its cost.** [`codeword_products`]: a block is an index, checked, a load of its codeword and a share of the multiply-add: some 1.2 instructions a coordinate at
//! p = 4, bound by the loads; at p = 2 twice that. [`level_products`]: sixteen coordinates are one load of their bits, and eight of them a broadcast, a shift, a
//! permutation of the table and a multiply-add, about one instruction a coordinate (half as many again at 4 bits). Of rows far apart
//! both are bound by reading the codes.

mod scalar;
mod vector;

use super::nearest::Words;
use super::quantize::Levels;
use super::{kernel, vector_kernel};

/// Rows that go together.
pub const ROWS_PER_CALL: usize = 4;

/// The greatest width that [`level_products`] takes.
pub const MAX_LEVEL_BITS: u32 = 4;

kernel! {
    /// out ← the codewords of the blocks one after the other.
    ///
    /// # Panics
    /// If an index has no codeword, or the lengths do not fit.
    pub fn concatenate(index: &[u16], words: &Words, out: &mut [f32])
}

vector_kernel! {
    /// out\[r\] ← the product of y with the codewords of row r one after the other.
    ///
    /// # Panics
    /// If an index has no codeword, or the lengths do not fit.
    pub fn codeword_products(index: [&[u16]; ROWS_PER_CALL], words: &Words, y: &[f32], out: &mut [f32; ROWS_PER_CALL])
}

vector_kernel! {
    /// out\[r\] ← the product of y with the levels of row r, packed as in [`pack`](super::pack) from bit 0 on, `width` bits an index.
    ///
    /// # Panics
    /// If the width is not 1 to [`MAX_LEVEL_BITS`], there are fewer levels than it has indexes, or a row is too short.
    pub fn level_products(rows: [&[u8]; ROWS_PER_CALL], width: u32, levels: &Levels, y: &[f32], out: &mut [f32; ROWS_PER_CALL])
}

/// The arguments, checked.
fn check(rows: &[&[u8]; ROWS_PER_CALL], width: u32, levels: &Levels, y: &[f32]) {
    assert!(
        (1..=MAX_LEVEL_BITS).contains(&width) && levels.table().len() >> width > 0,
        "indexes of {width} bits"
    );
    let bytes = (y.len() * width as usize).div_ceil(8);
    assert!(rows.iter().all(|row| row.len() >= bytes), "packed rows");
}
