//! The end of sums whose sixteen lanes are two vectors.

use crate::kernels::SUM_LANES;
use crate::kernels::simd::{LANES_32, Simd};

/// Adds the lanes of four sums at once; each result is [`sum_lanes`](super::scalar::sum_lanes).
///
/// Each step transposes two vectors, so that one addition serves both: eight additions in place of
/// sixteen.
///
/// ```text
/// low + high     a:     a0 a1 a2 a3 | a4 a5 a6 a7     (also b, c, d)
/// halves of 4    ab:    a0 a1 a2 a3 | b0 b1 b2 b3     (also cd)
/// halves of 2    abcd:  a0 a1 c0 c1 | b0 b1 d0 d1
/// halves of 1           a  a  c  c  | b  b  d  d
/// ```
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

/// Writes the two vectors of a sum as its sixteen lanes.
#[inline(always)]
pub fn to_lanes<S: Simd>(s: S, sums: [S::F32x8; 2]) -> [f32; SUM_LANES] {
    let mut lanes = [0f32; SUM_LANES];
    for (to, sum) in lanes.as_chunks_mut::<LANES_32>().0.iter_mut().zip(sums) {
        s.store(sum, to);
    }
    lanes
}
