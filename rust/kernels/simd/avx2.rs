//! AVX2 and FMA: a vector is one register.

use std::arch::x86_64::*;

use super::{BYTES, LANES_16, LANES_32, Simd};
use crate::isa::Avx2;

/// Methods whose bodies are AVX2 intrinsics.
macro_rules! intrinsics {
    ($(fn $name:ident($self:ident $(, $arg:ident: $ty:ty)* $(,)?) $(-> $ret:ty)? { $($body:tt)* })*) => {
        $(#[inline(always)]
        fn $name($self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: `self` is proof that the CPU has AVX2 and FMA; memory is reached only through references to whole vectors
            // (and in `gather` at indexes that were masked to the table's length).
            unsafe { $($body)* }
        })*
    };
}

impl Simd for Avx2 {
    type F32x8 = __m256;
    type I32x8 = __m256i;
    type I16x16 = __m256i;

    #[inline(always)]
    fn prefetch<T>(self, from: &T) {
        // SAFETY: `self` is proof of AVX2, which has the instruction; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(from).cast()) }
    }

    intrinsics! {
        fn splat(self, x: f32) -> __m256 { _mm256_set1_ps(x) }
        fn load(self, from: &[f32; LANES_32]) -> __m256 { _mm256_loadu_ps(from.as_ptr()) }
        fn load_halves(self, from: [&[f32; 4]; 2]) -> __m256 {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(from[0].as_ptr()));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from[1].as_ptr()))
        }
        fn load_quarters(self, from: [&[f32; 2]; 4]) -> __m256 {
            let two = |i: usize| _mm_castsi128_ps(_mm_loadl_epi64(from[i].as_ptr().cast()));
            let low = _mm256_castps128_ps256(_mm_movelh_ps(two(0), two(1)));
            _mm256_insertf128_ps::<1>(low, _mm_movelh_ps(two(2), two(3)))
        }
        fn store(self, x: __m256, to: &mut [f32; LANES_32]) { _mm256_storeu_ps(to.as_mut_ptr(), x) }
        fn add(self, a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn sub(self, a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn mul(self, a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn max(self, a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        fn min(self, a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        fn abs(self, a: __m256) -> __m256 { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        fn floor(self, a: __m256) -> __m256 { _mm256_floor_ps(a) }
        fn round_ties_even(self, a: __m256) -> __m256 {
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
        }
        fn gt(self, a: __m256, b: __m256) -> __m256i {
            _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b))
        }
        fn select(self, mask: __m256i, a: __m256, b: __m256) -> __m256 {
            _mm256_blendv_ps(b, a, _mm256_castsi256_ps(mask))
        }
        fn shuffle_xor1(self, a: __m256) -> __m256 { _mm256_permute_ps::<0b10_11_00_01>(a) }
        fn shuffle_xor2(self, a: __m256) -> __m256 { _mm256_permute_ps::<0b01_00_11_10>(a) }
        fn shuffle_xor4(self, a: __m256) -> __m256 { _mm256_permute2f128_ps::<1>(a, a) }
        fn transpose_halves(self, a: __m256, b: __m256) -> [__m256; 2] {
            [_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b)]
        }
        fn transpose_pairs(self, a: __m256, b: __m256) -> [__m256; 2] {
            [_mm256_shuffle_ps::<0b01_00_01_00>(a, b), _mm256_shuffle_ps::<0b11_10_11_10>(a, b)]
        }
        fn lookup8(self, table: __m256, index: __m256i) -> __m256 {
            _mm256_permutevar8x32_ps(table, index)
        }
        fn lookup16(self, low: __m256, high: __m256, index: __m256i) -> __m256 {
            let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            _mm256_blendv_ps(
                _mm256_permutevar8x32_ps(low, index),
                _mm256_permutevar8x32_ps(high, index),
                upper,
            )
        }
        fn gather(self, table: &[f32], index: __m256i) -> __m256 {
            // At most 2³¹, for the mask below must keep a 32-bit index from being negative.
            assert!(table.len().is_power_of_two() && table.len() <= 1 << 31, "a table of 2^k entries");
            let index = _mm256_and_si256(index, _mm256_set1_epi32((table.len() - 1) as i32));
            _mm256_i32gather_ps::<4>(table.as_ptr(), index)
        }
        fn load_transposed_8x4(self, rows: [&[f32; 4]; LANES_32]) -> [__m256; 4] {
            // Row i beside row i + 4, then a transposition of 4 × 4 in each half.
            let pair = |i: usize| {
                let low = _mm256_castps128_ps256(_mm_loadu_ps(rows[i].as_ptr()));
                _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(rows[i + 4].as_ptr()))
            };
            let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
            let (ab, ab2) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd, cd2) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            [
                _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
                _mm256_shuffle_ps::<0b01_00_01_00>(ab2, cd2),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab2, cd2),
            ]
        }
        fn load_transposed_8x2(self, rows: [&[f32; 2]; LANES_32]) -> [__m256; 2] {
            // Rows 0, 1, 4, 5 and 2, 3, 6, 7: their even and odd columns are the two columns in order.
            let row = |i: usize| _mm_castsi128_ps(_mm_loadl_epi64(rows[i].as_ptr().cast()));
            let two = |i: usize| _mm_movelh_ps(row(i), row(i + 1));
            let four = |i: usize| {
                _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(two(i)), two(i + 4))
            };
            let (a, b) = (four(0), four(2));
            [
                _mm256_shuffle_ps::<0b10_00_10_00>(a, b),
                _mm256_shuffle_ps::<0b11_01_11_01>(a, b),
            ]
        }
        fn to_i32(self, a: __m256) -> __m256i { _mm256_cvttps_epi32(a) }

        fn splat_i32(self, x: i32) -> __m256i { _mm256_set1_epi32(x) }
        fn load_i32(self, from: &[i32; LANES_32]) -> __m256i {
            _mm256_loadu_si256(from.as_ptr().cast())
        }
        fn shift_right(self, a: __m256i, by: __m256i) -> __m256i { _mm256_srlv_epi32(a, by) }
        fn store_i32(self, x: __m256i, to: &mut [i32; LANES_32]) {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        }
        fn add_i32(self, a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        fn sub_i32(self, a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi32(a, b) }
        fn shift_left_8(self, a: __m256i) -> __m256i { _mm256_slli_epi32::<8>(a) }
        fn and_i32(self, a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn load_u16_as_i32(self, from: &[u16; LANES_32]) -> __m256i {
            _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().cast()))
        }
        fn store_i32_as_u16(self, x: __m256i, to: &mut [u16; LANES_32]) {
            let pair = _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            _mm_storeu_si128(to.as_mut_ptr().cast(), pair)
        }
        fn mask_all(self, mask: __m256i) -> bool {
            _mm256_movemask_ps(_mm256_castsi256_ps(mask)) == 0xff
        }
        fn first_equal(self, a: __m256, b: __m256) -> usize {
            let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) as u32;
            (mask | 0x100).trailing_zeros() as usize
        }
        fn min_where_equal(self, a: __m256, b: __m256, x: __m256i) -> u32 {
            let equal = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
            let x = _mm256_blendv_epi8(_mm256_set1_epi32(0xffff), x, equal);
            let pair = _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            _mm_extract_epi16::<0>(_mm_minpos_epu16(pair)) as u32
        }

        fn splat_i16(self, x: i16) -> __m256i { _mm256_set1_epi16(x) }
        fn load_i16(self, from: &[i16; LANES_16]) -> __m256i {
            _mm256_loadu_si256(from.as_ptr().cast())
        }
        fn add_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi16(a, b) }
        fn max_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_max_epi16(a, b) }
        fn madd_u8_i8(self, a: &[u8; BYTES], q: __m256i) -> __m256i {
            _mm256_maddubs_epi16(_mm256_loadu_si256(a.as_ptr().cast()), q)
        }
        fn reduce_max_i16(self, a: __m256i) -> i16 {
            let most = _mm_max_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            // Unsigned and upside down, for there is an instruction for the least.
            let most = _mm_xor_si128(most, _mm_set1_epi16(0x7fff));
            _mm_extract_epi16::<0>(_mm_minpos_epu16(most)) as i16 ^ 0x7fff
        }
        fn any_gt_i16(self, a: __m256i, b: __m256i, limit: __m256i) -> u32 {
            let (a, b) = (_mm256_cmpgt_epi16(a, limit), _mm256_cmpgt_epi16(b, limit));
            let none = _mm256_cmpeq_epi64(_mm256_packs_epi16(a, b), _mm256_setzero_si256());
            _mm256_movemask_pd(_mm256_castsi256_pd(none)) as u32 ^ 0xf
        }
        fn to_f32(self, a: __m256i) -> __m256 { _mm256_cvtepi32_ps(a) }
        fn movemask(self, mask: __m256i) -> u32 { _mm256_movemask_ps(_mm256_castsi256_ps(mask)) as u32 }
        fn load_u8(self, from: &[u8; BYTES]) -> __m256i {
            _mm256_loadu_si256(from.as_ptr().cast())
        }
        fn store_u16(self, x: __m256i, to: &mut [u16; LANES_16]) {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        }
        fn add_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi8(a, b) }
        fn low_nibbles(self, a: __m256i) -> __m256i { _mm256_and_si256(a, _mm256_set1_epi8(15)) }
        fn high_nibbles(self, a: __m256i) -> __m256i {
            _mm256_and_si256(_mm256_srli_epi16::<4>(a), _mm256_set1_epi8(15))
        }
        fn shuffle_bytes(self, table: __m256i, index: __m256i) -> __m256i {
            _mm256_shuffle_epi8(table, index)
        }
        fn high_bytes(self, a: __m256i) -> __m256i { _mm256_srli_epi16::<8>(a) }
    }
}
