//! Tiles: the words of up to 64 rows, and their products with several queries.

use super::look_up::{
    INDEXES, LEVEL_BITS, LEVEL_BYTES, LEVELS, Levels32, SHORT, WORD_BYTES, level_table, put_words,
};
use super::path;
use super::place::{QUAD, put_quad};
use crate::kernels::code_products::shape::Shape;
use crate::kernels::code_products::{
    CodeTables, IntQuery, ROWS_PER_BLOCK, ROWS_PER_GROUP, check_tile, check_tile_products, row_of,
    scalar,
};
use crate::kernels::simd::{BYTES, LANES_32, Simd};

/// The body of [`expand`](super::super::expand).
#[inline(always)]
pub fn expand<S: Simd>(s: S, tables: &CodeTables, packed: &[u8], rows: &[u32], tile: &mut [u8]) {
    check_tile(tables, rows, tile);
    if rows.len() < ROWS_PER_GROUP || tables.fields.len() > 1 || !tables.dim().is_multiple_of(4) {
        tile.fill(0);
    }
    if matches!(tables.shape, Shape::Path(_)) {
        return path::expand(s, tables, packed, rows, tile);
    }
    let (quads_of_tile, _) = tile.as_chunks_mut::<QUAD>();
    let quads_of_block = (quads_of_tile.len() / (ROWS_PER_GROUP / ROWS_PER_BLOCK)).max(1);
    let field = &tables.fields[0];
    let mut words = [0; WORD_BYTES];
    for (rows, block) in rows
        .chunks(ROWS_PER_BLOCK)
        .zip(quads_of_tile.chunks_exact_mut(quads_of_block))
    {
        for (i, &row) in rows.iter().enumerate() {
            let row = row_of(tables, packed, row);
            let mut from = field.count;
            match &tables.shape {
                Shape::Bytes(bytes) => {
                    // The bytes of whole quads; the others are read one by one.
                    let per_quad = (4 / bytes.coordinates).max(1);
                    let count = bytes.count / per_quad * per_quad;
                    let row = &row[..count];
                    from = bytes.indexes / bytes.count * count;
                    match bytes.coordinates {
                        1 => put_bytes::<1, 4>(&bytes.words, row, i, block),
                        2 => put_bytes::<2, 2>(&bytes.words, row, i, block),
                        4 => put_bytes::<4, 1>(&bytes.words, row, i, block),
                        _ => put_bytes::<8, 1>(&bytes.words, row, i, block),
                    }
                }
                Shape::Levels(levels) if levels.width == LEVEL_BITS => {
                    from = put_levels(s, field.count, &levels.words[0].0, row, i, block);
                }
                _ if field.coordinates <= SHORT => {
                    let mut quads = block.iter_mut();
                    for first in (0..field.count).step_by(INDEXES) {
                        let coordinates = put_words(s, field, row, first, &mut words);
                        let fours = words[..coordinates.next_multiple_of(4)].as_chunks::<4>().0;
                        for (four, quad) in fours.iter().zip(&mut quads) {
                            put_quad(four, i, quad);
                        }
                    }
                }
                _ => from = 0,
            }
            if tables.has_rest(from) {
                for (j, field) in tables.fields.iter().enumerate() {
                    let from = if j == 0 { from } else { 0 };
                    scalar::expand_of(field, from, row, i, tables.dim(), block.as_flattened_mut());
                }
            }
        }
    }
}

/// Writes row i of a block, whose bytes have C coordinates: N bytes are a quad, or one byte is one
/// or two quads.
#[inline(always)]
fn put_bytes<const C: usize, const N: usize>(
    words: &[u8],
    row: &[u8],
    i: usize,
    block: &mut [[u8; QUAD]],
) {
    let words = words.as_chunks::<C>().0.first_chunk::<256>();
    let words = words.expect("a word of each byte");
    if C >= 4 {
        for (quads, byte) in block.chunks_exact_mut(C / 4).zip(row) {
            let word = &words[usize::from(*byte)];
            for (quad, four) in quads.iter_mut().zip(word.as_chunks().0) {
                put_quad(four, i, quad);
            }
        }
        return;
    }
    for (quad, bytes) in block.iter_mut().zip(row.as_chunks::<N>().0) {
        // As a number: copies to memory would have to wait for each other.
        let mut four = 0u32;
        for (k, byte) in bytes.iter().enumerate() {
            let mut word = [0; 4];
            word[..C].copy_from_slice(&words[usize::from(*byte)]);
            four |= u32::from_le_bytes(word) << (8 * C * k);
        }
        put_quad(&four.to_le_bytes(), i, quad);
    }
}

