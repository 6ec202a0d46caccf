//! Rows that are paths through a trellis: blocks of 128 coordinates, which
//! [`trellis::decode`](crate::kernels::trellis::decode) looks up.
//!
//! Sums do not depend on the order of the coordinates, and a query is kept in the order in which a
//! block is found.

use super::place::{QUAD, put_group, put_quad};
use crate::kernels::code_products::shape::{Path, Sign};
use crate::kernels::code_products::{
    CodeTables, EachProduct, EachSigns, PART, ROWS_PER_BLOCK, ROWS_PER_GROUP, row_of, scalar,
};
use crate::kernels::simd::{BYTES, Simd};
use crate::kernels::trellis::decode::blocks::{
    BLOCK, Blocks, GROUP, PLANE, by_planes, in_order, tables as choices,
};

/// The products of rows with a query.
#[inline(always)]
pub fn products<S: Simd>(each: EachProduct<'_>, s: S, out: &mut [i32]) {
    let EachProduct {
        tables,
        packed,
        rows,
        query,
    } = each;
    let Some(code) = &tables.fields[0].path else {
        return;
    };
    by_planes!(code, products_of(each, s, out) else scalar::products(tables, packed, rows, query, out))
}

#[inline(always)]
fn products_of<S: Simd, const U: usize>(each: EachProduct<'_>, s: S, out: &mut [i32]) {
    let field = &each.tables.fields[0];
    let Some(blocks) =
        (field.path.as_ref()).and_then(|code| Blocks::<S, U>::new(s, code, field.count))
    else {
        return;
    };
    let words = choices(s, &field.words[..1 << field.width]);
    let (planes, _) = each.query.planes.as_chunks::<BYTES>();
    let (planes, _) = planes.as_chunks::<GROUP>();
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.splat_i32(0); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.splat_i32(0);
            for (at, y) in planes.iter().enumerate() {
                let found = blocks.block(row, at).look_up(s, &words);
                for (found, y) in found.into_iter().zip(y) {
                    sum = s.add_products_u8_i8(sum, found, y);
                }
            }
            *lanes = sum;
        }
        each.put(i, field.count, s.sums_of_four_i32(lanes), out);
    }
}

/// The signs and sums of rows.
#[inline(always)]
pub fn signs_and_sums<S: Simd>(
    each: EachSigns<'_>,
    s: S,
    of: &Path,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let EachSigns {
        tables,
        packed,
        rows,
    } = each;
    let Some(code) = &tables.fields[0].path else {
        return;
    };
    by_planes!(
        code,
        signs_and_sums_of(each, s, of, group, sums)
            else scalar::signs_and_sums(tables, packed, rows, group, sums)
    )
}

#[inline(always)]
fn signs_and_sums_of<S: Simd, const U: usize>(
    each: EachSigns<'_>,
    s: S,
    of: &Path,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let field = &each.tables.fields[0];
    let dim = field.count;
    let Some(blocks) = (field.path.as_ref()).and_then(|code| Blocks::<S, U>::new(s, code, dim))
    else {
        return;
    };
    let (magnitudes_of, signs_of) = (choices(s, &of.magnitudes), choices(s, &of.signs));
    let (zero, ones) = (s.splat_i16(0), s.splat_i16(1));
    let (last, last_bits, last_bytes) = last_block(s, dim);
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    sums.fill([0; 2]);
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for i in 0..each.rows.len() {
            let row = each.row(i);
            let mut sizes = [s.splat_i32(0); 2];
            for (at, signs) in (part * (PART / PLANE)..).zip(all[i].as_chunks_mut::<PLANE>().0) {
                if at > last {
                    *signs = [0; PLANE];
                    continue;
                }
                let block = blocks.block(row, at);
                let mut found = block.look_up(s, &magnitudes_of);
                let mut bits = match of.sign {
                    Sign::Stored => blocks.last_plane(row, at),
                    Sign::Label => block.top_bits(&blocks),
                    Sign::Index => 0,
                };
                if of.sign == Sign::Index {
                    let found = in_order(s, block.look_up(s, &signs_of));
                    for (found, place) in found.into_iter().zip((0..).step_by(BYTES)) {
                        bits |= u128::from(s.signs_u8(found)) << place;
                    }
                }
                if at == last {
                    bits &= last_bits;
                    for (found, &bytes) in found.iter_mut().zip(&last_bytes) {
                        *found = s.select_by_sign_u8(bytes, *found, zero);
                    }
                }
                *signs = bits.to_le_bytes();
                // Four magnitudes fit a byte, and eight squares 15 bits.
                let [mut bytes, mut squares] = [zero; 2];
                for found in found {
                    bytes = s.add_u8(bytes, found);
                    squares = s.add_i16(squares, s.square_pairs_u8(found));
                }
                sizes[0] = s.add_bytes(sizes[0], bytes);
                sizes[1] = s.add_i32(sizes[1], s.madd_i16(squares, ones));
            }
            let [magnitudes, squares] = sizes;
            let [magnitudes, squares, ..] =
                s.sums_of_four_i32([magnitudes, squares, magnitudes, squares]);
            sums[i][0] += magnitudes as u32;
            sums[i][1] += squares as u32;
        }
        put_group(s, &all, group);
    }
}

