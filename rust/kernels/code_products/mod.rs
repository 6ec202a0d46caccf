//! Packed codes as small integers: their signs, their sizes and their integer products with a
//! query.
//!
//! A search looks at most rows only through these kernels. They read the packed codes themselves,
//! so that nothing else of a row has to be stored.
//!
//! **Mathematics.** A row is the words of its indexes, one after the other: c = (w\[k₀\], w\[k₁\],
//! …), d coordinates in all. [`CodeTables`] holds each word as integers:
//!
//! ```text
//! word7     = round(w/word_unit) + 64          1 to 127, word_unit = max|w|/63
//! signs     : bit j is set where w_j ≥ 0
//! magnitude = round(Σ|w_j|/magnitude_unit)     one byte per word
//! square    = round(Σ w_j²/square_unit)        one byte per word
//! ```
//!
//! and [`IntQuery`] a query as ŷ = round(y/unit), unit = max|y|/127. Where rows are paths through a
//! trellis, a word is a single number, and its magnitude and square are |word7 − 64| and the square
//! of that, so that vectors look up one byte for both. Then
//!
//! ```text
//! products:         ⟨c, y⟩ ≈ word_unit·unit·Σ (word7 − 64)·ŷ
//! signs_and_sums:   the signs of c, and Σ magnitude and Σ square over the indexes of a row
//! expand:           the word7 of up to 64 rows as a tile, which many queries share
//! tile_products:    the same products from a tile
//! ```
//!
//! word7 has seven bits and an offset because the instructions multiply unsigned by signed bytes:
//! the sum of two products then fits 16 bits, so that nothing saturates, and the offset adds
//! 64·Σŷ, which is the same for all rows.
//!
//! **Contract.** Everything but the units is an integer, so that every order of summation agrees.
//! Sums wrap at 32 bits; up to 100,000 coordinates, 127² · 100,000 < 2³¹, no product does. Bits
//! after the last index of a row never count, whatever they are, and every index has a word, so
//! that any bytes are a row.
//!
//! **The layouts.** Signs stand in a group of [`sign_scan`](super::sign_scan), and the bytes of a
//! tile as vectors of 16 rows, four coordinates of each:
//!
//! ```text
//! group:  byte [pos][slot]          signs 8·pos to 8·pos + 7 of one row, bit 0 first
//!         slot = 2r for rows r < 32, 2(r − 32) + 1 for the others
//! tile:   byte [r/16][j/4][r mod 16][j mod 4]     word7 of coordinate j of row r
//! ```
//!
//! **Shapes.** The definition reads a row index by index. The other bodies read the first field by
//! its shape, and the indexes that are left, and other fields, as the definition does:
//!
//! ```text
//! bytes:   8 bits, or 4, 2, 1 bits in a byte with 2, 4 or 8 coordinates in all
//!            halves (4, 2, 1 bits):  16 entries per table: one byte shuffle
//!            whole  (8 bits):        256 entries: AVX-512 four permutations of 64 bytes, each for
//!                                    the bytes of its mask; AVX2 and NEON one load per byte
//!            query:                  coordinate j of 64 bytes in a vector, for each j
//! levels:  3, 5, 6, 7 bits, one coordinate: AVX-512 spreads the bytes of eight levels into 64 bits
//!          and takes eight bits from each level on; AVX2 and NEON (3 bits) two bytes of each level
//!          into 16 bits, and multiply by a power of two
//! words:   the rest: indexes are unpacked, and words gathered or copied one after the other
//! path:    rows that are paths through a trellis: blocks of 128 coordinates, which
//!          trellis::decode looks up; AVX-512 runs the AVX2 body
//!            query:                  coordinate r of the groups of a block, for each r
//! ```
//!
//! Signs are found row by row, 512 at a time, and transposed 16 × 16 bytes at a time.
//!
//! **Cost.** Instructions of the inner loop per coordinate, and ns per row of d = 384 (codes in the
//! second-level cache, rows in random order, a Xeon with AVX-512 at about 3 GHz). A row adds about
//! 40 instructions, which is most of what short codes take.
//!
//! ```text
//! products            AVX-512        AVX2           bound by
//!   8 bits, p = 4     0.09   15 ns   0.9   27 ns    16 permutations of 64 bytes; loads on AVX2
//!   8 bits, p = 2     0.12   11      2.3   64
//!   8 bits, p = 8     0.09   13      0.5   17
//!   12 bits, p = 4    0.25   30      2     63       gathers, 12 cycles for 16 words
//!   1, 2, 4 bits      0.05   7 to 8  0.15  11 to 14
//!   3 bits            0.12   13      0.5   31
//! signs and sums      AVX-512        AVX2           for 1, 2, 3, 4 bits
//!   of blocks         10, 17, 44, 24 27, 40, 81, 57 two tables more; the transposition takes 2 ns
//!   of levels         9, 12, 19, 16  17, 22, 63, 37
//! expand              7 to 30        33 to 95       stores of four bytes on AVX2
//! tile_products       1.06           3.8            per query: two multiplications per cycle
//! ```
//!
//! On an AMD EPYC with AVX2, where blocks of 8 bits with p = 4 take 38 ns for products and 48 for
//! signs and sums, paths of 384 coordinates take at 1, 2, 3 and 4 bits:
//!
//! ```text
//! products             32, 37, 46, 67 ns    bound by byte shuffles
//! signs and sums       –, 52, 60, 78        not measured at 1 bit
//! expand               59, 64, 70, 88       stores of four bytes
//! ```