/// Writes levels of three bits to row i of a block, as many as fill whole vectors. Returns how
/// many.
#[inline(always)]
fn put_levels<S: Simd>(
    s: S,
    count: usize,
    words: &[u8],
    row: &[u8],
    i: usize,
    block: &mut [[u8; QUAD]],
) -> usize {
    let unpacked = Levels32::new(s);
    let table = level_table(s, words);
    let vectors = count / LEVELS;
    let quads = block.chunks_exact_mut(LEVELS / 4).take(vectors);
    for (at, quads) in quads.enumerate() {
        let levels = unpacked.unpack(s, &row[at * LEVEL_BYTES..]);
        let mut found = [0; BYTES];
        s.store_u8(s.shuffle_bytes(table, levels), &mut found);
        for (four, quad) in found.as_chunks().0.iter().zip(quads) {
            put_quad(four, i, quad);
        }
    }
    vectors * LEVELS
}

/// The body of [`tile_products`](super::super::tile_products).
#[inline(always)]
pub fn tile_products<S: Simd>(
    s: S,
    tile: &[u8],
    dim: usize,
    queries: &[&IntQuery],
    out: &mut [i32],
) {
    check_tile_products(tile, dim, queries, out);
    let (fours, queries) = queries.as_chunks::<4>();
    let (of_fours, out) = out.split_at_mut(fours.len() * 4 * ROWS_PER_GROUP);
    for (queries, out) in fours
        .iter()
        .zip(of_fours.chunks_exact_mut(4 * ROWS_PER_GROUP))
    {
        of_queries::<S, 4>(s, tile, queries, out);
    }
    for (query, out) in queries.iter().zip(out.chunks_exact_mut(ROWS_PER_GROUP)) {
        of_queries::<S, 1>(s, tile, &[query], out);
    }
}

/// N queries, with the rows of a block at a time.
#[inline(always)]
fn of_queries<S: Simd, const N: usize>(
    s: S,
    tile: &[u8],
    queries: &[&IntQuery; N],
    out: &mut [i32],
) {
    let (quads_of_tile, _) = tile.as_chunks::<QUAD>();
    let quads_of_block = quads_of_tile.len() / (ROWS_PER_GROUP / ROWS_PER_BLOCK);
    let y = queries.map(|query| &query.values.as_chunks::<4>().0[..quads_of_block]);
    for (i, block) in quads_of_tile
        .chunks_exact(quads_of_block.max(1))
        .enumerate()
    {
        let mut sums = [[s.splat_i32(0); ROWS_PER_BLOCK / LANES_32]; N];
        for (j, quad) in block.iter().enumerate() {
            let (halves, _) = quad.as_chunks::<BYTES>();
            let words = [s.load_u8(&halves[0]), s.load_u8(&halves[1])];
            for (sums, y) in sums.iter_mut().zip(y) {
                for (sum, words) in sums.iter_mut().zip(words) {
                    *sum = s.add_dots_u8_i8(*sum, words, y[j]);
                }
            }
        }
        for (q, (query, sums)) in queries.iter().zip(sums).enumerate() {
            let to = &mut out[q * ROWS_PER_GROUP + i * ROWS_PER_BLOCK..][..ROWS_PER_BLOCK];
            let bias = s.splat_i32(-64 * query.sum);
            for (to, sum) in to.as_chunks_mut().0.iter_mut().zip(sums) {
                s.store_i32(s.add_i32(sum, bias), to);
            }
        }
    }
}
