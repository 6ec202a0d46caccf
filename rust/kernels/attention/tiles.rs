//! Tiles of rows against up to four queries at a time, in vectors.

use super::codewords::Integer;
use super::{MAX_LOGIT, PADDING, Softmax, Terms, Tile, dots_shape, scalar, sums_shape};
use crate::kernels::SUM_LANES;
use crate::kernels::reduce::scalar::sum_lanes;
use crate::kernels::reduce::vector::to_lanes;
use crate::kernels::simd::{LANES_32, Simd};

/// Rows whose sums are taken together.
pub(super) const ROWS_PER_BLOCK: usize = 4;

/// A coordinate of a row.
pub trait Coordinate: Copy {
    /// Reads eight coordinates as float32.
    fn load_f32<S: Simd>(s: S, from: &[Self; LANES_32]) -> S::F32x8;
}

/// A coordinate of an integer codeword.
pub trait IntegerCoordinate: Coordinate + Integer {
    /// Reads sixteen coordinates as 16-bit integers.
    fn load_i16<S: Simd>(s: S, from: &[Self; PADDING]) -> S::I16x16;
}

impl Coordinate for f32 {
    #[inline(always)]
    fn load_f32<S: Simd>(s: S, from: &[Self; LANES_32]) -> S::F32x8 {
        s.load(from)
    }
}

impl Coordinate for i8 {
    #[inline(always)]
    fn load_f32<S: Simd>(s: S, from: &[Self; LANES_32]) -> S::F32x8 {
        s.load_i8_as_f32(from)
    }
}

impl IntegerCoordinate for i8 {
    #[inline(always)]
    fn load_i16<S: Simd>(s: S, from: &[Self; PADDING]) -> S::I16x16 {
        s.load_i8_as_i16(from)
    }
}

impl Coordinate for i16 {
    #[inline(always)]
    fn load_f32<S: Simd>(s: S, from: &[Self; LANES_32]) -> S::F32x8 {
        s.load_i16_as_f32(from)
    }
}

impl IntegerCoordinate for i16 {
    #[inline(always)]
    fn load_i16<S: Simd>(s: S, from: &[Self; PADDING]) -> S::I16x16 {
        s.load_i16(from)
    }
}

/// The sizes of the groups that `count` queries are divided into, with at most `most` in each and
/// no two sizes further apart than one.
fn group_sizes(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let groups = count.div_ceil(most);
    (0..groups).map(move |g| (count + g) / groups)
}

#[inline(always)]
pub fn dots_i8<S: Simd>(s: S, rows: &[i8], queries: &[i16], out: &mut [Tile]) {
    dots(s, rows, queries, out);
}

#[inline(always)]
pub fn dots_i16<S: Simd>(s: S, rows: &[i16], queries: &[i16], out: &mut [Tile]) {
    dots(s, rows, queries, out);
}

#[inline(always)]
fn dots<S: Simd, T: IntegerCoordinate>(s: S, rows: &[T], queries: &[i16], out: &mut [Tile]) {
    let (count, stride) = dots_shape(rows.len(), queries.len(), out);
    let whole = count / ROWS_PER_BLOCK * ROWS_PER_BLOCK;
    let (whole_rows, rest) = rows.split_at(whole * stride);
    let (mut queries, mut out) = (queries, out);
    for size in group_sizes(out.len(), 3) {
        let (some, other) = queries.split_at(size * stride);
        let (tiles, other_tiles) = out.split_at_mut(size);
        match size {
            1 => dots_group::<S, T, 1>(s, whole_rows, some, stride, tiles),
            2 => dots_group::<S, T, 2>(s, whole_rows, some, stride, tiles),
            _ => dots_group::<S, T, 3>(s, whole_rows, some, stride, tiles),
        }
        for (query, tile) in some.chunks_exact(stride).zip(tiles) {
            for (row, out) in rest.chunks_exact(stride).zip(&mut tile[whole..]) {
                *out = scalar::dot(row, query) as f32;
            }
        }
        (queries, out) = (other, other_tiles);
    }
}

