//! A group in a vector, six signs per look-up, for up to eight queries at a time.

use std::arch::x86_64::__m512i;

use super::scalar::{finish, first_unit, raise_unit, without_weights};
use super::{Columns, Cut, PART, ROWS_PER_GROUP, SignQuery, check_columns, rows, sign_bytes};
use crate::aligned::Aligned;
use crate::isa::Avx512;
use crate::kernels::SUM_LANES;

/// Bytes of a table, one for each value of six signs.
const TABLE: usize = 64;
/// Tables of a part: one for six signs of each of its eight bytes, and three for the two signs that
/// are left of each.
const TABLES: usize = 11;
/// Parts whose LUTs stay in the first-level cache while all groups are scanned.
const PARTS_OF_LUTS: usize = 32;

#[inline(always)]
pub fn sums(s: Avx512, groups: &[u8], dim: usize, luts: &[&[u8]], out: &mut [u16]) {
    let lut_bytes = sign_bytes(dim) / 8 * TABLES * TABLE;
    let rows = rows(groups, dim, luts, lut_bytes, out);
    out.fill(0);
    if rows == 0 || dim == 0 {
        return;
    }
    let parts = sign_bytes(dim) / 8;
    let mut out = out.chunks_exact_mut(rows);
    let (eights, luts) = luts.as_chunks::<8>();
    for luts in eights {
        let out = std::array::from_fn(|_| out.next().unwrap_or_default());
        sums_of_queries::<8>(s, groups, parts, luts, out);
    }
    let (fours, luts) = luts.as_chunks::<4>();
    for luts in fours {
        let out = std::array::from_fn(|_| out.next().unwrap_or_default());
        sums_of_queries::<4>(s, groups, parts, luts, out);
    }
    let (twos, luts) = luts.as_chunks::<2>();
    for luts in twos {
        let out = std::array::from_fn(|_| out.next().unwrap_or_default());
        sums_of_queries::<2>(s, groups, parts, luts, out);
    }
    for (lut, out) in luts.iter().zip(out) {
        sums_of_queries::<1>(s, groups, parts, &[lut], [out]);
    }
}

#[inline(always)]
fn sums_of_queries<const N: usize>(
    s: Avx512,
    groups: &[u8],
    parts: usize,
    luts: &[&[u8]; N],
    out: [&mut [u16]; N],
) {
    let luts = luts.map(|lut| lut.as_chunks::<{ TABLES * TABLE }>().0);
    let codes = groups.as_chunks::<{ PART / 8 * ROWS_PER_GROUP }>().0;
    for from in (0..parts).step_by(PARTS_OF_LUTS / N) {
        let block = from..parts.min(from + PARTS_OF_LUTS / N);
        let luts = luts.map(|lut| &lut[block.clone()]);
        for (group, codes) in codes.chunks_exact(parts).enumerate() {
            let mut all = [s.zero(); N];
            let mut high = [s.zero(); N];
            for (part, codes) in codes[block.clone()].iter().enumerate() {
                let luts = luts.map(|lut| lut[part].as_chunks::<TABLE>().0);
                let bytes = bytes_of_part(s, codes, luts);
                for q in 0..N {
                    all[q] = s.add_i16(all[q], bytes[q]);
                    high[q] = s.add_i16(high[q], s.shift_right_u16::<8>(bytes[q]));
                }
            }
            for q in 0..N {
                let (out, _) = out[q].as_chunks_mut::<32>();
                let low = s.sub_i16(all[q], s.shift_left_u16::<8>(high[q]));
                for (sums, out) in [low, high[q]].into_iter().zip(&mut out[2 * group..][..2]) {
                    s.store_u16(s.add_i16(s.load_u16(out), sums), out);
                }
            }
        }
    }
}

