//! Sums of four rows at a time, each with sixteen lanes in two vectors.

use super::{ROWS_PER_CALL, check, scalar};
use crate::kernels::SUM_LANES;
use crate::kernels::nearest::Words;
use crate::kernels::quantize::Levels;
use crate::kernels::reduce::vector::{sum_lanes_of_four, to_lanes};
use crate::kernels::simd::{LANES_32, Simd};

/// Sums four rows over the whole groups of sixteen coordinates of y. A group has `$words` blocks,
/// whose indexes are `$k`; `$halves` are its two vectors of codeword coordinates.
macro_rules! sums {
    ($s:ident, $index:ident, $y:ident, $words:literal, $k:ident => $halves:expr) => {{
        let (y, _) = $y.as_chunks::<SUM_LANES>();
        let index = $index.map(|index| &index.as_chunks::<$words>().0[..y.len()]);
        let mut sums = [[$s.splat(0.0); 2]; ROWS_PER_CALL];
        for (place, y) in y.iter().enumerate() {
            let y = y.as_chunks::<LANES_32>().0;
            let y = [$s.load(&y[0]), $s.load(&y[1])];
            for r in 0..ROWS_PER_CALL {
                let $k = index[r][place];
                let c = $halves;
                for half in 0..2 {
                    sums[r][half] = $s.fma(c[half], y[half], sums[r][half]);
                }
            }
        }
        sums
    }};
}

#[inline(always)]
pub fn codeword_products<S: Simd>(
    s: S,
    index: [&[u16]; ROWS_PER_CALL],
    words: &Words,
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    let block = words.block();
    for index in index {
        assert_eq!(y.len(), block * index.len(), "coordinates of the blocks");
    }
    let sums = match block {
        2 => {
            let (table, _) = words.words().as_chunks::<2>();
            sums!(s, index, y, 8, k => {
                let word = |i: usize| &table[usize::from(k[i])];
                let low = [word(0), word(1), word(2), word(3)];
                [s.load_quarters(low), s.load_quarters([word(4), word(5), word(6), word(7)])]
            })
        }
        4 => {
            let (table, _) = words.words().as_chunks::<4>();
            sums!(s, index, y, 4, k => {
                let word = |i: usize| &table[usize::from(k[i])];
                [s.load_halves([word(0), word(1)]), s.load_halves([word(2), word(3)])]
            })
        }
        8 => {
            let (table, _) = words.words().as_chunks::<8>();
            sums!(s, index, y, 2, k => [
                s.load(&table[usize::from(k[0])]),
                s.load(&table[usize::from(k[1])]),
            ])
        }
        _ => return scalar::codeword_products(index, words, y, out),
    };
    let done = y.len() / SUM_LANES * SUM_LANES;
    if done == y.len() {
        *out = sum_lanes_of_four(s, sums);
        return;
    }
    for ((sums, index), out) in sums.into_iter().zip(index).zip(out) {
        *out = scalar::finish_codewords(to_lanes(s, sums), done, index, words, y);
    }
}

#[inline(always)]
pub fn level_products<S: Simd>(
    s: S,
    rows: [&[u8]; ROWS_PER_CALL],
    width: u32,
    levels: &Levels,
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    check(&rows, width, levels, y);
    // A shifted index still has those after it in its upper bits. The table repeats, so that the
    // bits above `width` that the look-up reads do not matter.
    let mut table = [0f32; 2 * LANES_32];
    for (i, value) in table.iter_mut().enumerate() {
        *value = levels.table()[i & ((1 << width) - 1)];
    }
    let (table, _) = table.as_chunks::<LANES_32>();
    let (low, high) = (s.load(&table[0]), s.load(&table[1]));
    let shifts = s.load_i32(&std::array::from_fn(|lane| (lane * width as usize) as i32));
    let bytes_per_vector = width as usize;
    let mut sums = [[s.splat(0.0); 2]; ROWS_PER_CALL];
    let (whole, _) = y.as_chunks::<SUM_LANES>();
    for (place, y) in whole.iter().enumerate() {
        let y = y.as_chunks::<LANES_32>().0;
        let y = [s.load(&y[0]), s.load(&y[1])];
        let from = 2 * place * bytes_per_vector;
        for r in 0..ROWS_PER_CALL {
            let bits = eight_bytes(rows[r], from);
            let halves = [bits as i32, (bits >> (8 * width)) as i32];
            for half in 0..2 {
                let bits = s.shift_right(s.splat_i32(halves[half]), shifts);
                let c = if width == 4 {
                    s.lookup16(low, high, bits)
                } else {
                    s.lookup8(low, bits)
                };
                sums[r][half] = s.fma(c, y[half], sums[r][half]);
            }
        }
    }
    if whole.len() * SUM_LANES == y.len() {
        *out = sum_lanes_of_four(s, sums);
        return;
    }
    for ((sums, row), out) in sums.into_iter().zip(rows).zip(out) {
        let from = whole.len() * SUM_LANES;
        *out = scalar::finish_levels(to_lanes(s, sums), from, row, width, levels, y);
    }
}

/// Eight bytes of a row from `from` on, with zeros beyond its end.
#[inline(always)]
pub(super) fn eight_bytes(row: &[u8], from: usize) -> u64 {
    match row.get(from..from + 8).and_then(<[u8]>::first_chunk) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => last_bytes(row, from),
    }
}

/// The bytes from `from` to the end of a row, fewer than eight, padded with zeros.
#[cold]
#[inline(never)]
fn last_bytes(row: &[u8], from: usize) -> u64 {
    let mut bytes = [0; 8];
    let rest = &row[from..];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_le_bytes(bytes)
}
