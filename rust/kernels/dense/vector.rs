//! Blocks of two matrix rows and up to three vectors.

pub use super::blocked::transposed_products;
pub use super::panel::{pack_panel, panel_products};
use super::{row_count, scalar};
use crate::kernels::SUM_LANES;
use crate::kernels::reduce::scalar::sum_lanes;
use crate::kernels::simd::{LANES_32, Simd};

/// Matrix entries of a group of rows: they stay in the first-level cache, beside three vectors,
/// while all vectors are multiplied with them.
pub(super) const L1_ENTRIES: usize = 4608;

#[inline(always)]
pub fn products<S: Simd>(s: S, matrix: &[f32], dim: usize, x: &[f32], out: &mut [f32]) {
    let rows = row_count(matrix, dim, x, out);
    let pairs = rows / 2 * 2;
    let group = (L1_ENTRIES / dim / 2 * 2).max(2);
    for from in (0..pairs).step_by(group) {
        let to = pairs.min(from + group);
        let mut i = 0;
        while i < x.len() / dim {
            let remaining = x.len() / dim - i;
            for j in (from..to).step_by(2) {
                let (first, second) = (&matrix[j * dim..][..dim], &matrix[(j + 1) * dim..][..dim]);
                let (x, out) = (&x[i * dim..], &mut out[i * rows + j..]);
                if remaining >= 3 {
                    block::<S, 3>(s, first, second, x, out, rows);
                } else {
                    block::<S, 1>(s, first, second, x, out, rows);
                }
            }
            i += if remaining >= 3 { 3 } else { 1 };
        }
    }
    if pairs < rows {
        for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact_mut(rows)) {
            scalar::products(&matrix[pairs * dim..], dim, x, &mut out[pairs..]);
        }
    }
}

/// Multiplies N vectors with two rows; vector i's products go to out\[i·`rows`\] and the entry
/// after.
#[inline(always)]
fn block<S: Simd, const N: usize>(
    s: S,
    first: &[f32],
    second: &[f32],
    x: &[f32],
    out: &mut [f32],
    rows: usize,
) {
    let dim = first.len();
    let mut sums = [[[s.splat(0.0); 2]; 2]; N];
    let (first, first_rest) = first.as_chunks::<SUM_LANES>();
    let (second, second_rest) = second.as_chunks::<SUM_LANES>();
    let mut vectors: [&[[f32; SUM_LANES]]; N] = [&[]; N];
    for (i, vector) in vectors.iter_mut().enumerate() {
        *vector = &x[i * dim..][..dim].as_chunks::<SUM_LANES>().0[..first.len()];
    }
    for (place, (a, b)) in first.iter().zip(second).enumerate() {
        let (a, b) = (load_halves(s, a), load_halves(s, b));
        for (sums, vector) in sums.iter_mut().zip(&vectors) {
            let x = load_halves(s, &vector[place]);
            for half in 0..2 {
                sums[0][half] = s.fma(a[half], x[half], sums[0][half]);
                sums[1][half] = s.fma(b[half], x[half], sums[1][half]);
            }
        }
    }
    if first_rest.is_empty() {
        for (i, sums) in sums.iter().enumerate() {
            for (k, sums) in sums.iter().enumerate() {
                out[i * rows + k] = sum_lanes_of(s, *sums);
            }
        }
        return;
    }
    // As in the definition, the last d mod 16 coordinates go to the first lanes.
    for (i, sums) in sums.iter().enumerate() {
        let x = &x[i * dim + first.len() * SUM_LANES..(i + 1) * dim];
        for (k, (sums, rest)) in sums.iter().zip([first_rest, second_rest]).enumerate() {
            let mut lanes = [0f32; SUM_LANES];
            for (to, &sum) in lanes.as_chunks_mut::<LANES_32>().0.iter_mut().zip(sums) {
                s.store(sum, to);
            }
            for ((lane, a), x) in lanes.iter_mut().zip(rest).zip(x) {
                *lane = a.mul_add(*x, *lane);
            }
            out[i * rows + k] = sum_lanes(lanes);
        }
    }
}

/// [`sum_lanes`] of sixteen lanes in two vectors.
#[inline(always)]
fn sum_lanes_of<S: Simd>(s: S, [low, high]: [S::F32x8; 2]) -> f32 {
    let sum = s.add(low, high);
    let sum = s.add(sum, s.shuffle_xor4(sum));
    let sum = s.add(sum, s.shuffle_xor2(sum));
    let mut lanes = [0f32; LANES_32];
    s.store(s.add(sum, s.shuffle_xor1(sum)), &mut lanes);
    lanes[0]
}

/// Loads sixteen lanes as two vectors.
#[inline(always)]
fn load_halves<S: Simd>(s: S, lanes: &[f32; SUM_LANES]) -> [S::F32x8; 2] {
    let (halves, _) = lanes.as_chunks::<LANES_32>();
    [s.load(&halves[0]), s.load(&halves[1])]
}
