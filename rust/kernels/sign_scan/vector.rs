//! Half a group in a vector, four signs per look-up, for up to four queries at a time.

use super::scalar::{
    self, NEAR, fill_lut, finish, first_unit, padded, raise_unit, without_weights,
};
use super::{
    Columns, Cut, LEAST_VARIANCE, PART, ROWS_PER_GROUP, SectionColumns, SectionsCut, SignQuery,
    check_columns, check_sections, group_bytes, rows, sign_bytes,
};
use crate::aligned::Aligned;
use crate::kernels::SUM_LANES;
use crate::kernels::reduce::scalar::sum_lanes;
use crate::kernels::reduce::vector::to_lanes;
use crate::kernels::simd::{BYTES, LANES_16, LANES_32, Simd};

#[inline(always)]
pub fn sums<S: Simd>(s: S, groups: &[u8], dim: usize, luts: &[&[u8]], out: &mut [u16]) {
    let rows = rows(groups, dim, luts, sign_bytes(dim) * 32, out);
    if rows == 0 || dim == 0 {
        return out.fill(0);
    }
    let (fours, luts) = luts.as_chunks::<4>();
    let (out_of_fours, out) = out.split_at_mut(fours.len() * 4 * rows);
    for (luts, out) in fours.iter().zip(out_of_fours.chunks_exact_mut(4 * rows)) {
        sums_of_queries::<S, 4, 1>(s, groups, group_bytes(dim), luts, out);
    }
    match *luts {
        [a, b, c] => sums_of_queries::<S, 3, 2>(s, groups, group_bytes(dim), &[a, b, c], out),
        [a, b] => sums_of_queries::<S, 2, 2>(s, groups, group_bytes(dim), &[a, b], out),
        [a] => sums_of_queries::<S, 1, 2>(s, groups, group_bytes(dim), &[a], out),
        _ => {}
    }
}

/// [`sums`] for N queries, which share the loads and masks of the codes, and H halves of a group at
/// a time, which share the loads of the LUTs.
#[inline(always)]
fn sums_of_queries<S: Simd, const N: usize, const H: usize>(
    s: S,
    groups: &[u8],
    group_bytes: usize,
    luts: &[&[u8]; N],
    out: &mut [u16],
) {
    let rows = out.len() / N;
    let luts = luts.map(|lut| lut.as_chunks::<32>().0.as_chunks::<{ PART / 8 }>().0);
    for (group, codes) in groups.chunks_exact(group_bytes).enumerate() {
        let codes = codes
            .as_chunks::<ROWS_PER_GROUP>()
            .0
            .as_chunks::<{ PART / 8 }>()
            .0;
        let luts = luts.map(|luts| &luts[..codes.len()]);
        for half in (0..2).step_by(H) {
            // `all` sums the bytes of rows r and r + 32 as one 16-bit number, `high` sums the byte
            // of row r + 32 alone.
            let mut all = [[s.splat_i16(0); H]; N];
            let mut high = [[s.splat_i16(0); H]; N];
            for (part, codes) in codes.iter().enumerate() {
                let luts = luts.map(|luts| &luts[part]);
                let mut bytes = [[s.splat_i16(0); H]; N];
                for step in 0..PART / 8 {
                    let (codes, _) = codes[step].as_chunks::<BYTES>();
                    let codes: [_; H] = std::array::from_fn(|h| s.load_u8(&codes[half + h]));
                    let low = codes.map(|codes| s.low_nibbles(codes));
                    let high = codes.map(|codes| s.high_nibbles(codes));
                    for q in 0..N {
                        let (lut, _) = luts[q][step].as_chunks::<16>();
                        let (low_lut, high_lut) =
                            (s.load_u8_twice(&lut[0]), s.load_u8_twice(&lut[1]));
                        for h in 0..H {
                            let sum = s.add_u8(bytes[q][h], s.shuffle_bytes(low_lut, low[h]));
                            bytes[q][h] = s.add_u8(sum, s.shuffle_bytes(high_lut, high[h]));
                        }
                    }
                }
                for q in 0..N {
                    for h in 0..H {
                        all[q][h] = s.add_i16(all[q][h], bytes[q][h]);
                        high[q][h] = s.add_i16(high[q][h], s.high_bytes(bytes[q][h]));
                    }
                }
            }
            for q in 0..N {
                let from = q * rows + group * ROWS_PER_GROUP;
                let (out, _) = out[from..][..ROWS_PER_GROUP].as_chunks_mut::<LANES_16>();
                for h in 0..H {
                    let low = s.sub_i16(all[q][h], s.low_to_high_bytes(high[q][h]));
                    s.store_u16(low, &mut out[half + h]);
                    s.store_u16(high[q][h], &mut out[2 + half + h]);
                }
            }
        }
    }
}