/// The number of the last block, and the coordinates that rows have of it: as bits in order, and as
/// bytes as they are found.
#[inline(always)]
fn last_block<S: Simd>(s: S, dim: usize) -> (usize, u128, [S::I16x16; GROUP]) {
    let last = (dim - 1) / BLOCK;
    let live = dim - last * BLOCK;
    let mut found = [s.splat_i16(0); GROUP];
    for (coordinate, found) in found.iter_mut().enumerate() {
        let mut bytes = [0; BYTES];
        for (place, byte) in bytes.iter_mut().enumerate() {
            let (pair, is_odd) = (place % (BYTES / 2), place / (BYTES / 2));
            let group = 2 * pair + is_odd;
            *byte = if group * GROUP + coordinate < live {
                0x80
            } else {
                0
            };
        }
        *found = s.load_u8(&bytes);
    }
    (last, u128::MAX >> (BLOCK - live), found)
}

/// The bytes of rows as a tile, which is 0 where it has no rows and no coordinates.
#[inline(always)]
pub fn expand<S: Simd>(s: S, tables: &CodeTables, packed: &[u8], rows: &[u32], tile: &mut [u8]) {
    let Some(code) = &tables.fields[0].path else {
        return;
    };
    by_planes!(
        code,
        expand_of(s, tables, packed, rows, tile) else scalar::expand(tables, packed, rows, tile)
    )
}

#[inline(always)]
fn expand_of<S: Simd, const U: usize>(
    s: S,
    tables: &CodeTables,
    packed: &[u8],
    rows: &[u32],
    tile: &mut [u8],
) {
    let field = &tables.fields[0];
    let dim = field.count;
    let Some(blocks) = (field.path.as_ref()).and_then(|code| Blocks::<S, U>::new(s, code, dim))
    else {
        return;
    };
    let words = choices(s, &field.words[..1 << field.width]);
    let (tile, _) = tile.as_chunks_mut::<QUAD>();
    let quads = dim.div_ceil(4);
    let mut room = [0; BLOCK];
    for (rows, block) in (rows.chunks(ROWS_PER_BLOCK)).zip(tile.chunks_exact_mut(quads)) {
        for (i, &row) in rows.iter().enumerate() {
            let row = row_of(tables, packed, row);
            for (at, quads) in block.chunks_mut(BLOCK / 4).enumerate() {
                let found = in_order(s, blocks.block(row, at).look_up(s, &words));
                for (found, room) in found.into_iter().zip(room.as_chunks_mut().0) {
                    s.store_u8(found, room);
                }
                if let Some(rest) = room.get_mut(dim - at * BLOCK..) {
                    rest.fill(0);
                }
                for (four, quad) in room.as_chunks().0.iter().zip(quads) {
                    put_quad(four, i, quad);
                }
            }
        }
    }
}
