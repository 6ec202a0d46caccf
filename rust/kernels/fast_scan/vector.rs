//! Two positions of a group in a register.

use std::hint::black_box;

use super::{Keys, POSITIONS_PER_PART, ROWS_PER_GROUP, Term, positions, scalar};
use crate::kernels::simd::{BYTES, LANES_16, LANES_32, Simd};

#[inline(always)]
pub fn lut_sums<S: Simd>(s: S, nibbles: &[u8], tables: &[&[u8]], sums: &mut [&mut [u16]]) {
    let positions = positions(nibbles, tables, sums);
    if positions == 0 {
        return sums.iter_mut().for_each(|sums| sums.fill(0));
    }
    let (fours, tables) = tables.as_chunks::<4>();
    let (sums_of_fours, sums) = sums.as_chunks_mut::<4>();
    for (tables, sums) in fours.iter().zip(sums_of_fours) {
        together::<S, 4>(s, positions, nibbles, tables, sums);
    }
    let (twos, last) = tables.as_chunks::<2>();
    let (sums_of_twos, last_sums) = sums.as_chunks_mut::<2>();
    for (tables, sums) in twos.iter().zip(sums_of_twos) {
        together::<S, 2>(s, positions, nibbles, tables, sums);
    }
    for (tables, sums) in last.iter().zip(last_sums) {
        together::<S, 1>(s, positions, nibbles, &[tables], std::array::from_mut(sums));
    }
}

/// The sums of N queries, which share loads and masks of the codes.
#[inline(always)]
fn together<S: Simd, const N: usize>(
    s: S,
    positions: usize,
    nibbles: &[u8],
    tables: &[&[u8]; N],
    sums: &mut [&mut [u16]; N],
) {
    // Not a constant to the compiler, which would unroll the loop and then keep nothing of it in registers.
    let steps = black_box(POSITIONS_PER_PART / 2);
    let mut parts: [&[[u8; BYTES]]; N] = [&[]; N];
    for (part, tables) in parts.iter_mut().zip(tables) {
        *part = &tables.as_chunks().0[..positions / 2];
    }
    for (place, group) in nibbles
        .chunks_exact(positions * ROWS_PER_GROUP / 2)
        .enumerate()
    {
        let (codes, _) = group.as_chunks::<BYTES>();
        // Of the rows in low nibbles and of those in high ones: sums of all bytes as 16 bits, and of the high bytes.
        let mut all = [[s.splat_i16(0); 2]; N];
        let mut high = [[s.splat_i16(0); 2]; N];
        for (part, codes) in codes.chunks_exact(steps).enumerate() {
            let tables = parts.map(|tables| &tables[part * steps..][..codes.len()]);
            let mut bytes = [[s.splat_i16(0); 2]; N];
            for (step, code) in codes.iter().enumerate() {
                let code = s.load_u8(code);
                let halves = [s.low_nibbles(code), s.high_nibbles(code)];
                for q in 0..N {
                    let table = s.load_u8(&tables[q][step]);
                    for half in 0..2 {
                        let entries = s.shuffle_bytes(table, halves[half]);
                        bytes[q][half] = s.add_u8(bytes[q][half], entries);
                    }
                }
            }
            for q in 0..N {
                for half in 0..2 {
                    all[q][half] = s.add_i16(all[q][half], bytes[q][half]);
                    high[q][half] = s.add_i16(high[q][half], s.high_bytes(bytes[q][half]));
                }
            }
        }
        for q in 0..N {
            let (sums, _) =
                sums[q][place * ROWS_PER_GROUP..][..ROWS_PER_GROUP].as_chunks_mut::<LANES_16>();
            for half in 0..2 {
                widen(s, all[q][half], high[q][half], &mut sums[half]);
            }
        }
    }
}

/// Both positions of a register together, the rows in order.
#[inline(always)]
fn widen<S: Simd>(s: S, all: S::I16x16, high: S::I16x16, sums: &mut [u16; 16]) {
    let (mut alls, mut highs) = ([0u16; LANES_16], [0u16; LANES_16]);
    s.store_u16(all, &mut alls);
    s.store_u16(high, &mut highs);
    for i in 0..LANES_16 / 2 {
        let odd = highs[i].wrapping_add(highs[i + LANES_16 / 2]);
        let both = alls[i].wrapping_add(alls[i + LANES_16 / 2]);
        sums[2 * i] = both.wrapping_sub(odd << 8);
        sums[2 * i + 1] = odd;
    }
}

