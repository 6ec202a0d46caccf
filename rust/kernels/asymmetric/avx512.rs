//! Sums of four rows at a time, each with its sixteen lanes in one vector.

use super::vector::eight_bytes;
use super::{ROWS_PER_CALL, check, scalar};
use crate::isa::Avx512;
use crate::kernels::SUM_LANES;
use crate::kernels::quantize::Levels;

#[inline(always)]
pub fn level_products(
    s: Avx512,
    rows: [&[u8]; ROWS_PER_CALL],
    width: u32,
    levels: &Levels,
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    check(&rows, width, levels, y);
    // An index still has those after it in its upper bits. The table repeats, so that the bits
    // above `width` that the look-up reads do not matter.
    let entry = |i: usize| levels.table()[i & ((1 << width) - 1)];
    let table = s.load(&std::array::from_fn(entry));
    // The first byte of each 32-bit lane begins at the first bit of its index.
    let first = |byte: usize| (byte / 4 * width as usize) as u8;
    let first = s.load_u8(&std::array::from_fn(first));
    let mut sums = [s.splat(0.0); ROWS_PER_CALL];
    let (whole, _) = y.as_chunks::<SUM_LANES>();
    for (place, y) in whole.iter().enumerate() {
        let y = s.load(y);
        let from = 2 * place * width as usize;
        for r in 0..ROWS_PER_CALL {
            let bits = s.splat_i64(eight_bytes(rows[r], from) as i64);
            let c = s.lookup16(table, s.bytes_from_bits(bits, first));
            sums[r] = s.fma(c, y, sums[r]);
        }
    }
    if whole.len() * SUM_LANES == y.len() {
        *out = s.sums_of_four(sums);
        return;
    }
    for ((sums, row), out) in sums.into_iter().zip(rows).zip(out) {
        let mut lanes = [0f32; SUM_LANES];
        s.store(sums, &mut lanes);
        let from = whole.len() * SUM_LANES;
        *out = scalar::finish_levels(lanes, from, row, width, levels, y);
    }
}