#[inline(always)]
pub fn sums_reach<S: Simd>(
    s: S,
    sums: &[u16],
    columns: &Columns<'_>,
    cut: &Cut,
    masks: &mut [u64],
) {
    check_columns(sums.len(), columns, masks);
    let sums = sums.as_chunks().0;
    let product = |i: usize| s.to_f32(s.load_u16_as_i32(&sums[i]));
    reach(s, product, columns, cut, masks);
}

#[inline(always)]
pub fn ints_reach<S: Simd>(
    s: S,
    dots: &[i32],
    columns: &Columns<'_>,
    cut: &Cut,
    masks: &mut [u64],
) {
    check_columns(dots.len(), columns, masks);
    let dots = dots.as_chunks().0;
    let product = |i: usize| s.to_f32(s.load_i32(&dots[i]));
    reach(s, product, columns, cut, masks);
}

/// The masks for the products of rows 8i to 8i + 7 that `product` returns.
#[inline(always)]
fn reach<S: Simd>(
    s: S,
    product: impl Fn(usize) -> S::F32x8,
    columns: &Columns<'_>,
    cut: &Cut,
    masks: &mut [u64],
) {
    const PARTS: usize = ROWS_PER_GROUP / LANES_32;
    let (unit, offset) = (s.splat(cut.unit), s.splat(cut.offset));
    let (reach, weight) = (s.splat(cut.reach), s.splat(cut.weight));
    let threshold = s.splat(cut.threshold);
    let (factor, spread) = (columns.factor.as_chunks().0, columns.spread.as_chunks().0);
    let shift = columns.shift.map(|shift| shift.as_chunks().0);
    for (group, mask) in masks.iter_mut().enumerate() {
        let mut below = 0;
        for part in 0..PARTS {
            let i = group * PARTS + part;
            let mut key = s.mul(s.load(&factor[i]), s.fma(unit, product(i), offset));
            if let Some(shift) = shift {
                key = s.fma(weight, s.load(&shift[i]), key);
            }
            let bound = s.fma(reach, s.load(&spread[i]), key);
            below |= u64::from(s.movemask(s.gt(threshold, bound))) << (part * LANES_32);
        }
        *mask = !below;
    }
}

#[inline(always)]
pub fn sections_reach<S: Simd>(
    s: S,
    ints: &[&[i32]],
    sums: &[&[u16]],
    columns: &SectionColumns<'_>,
    cut: &SectionsCut,
    masks: &mut [u64],
) {
    check_sections(ints, sums, columns, masks);
    // Rows have their first section in integers, or all of them. All else is left to the
    // definition.
    match (ints, sums) {
        (&[a], &[]) => reach_of_sections(s, [a], [], columns, cut, masks),
        (&[a], &[b]) => reach_of_sections(s, [a], [b], columns, cut, masks),
        (&[a], &[b, c]) => reach_of_sections(s, [a], [b, c], columns, cut, masks),
        (&[a], &[b, c, d]) => reach_of_sections(s, [a], [b, c, d], columns, cut, masks),
        (&[a, b], &[]) => reach_of_sections(s, [a, b], [], columns, cut, masks),
        (&[a, b, c], &[]) => reach_of_sections(s, [a, b, c], [], columns, cut, masks),
        (&[a, b, c, d], &[]) => reach_of_sections(s, [a, b, c, d], [], columns, cut, masks),
        (&[], &[a]) => reach_of_sections(s, [], [a], columns, cut, masks),
        (&[], &[a, b]) => reach_of_sections(s, [], [a, b], columns, cut, masks),
        (&[], &[a, b, c]) => reach_of_sections(s, [], [a, b, c], columns, cut, masks),
        (&[], &[a, b, c, d]) => reach_of_sections(s, [], [a, b, c, d], columns, cut, masks),
        _ => scalar::sections_reach(ints, sums, columns, cut, masks),
    }
}

