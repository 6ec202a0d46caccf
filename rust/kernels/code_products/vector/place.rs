//! Where the signs and the bytes of rows stand in a group and in a tile.

use crate::kernels::code_products::{PART, ROWS_PER_BLOCK, ROWS_PER_GROUP, Signs};
use crate::kernels::simd::{BYTES, Simd};

/// Bytes of four coordinates of a block of rows.
pub const QUAD: usize = 4 * ROWS_PER_BLOCK;

/// Writes four coordinates of row i of a block.
#[inline(always)]
pub fn put_quad(four: &[u8; 4], i: usize, quad: &mut [u8; QUAD]) {
    quad.as_chunks_mut::<4>().0[i] = *four;
}

/// Writes a part of the signs to the group.
#[inline(always)]
pub fn put_group<S: Simd>(s: S, signs: &Signs, group: &mut [u8]) {
    let mut columns: Signs = [[0; ROWS_PER_GROUP]; PART];
    transpose(s, signs, &mut columns);
    // Column by column: a call would cost as much as the copy.
    for (to, column) in group.as_chunks_mut().0.iter_mut().zip(&columns) {
        *to = *column;
    }
}

/// columns\[position\]\[slot\] ← the bytes of the rows.
#[inline(always)]
fn transpose<S: Simd>(s: S, signs: &Signs, columns: &mut Signs) {
    const HALF: usize = ROWS_PER_GROUP / 2;
    for (part, columns) in columns.chunks_exact_mut(BYTES).enumerate() {
        let (low, high) = columns.split_at_mut(BYTES / 2);
        for slots in 0..4 {
            // Even slots are rows of the first half, odd ones rows of the second one.
            let mut x = [s.splat_i16(0); 16];
            for (i, x) in x.iter_mut().enumerate() {
                let row = &signs[8 * slots + i / 2 + i % 2 * HALF];
                *x = s.load_u8(&row.as_chunks().0[part]);
            }
            // Each step puts the bytes of rows that are 8 apart side by side:
            //
            //   one step:    row 0, row 8      of position 0, then of position 1, …
            //   four steps:  rows 0 to 15      of a single position in each half
            for _ in 0..4 {
                let mut y = x;
                for i in 0..8 {
                    [y[2 * i], y[2 * i + 1]] = s.interleave_u8(x[i], x[i + 8]);
                }
                x = y;
            }
            for ((x, low), high) in x.into_iter().zip(&mut *low).zip(&mut *high) {
                let to = [low, high].map(|column| &mut column.as_chunks_mut().0[slots]);
                s.store_halves_u8(x, to);
            }
        }
    }
}
