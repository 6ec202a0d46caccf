//! Sums of products of pairs of 16-bit integers.

use std::arch::aarch64::*;

use super::both::{I16x16, I32x8};
use crate::isa::Neon;
use crate::kernels::simd::PairSums;

impl PairSums for Neon {
    /// The sums of the first and of the second products of the pairs alternate: those of the low
    /// half of the pairs, then those of the high one.
    type Sums = [I32x8; 2];

    intrinsics! {
        fn no_pairs(self) -> [I32x8; 2] {
            let zero = (vdupq_n_s32(0), vdupq_n_s32(0));
            [zero, zero]
        }
        fn add_pairs(self, sums: [I32x8; 2], a: I16x16, b: I16x16) -> [I32x8; 2] {
            let half = |sums: I32x8, a, b| {
                let low = vmlal_s16(sums.0, vget_low_s16(a), vget_low_s16(b));
                (low, vmlal_high_s16(sums.1, a, b))
            };
            [half(sums[0], a.0, b.0), half(sums[1], a.1, b.1)]
        }
        fn pair_sums(self, sums: [I32x8; 2]) -> I32x8 {
            (vpaddq_s32(sums[0].0, sums[0].1), vpaddq_s32(sums[1].0, sums[1].1))
        }
    }
}