#[inline(always)]
fn bytes_of_part<const N: usize>(
    s: Avx512,
    codes: &[u8; PART / 8 * ROWS_PER_GROUP],
    luts: [&[[u8; TABLE]]; N],
) -> [__m512i; N] {
    let (codes, _) = codes.as_chunks::<ROWS_PER_GROUP>();
    let (two, four) = (s.splat_u8(0xc0), s.splat_u8(0xf0));
    let mut bytes = [s.zero(); N];
    for half in 0..2 {
        let (a, b) = (s.load_u8(&codes[4 * half]), s.load_u8(&codes[4 * half + 1]));
        let c = s.load_u8(&codes[4 * half + 2]);
        let pairs = s.select_bits(two, a, s.shift_right_u16::<2>(b));
        let pairs = s.select_bits(four, pairs, s.shift_right_u16::<4>(c));
        add_entries(s, &mut bytes, luts, 4 * half, a);
        add_entries(s, &mut bytes, luts, 4 * half + 1, b);
        add_entries(s, &mut bytes, luts, 4 * half + 2, c);
        add_entries(s, &mut bytes, luts, 8 + half, s.shift_right_u16::<2>(pairs));
    }
    let (a, b) = (s.load_u8(&codes[3]), s.load_u8(&codes[7]));
    let pairs = s.select_bits(two, a, s.shift_right_u16::<2>(b));
    add_entries(s, &mut bytes, luts, 3, a);
    add_entries(s, &mut bytes, luts, 7, b);
    add_entries(s, &mut bytes, luts, 10, s.shift_right_u16::<4>(pairs));
    bytes
}

/// Adds the entries of a table that the signs in `index` choose.
#[inline(always)]
fn add_entries<const N: usize>(
    s: Avx512,
    bytes: &mut [__m512i; N],
    luts: [&[[u8; TABLE]]; N],
    table: usize,
    index: __m512i,
) {
    for (bytes, lut) in bytes.iter_mut().zip(luts) {
        *bytes = s.add_u8(*bytes, s.permute_bytes(s.load_u8(&lut[table]), index));
    }
}

#[inline(always)]
pub fn sums_reach(s: Avx512, sums: &[u16], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    check_columns(sums.len(), columns, masks);
    let sums = sums.as_chunks().0;
    let product = |i: usize| s.to_f32(s.load_u16_as_i32(&sums[i]));
    reach(s, product, columns, cut, masks);
}

#[inline(always)]
pub fn ints_reach(s: Avx512, dots: &[i32], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    check_columns(dots.len(), columns, masks);
    let dots = dots.as_chunks().0;
    let product = |i: usize| s.to_f32(s.load_i32(&dots[i]));
    reach(s, product, columns, cut, masks);
}

#[inline(always)]
pub fn dots_reach(s: Avx512, dots: &[f32], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    check_columns(dots.len(), columns, masks);
    let dots = dots.as_chunks().0;
    let product = |i: usize| s.load(&dots[i]);
    reach(s, product, columns, cut, masks);
}

/// The masks for the products of rows 16i to 16i + 15 that `product` returns.
#[inline(always)]
fn reach(
    s: Avx512,
    product: impl Fn(usize) -> std::arch::x86_64::__m512,
    columns: &Columns<'_>,
    cut: &Cut,
    masks: &mut [u64],
) {
    const PARTS: usize = ROWS_PER_GROUP / SUM_LANES;
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
            below |= u64::from(s.lt(bound, threshold)) << (part * SUM_LANES);
        }
        *mask = !below;
    }
}

