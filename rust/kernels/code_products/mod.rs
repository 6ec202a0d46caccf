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
//! word7 = round(w/word_unit) + 64          1 to 127, word_unit = max|w|/63
//! signs = bit j set where w_j ≥ 0
//! magnitude = round(Σ|w_j|/magnitude_unit)   one byte per word
//! square    = round(Σ w_j²/square_unit)      one byte per word
//! ```
//!
//! and [`IntQuery`] a query as ŷ = round(y/unit), unit = max|y|/127. Then
//!
//! ```text
//! products:         ⟨c, y⟩ ≈ word_unit·unit·Σ (word7 − 64)·ŷ
//! signs_and_sums:   the signs of c, and Σ magnitude and Σ square over the indexes of a row
//! expand:           the word7 of up to 64 rows as a tile, which many queries share
//! tile_products:    the same products from a tile
//! ```
//!
//! **Contract.** Everything is an integer, so that every order of summation agrees. A product has
//! at most 100,000 · 127 · 127 < 2³¹ before the 64·Σŷ are subtracted. Bits after the last index of a row never count, whatever they are.
//!
//! **The layouts.** Signs stand in a group of [`sign_scan`](super::sign_scan), and the bytes of a
//! tile as vectors of 16 rows:
//!
//! ```text
//! group:  byte [pos][slot]          signs 8·pos to 8·pos + 7 of one row, bit 0 first
//!         slot = 2r for rows r < 32, 2(r − 32) + 1 for the others
//! tile:   byte [r/16][j/4][r mod 16][j mod 4]     word7 of coordinate j of row r
//! ```

#[cfg(target_arch = "x86_64")]
mod avx512;
mod query;
mod scalar;
mod shape;
mod tables;

pub use query::{IntQuery, query};
pub use tables::{CodeTables, FieldWords};

pub use super::sign_scan::{ROWS_PER_GROUP, group_bytes, sign_bytes};

use super::sign_scan::slot;
use super::{kernel, prefetch};
use crate::aligned::CACHE_LINE_BYTES;

/// Rows whose bytes are neighbours in a tile.
const ROWS_PER_BLOCK: usize = 16;

/// Bytes of a tile.
pub fn tile_bytes(dim: usize) -> usize {
    dim.div_ceil(4) * 4 * ROWS_PER_GROUP
}

kernel! {
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

kernel! {
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

kernel! {
    /// tile ← the word7 bytes of up to 64 rows of `packed`; bytes of other rows, and of coordinates
    /// from d on, become 0.
    ///
    /// # Panics
    /// If there are more than 64 rows, if `packed` ends before one of them, or if `tile` does not
    /// have [`tile_bytes`].
    pub fn expand(tables: &CodeTables, packed: &[u8], rows: &[u32], tile: &mut [u8])
}

kernel! {
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

/// Fetches the packed bytes of a row, which are read soon.
#[inline(always)]
fn fetch_row(tables: &CodeTables, packed: &[u8], row: u32) {
    let row = row_of(tables, packed, row);
    for line in row.chunks(CACHE_LINE_BYTES) {
        prefetch(&line[0]);
    }
    if let Some(last) = row.last() {
        prefetch(last);
    }
}

/// The packed bytes of a row.
fn row_of<'a>(tables: &CodeTables, packed: &'a [u8], row: u32) -> &'a [u8] {
    &packed[row as usize * tables.row_bytes()..][..tables.row_bytes()]
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

/// Adds the indexes of the first field from `from` on, and those of the other fields, to the signs
/// and sums of the rows.
#[inline(always)]
fn rest_of_group(
    tables: &CodeTables,
    from: usize,
    packed: &[u8],
    rows: &[u32],
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    for (i, (&row, sums)) in rows.iter().zip(sums).enumerate() {
        let row = row_of(tables, packed, row);
        for (j, field) in tables.fields.iter().enumerate() {
            let from = if j == 0 { from } else { 0 };
            scalar::signs_and_sums_of(field, from, row, i, group, sums);
        }
    }
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
