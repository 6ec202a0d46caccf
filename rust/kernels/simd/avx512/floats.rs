//! Lanes of float32.

use std::arch::x86_64::*;

use crate::isa::Avx512;

impl Avx512 {
    intrinsics! {
        /// The same value in all lanes.
        fn splat(self, x: f32) -> __m512 { _mm512_set1_ps(x) }
        /// a + b.
        fn add(self, a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        /// a − b.
        fn sub(self, a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        /// a·b.
        fn mul(self, a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        /// a·b + c, rounded once.
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        /// a·b + c where the mask is set, else c.
        fn fma_where(self, mask: __mmask16, a: __m512, b: __m512, c: __m512) -> __m512 {
            _mm512_mask3_fmadd_ps(a, b, c, mask)
        }
        /// a·b − c, rounded once.
        fn fms(self, a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmsub_ps(a, b, c) }
        /// Truncates to integers of 32 bits; magnitudes must be below 2³¹.
        fn truncate_to_i32(self, a: __m512) -> __m512i { _mm512_cvttps_epi32(a) }
        /// The larger of a and b; b where a is NaN.
        fn max(self, a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        /// |a|.
        fn abs(self, a: __m512) -> __m512 { _mm512_abs_ps(a) }
        /// The mask of a < b; false for NaN.
        fn lt(self, a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
        /// The mask of a ≥ b; false for NaN.
        fn ge(self, a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b) }
        /// The sums of the 16 lanes of four vectors, each in the order of [`sum`](Self::sum).
        /// Fourteen instructions.
        fn sums_of_four(self, of: [__m512; 4]) -> [f32; 4] {
            // Each step adds the halves of the lanes that are left; a quarter is four lanes.
            //
            //   quarters of ab:    a0 + a2  a1 + a3  b0 + b2  b1 + b3     (also cd)
            //   quarters of abcd:  a        b        c        d
            let [a, b, c, d] = of;
            let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
            let ab = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b));
            let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d);
            let cd = _mm512_add_ps(low, _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d));
            let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd);
            let odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd);
            let abcd = _mm512_add_ps(even, odd);
            let abcd = _mm512_add_ps(abcd, _mm512_permute_ps::<0b01_00_11_10>(abcd));
            let abcd = _mm512_add_ps(abcd, _mm512_permute_ps::<0b10_11_00_01>(abcd));
            let mut sums = [0f32; 4];
            let first = _mm512_maskz_compress_ps(0x1111, abcd);
            _mm_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps128(first));
            sums
        }
        /// Looks up in a table of 16: lane l takes `table[index[l] mod 16]`.
        fn lookup16(self, table: __m512, index: __m512i) -> __m512 {
            _mm512_permutexvar_ps(index, table)
        }
        /// Lane l takes lane l xor 1.
        fn shuffle_xor1(self, a: __m512) -> __m512 { _mm512_permute_ps::<0b10_11_00_01>(a) }
        /// Lane l takes lane l xor 2.
        fn shuffle_xor2(self, a: __m512) -> __m512 { _mm512_permute_ps::<0b01_00_11_10>(a) }
        /// Lane l takes lane l xor 4.
        fn shuffle_xor4(self, a: __m512) -> __m512 { _mm512_shuffle_f32x4::<0b10_11_00_01>(a, a) }
        /// Lane l takes lane l xor 8.
        fn shuffle_xor8(self, a: __m512) -> __m512 { _mm512_shuffle_f32x4::<0b01_00_11_10>(a, a) }
        /// The mask of a = b; false for NaN.
        fn eq(self, a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
        /// The largest of the 16 lanes, of which none is NaN. Eight instructions.
        fn largest(self, a: __m512) -> f32 { _mm512_reduce_max_ps(a) }
        /// Lanes of b where the mask is set, else of a.
        fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
            _mm512_mask_blend_ps(mask, a, b)
        }
        /// Converts integers of 32 bits to the nearest values, ties to even.
        fn to_f32(self, a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        /// The nearest integers of 32 bits, ties to even; magnitudes must be below 2³¹.
        fn round_to_i32(self, a: __m512) -> __m512i { _mm512_cvtps_epi32(a) }
        /// Lanes as the integers that have their bits.
        fn bits(self, a: __m512) -> __m512i { _mm512_castps_si512(a) }
        /// The sum of the 16 lanes in the order of the contract: lane l + lane l + 8, then + 4, + 2
        /// and + 1. Eight instructions.
        fn sum(self, a: __m512) -> f32 {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a)));
            let eight = _mm256_add_ps(_mm512_castps512_ps256(a), high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
}
