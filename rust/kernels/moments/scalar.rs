//! The definition of the sums.

use super::{Tile, WIDTH};

/// Rows of a tile whose sums are in registers at a time.
const ROWS_AT_A_TIME: usize = 4;

#[inline(always)]
pub fn add_products(left: &[[f64; WIDTH]], right: &[[f64; WIDTH]], sums: &mut [Tile]) {
    let rows = left.len();
    assert_eq!(right.len(), rows * sums.len(), "rows of the panels");
    for (tile, right) in sums.iter_mut().zip(right.chunks_exact(rows.max(1))) {
        let (parts, _) = tile.as_chunks_mut::<ROWS_AT_A_TIME>();
        for (part, sums) in parts.iter_mut().enumerate() {
            let mut held = *sums;
            for (x, y) in left.iter().zip(right) {
                for (i, held) in held.iter_mut().enumerate() {
                    let x = x[part * ROWS_AT_A_TIME + i];
                    for (sum, y) in held.iter_mut().zip(y) {
                        *sum = x.mul_add(*y, *sum);
                    }
                }
            }
            *sums = held;
        }
    }
}
