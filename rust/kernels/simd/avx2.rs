//! The operations on AVX2 and FMA, where a vector is one register of 256 bits.
//!
//! Loads and stores are the unaligned instructions, which cost the same as the aligned ones as
//! long as they stay within a cache line ([`Aligned`](crate::aligned::Aligned) sees to that).

use std::arch::x86_64::*;

use super::{BYTES, LANES_16, LANES_32, Simd};
use crate::isa::Avx2;

/// Methods whose bodies are AVX2 intrinsics.
macro_rules! intrinsics {
    ($(fn $name:ident($self:ident $(, $arg:ident: $ty:ty)* $(,)?) $(-> $ret:ty)? { $($body:tt)* })*) => {
        $(#[inline(always)]
        fn $name($self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: An `Avx2` is made only after the CPU was seen to have AVX2 and FMA, and
            // `$self` is one. Memory is read and written only by unaligned loads and stores
            // through references to arrays of exactly the size that the instruction accesses.
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
        // SAFETY: SSE, which has the instruction, is in the baseline of x86-64. A prefetch is a
        // hint: it neither reads a value nor faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(from).cast()) }
    }

    #[inline(always)]
    fn gather(self, table: &[f32], index: __m256i) -> __m256 {
        // At most 2³¹ entries: the mask below then clears the sign of every index.
        assert!(
            table.len().is_power_of_two() && table.len() <= 1 << 31,
            "the length of the table is not a power of two up to 2^31"
        );
        // SAFETY: An `Avx2` is made only after the CPU was seen to have AVX2. The mask takes each
        // index modulo the length of the table, a power of two, so every lane reads an entry.
        unsafe {
            let index = _mm256_and_si256(index, _mm256_set1_epi32((table.len() - 1) as i32));
            _mm256_i32gather_ps::<4>(table.as_ptr(), index)
        }
    }

    intrinsics! {
        fn splat(self, x: f32) -> __m256 { _mm256_set1_ps(x) }
        fn load(self, from: &[f32; LANES_32]) -> __m256 { _mm256_loadu_ps(from.as_ptr()) }
        fn load_halves(self, from: [&[f32; 4]; 2]) -> __m256 {
            let low = _mm256_castps128_ps256(_mm_loadu_ps(from[0].as_ptr()));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from[1].as_ptr()))
        }
        fn load_quarters(self, from: [&[f32; 2]; 4]) -> __m256 {
            let pair = |i: usize| _mm_castsi128_ps(_mm_loadl_epi64(from[i].as_ptr().cast()));
            let low = _mm256_castps128_ps256(_mm_movelh_ps(pair(0), pair(1)));
            _mm256_insertf128_ps::<1>(low, _mm_movelh_ps(pair(2), pair(3)))
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
            // Bit 3 of the index becomes the sign bit, by which the blend selects.
            let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            _mm256_blendv_ps(
                _mm256_permutevar8x32_ps(low, index),
                _mm256_permutevar8x32_ps(high, index),
                upper,
            )
        }
        fn load_transposed_8x4(self, rows: [&[f32; 4]; LANES_32]) -> [__m256; 4] {
            // Row i is put beside row i + 4; then each half is a 4 × 4 matrix to transpose.
            //
            //   a:         a0 a1 a2 a3    unpacklo(a, b):  a0 b0 a1 b1
            //   b:         b0 b1 b2 b3    unpackhi(a, b):  a2 b2 a3 b3
            //   c, d:      alike          shuffle 01_00_01_00(ab, cd):  a0 b0 c0 d0
            //                             shuffle 11_10_11_10(ab, cd):  a1 b1 c1 d1
            let rows_of_halves = |i: usize| {
                let low = _mm256_castps128_ps256(_mm_loadu_ps(rows[i].as_ptr()));
                _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(rows[i + 4].as_ptr()))
            };
            let (a, b) = (rows_of_halves(0), rows_of_halves(1));
            let (c, d) = (rows_of_halves(2), rows_of_halves(3));
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            [
                _mm256_shuffle_ps::<0b01_00_01_00>(ab_low, cd_low),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab_low, cd_low),
                _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
            ]
        }
        fn load_transposed_8x2(self, rows: [&[f32; 2]; LANES_32]) -> [__m256; 2] {
            // Even and odd lanes of these two vectors are the two columns in order.
            //
            //   a:  a0 a1 b0 b1 | e0 e1 f0 f1    (rows 0, 1 and 4, 5)
            //   b:  c0 c1 d0 d1 | g0 g1 h0 h1    (rows 2, 3 and 6, 7)
            let row = |i: usize| _mm_castsi128_ps(_mm_loadl_epi64(rows[i].as_ptr().cast()));
            let two_rows = |i: usize| _mm_movelh_ps(row(i), row(i + 1));
            let four_rows = |i: usize| {
                _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(two_rows(i)), two_rows(i + 4))
            };
            let (a, b) = (four_rows(0), four_rows(2));
            [
                _mm256_shuffle_ps::<0b10_00_10_00>(a, b),
                _mm256_shuffle_ps::<0b11_01_11_01>(a, b),
            ]
        }
        fn to_i32(self, a: __m256) -> __m256i { _mm256_cvttps_epi32(a) }

        fn pow2(self, n: __m256) -> __m256 {
            // The exponent has 8 bits above the 23 of the fraction, and a bias of 127.
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        }
        fn load_i8_as_f32(self, from: &[i8; LANES_32]) -> __m256 {
            let bytes = _mm_loadl_epi64(from.as_ptr().cast());
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
        }
        fn i8_to_f32(self, bytes: [u32; 2]) -> __m256 {
            let bytes = _mm_insert_epi32::<1>(_mm_cvtsi32_si128(bytes[0] as i32), bytes[1] as i32);
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
        }
        fn load_i16_as_f32(self, from: &[i16; LANES_32]) -> __m256 {
            let shorts = _mm_loadu_si128(from.as_ptr().cast());
            _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(shorts))
        }
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
        fn sums_of_four_i32(self, of: [__m256i; 4]) -> [i32; 4] {
            // A horizontal addition adds neighbours within each half:
            //
            //   hadd(a, b):                  a01 a23 b01 b23 | a45 a67 b45 b67
            //   hadd(hadd(a, b), hadd(c, d)):  a b c d of the low halves | of the high ones
            let pairs = _mm256_hadd_epi32(of[0], of[1]);
            let halves = _mm256_hadd_epi32(pairs, _mm256_hadd_epi32(of[2], of[3]));
            let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
            let mut sums = [0i32; 4];
            _mm_storeu_si128(sums.as_mut_ptr().cast(), _mm_add_epi32(low, high));
            sums
        }
        fn shift_left_8(self, a: __m256i) -> __m256i { _mm256_slli_epi32::<8>(a) }
        fn and_i32(self, a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn load_u16_as_i32(self, from: &[u16; LANES_32]) -> __m256i {
            _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().cast()))
        }
        fn store_i32_as_u16(self, x: __m256i, to: &mut [u16; LANES_32]) {
            let (low, high) = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let packed = _mm_packus_epi32(low, high);
            _mm_storeu_si128(to.as_mut_ptr().cast(), packed)
        }
        fn mask_all(self, mask: __m256i) -> bool {
            _mm256_movemask_ps(_mm256_castsi256_ps(mask)) == 0xff
        }
        fn first_equal(self, a: __m256, b: __m256) -> usize {
            // The ninth bit is found where no lane is equal.
            let mask = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) as u32;
            (mask | 0x100).trailing_zeros() as usize
        }
        fn min_where_equal(self, a: __m256, b: __m256, x: __m256i) -> u32 {
            let equal = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
            let x = _mm256_blendv_epi8(_mm256_set1_epi32(0xffff), x, equal);
            let (low, high) = (_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let packed = _mm_packus_epi32(low, high);
            _mm_extract_epi16::<0>(_mm_minpos_epu16(packed)) as u32
        }

        fn splat_i16(self, x: i16) -> __m256i { _mm256_set1_epi16(x) }
        fn load_i16(self, from: &[i16; LANES_16]) -> __m256i {
            _mm256_loadu_si256(from.as_ptr().cast())
        }
        fn load_halves_u16(self, from: [&[u16; LANES_16 / 2]; 2]) -> __m256i {
            let low = _mm256_castsi128_si256(_mm_loadu_si128(from[0].as_ptr().cast()));
            _mm256_inserti128_si256::<1>(low, _mm_loadu_si128(from[1].as_ptr().cast()))
        }
        fn load_i8_as_i16(self, from: &[i8; LANES_16]) -> __m256i {
            _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast()))
        }
        fn widen_i8(self, bytes: [u32; 4]) -> __m256i {
            let [a, b, c, d] = bytes.map(|x| x as i32);
            _mm256_cvtepi8_epi16(_mm_set_epi32(d, c, b, a))
        }
        fn madd_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_madd_epi16(a, b) }
        fn add_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi16(a, b) }
        fn sub_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi16(a, b) }
        fn max_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_max_epi16(a, b) }
        fn madd_u8_i8(self, a: &[u8; BYTES], q: __m256i) -> __m256i {
            _mm256_maddubs_epi16(_mm256_loadu_si256(a.as_ptr().cast()), q)
        }
        fn reduce_max_i16(self, a: __m256i) -> i16 {
            let max = _mm_max_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            // PHMINPOSUW finds the smallest unsigned value: flipping all bits but the sign maps
            // the signed order to the reversed unsigned order.
            let flipped = _mm_xor_si128(max, _mm_set1_epi16(0x7fff));
            _mm_extract_epi16::<0>(_mm_minpos_epu16(flipped)) as i16 ^ 0x7fff
        }
        fn any_gt_i16(self, a: __m256i, b: __m256i, limit: __m256i) -> u32 {
            // Packed to bytes, each group of eight masks is one 64-bit lane:
            //
            //   packs(a, b):  a[0–7] b[0–7] | a[8–15] b[8–15]
            let (a, b) = (_mm256_cmpgt_epi16(a, limit), _mm256_cmpgt_epi16(b, limit));
            let none = _mm256_cmpeq_epi64(_mm256_packs_epi16(a, b), _mm256_setzero_si256());
            _mm256_movemask_pd(_mm256_castsi256_pd(none)) as u32 ^ 0xf
        }
        fn to_f32(self, a: __m256i) -> __m256 { _mm256_cvtepi32_ps(a) }
        fn movemask(self, mask: __m256i) -> u32 { _mm256_movemask_ps(_mm256_castsi256_ps(mask)) as u32 }
        fn load_u8(self, from: &[u8; BYTES]) -> __m256i {
            _mm256_loadu_si256(from.as_ptr().cast())
        }
        fn load_u8_twice(self, from: &[u8; BYTES / 2]) -> __m256i {
            _mm256_broadcastsi128_si256(_mm_loadu_si128(from.as_ptr().cast()))
        }
        fn store_u16(self, x: __m256i, to: &mut [u16; LANES_16]) {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        }
        fn add_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi8(a, b) }
        fn add_saturating_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_adds_epu8(a, b) }
        fn sub_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi8(a, b) }
        fn min_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_min_epu8(a, b) }
        fn reduce_min_halves_u8(self, a: __m256i) -> __m256i {
            // Each half is folded to its byte 0, which then goes to all bytes of the half.
            let a = _mm256_min_epu8(a, _mm256_shuffle_epi32::<0b01_00_11_10>(a));
            let a = _mm256_min_epu8(a, _mm256_shuffle_epi32::<0b10_11_00_01>(a));
            let a = _mm256_min_epu8(a, _mm256_srli_epi32::<16>(a));
            let a = _mm256_min_epu8(a, _mm256_srli_epi16::<8>(a));
            _mm256_shuffle_epi8(a, _mm256_setzero_si256())
        }
        fn or_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_or_si256(a, b) }
        fn eq_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_cmpeq_epi8(a, b) }
        fn movemask_u8(self, mask: __m256i) -> u32 { _mm256_movemask_epi8(mask) as u32 }
        fn gt_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_cmpgt_epi16(a, b) }
        fn movemask_i16(self, a: __m256i, b: __m256i) -> u32 {
            //   packs(a, b):  a[0–7] b[0–7] | a[8–15] b[8–15]
            _mm256_movemask_epi8(_mm256_packs_epi16(a, b)) as u32
        }
        fn low_nibbles(self, a: __m256i) -> __m256i { _mm256_and_si256(a, _mm256_set1_epi8(15)) }
        fn high_nibbles(self, a: __m256i) -> __m256i {
            _mm256_and_si256(_mm256_srli_epi16::<4>(a), _mm256_set1_epi8(15))
        }
        fn shuffle_bytes(self, table: __m256i, index: __m256i) -> __m256i {
            _mm256_shuffle_epi8(table, index)
        }
        fn load_halves_u8(self, from: [&[u8; BYTES / 2]; 2]) -> __m256i {
            let low = _mm256_castsi128_si256(_mm_loadu_si128(from[0].as_ptr().cast()));
            _mm256_inserti128_si256::<1>(low, _mm_loadu_si128(from[1].as_ptr().cast()))
        }
        fn words_u8(self, words: [u32; LANES_32]) -> __m256i {
            let [a, b, c, d, e, f, g, h] = words.map(|word| word as i32);
            _mm256_setr_epi32(a, b, c, d, e, f, g, h)
        }
        fn store_u8(self, x: __m256i, to: &mut [u8; BYTES]) {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        }
        fn store_i8(self, x: __m256i, to: &mut [i8; BYTES]) {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), x)
        }
        fn store_halves_u8(self, x: __m256i, to: [&mut [u8; BYTES / 2]; 2]) {
            let [low, high] = to;
            _mm_storeu_si128(low.as_mut_ptr().cast(), _mm256_castsi256_si128(x));
            _mm_storeu_si128(high.as_mut_ptr().cast(), _mm256_extracti128_si256::<1>(x));
        }
        fn join_halves(self, a: __m256i, b: __m256i) -> __m256i {
            _mm256_blend_epi32::<0b1111_0000>(a, b)
        }
        fn mul_i16(self, a: __m256i, b: __m256i) -> __m256i { _mm256_mullo_epi16(a, b) }
        fn interleave_u8(self, a: __m256i, b: __m256i) -> [__m256i; 2] {
            [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)]
        }
        fn interleave_u16(self, a: __m256i, b: __m256i) -> [__m256i; 2] {
            [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
        }
        fn alternate_u32(self, a: __m256i) -> __m256i {
            _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
        }
        fn transpose_u32(self, a: __m256i) -> __m256i {
            _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7))
        }
        fn xor_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_xor_si256(a, b) }
        fn select_by_sign_u8(self, mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
            _mm256_blendv_epi8(b, a, mask)
        }
        fn and_u8(self, a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn splat_u64(self, x: u64) -> __m256i { _mm256_set1_epi64x(x as i64) }
        fn shift_left_u64(self, a: __m256i, by: __m256i) -> __m256i { _mm256_sllv_epi64(a, by) }
        fn shift_right_u64(self, a: __m256i, by: __m256i) -> __m256i { _mm256_srlv_epi64(a, by) }
        fn select_by_sign_u64(self, mask: __m256i, a: __m256i, b: __m256i) -> __m256i {
            let (a, b) = (_mm256_castsi256_pd(a), _mm256_castsi256_pd(b));
            _mm256_castpd_si256(_mm256_blendv_pd(b, a, _mm256_castsi256_pd(mask)))
        }
        fn signs_u8(self, a: __m256i) -> u32 { _mm256_movemask_epi8(a) as u32 }
        fn square_pairs_u8(self, a: __m256i) -> __m256i { _mm256_maddubs_epi16(a, a) }
        fn add_products_u8_i8(self, sum: __m256i, a: __m256i, q: &[i8; BYTES]) -> __m256i {
            // Two products are at most 2 · 127 · 128, so that no sum of 16 bits saturates.
            let pairs = _mm256_maddubs_epi16(a, _mm256_loadu_si256(q.as_ptr().cast()));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
        fn add_dots_u8_i8(self, sum: __m256i, a: __m256i, q: [i8; 4]) -> __m256i {
            let q = _mm256_set1_epi32(i32::from_le_bytes(q.map(|q| q as u8)));
            let pairs = _mm256_maddubs_epi16(a, q);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
        fn add_bytes(self, sum: __m256i, a: __m256i) -> __m256i {
            _mm256_add_epi32(sum, _mm256_sad_epu8(a, _mm256_setzero_si256()))
        }
        fn high_bytes(self, a: __m256i) -> __m256i { _mm256_srli_epi16::<8>(a) }
        fn low_to_high_bytes(self, a: __m256i) -> __m256i { _mm256_slli_epi16::<8>(a) }
    }
}
