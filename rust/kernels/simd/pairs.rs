//! Sums of products of pairs of 16-bit integers.

use super::Simd;

/// Vectors in which many products of pairs are added up.
pub trait PairSums: Simd {
    /// Eight sums.
    type Sums: Copy;

    /// Eight sums of 0.
    fn no_pairs(self) -> Self::Sums;
    /// Adds a\[2l\]·b\[2l\] + a\[2l + 1\]·b\[2l + 1\] to sum l. The four factors must not all be
    /// −2¹⁵, and no sum of some of the products may leave 32 bits. Two instructions on AVX2, four
    /// on NEON.
    fn add_pairs(self, sums: Self::Sums, a: Self::I16x16, b: Self::I16x16) -> Self::Sums;
    /// The sums. Nothing on AVX2, two instructions on NEON.
    fn pair_sums(self, sums: Self::Sums) -> Self::I32x8;
}

#[cfg(target_arch = "x86_64")]
impl PairSums for crate::isa::Avx2 {
    type Sums = Self::I32x8;

    #[inline(always)]
    fn no_pairs(self) -> Self::Sums {
        self.splat_i32(0)
    }

    #[inline(always)]
    fn add_pairs(self, sums: Self::Sums, a: Self::I16x16, b: Self::I16x16) -> Self::Sums {
        self.add_i32(sums, self.madd_i16(a, b))
    }

    #[inline(always)]
    fn pair_sums(self, sums: Self::Sums) -> Self::I32x8 {
        sums
    }
}