/// The factors and errors of a section, and its unit, offset and reach.
#[derive(Clone, Copy)]
struct Of<'a, S: Simd> {
    factor: &'a [[f32; LANES_32]],
    spread: &'a [[f32; LANES_32]],
    unit: S::F32x8,
    offset: S::F32x8,
    reach: S::F32x8,
}

impl<'a, S: Simd> Of<'a, S> {
    #[inline(always)]
    fn new(
        s: S,
        columns: &SectionColumns<'a>,
        cut: &SectionsCut,
        section: usize,
        vectors: usize,
    ) -> Self {
        let [factor, spread] = columns.sections[section];
        let of = &cut.sections[section];
        Self {
            factor: &factor.as_chunks().0[..vectors],
            spread: &spread.as_chunks().0[..vectors],
            unit: s.splat(-of.unit),
            offset: s.splat(-of.offset),
            reach: s.splat(of.reach),
        }
    }

    /// Takes the section of the rows of vector i, with these products, from the gap and adds to
    /// the variance.
    #[inline(always)]
    fn add(self, s: S, i: usize, product: S::F32x8, found: &mut [S::F32x8; 2]) {
        let [gap, variance] = found;
        let value = s.fma(self.unit, product, self.offset);
        *gap = s.fma(s.load(&self.factor[i]), value, *gap);
        let error = s.mul(self.reach, s.load(&self.spread[i]));
        *variance = s.fma(error, error, *variance);
    }
}

/// The masks for rows with I sections in integers and N in sums.
#[inline(always)]
fn reach_of_sections<S: Simd, const I: usize, const N: usize>(
    s: S,
    ints: [&[i32]; I],
    sums: [&[u16]; N],
    columns: &SectionColumns<'_>,
    cut: &SectionsCut,
    masks: &mut [u64],
) {
    const PARTS: usize = ROWS_PER_GROUP / LANES_32;
    let vectors = masks.len() * PARTS;
    let ints = ints.map(|ints| &ints.as_chunks::<LANES_32>().0[..vectors]);
    let sums = sums.map(|sums| &sums.as_chunks::<LANES_32>().0[..vectors]);
    let of_ints: [_; I] = std::array::from_fn(|j| Of::new(s, columns, cut, j, vectors));
    let of_sums: [_; N] = std::array::from_fn(|j| Of::new(s, columns, cut, I + j, vectors));
    let inverse = &columns.inverse.as_chunks::<LANES_32>().0[..vectors];
    let shift = columns
        .shift
        .map(|shift| &shift.as_chunks::<LANES_32>().0[..vectors]);
    let (weight, threshold) = (s.splat(-cut.weight), s.splat(cut.threshold));
    for (group, mask) in masks.iter_mut().enumerate() {
        let mut below = 0;
        for part in 0..PARTS {
            let i = group * PARTS + part;
            let base = match shift {
                Some(shift) => s.fma(weight, s.load(&shift[i]), threshold),
                None => threshold,
            };
            let mut found = [s.mul(base, s.load(&inverse[i])), s.splat(LEAST_VARIANCE)];
            for j in 0..I {
                of_ints[j].add(s, i, s.to_f32(s.load_i32(&ints[j][i])), &mut found);
            }
            for j in 0..N {
                of_sums[j].add(s, i, s.to_f32(s.load_u16_as_i32(&sums[j][i])), &mut found);
            }
            let [gap, variance] = found;
            let is_below = s.gt(s.mul(gap, s.abs(gap)), variance);
            below |= u64::from(s.movemask(is_below)) << (part * LANES_32);
        }
        *mask = !below;
    }
}