/// The products of G queries with blocks of four rows.
#[inline(always)]
fn dots_group<S: Simd, T: IntegerCoordinate, const G: usize>(
    s: S,
    rows: &[T],
    queries: &[i16],
    stride: usize,
    out: &mut [Tile],
) {
    let chunks = stride / PADDING;
    let queries: [&[[i16; PADDING]]; G] =
        std::array::from_fn(|g| &queries[g * stride..][..stride].as_chunks().0[..chunks]);
    let out: &mut [Tile; G] = out.first_chunk_mut().unwrap_or_else(|| unreachable!());
    for (block, rows) in rows.chunks_exact(ROWS_PER_BLOCK * stride).enumerate() {
        let rows: [&[[T; PADDING]]; ROWS_PER_BLOCK] =
            std::array::from_fn(|r| &rows[r * stride..][..stride].as_chunks().0[..chunks]);
        let mut sums = [[s.splat_i32(0); ROWS_PER_BLOCK]; G];
        for chunk in 0..chunks {
            let queries = queries.map(|query| s.load_i16(&query[chunk]));
            for (r, row) in rows.into_iter().enumerate() {
                let row = T::load_i16(s, &row[chunk]);
                for (sums, query) in sums.iter_mut().zip(queries) {
                    sums[r] = s.add_i32(sums[r], s.madd_i16(row, query));
                }
            }
        }
        for (sums, out) in sums.into_iter().zip(&mut *out) {
            let place = &mut out[block * ROWS_PER_BLOCK..][..ROWS_PER_BLOCK];
            for (out, sum) in place.iter_mut().zip(s.sums_of_four_i32(sums)) {
                *out = sum as f32;
            }
        }
    }
}

/// The numbers of the rows of a tile.
const ROW_NUMBERS: Tile = {
    let mut numbers = [0f32; super::ROWS_PER_TILE];
    let mut i = 0;
    while i < super::ROWS_PER_TILE {
        numbers[i] = i as f32;
        i += 1;
    }
    numbers
};

#[inline(always)]
pub fn logits<S: Simd>(s: S, tile: &mut Tile, terms: Terms<'_>) {
    let (factor, debias) = (s.splat(terms.factor), s.splat(-terms.debias));
    let (most, least) = (s.splat(MAX_LOGIT), s.splat(-MAX_LOGIT));
    let hidden = s.splat(f32::NEG_INFINITY);
    let visible = s.splat(terms.visible as f32);
    let vectors = |tile: &'_ Tile, i: usize| s.load(&tile.as_chunks::<LANES_32>().0[i]);
    for i in 0..tile.len() / LANES_32 {
        let scale = vectors(terms.scale, i);
        let products = s.mul(vectors(tile, i), factor);
        let mut sum = s.fma(products, scale, vectors(terms.added, i));
        if terms.debias != 0.0 {
            sum = s.fma(debias, s.mul(scale, scale), sum);
        }
        let limited = s.max(s.min(sum, most), least);
        let logit = s.add(limited, vectors(terms.mask, i));
        let seen = s.gt(visible, vectors(&ROW_NUMBERS, i));
        let logit = s.select(seen, logit, hidden);
        s.store(logit, &mut tile.as_chunks_mut::<LANES_32>().0[i]);
    }
}

#[inline(always)]
pub fn softmax<S: Simd>(s: S, tile: &mut Tile, scale: &Tile, state: &mut Softmax) -> f32 {
    let (logits, _) = tile.as_chunks_mut::<LANES_32>();
    let mut highest = s.splat(state.max);
    for logits in &*logits {
        highest = s.max(s.load(logits), highest);
    }
    let mut lanes = [0f32; LANES_32];
    s.store(s.reduce_max(highest), &mut lanes);
    let max = lanes[0];
    if max == f32::NEG_INFINITY {
        tile.fill(0.0);
        return 1.0;
    }
    let factor = scalar::exp(state.max - max);
    let highest = s.splat(max);
    let mut sums = [s.splat(0.0); SUM_LANES / LANES_32];
    for (i, (logits, scale)) in logits.iter_mut().zip(scale.as_chunks().0).enumerate() {
        let p = exp(s, s.sub(s.load(logits), highest));
        let sum = &mut sums[i % (SUM_LANES / LANES_32)];
        *sum = s.add(*sum, p);
        s.store(s.mul(p, s.load(scale)), logits);
    }
    *state = Softmax {
        max,
        sum: state.sum.mul_add(factor, sum_lanes(to_lanes(s, sums))),
    };
    factor
}

/// [`scalar::exp`] of each lane.
#[inline(always)]
fn exp<S: Simd>(s: S, x: S::F32x8) -> S::F32x8 {
    let least = s.splat(scalar::MIN_POWER);
    let powers = s.gt(x, least);
    let x = s.max(x, least);
    let n = s.round_ties_even(s.mul(x, s.splat(scalar::LOG2_E)));
    let f = s.fma(n, s.splat(-scalar::LN_2[0]), x);
    let f = s.fma(n, s.splat(-scalar::LN_2[1]), f);
    let mut q = s.splat(scalar::EXP[0]);
    for &coefficient in &scalar::EXP[1..] {
        q = s.fma(q, f, s.splat(coefficient));
    }
    let fraction = s.add(s.fma(s.mul(f, f), q, f), s.splat(1.0));
    s.select(powers, s.mul(fraction, s.pow2(n)), s.splat(0.0))
}

