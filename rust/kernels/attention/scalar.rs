//! The definition: row by row and coordinate by coordinate.

use super::codewords::Integer;
use super::codewords::index_at;
use super::{Codewords, MAX_LOGIT, Softmax, Terms, Tile, dots_shape, sums_shape};
use crate::kernels::SUM_LANES;
use crate::kernels::reduce::scalar::sum_lanes;
use crate::kernels::trellis::decode::scalar::decode;

#[inline(always)]
pub fn expand_i8(packed: &[u8], words: &Codewords<i8>, out: &mut [i8]) {
    expand(packed, words, out);
}

#[inline(always)]
pub fn expand_i16(packed: &[u8], words: &Codewords<i16>, out: &mut [i16]) {
    expand(packed, words, out);
}

#[inline(always)]
fn expand<T: Integer>(packed: &[u8], words: &Codewords<T>, out: &mut [T]) {
    words.check(packed, out);
    let rows = packed
        .chunks_exact(words.row_bytes())
        .zip(out.chunks_exact_mut(words.stride()));
    if let Some((code, part)) = words.path() {
        for (row, out) in rows {
            let (out, padding) = out.split_at_mut(part.count);
            decode(code, row, out, |index| part.words[usize::from(index)]);
            padding.fill(T::default());
        }
        return;
    }
    for (row, out) in rows {
        expand_indexes(row, words, 0, out);
    }
}

/// Writes the codewords of a row's indexes from `from` on, and zeros after them.
pub fn expand_indexes<T: Integer>(row: &[u8], words: &Codewords<T>, from: usize, out: &mut [T]) {
    let (mut rest, mut skip) = (out, from);
    for part in words.parts() {
        let skipped = skip.min(part.count);
        skip -= skipped;
        let (here, after) = rest.split_at_mut((part.count - skipped) * part.block);
        for (i, out) in (skipped..).zip(here.chunks_exact_mut(part.block)) {
            let k = index_at(row, part.first + i * part.width as usize, part.width);
            out.copy_from_slice(&part.words[k * part.block..][..part.block]);
        }
        rest = after;
    }
    rest.fill(T::default());
}

#[inline(always)]
pub fn to_i16(u: &[f32], unit: f32, out: &mut [i16]) {
    assert_eq!(u.len(), out.len(), "values to round");
    for (out, &u) in out.iter_mut().zip(u) {
        *out = (u * unit).round_ties_even().clamp(-32767.0, 32767.0) as i16;
    }
}

#[inline(always)]
pub fn dots_i8(rows: &[i8], queries: &[i16], out: &mut [Tile]) {
    dots(rows, queries, out);
}

#[inline(always)]
pub fn dots_i16(rows: &[i16], queries: &[i16], out: &mut [Tile]) {
    dots(rows, queries, out);
}

#[inline(always)]
fn dots<T: Integer>(rows: &[T], queries: &[i16], out: &mut [Tile]) {
    let (_, stride) = dots_shape(rows.len(), queries.len(), out);
    for (query, out) in queries.chunks_exact(stride).zip(out) {
        for (row, out) in rows.chunks_exact(stride).zip(out) {
            *out = dot(row, query) as f32;
        }
    }
}

/// The inner product of a row and a query.
#[inline(always)]
pub fn dot<T: Integer>(row: &[T], query: &[i16]) -> i32 {
    let products = row.iter().zip(query);
    products.map(|(&k, &q)| k.into() * i32::from(q)).sum()
}

#[inline(always)]
pub fn shift(pair: &[f32], phase: &[f32], out: &mut [f32]) {
    let half = pair.len() / 2;
    assert!(
        pair.len() == 2 * half && phase.len() == 2 * half && out.len() == 2 * half,
        "a cosine and a sine for each frequency"
    );
    let ((a, b), (c, s)) = (pair.split_at(half), phase.split_at(half));
    let (cosines, sines) = out.split_at_mut(half);
    for i in 0..half {
        cosines[i] = a[i].mul_add(c[i], b[i] * s[i]);
        sines[i] = b[i].mul_add(c[i], -(a[i] * s[i]));
    }
}