/// Keys in registers.
#[derive(Clone, Copy)]
struct Bounds<'a, S: Simd> {
    unit: S::F32x8,
    offset: S::F32x8,
    weight: S::F32x8,
    reach: S::F32x8,
    first: Eights<'a>,
    second: Option<Eights<'a>>,
    spread: &'a [[f32; LANES_32]],
    shift: Option<&'a [[f32; LANES_32]]>,
}

impl<'a, S: Simd> Bounds<'a, S> {
    #[inline(always)]
    fn new(s: S, keys: &Keys<'a>) -> Self {
        keys.rows();
        Self {
            unit: s.splat(keys.unit),
            offset: s.splat(keys.offset),
            weight: s.splat(keys.weight),
            reach: s.splat(keys.reach),
            first: eights(keys.first),
            second: keys.second.map(eights),
            spread: keys.spread.as_chunks().0,
            shift: keys.shift.map(|shift| shift.as_chunks().0),
        }
    }

    /// Of the eight rows at 8i.
    #[inline(always)]
    fn at(&self, s: S, i: usize) -> S::F32x8 {
        let (sums, factor) = self.first;
        let product = s.fma(
            self.unit,
            s.to_f32(s.load_u16_as_i32(&sums[i])),
            self.offset,
        );
        let mut bound = s.mul(s.load(&factor[i]), product);
        if let Some((sums, factor)) = self.second {
            let product = s.fma(
                self.unit,
                s.to_f32(s.load_u16_as_i32(&sums[i])),
                self.offset,
            );
            bound = s.fma(s.load(&factor[i]), product, bound);
        }
        if let Some(shift) = self.shift {
            bound = s.fma(self.weight, s.load(&shift[i]), bound);
        }
        s.fma(self.reach, s.load(&self.spread[i]), bound)
    }
}

#[inline(always)]
pub fn group_maxima<S: Simd>(s: S, keys: &Keys<'_>, greatest: &mut [f32]) {
    let bounds = Bounds::new(s, keys);
    assert_eq!(
        greatest.len(),
        keys.spread.len().div_ceil(ROWS_PER_GROUP),
        "one a group"
    );
    let whole = keys.spread.len() / ROWS_PER_GROUP;
    for (group, greatest) in greatest[..whole].iter_mut().enumerate() {
        let mut most = s.splat(f32::NEG_INFINITY);
        for part in 0..ROWS_PER_GROUP / LANES_32 {
            most = s.max(
                bounds.at(s, group * (ROWS_PER_GROUP / LANES_32) + part),
                most,
            );
        }
        let mut lanes = [0f32; LANES_32];
        s.store(s.reduce_max(most), &mut lanes);
        *greatest = lanes[0];
    }
    scalar::group_maxima_from(whole, keys, greatest);
}

#[inline(always)]
pub fn select_in_range<S: Simd>(
    s: S,
    keys: &Keys<'_>,
    least: f32,
    most: f32,
    from: u32,
    rows: &mut Vec<u32>,
) {
    let bounds = Bounds::new(s, keys);
    let (least_all, most_all) = (s.splat(least), s.splat(most));
    let whole = keys.spread.len() / ROWS_PER_GROUP * ROWS_PER_GROUP;
    for group in (0..whole).step_by(ROWS_PER_GROUP) {
        let mut bits = 0;
        for part in 0..ROWS_PER_GROUP / LANES_32 {
            let bound = bounds.at(s, group / LANES_32 + part);
            let beyond = s.movemask(s.gt(bound, most_all));
            bits |= (s.movemask(s.gt(bound, least_all)) & !beyond) << (part * LANES_32);
        }
        while bits != 0 {
            rows.push(from + group as u32 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
    scalar::select_in_range_from(whole, keys, least, most, from, rows);
}

type Eights<'a> = (&'a [[u16; LANES_32]], &'a [[f32; LANES_32]]);

#[inline(always)]
fn eights(term: Term<'_>) -> Eights<'_> {
    (term.sums.as_chunks().0, term.factor.as_chunks().0)
}