/// Two vectors of a query at a time, the lanes of the contract.
#[inline(always)]
pub fn query<S: Simd>(s: S, y: &[f32]) -> SignQuery {
    let (body, tail) = y.as_chunks::<SUM_LANES>();
    let tail = padded::<SUM_LANES>(tail);
    let parts = body.iter().chain([&tail]).take(y.len().div_ceil(SUM_LANES));
    let magnitudes = |part: &[f32; SUM_LANES]| {
        let (halves, _) = part.as_chunks::<LANES_32>();
        [s.abs(s.load(&halves[0])), s.abs(s.load(&halves[1]))]
    };

    // Every lane has the sum of the four lanes around it.
    let sums_of_fours = |magnitudes: S::F32x8| {
        let pairs = s.add(magnitudes, s.shuffle_xor1(magnitudes));
        s.add(pairs, s.shuffle_xor2(pairs))
    };
    let mut total = s.splat(0.0);
    let mut widest = s.splat(0.0);
    for part in parts.clone() {
        for sums in magnitudes(part).map(sums_of_fours) {
            total = s.add(total, sums);
            widest = s.max(sums, widest);
        }
    }
    let [mut total_lanes, mut widest_lanes] = [[0f32; LANES_32]; 2];
    s.store(total, &mut total_lanes);
    s.store(s.reduce_max(widest), &mut widest_lanes);
    let (total, widest) = (total_lanes.iter().sum(), widest_lanes[0]);
    let Some(mut unit) = first_unit(total, widest) else {
        return without_weights(y, sign_bytes(y.len()) * 32);
    };
    let near = s.splat(widest * NEAR);
    for part in parts.clone() {
        let [low, high] = magnitudes(part).map(|half| s.movemask(s.gt(sums_of_fours(half), near)));
        let close = low | high << LANES_32;
        if close != 0 {
            for (four, y) in part.as_chunks::<4>().0.iter().enumerate() {
                if close >> (4 * four) & 1 != 0 {
                    unit = raise_unit(y, unit);
                }
            }
        }
    }

    let (per_unit, rounding) = (s.splat(2.0 / unit), s.splat(0.5));
    let zero = s.splat(0.0);
    let [mut errors, mut squares, mut fourths] = [[zero; 2]; 3];
    let mut weights = Aligned::<i8>::new(sign_bytes(y.len()) * 8);
    for (part, weights) in parts.zip(weights.as_chunks_mut::<SUM_LANES>().0) {
        let (halves, _) = part.as_chunks::<LANES_32>();
        let (weights, _) = weights.as_chunks_mut::<LANES_32>();
        for h in 0..2 {
            let y = s.load(&halves[h]);
            let magnitude = s.floor(s.fma(s.abs(y), per_unit, rounding));
            let weight = s.select(s.gt(zero, y), s.sub(zero, magnitude), magnitude);
            let z = s.mul(y, per_unit);
            let error = s.fma(y, per_unit, s.sub(zero, weight));
            let square = s.mul(z, z);
            errors[h] = s.fma(error, error, errors[h]);
            squares[h] = s.add(squares[h], square);
            fourths[h] = s.fma(square, square, fourths[h]);
            let mut integers = [0i32; LANES_32];
            s.store_i32(s.to_i32(weight), &mut integers);
            weights[h] = integers.map(|weight| weight as i8);
        }
    }
    let moments = [errors, squares, fourths].map(|sum| sum_lanes(to_lanes(s, sum)));
    let mut lut = Aligned::new(weights.len() * 4);
    let sum = fill_lut(&weights, &mut lut);
    finish(y.len(), unit, moments, lut, sum)
}
