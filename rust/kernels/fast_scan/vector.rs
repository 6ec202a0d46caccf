//! Two positions of a group in a vector of codes, up to four queries at a time.

use std::hint::black_box;

use super::{Keys, POSITIONS_PER_PART, ROWS_PER_GROUP, Term, positions, scalar};
use crate::kernels::simd::{BYTES, LANES_16, LANES_32, Simd};

#[inline(always)]
pub fn lut_sums<S: Simd>(s: S, nibbles: &[u8], luts: &[&[u8]], sums: &mut [&mut [u16]]) {
    let positions = positions(nibbles, luts, sums);
    if positions == 0 {
        return sums.iter_mut().for_each(|sums| sums.fill(0));
    }
    let (fours, luts) = luts.as_chunks::<4>();
    let (sums_of_fours, sums) = sums.as_chunks_mut::<4>();
    for (luts, sums) in fours.iter().zip(sums_of_fours) {
        sums_of_queries::<S, 4>(s, positions, nibbles, luts, sums);
    }
    let (twos, last) = luts.as_chunks::<2>();
    let (sums_of_twos, last_sums) = sums.as_chunks_mut::<2>();
    for (luts, sums) in twos.iter().zip(sums_of_twos) {
        sums_of_queries::<S, 2>(s, positions, nibbles, luts, sums);
    }
    for (lut, sums) in last.iter().zip(last_sums) {
        sums_of_queries::<S, 1>(s, positions, nibbles, &[lut], std::array::from_mut(sums));
    }
}