/// One vector of a query at a time, the lanes of the contract.
#[inline(always)]
pub fn query(s: Avx512, y: &[f32]) -> SignQuery {
    let (body, tail) = y.as_chunks::<SUM_LANES>();
    let magnitudes = |i: usize| {
        let part = body
            .get(i)
            .map_or_else(|| s.load_part(tail), |part| s.load(part));
        (part, s.abs(part))
    };
    let parts = y.len().div_ceil(SUM_LANES);
    // Every lane has the sum of the four lanes around it.
    let sums_of_fours = |magnitudes| {
        let pairs = s.add(magnitudes, s.swap_neighbors(magnitudes));
        s.add(pairs, s.swap_pairs(pairs))
    };
    let (mut total, mut widest) = (s.splat(0.0), s.splat(0.0));
    for i in 0..parts {
        let sums = sums_of_fours(magnitudes(i).1);
        total = s.add(total, sums);
        widest = s.max(sums, widest);
    }
    let widest = s.largest(widest);
    let Some(mut unit) = first_unit(s.sum(total), widest) else {
        return without_weights(y);
    };
    let near = s.splat(widest * super::scalar::NEAR);
    for i in 0..parts {
        let mut close = s.lt(near, sums_of_fours(magnitudes(i).1));
        while close != 0 {
            let from = i * SUM_LANES + close.trailing_zeros() as usize;
            unit = raise_unit(&y[from..y.len().min(from + 4)], unit);
            close &= !(0xf << (from % SUM_LANES));
        }
    }

    let (per_unit, rounding, zero) = (s.splat(2.0 / unit), s.splat(0.5), s.splat(0.0));
    let [mut errors, mut squares, mut fourths] = [zero; 3];
    let mut total = s.zero();
    let mut weights = Aligned::<i8>::new(sign_bytes(y.len()) * 8);
    let (weights_of_parts, _) = weights.as_chunks_mut::<SUM_LANES>();
    for (i, weights) in (0..parts).zip(weights_of_parts) {
        let (y, magnitudes) = magnitudes(i);
        let rounded = s.truncate_to_i32(s.fma(magnitudes, per_unit, rounding));
        total = s.add_i32(total, rounded);
        let signed = s.sub_i32_where(s.lt(y, zero), rounded, s.zero(), rounded);
        s.store_i32_as_i8(signed, weights);
        let error = s.fms(magnitudes, per_unit, s.to_f32(rounded));
        let z = s.mul(magnitudes, per_unit);
        let square = s.mul(z, z);
        errors = s.fma(error, error, errors);
        squares = s.add(squares, square);
        fourths = s.fma(square, square, fourths);
    }
    let moments = [errors, squares, fourths].map(|sum| s.sum(sum));
    let mut lut = Aligned::new(weights.len() / PART * TABLES * TABLE);
    let (weights, _) = weights.as_chunks::<PART>();
    let (luts, _) = lut.as_chunks_mut::<{ TABLES * TABLE }>();
    for (weights, lut) in weights.iter().zip(luts) {
        fill_tables(s, weights, lut.as_chunks_mut().0);
    }
    finish(y.len(), unit, moments, lut, s.sum_i32(total))
}

/// For each of the 64 values of six signs and each sign: which of 32 weights it chooses if it is
/// set; 32 more if it is clear.
const fn choices(coordinates: [u8; 6]) -> [[u8; TABLE]; 6] {
    let mut choices = [[0; TABLE]; 6];
    let mut sign = 0;
    while sign < 6 {
        let mut value = 0;
        while value < TABLE {
            let clear = value >> sign & 1 == 0;
            choices[sign][value] = coordinates[sign] + if clear { 32 } else { 0 };
            value += 1;
        }
        sign += 1;
    }
    choices
}

/// The signs of the tables of half a part.
const CHOICES: [[[u8; TABLE]; 6]; 5] = [
    choices([0, 1, 2, 3, 4, 5]),
    choices([8, 9, 10, 11, 12, 13]),
    choices([16, 17, 18, 19, 20, 21]),
    choices([24, 25, 26, 27, 28, 29]),
    choices([22, 23, 14, 15, 6, 7]),
];
/// Those of the table that both halves share.
const SHARED: [[u8; TABLE]; 6] = choices([30, 31, 30, 31, 0, 0]);

#[inline(always)]
fn fill_tables(s: Avx512, weights: &[i8; PART], tables: &mut [[u8; TABLE]]) {
    // The positive parts of 32 weights, then the negative ones.
    let weights = s.load_i8(weights);
    let zero = s.zero();
    let (plus, minus) = (
        s.max_i8(weights, zero),
        s.max_i8(s.sub_u8(zero, weights), zero),
    );
    let halves = [s.low_halves(plus, minus), s.high_halves(plus, minus)];
    let chosen =
        |half: usize, choices: &[u8; TABLE]| s.permute_bytes(halves[half], s.load_u8(choices));
    for half in 0..2 {
        for (table, choices) in CHOICES.iter().enumerate() {
            let mut sum = chosen(half, &choices[0]);
            for choices in &choices[1..] {
                sum = s.add_u8(sum, chosen(half, choices));
            }
            let table = if table < 4 {
                4 * half + table
            } else {
                8 + half
            };
            s.store_u8(sum, &mut tables[table]);
        }
    }
    let second = s.add_u8(chosen(1, &SHARED[0]), chosen(1, &SHARED[1]));
    let first = s.add_u8(chosen(0, &SHARED[2]), chosen(0, &SHARED[3]));
    s.store_u8(s.add_u8(first, second), &mut tables[10]);
}
