//! Attention over rows that stay coded: the inner loops of a key-value cache.
//!
//! The rows of a cache are read in tiles of at most [`ROWS_PER_TILE`]. A tile of packed keys
//! becomes a tile of integer codewords, whose products with all queries give the logits. A softmax
//! in one pass turns them into weights, and the weighted codewords of the values are summed. No row
//! is rotated back; the sums are, once, at the end (`cache/attend.rs`).
//!
//! ```text
//! for each tile:
//!     k ← expand(packed keys)                        integers
//!     dots[g][i] ← ⟨k_i, q_g⟩                        exact, in 32-bit integers
//!     l[g][i] ← dots·factor_g·s_i + added[g][i] − debias_g·s_i²      logits
//!     M ← max(m_g, max_i l[g][i])                    m_g: the largest logit so far
//!     p[g][i] ← exp(l[g][i] − M)
//!     sums_g ← sums_g·exp(m_g − M)                   also the sum of weights
//!     k ← expand(packed values)
//!     sums_g ← sums_g + Σ_i p[g][i]·s_i·k_i
//! ```
//!
//! **Integers.** A codeword coordinate is an integer of at most 127 or 2047 in magnitude, and a
//! query is rounded to 16 bits with a bound on its sum of magnitudes, so that no sum of products
//! overflows 32 bits. An integer sum is the same in every order.
//!
//! **Bits.** Logits are finite or −∞: they are limited to ±[`MAX_LOGIT`], where a NaN becomes
//! [`MAX_LOGIT`]. A weight is exactly 0 where the logit is −∞ or more than 87 below the largest.
//! The sum of a tile's weights has the lanes of the contract; the weighted codewords are added in
//! the order of the rows, coordinate by coordinate.
//!
//! **Look-ups.** A packed row is read as numbers of 8 or 12 bits, each of which stands for the
//! indexes in it, whatever their width: a byte is four 2-bit levels, two of 4 bits or one index of
//! a block, and 12 bits are four 3-bit levels. One table gives all coordinates of a number. Other
//! widths (5, 7, 9, …) are unpacked first.
//!
//! ```text
//! packed_dots(4 rows, up to 3 queries):      bytes are expanded in registers
//!     for each 16 coordinates:
//!         q ← three vectors of 16-bit integers
//!         for each row:
//!             k ← widen(table[n₀], …, table[n₃])            four look-ups of four coordinates
//!             for each query: sums ← sums + madd(k, q)
//!     horizontal sums of four rows at a time
//! packed_sums(up to 4 queries):              columns of 32 coordinates stay in registers
//!     for each row:
//!         for each 8 coordinates:
//!             k ← (table[n₀], table[n₁]) as float32
//!             for each query: sums ← fma(splat(p), k, sums)
//! ```
//!
//! With more queries than that, a row is expanded to memory once and then read for each group of
//! queries.
//!
//! **Cost.** For a head of 64 coordinates and three queries, per row and AVX2: keys of 3 bits take
//! 16 look-ups (about 70 instructions), 12 multiply-adds with as many additions and 8 instructions
//! for horizontal sums; values of 2 bits take 16 look-ups (about 40 instructions) and 24 fused
//! multiply-adds; the mean under a rotary embedding takes 24 more, the softmax about 10. These are
//! counted in the source. A profile on an AMD EPYC of 2023 shows about 21 ns: 8 for the keys, 5 for
//! the values, 4 for the rotary mean and 4 for the rest. Keys are bound by the look-ups, the other
//! two by the fused multiply-adds. The table of 12 bits and that of the rotary embedding have
//! 16 KiB each and share the first-level cache. Coordinates of 16 bits would need 32 KiB for the
//! former.

mod codewords;
mod expand;
mod packed;
mod scalar;
mod tiles;
mod vector;

pub use codewords::{Codewords, Integer, PADDING, Part, padded};

use super::{kernel, vector_kernel};

/// The most rows of a tile.
pub const ROWS_PER_TILE: usize = 64;

/// A number for each row of a tile.
pub type Tile = [f32; ROWS_PER_TILE];

/// Logits are limited to ± this, so that their differences are not NaN.
pub const MAX_LOGIT: f32 = 1e38;

/// What turns the products of a query with a tile into logits.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Factor of every product.
    pub factor: f32,
    /// The scale of each row.
    pub scale: &'a Tile,
    /// Added to the logit of each row.
    pub added: &'a Tile,
    /// Factor of the squared scales, which are subtracted; 0 subtracts nothing.
    pub debias: f32,
    /// Added to the logits in the end; −∞ hides a row.
    pub mask: &'a Tile,
    /// The rows before this one are seen, the others are hidden.
    pub visible: usize,
}

/// The state of a softmax that reads its logits tile by tile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Softmax {
    /// The largest logit; −∞ as long as all rows were hidden.
    pub max: f32,
    /// The sum of the weights, which are relative to the largest logit.
    pub sum: f32,
}