/// [`lut_sums`] for N queries, which share the loads and masks of the codes.
#[inline(always)]
fn sums_of_queries<S: Simd, const N: usize>(
    s: S,
    positions: usize,
    nibbles: &[u8],
    luts: &[&[u8]; N],
    sums: &mut [&mut [u16]; N],
) {
    // The compiler must not see a constant: it would unroll the inner loop and then run out of
    // registers for the sums.
    let steps = black_box(POSITIONS_PER_PART / 2);
    let mut lut_pairs: [&[[u8; BYTES]]; N] = [&[]; N];
    for (pairs, lut) in lut_pairs.iter_mut().zip(luts) {
        *pairs = &lut.as_chunks().0[..positions / 2];
    }
    for (group, codes) in nibbles
        .chunks_exact(positions * ROWS_PER_GROUP / 2)
        .enumerate()
    {
        let (codes, _) = codes.as_chunks::<BYTES>();
        // For the rows in low nibbles and for those in high ones: `all` sums the bytes of rows 2i
        // and 2i + 1 as one 16-bit number, `high` sums the byte of row 2i + 1 alone.
        let mut all = [[s.splat_i16(0); 2]; N];
        let mut high = [[s.splat_i16(0); 2]; N];
        for (part, codes) in codes.chunks_exact(steps).enumerate() {
            let pairs = lut_pairs.map(|pairs| &pairs[part * steps..][..codes.len()]);
            let mut bytes = [[s.splat_i16(0); 2]; N];
            for (step, code) in codes.iter().enumerate() {
                let code = s.load_u8(code);
                let halves = [s.low_nibbles(code), s.high_nibbles(code)];
                for q in 0..N {
                    let lut_pair = s.load_u8(&pairs[q][step]);
                    for half in 0..2 {
                        let entries = s.shuffle_bytes(lut_pair, halves[half]);
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
                sums[q][group * ROWS_PER_GROUP..][..ROWS_PER_GROUP].as_chunks_mut::<LANES_16>();
            for half in 0..2 {
                widen(s, all[q][half], high[q][half], &mut sums[half]);
            }
        }
    }
}

/// Adds the two positions of a vector and writes the sums of sixteen rows in order.
///
/// ```text
/// all:   a0 + 256·a1, a2 + 256·a3, …   (even positions)  | the same rows (odd positions)
/// high:  a1,          a3,          …                     | the same rows
/// sums:  all − 256·high, high, …       each the sum of both halves
/// ```
#[inline(always)]
fn widen<S: Simd>(s: S, all: S::I16x16, high: S::I16x16, sums: &mut [u16; 16]) {
    let (mut alls, mut highs) = ([0u16; LANES_16], [0u16; LANES_16]);
    s.store_u16(all, &mut alls);
    s.store_u16(high, &mut highs);
    for i in 0..LANES_16 / 2 {
        let odd_row = highs[i].wrapping_add(highs[i + LANES_16 / 2]);
        let both = alls[i].wrapping_add(alls[i + LANES_16 / 2]);
        sums[2 * i] = both.wrapping_sub(odd_row << 8);
        sums[2 * i + 1] = odd_row;
    }
}

/// [`Keys`] as vectors.
#[derive(Clone, Copy)]
struct UpperBounds<'a, S: Simd> {
    unit: S::F32x8,
    offset: S::F32x8,
    weight: S::F32x8,
    reach: S::F32x8,
    first: TermVectors<'a>,
    second: Option<TermVectors<'a>>,
    spread: &'a [[f32; LANES_32]],
    shift: Option<&'a [[f32; LANES_32]]>,
}

impl<'a, S: Simd> UpperBounds<'a, S> {
    #[inline(always)]
    fn new(s: S, keys: &Keys<'a>) -> Self {
        keys.rows();
        Self {
            unit: s.splat(keys.unit),
            offset: s.splat(keys.offset),
            weight: s.splat(keys.weight),
            reach: s.splat(keys.reach),
            first: term_vectors(keys.first),
            second: keys.second.map(term_vectors),
            spread: keys.spread.as_chunks().0,
            shift: keys.shift.map(|shift| shift.as_chunks().0),
        }
    }

    /// The upper bounds of rows 8i to 8i + 7, by the same operations as in [`Keys::upper_bound`].
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
pub fn group_maxima<S: Simd>(s: S, keys: &Keys<'_>, maxima: &mut [f32]) {
    let bounds = UpperBounds::new(s, keys);
    assert_eq!(
        maxima.len(),
        keys.spread.len().div_ceil(ROWS_PER_GROUP),
        "one maximum per group"
    );
    let whole = keys.spread.len() / ROWS_PER_GROUP;
    for (group, group_max) in maxima[..whole].iter_mut().enumerate() {
        let mut max = s.splat(f32::NEG_INFINITY);
        for part in 0..ROWS_PER_GROUP / LANES_32 {
            max = s.max(
                bounds.at(s, group * (ROWS_PER_GROUP / LANES_32) + part),
                max,
            );
        }
        let mut lanes = [0f32; LANES_32];
        s.store(s.reduce_max(max), &mut lanes);
        *group_max = lanes[0];
    }
    scalar::group_maxima_from(whole, keys, maxima);
}

#[inline(always)]
pub fn select_in_range<S: Simd>(
    s: S,
    keys: &Keys<'_>,
    above: f32,
    up_to: f32,
    first_row: u32,
    rows: &mut Vec<u32>,
) {
    let bounds = UpperBounds::new(s, keys);
    let (above_all, up_to_all) = (s.splat(above), s.splat(up_to));
    let whole = keys.spread.len() / ROWS_PER_GROUP * ROWS_PER_GROUP;
    for group in (0..whole).step_by(ROWS_PER_GROUP) {
        let mut bits = 0;
        for part in 0..ROWS_PER_GROUP / LANES_32 {
            let bound = bounds.at(s, group / LANES_32 + part);
            let beyond = s.movemask(s.gt(bound, up_to_all));
            bits |= (s.movemask(s.gt(bound, above_all)) & !beyond) << (part * LANES_32);
        }
        while bits != 0 {
            rows.push(first_row + group as u32 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
    scalar::select_in_range_from(whole, keys, above, up_to, first_row, rows);
}

/// The sums and the factors of a term, eight rows per vector.
type TermVectors<'a> = (&'a [[u16; LANES_32]], &'a [[f32; LANES_32]]);

#[inline(always)]
fn term_vectors(term: Term<'_>) -> TermVectors<'_> {
    (term.sums.as_chunks().0, term.factor.as_chunks().0)
}
