//! The definition: row by row, index by index.

use super::field::FieldTable;
use super::{
    CodeTables, IntQuery, ROWS_PER_BLOCK, ROWS_PER_GROUP, check_group, check_products, check_tile,
    check_tile_products, row_of, slot,
};

#[inline(always)]
pub fn signs_and_sums(
    tables: &CodeTables,
    packed: &[u8],
    rows: &[u32],
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    check_group(tables, rows, group);
    group.fill(0);
    sums.fill([0; 2]);
    for (i, (&row, sums)) in rows.iter().zip(sums).enumerate() {
        let row = row_of(tables, packed, row);
        for field in &tables.fields {
            signs_and_sums_of(field, 0, row, i, group, sums);
        }
    }
}

/// Adds the indexes of a field from `first` on to the signs and sums of row i of the group.
#[inline(always)]
pub fn signs_and_sums_of(
    field: &FieldTable,
    first: usize,
    row: &[u8],
    i: usize,
    group: &mut [u8],
    sums: &mut [u32; 2],
) {
    let p = field.coordinates;
    for at in first..field.count {
        let index = field.index(row, at);
        for (sum, size) in sums.iter_mut().zip(field.sizes(index)) {
            *sum += size;
        }
        let (mut j, mut left) = (field.first_coordinate + at * p, p);
        for &signs in field.signs(index) {
            // The eight signs, or as many as are left, lie in up to two bytes of the row.
            let bits = u16::from(signs) << (j % 8);
            group[j / 8 * ROWS_PER_GROUP + slot(i)] |= bits as u8;
            if bits > 0xff {
                group[(j / 8 + 1) * ROWS_PER_GROUP + slot(i)] |= (bits >> 8) as u8;
            }
            let step = left.min(8);
            (j, left) = (j + step, left - step);
        }
    }
}

#[inline(always)]
pub fn products(
    tables: &CodeTables,
    packed: &[u8],
    rows: &[u32],
    query: &IntQuery,
    out: &mut [i32],
) {
    check_products(tables, rows, query, out);
    for (&row, out) in rows.iter().zip(out) {
        let row = row_of(tables, packed, row);
        let fields = tables.fields.iter();
        let sum: i32 = fields.map(|field| product_of(field, 0, row, query)).sum();
        *out = sum.wrapping_sub(64 * query.sum);
    }
}

/// Σ word7·ŷ over the indexes of a field from `first` on.
#[inline(always)]
pub fn product_of(field: &FieldTable, first: usize, row: &[u8], query: &IntQuery) -> i32 {
    let p = field.coordinates;
    let mut sum = 0;
    for at in first..field.count {
        let y = &query.values[field.first_coordinate + at * p..][..p];
        for (&word, &y) in field.word(field.index(row, at)).iter().zip(y) {
            sum += i32::from(word) * i32::from(y);
        }
    }
    sum
}

#[inline(always)]
pub fn expand(tables: &CodeTables, packed: &[u8], rows: &[u32], tile: &mut [u8]) {
    check_tile(tables, rows, tile);
    tile.fill(0);
    for (i, &row) in rows.iter().enumerate() {
        let row = row_of(tables, packed, row);
        for field in &tables.fields {
            expand_of(field, 0, row, i, tables.dim(), tile);
        }
    }
}

/// Writes the words of the indexes of a field from `first` on to row i of the tile.
#[inline(always)]
pub fn expand_of(
    field: &FieldTable,
    first: usize,
    row: &[u8],
    i: usize,
    dim: usize,
    tile: &mut [u8],
) {
    let p = field.coordinates;
    let block = i / ROWS_PER_BLOCK * dim.div_ceil(4) * 4 * ROWS_PER_BLOCK;
    let place = i % ROWS_PER_BLOCK * 4;
    for at in first..field.count {
        let word = field.word(field.index(row, at));
        for (j, &word) in (field.first_coordinate + at * p..).zip(word) {
            tile[block + j / 4 * 4 * ROWS_PER_BLOCK + place + j % 4] = word;
        }
    }
}

#[inline(always)]
pub fn tile_products(tile: &[u8], dim: usize, queries: &[&IntQuery], out: &mut [i32]) {
    check_tile_products(tile, dim, queries, out);
    for (query, out) in queries.iter().zip(out.chunks_exact_mut(ROWS_PER_GROUP)) {
        let blocks = tile.chunks_exact((tile.len() / (ROWS_PER_GROUP / ROWS_PER_BLOCK)).max(1));
        for (block, out) in blocks.zip(out.as_chunks_mut::<ROWS_PER_BLOCK>().0) {
            let mut sums = [-64 * query.sum; ROWS_PER_BLOCK];
            let quads = block.as_chunks::<{ 4 * ROWS_PER_BLOCK }>().0;
            for (words, y) in quads.iter().zip(query.values.as_chunks::<4>().0) {
                for (sum, words) in sums.iter_mut().zip(words.as_chunks::<4>().0) {
                    for (&word, &y) in words.iter().zip(y) {
                        *sum += i32::from(word) * i32::from(y);
                    }
                }
            }
            *out = sums;
        }
    }
}