impl Softmax {
    /// The state before the first row.
    pub const EMPTY: Self = Self {
        max: f32::NEG_INFINITY,
        sum: 0.0,
    };
}

vector_kernel! {
    /// Writes the codewords of packed rows, each row padded with zeros to the stride.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn expand_i8(packed: &[u8], words: &Codewords<i8>, out: &mut [i8])
}

vector_kernel! {
    /// [`expand_i8`] for codewords of 16 bits.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn expand_i16(packed: &[u8], words: &Codewords<i16>, out: &mut [i16])
}

kernel! {
    /// out\[i\] ← u\[i\]·unit, rounded to the nearest integer (ties to the even one) from −32767 to
    /// 32767.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn to_i16(u: &[f32], unit: f32, out: &mut [i16])
}

vector_kernel! {
    /// out\[g\]\[i\] ← ⟨row i, query g⟩, an exact sum of 32-bit integers that is then converted.
    ///
    /// There is one query per tile of `out`; rows and queries have the same padded length. Sums
    /// must not overflow; entries after the last row are not defined.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn dots_i8(rows: &[i8], queries: &[i16], out: &mut [Tile])
}

vector_kernel! {
    /// [`dots_i8`] for rows of 16-bit integers.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn dots_i16(rows: &[i16], queries: &[i16], out: &mut [Tile])
}

kernel! {
    /// Moves a sum of cosines and sines to another position: out ← (A·c + B·s, B·c − A·s), where
    /// `pair` is (A, B) and `phase` the cosines c and sines s of the position.
    ///
    /// # Panics
    /// If the lengths differ or are odd.
    pub fn shift(pair: &[f32], phase: &[f32], out: &mut [f32])
}

vector_kernel! {
    /// Turns the products of one query with the rows of a tile into logits.
    pub fn logits(tile: &mut Tile, terms: Terms<'_>)
}

vector_kernel! {
    /// Turns logits into weights, each multiplied by the scale of its row, and returns the factor
    /// of all sums before: exp(old maximum − new maximum).
    pub fn softmax(tile: &mut Tile, scale: &Tile, state: &mut Softmax) -> f32
}

vector_kernel! {
    /// sums\[g\]\[j\] ← sums\[g\]\[j\] + Σᵢ weights\[g\]\[i\]·rows\[i\]\[j\], in the order of i.
    ///
    /// `sums` holds `count` vectors, and `weights` as many, of at least one weight per row each.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn sums_f32(weights: &[f32], rows: &[f32], count: usize, sums: &mut [f32])
}

vector_kernel! {
    /// [`sums_f32`] for rows of 8-bit integers; vectors have a padded length.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn sums_i8(weights: &[f32], rows: &[i8], count: usize, sums: &mut [f32])
}

vector_kernel! {
    /// [`sums_i8`] for rows of 16-bit integers.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn sums_i16(weights: &[f32], rows: &[i16], count: usize, sums: &mut [f32])
}

kernel! {
    /// values\[i\] ← values\[i\]·factor.
    pub fn multiply(values: &mut [f32], factor: f32)
}

vector_kernel! {
    /// [`expand_i8`] and then [`dots_i8`]; the codewords may be written to `room` on the way.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn packed_dots_i8(
        packed: &[u8],
        words: &Codewords<i8>,
        room: &mut Vec<i8>,
        queries: &[i16],
        out: &mut [Tile],
    )
}

vector_kernel! {
    /// [`expand_i8`] and then [`sums_i8`]; the codewords may be written to `room` on the way.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn packed_sums_i8(
        packed: &[u8],
        words: &Codewords<i8>,
        room: &mut Vec<i8>,
        weights: &[f32],
        count: usize,
        sums: &mut [f32],
    )
}

/// The number of rows and the length of each, of rows that are multiplied with the queries of
/// `out`.
fn dots_shape(rows: usize, queries: usize, out: &[Tile]) -> (usize, usize) {
    let stride = queries / out.len().max(1);
    assert!(
        stride > 0 && stride.is_multiple_of(PADDING) && stride * out.len() == queries,
        "queries of a padded length"
    );
    assert!(
        rows.is_multiple_of(stride) && rows / stride <= ROWS_PER_TILE,
        "rows of a tile"
    );
    (rows / stride, stride)
}

/// The number of rows, the length of each, and the weights per sum.
fn sums_shape(weights: usize, rows: usize, count: usize, sums: usize) -> (usize, usize, usize) {
    assert!(
        count > 0 && sums > 0 && sums.is_multiple_of(count) && weights.is_multiple_of(count),
        "one vector of weights per sum"
    );
    let (length, stride) = (sums / count, weights / count);
    assert!(
        rows.is_multiple_of(length) && rows / length <= stride,
        "one weight per row"
    );
    (rows / length, length, stride)
}