#[cfg(target_arch = "x86_64")]
mod avx512;
mod field;
mod query;
mod scalar;
mod shape;
mod tables;
mod vector;

pub use field::FieldWords;
pub use query::{IntQuery, query};
pub use tables::CodeTables;

pub use super::sign_scan::{ROWS_PER_GROUP, group_bytes, sign_bytes};

use super::sign_scan::slot;
use super::{prefetch, vector_kernel};
use crate::aligned::CACHE_LINE_BYTES;

/// Rows whose bytes are neighbours in a tile.
const ROWS_PER_BLOCK: usize = 16;

/// Bytes of a tile.
pub fn tile_bytes(dim: usize) -> usize {
    dim.div_ceil(4) * 4 * ROWS_PER_GROUP
}

vector_kernel! {
    /// group ← the signs of up to 64 rows of `packed`, and sums\[i\] ← (Σ magnitudes, Σ squares) of
    /// row `rows[i]`.
    ///
    /// Row `rows[i]` is row i of the group. Everything else in `group` and `sums` becomes 0.
    ///
    /// # Panics
    /// If there are more than 64 rows, if `packed` ends before one of them, or if `group` does not
    /// have [`group_bytes`].
    pub fn signs_and_sums(
        tables: &CodeTables,
        packed: &[u8],
        rows: &[u32],
        group: &mut [u8],
        sums: &mut [[u32; 2]; ROWS_PER_GROUP],
    ); avx512
}

vector_kernel! {
    /// out\[i\] ← Σ (word7 − 64)·ŷ over the coordinates of row `rows[i]` of `packed`.
    ///
    /// The rows may lie far apart: they are fetched ahead.
    ///
    /// # Panics
    /// If the lengths do not fit together, if `packed` ends before one of the rows, or if the
    /// query is one of other tables.
    pub fn products(
        tables: &CodeTables,
        packed: &[u8],
        rows: &[u32],
        query: &IntQuery,
        out: &mut [i32],
    ); avx512
}

vector_kernel! {
    /// tile ← the word7 bytes of up to 64 rows of `packed`; bytes of other rows, and of coordinates
    /// from d on, become 0.
    ///
    /// # Panics
    /// If there are more than 64 rows, if `packed` ends before one of them, or if `tile` does not
    /// have [`tile_bytes`].
    pub fn expand(tables: &CodeTables, packed: &[u8], rows: &[u32], tile: &mut [u8]); avx512
}

vector_kernel! {
    /// out\[64q + r\] ← Σ (word7 − 64)·ŷ of row r of the tile with query q.
    ///
    /// The numbers of rows that the tile does not have mean nothing.
    ///
    /// # Panics
    /// If the lengths do not fit together, or if a query does not have `dim` coordinates.
    pub fn tile_products(tile: &[u8], dim: usize, queries: &[&IntQuery], out: &mut [i32]); avx512
}

/// How many rows before its use a row is fetched.
const ROWS_AHEAD: usize = 8;

/// How many bytes of a row are fetched.
const BYTES_AHEAD: usize = 2048;

/// The products of some rows with a query. A body sums the lanes of four rows at a time.
///
/// Bodies loop over rows themselves: a closure that they passed could end up as a function of its
/// own, without the instructions of the body.
#[derive(Clone, Copy)]
struct EachProduct<'a> {
    tables: &'a CodeTables,
    packed: &'a [u8],
    rows: &'a [u32],
    query: &'a IntQuery,
}

impl<'a> EachProduct<'a> {
    #[inline(always)]
    fn new(tables: &'a CodeTables, packed: &'a [u8], rows: &'a [u32], query: &'a IntQuery) -> Self {
        for &row in rows.iter().take(ROWS_AHEAD) {
            fetch_row(tables, packed, row);
        }
        Self {
            tables,
            packed,
            rows,
            query,
        }
    }

