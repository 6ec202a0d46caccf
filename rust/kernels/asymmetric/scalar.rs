//! The definition: coordinate by coordinate, in the order of the sums' contract.

use super::{ROWS_PER_CALL, check};
use crate::kernels::SUM_LANES;
use crate::kernels::nearest::Words;
use crate::kernels::quantize::Levels;
use crate::kernels::reduce::scalar::sum_lanes;

#[inline(always)]
pub fn concatenate(index: &[u16], words: &Words, out: &mut [f32]) {
    match words.block() {
        2 => concatenate_blocks::<2>(index, words, out),
        4 => concatenate_blocks::<4>(index, words, out),
        8 => concatenate_blocks::<8>(index, words, out),
        block => {
            assert_eq!(out.len(), block * index.len(), "coordinates of the blocks");
            for (&k, out) in index.iter().zip(out.chunks_exact_mut(block)) {
                out.copy_from_slice(&words.words()[usize::from(k) * block..][..block]);
            }
        }
    }
}

/// [`concatenate`] for a block size that is known when compiling.
#[inline(always)]
fn concatenate_blocks<const P: usize>(index: &[u16], words: &Words, out: &mut [f32]) {
    let (table, _) = words.words().as_chunks::<P>();
    assert_eq!(out.len(), P * index.len(), "coordinates of the blocks");
    for (&k, out) in index.iter().zip(out.as_chunks_mut::<P>().0) {
        *out = table[usize::from(k)];
    }
}

pub fn codeword_products(
    index: [&[u16]; ROWS_PER_CALL],
    words: &Words,
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    for (index, out) in index.into_iter().zip(out) {
        assert_eq!(
            y.len(),
            words.block() * index.len(),
            "coordinates of the blocks"
        );
        *out = finish_codewords([0.0; SUM_LANES], 0, index, words, y);
    }
}

/// Adds the coordinates from `from` on to `lanes`, which hold those before, and returns the sum.
///
/// `from` is a multiple of the number of lanes.
pub fn finish_codewords(
    mut lanes: [f32; SUM_LANES],
    from: usize,
    index: &[u16],
    words: &Words,
    y: &[f32],
) -> f32 {
    let block = words.block();
    for (i, &y) in y.iter().enumerate().skip(from) {
        let k = usize::from(index[i / block]);
        let lane = &mut lanes[i % SUM_LANES];
        *lane = words.words()[k * block + i % block].mul_add(y, *lane);
    }
    sum_lanes(lanes)
}

pub fn level_products(
    rows: [&[u8]; ROWS_PER_CALL],
    width: u32,
    levels: &Levels,
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    check(&rows, width, levels, y);
    for (row, out) in rows.into_iter().zip(out) {
        *out = finish_levels([0.0; SUM_LANES], 0, row, width, levels, y);
    }
}

/// [`finish_codewords`] for packed levels.
pub fn finish_levels(
    mut lanes: [f32; SUM_LANES],
    from: usize,
    row: &[u8],
    width: u32,
    levels: &Levels,
    y: &[f32],
) -> f32 {
    for (i, &y) in y.iter().enumerate().skip(from) {
        let bit = i * width as usize;
        // An index of 3 bits can lie across two bytes.
        let next = row.get(bit / 8 + 1).copied().unwrap_or(0);
        let bits = u16::from_le_bytes([row[bit / 8], next]) >> (bit % 8);
        let level = levels.table()[usize::from(bits) & ((1 << width) - 1)];
        let lane = &mut lanes[i % SUM_LANES];
        *lane = level.mul_add(y, *lane);
    }
    sum_lanes(lanes)
}