#[inline(always)]
pub fn sums_f32<S: Simd>(s: S, weights: &[f32], rows: &[f32], count: usize, sums: &mut [f32]) {
    weighted(s, weights, rows, count, sums, |x| x);
}

#[inline(always)]
pub fn sums_i8<S: Simd>(s: S, weights: &[f32], rows: &[i8], count: usize, sums: &mut [f32]) {
    weighted(s, weights, rows, count, sums, f32::from);
}

#[inline(always)]
pub fn sums_i16<S: Simd>(s: S, weights: &[f32], rows: &[i16], count: usize, sums: &mut [f32]) {
    weighted(s, weights, rows, count, sums, f32::from);
}

#[inline(always)]
fn weighted<S: Simd, T: Coordinate>(
    s: S,
    weights: &[f32],
    rows: &[T],
    count: usize,
    sums: &mut [f32],
    to_f32: impl Fn(T) -> f32 + Copy,
) {
    let (_, length, stride) = sums_shape(weights.len(), rows.len(), count, sums.len());
    let (mut weights, mut sums) = (weights, sums);
    for size in group_sizes(count, 4) {
        let (some, other) = weights.split_at(size * stride);
        let (here, other_sums) = sums.split_at_mut(size * length);
        match size {
            1 => weighted_group::<S, T, 1, 8>(s, some, rows, length, here),
            2 => weighted_group::<S, T, 2, 4>(s, some, rows, length, here),
            3 => weighted_group::<S, T, 3, 4>(s, some, rows, length, here),
            _ => weighted_group::<S, T, 4, 2>(s, some, rows, length, here),
        }
        let whole = length / LANES_32 * LANES_32;
        if whole < length {
            for (weights, sums) in some.chunks_exact(stride).zip(here.chunks_exact_mut(length)) {
                for (weight, row) in weights.iter().zip(rows.chunks_exact(length)) {
                    for (sum, &k) in sums[whole..].iter_mut().zip(&row[whole..]) {
                        *sum = weight.mul_add(to_f32(k), *sum);
                    }
                }
            }
        }
        (weights, sums) = (other, other_sums);
    }
}

/// Adds weighted rows to G sums, over the columns in whole vectors: V vectors at a time, then one.
#[inline(always)]
fn weighted_group<S: Simd, T: Coordinate, const G: usize, const V: usize>(
    s: S,
    weights: &[f32],
    rows: &[T],
    length: usize,
    sums: &mut [f32],
) {
    let mut column = 0;
    while column + V * LANES_32 <= length {
        weighted_columns::<S, T, G, V>(s, weights, rows, length, column, sums);
        column += V * LANES_32;
    }
    while column + 2 * LANES_32 <= length {
        weighted_columns::<S, T, G, 2>(s, weights, rows, length, column, sums);
        column += 2 * LANES_32;
    }
    while column + LANES_32 <= length {
        weighted_columns::<S, T, G, 1>(s, weights, rows, length, column, sums);
        column += LANES_32;
    }
}

/// [`weighted_group`] of the V vectors from `column` on, whose sums stay in registers.
#[inline(always)]
fn weighted_columns<S: Simd, T: Coordinate, const G: usize, const V: usize>(
    s: S,
    weights: &[f32],
    rows: &[T],
    length: usize,
    column: usize,
    sums: &mut [f32],
) {
    let count = rows.len() / length;
    let stride = weights.len() / G;
    let weights: [&[f32]; G] = std::array::from_fn(|g| &weights[g * stride..][..count]);
    let mut lanes = [[s.splat(0.0); V]; G];
    for (g, lanes) in lanes.iter_mut().enumerate() {
        let (from, _) = sums[g * length + column..][..V * LANES_32].as_chunks();
        for (lane, from) in lanes.iter_mut().zip(from) {
            *lane = s.load(from);
        }
    }
    for (i, row) in rows.chunks_exact(length).enumerate() {
        let (row, _) = row[column..column + V * LANES_32].as_chunks::<LANES_32>();
        let weights: [S::F32x8; G] = std::array::from_fn(|g| s.splat(weights[g][i]));
        for v in 0..V {
            let k = T::load_f32(s, &row[v]);
            for g in 0..G {
                lanes[g][v] = s.fma(weights[g], k, lanes[g][v]);
            }
        }
    }
    for (g, lanes) in lanes.into_iter().enumerate() {
        let (to, _) = sums[g * length + column..][..V * LANES_32].as_chunks_mut();
        for (lane, to) in lanes.into_iter().zip(to) {
            s.store(lane, to);
        }
    }
}