#[inline(always)]
pub fn logits(tile: &mut Tile, terms: Terms<'_>) {
    let Terms {
        factor,
        scale,
        added,
        debias,
        mask,
        visible,
    } = terms;
    for (i, logit) in tile.iter_mut().enumerate() {
        if i >= visible {
            *logit = f32::NEG_INFINITY;
            continue;
        }
        let mut sum = (*logit * factor).mul_add(scale[i], added[i]);
        if debias != 0.0 {
            sum = (-debias).mul_add(scale[i] * scale[i], sum);
        }
        // The comparisons are false for a NaN.
        let sum = if sum < MAX_LOGIT { sum } else { MAX_LOGIT };
        let sum = if sum > -MAX_LOGIT { sum } else { -MAX_LOGIT };
        *logit = sum + mask[i];
    }
}

#[inline(always)]
pub fn softmax(tile: &mut Tile, scale: &Tile, state: &mut Softmax) -> f32 {
    let mut max = state.max;
    for &logit in &*tile {
        max = if logit > max { logit } else { max };
    }
    if max == f32::NEG_INFINITY {
        tile.fill(0.0);
        return 1.0;
    }
    let factor = exp(state.max - max);
    let mut lanes = [0f32; SUM_LANES];
    for (i, (weight, scale)) in tile.iter_mut().zip(scale).enumerate() {
        let p = exp(*weight - max);
        lanes[i % SUM_LANES] += p;
        *weight = p * scale;
    }
    *state = Softmax {
        max,
        sum: state.sum.mul_add(factor, sum_lanes(lanes)),
    };
    factor
}

/// log₂ e.
pub const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few bits that its product with an exponent is exact.
pub const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Q with e^f = 1 + f + f²·Q(f) for |f| ≤ ln 2/2, the highest power first. The relative error of
/// e^f is at most 3.1·10⁻⁹, the least of all polynomials of this degree.
pub const EXP: [f32; 5] = [
    0.001_381_446_5,
    0.008_368_781,
    0.041_668_393,
    0.166_665_2,
    0.499_999_94,
];
/// Powers at and below this are 0.
pub const MIN_POWER: f32 = -87.0;

/// e^x for x ≤ 0 with a relative error below 10⁻⁷; 0 for x ≤ −87.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    if x > MIN_POWER {
        let n = (x * LOG2_E).round_ties_even();
        let f = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
        let mut q = EXP[0];
        for coefficient in &EXP[1..] {
            q = q.mul_add(f, *coefficient);
        }
        let fraction = (f * f).mul_add(q, f) + 1.0;
        fraction * f32::from_bits((((n as i32) + 127) << 23) as u32)
    } else {
        0.0
    }
}

#[inline(always)]
pub fn sums_f32(weights: &[f32], rows: &[f32], count: usize, sums: &mut [f32]) {
    sums_of(weights, rows, count, sums, |x| x);
}

#[inline(always)]
pub fn sums_i8(weights: &[f32], rows: &[i8], count: usize, sums: &mut [f32]) {
    sums_of(weights, rows, count, sums, f32::from);
}

#[inline(always)]
pub fn sums_i16(weights: &[f32], rows: &[i16], count: usize, sums: &mut [f32]) {
    sums_of(weights, rows, count, sums, f32::from);
}

#[inline(always)]
fn sums_of<T: Copy>(
    weights: &[f32],
    rows: &[T],
    count: usize,
    sums: &mut [f32],
    to_f32: impl Fn(T) -> f32,
) {
    let (_, length, stride) = sums_shape(weights.len(), rows.len(), count, sums.len());
    for (weights, sums) in weights
        .chunks_exact(stride)
        .zip(sums.chunks_exact_mut(length))
    {
        for (weight, row) in weights.iter().zip(rows.chunks_exact(length)) {
            for (sum, &k) in sums.iter_mut().zip(row) {
                *sum = weight.mul_add(to_f32(k), *sum);
            }
        }
    }
}

#[inline(always)]
pub fn multiply(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}

pub fn packed_dots_i8(
    packed: &[u8],
    words: &Codewords<i8>,
    room: &mut Vec<i8>,
    queries: &[i16],
    out: &mut [Tile],
) {
    room.resize(packed.len() / words.row_bytes() * words.stride(), 0);
    expand_i8(packed, words, room);
    dots_i8(room, queries, out);
}

pub fn packed_sums_i8(
    packed: &[u8],
    words: &Codewords<i8>,
    room: &mut Vec<i8>,
    weights: &[f32],
    count: usize,
    sums: &mut [f32],
) {
    room.resize(packed.len() / words.row_bytes() * words.stride(), 0);
    expand_i8(packed, words, room);
    sums_i8(weights, room, count, sums);
}
