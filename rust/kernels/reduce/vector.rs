//! The end of a sum whose sixteen lanes are two vectors.

use crate::kernels::SUM_LANES;
use crate::kernels::simd::{LANES_32, Simd};

/// [`sum_lanes`](super::scalar::sum_lanes) of four sums at once: each step takes the halves of two vectors apart, so that four sums take
/// as many additions as one and a half.
#[inline(always)]
pub fn sum_lanes_of_four<S: Simd>(s: S, sums: [[S::F32x8; 2]; 4]) -> [f32; 4] {
    let [a, b, c, d] = sums.map(|[low, high]| s.add(low, high));
    let add = |[low, high]: [S::F32x8; 2]| s.add(low, high);
    let (ab, cd) = (add(s.transpose_halves(a, b)), add(s.transpose_halves(c, d)));
    let abcd = add(s.transpose_pairs(ab, cd));
    let mut lanes = [0f32; LANES_32];
    s.store(s.add(abcd, s.shuffle_xor1(abcd)), &mut lanes);
    [lanes[0], lanes[4], lanes[2], lanes[6]]
}

/// The lanes.
#[inline(always)]
pub fn to_lanes<S: Simd>(s: S, sums: [S::F32x8; 2]) -> [f32; SUM_LANES] {
    let mut lanes = [0f32; SUM_LANES];
    for (to, sum) in lanes.as_chunks_mut::<LANES_32>().0.iter_mut().zip(sums) {
        s.store(sum, to);
    }
    lanes
}