    /// The packed bytes of row i; fetches a later one.
    #[inline(always)]
    fn row(self, i: usize) -> &'a [u8] {
        if let Some(&ahead) = self.rows.get(i + ROWS_AHEAD) {
            fetch_row(self.tables, self.packed, ahead);
        }
        row_of(self.tables, self.packed, self.rows[i])
    }

    /// Writes the products of rows i to i + 3, whose indexes from `from` on are read one by one.
    #[inline(always)]
    fn put(self, i: usize, from: usize, sums: [i32; 4], out: &mut [i32]) {
        let bias = -64 * self.query.sum;
        let has_rest = self.tables.has_rest(from);
        for ((out, sum), &row) in out[i..].iter_mut().zip(sums).zip(&self.rows[i..]) {
            *out = sum.wrapping_add(bias);
            if has_rest {
                let row = row_of(self.tables, self.packed, row);
                let rest = rest_product(self.tables, from, row, self.query);
                *out = out.wrapping_add(rest);
            }
        }
    }
}

/// Fetches the packed bytes of a row, which are read soon; of a long row the beginning, to which
/// the machine fetches the rest itself.
#[inline(always)]
fn fetch_row(tables: &CodeTables, packed: &[u8], row: u32) {
    let row = row_of(tables, packed, row);
    let row = &row[..row.len().min(BYTES_AHEAD)];
    for at in (0..row.len()).step_by(CACHE_LINE_BYTES) {
        prefetch(&row[at]);
    }
    if let Some(last) = row.last() {
        prefetch(last);
    }
}

/// The signs and sums of up to 64 rows, in parts of the signs that are then transposed.
#[derive(Clone, Copy)]
struct EachSigns<'a> {
    tables: &'a CodeTables,
    packed: &'a [u8],
    rows: &'a [u32],
}

/// Bytes of signs of a part, and the coordinates that they are of.
const PART: usize = 64;
const PART_COORDINATES: usize = 8 * PART;

/// A part of the signs of 64 rows; or for 64 positions, the signs of all rows.
type Signs = [[u8; PART]; ROWS_PER_GROUP];

impl<'a> EachSigns<'a> {
    /// The packed bytes of row i of the group.
    #[inline(always)]
    fn row(self, i: usize) -> &'a [u8] {
        row_of(self.tables, self.packed, self.rows[i])
    }

    /// Adds the indexes of the first field from `from` on, and those of the other fields, to the
    /// signs and sums of the rows.
    #[inline(always)]
    fn put_rest(self, from: usize, group: &mut [u8], sums: &mut [[u32; 2]; ROWS_PER_GROUP]) {
        if !self.tables.has_rest(from) {
            return;
        }
        for (i, sums) in sums.iter_mut().enumerate().take(self.rows.len()) {
            for (j, field) in self.tables.fields.iter().enumerate() {
                let from = if j == 0 { from } else { 0 };
                scalar::signs_and_sums_of(field, from, self.row(i), i, group, sums);
            }
        }
    }
}

/// The packed bytes of a row.
#[inline(always)]
fn row_of<'a>(tables: &CodeTables, packed: &'a [u8], row: u32) -> &'a [u8] {
    tables.bytes_of(packed, row)
}

/// Σ word7·ŷ over the indexes of the first field from `from` on and over the other fields.
#[inline(always)]
fn rest_product(tables: &CodeTables, from: usize, row: &[u8], query: &IntQuery) -> i32 {
    let mut sum = 0;
    for (i, field) in tables.fields.iter().enumerate() {
        sum += scalar::product_of(field, if i == 0 { from } else { 0 }, row, query);
    }
    sum
}

fn check_group(tables: &CodeTables, rows: &[u32], group: &[u8]) {
    assert!(rows.len() <= ROWS_PER_GROUP, "rows of a group");
    assert_eq!(group.len(), group_bytes(tables.dim()), "bytes of a group");
}

fn check_products(tables: &CodeTables, rows: &[u32], query: &IntQuery, out: &[i32]) {
    assert_eq!(rows.len(), out.len(), "rows and their products");
    assert!(query.fits(tables), "a query of other tables");
}

fn check_tile(tables: &CodeTables, rows: &[u32], tile: &[u8]) {
    assert!(rows.len() <= ROWS_PER_GROUP, "rows of a tile");
    assert_eq!(tile.len(), tile_bytes(tables.dim()), "bytes of a tile");
}

fn check_tile_products(tile: &[u8], dim: usize, queries: &[&IntQuery], out: &[i32]) {
    assert_eq!(tile.len(), tile_bytes(dim), "bytes of a tile");
    assert!(
        queries.iter().all(|query| query.dim() == dim),
        "queries of another dimension"
    );
    assert_eq!(out.len(), queries.len() * ROWS_PER_GROUP, "products");
}
