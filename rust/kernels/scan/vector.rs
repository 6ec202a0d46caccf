//! Two positions of a group in a register.

use super::{GROUP, Keys, POSITIONS, positions, scalar};
use crate::kernels::simd::{PAIRS, Simd, WIDTH};

#[inline(always)]
pub fn nibble_sums<S: Simd>(s: S, nibbles: &[u8], tables: &[u8], sums: &mut [u16]) {
    let positions = positions(nibbles, tables, sums);
    if positions == 0 {
        return sums.fill(0);
    }
    let (tables, _) = tables.as_chunks::<{ 2 * PAIRS }>();
    let (tables, _) = tables.as_chunks::<{ POSITIONS / 2 }>();
    let groups = nibbles.chunks_exact(positions * GROUP / 2);
    for (group, sums) in groups.zip(sums.as_chunks_mut::<GROUP>().0) {
        let (codes, _) = group.as_chunks::<{ 2 * PAIRS }>();
        let (codes, _) = codes.as_chunks::<{ POSITIONS / 2 }>();
        // Of the rows in low nibbles and of those in high ones: sums of all bytes as 16 bits, and of the high bytes.
        let mut all = [s.splat_pair(0); 2];
        let mut high = [s.splat_pair(0); 2];
        for (codes, tables) in codes.iter().zip(tables) {
            let mut bytes = [s.splat_pair(0); 2];
            for (code, table) in codes.iter().zip(tables) {
                let (code, table) = (s.load_bytes(code), s.load_bytes(table));
                for (bytes, nibble) in bytes
                    .iter_mut()
                    .zip([s.low_nibbles(code), s.high_nibbles(code)])
                {
                    *bytes = s.add_bytes(*bytes, s.look_up_bytes(table, nibble));
                }
            }
            for half in 0..2 {
                all[half] = s.add_pairs(all[half], bytes[half]);
                high[half] = s.add_pairs(high[half], s.high_bytes(bytes[half]));
            }
        }
        for ((sums, all), high) in sums.as_chunks_mut::<16>().0.iter_mut().zip(all).zip(high) {
            widen(s, all, high, sums);
        }
    }
}

/// Both positions of a register together, the rows in order.
#[inline(always)]
fn widen<S: Simd>(s: S, all: S::P, high: S::P, sums: &mut [u16; 16]) {
    let (mut alls, mut highs) = ([0u16; PAIRS], [0u16; PAIRS]);
    s.store_pairs(all, &mut alls);
    s.store_pairs(high, &mut highs);
    for i in 0..PAIRS / 2 {
        let odd = highs[i].wrapping_add(highs[i + PAIRS / 2]);
        let both = alls[i].wrapping_add(alls[i + PAIRS / 2]);
        sums[2 * i] = both.wrapping_sub(odd << 8);
        sums[2 * i + 1] = odd;
    }
}

#[inline(always)]
pub fn above<S: Simd>(
    s: S,
    sums: &[u16],
    keys: &Keys<'_>,
    least: f32,
    first: u32,
    rows: &mut Vec<u32>,
) {
    keys.check(sums.len());
    let (unit, offset) = (s.splat(keys.unit), s.splat(keys.offset));
    let (weight, reach) = (s.splat(keys.weight), s.splat(keys.reach));
    let limit = s.splat(least);
    let (eights, _) = sums.as_chunks::<WIDTH>();
    let (factor, _) = keys.factor.as_chunks::<WIDTH>();
    let (spread, _) = keys.spread.as_chunks::<WIDTH>();
    let shift = keys.shift.map(|shift| shift.as_chunks::<WIDTH>().0);
    let whole = eights.len() / 4 * 4;
    for from in (0..whole).step_by(4) {
        let mut bits = 0;
        for part in 0..4 {
            let eight = from + part;
            let sum = s.to_float(s.load_index(&eights[eight]));
            let mut bound = s.mul(s.load(&factor[eight]), s.fma(unit, sum, offset));
            if let Some(shift) = shift {
                bound = s.fma(weight, s.load(&shift[eight]), bound);
            }
            bound = s.fma(reach, s.load(&spread[eight]), bound);
            bits |= s.bits(s.above(bound, limit)) << (part * WIDTH);
        }
        while bits != 0 {
            rows.push(first + (from * WIDTH) as u32 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
    scalar::above_from(whole * WIDTH, sums, keys, least, first, rows);
}
