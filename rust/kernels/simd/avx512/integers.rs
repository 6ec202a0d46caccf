//! Lanes of integers, and the bits that they are packed in.

use std::arch::x86_64::*;

use crate::isa::Avx512;

impl Avx512 {
    intrinsics! {
        /// All bits clear.
        fn zero(self) -> __m512i { _mm512_setzero_si512() }
        /// The same byte in all lanes.
        fn splat_u8(self, x: u8) -> __m512i { _mm512_set1_epi8(x as i8) }
        /// The same integer of 16 bits in all lanes.
        fn splat_i16(self, x: i16) -> __m512i { _mm512_set1_epi16(x) }
        /// The same integer of 32 bits in all lanes.
        fn splat_i32(self, x: i32) -> __m512i { _mm512_set1_epi32(x) }
        /// The same integer of 16 bits where the mask is set, else 0.
        fn splat_i16_where(self, mask: __mmask32, x: i16) -> __m512i {
            _mm512_maskz_set1_epi16(mask, x)
        }
        /// The same integer of 64 bits in all lanes.
        fn splat_i64(self, x: i64) -> __m512i { _mm512_set1_epi64(x) }
        /// a + b byte by byte, wrapping.
        fn add_u8(self, a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi8(a, b) }
        /// a + b in lanes of 16 bits, wrapping.
        fn add_i16(self, a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi16(a, b) }
        /// a + b in lanes of 32 bits, wrapping.
        fn add_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        /// a − b byte by byte, wrapping.
        fn sub_u8(self, a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi8(a, b) }
        /// a − b in lanes of 16 bits, wrapping.
        fn sub_i16(self, a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi16(a, b) }
        /// a − b in lanes of 32 bits, wrapping.
        fn sub_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        /// a − b in lanes of 32 bits where the mask is set, else `or`.
        fn sub_i32_where(self, mask: __mmask16, or: __m512i, a: __m512i, b: __m512i) -> __m512i {
            _mm512_mask_sub_epi32(or, mask, a, b)
        }
        /// The larger of a and b, signed bytes.
        fn max_i8(self, a: __m512i, b: __m512i) -> __m512i { _mm512_max_epi8(a, b) }
        /// The low halves of a and b.
        fn low_halves(self, a: __m512i, b: __m512i) -> __m512i {
            _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b)
        }
        /// The high halves of a and b.
        fn high_halves(self, a: __m512i, b: __m512i) -> __m512i {
            _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b)
        }
        /// |a| in lanes of 32 bits.
        fn abs_i32(self, a: __m512i) -> __m512i { _mm512_abs_epi32(a) }
        /// The larger of a and b in lanes of 32 bits.
        fn max_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_max_epi32(a, b) }
        /// The bits that are set in a and in b.
        fn and(self, a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        /// The bits that are set in a or in b.
        fn or(self, a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        /// Bits of a where those of the mask are set, else of b.
        fn select_bits(self, mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
            _mm512_ternarylogic_epi32::<0xca>(mask, a, b)
        }
        /// Shifts lanes of 16 bits right and fills with zeros.
        fn shift_right_u16<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_srli_epi16::<BY>(a) }
        /// Shifts lanes of 16 bits left.
        fn shift_left_u16<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_slli_epi16::<BY>(a) }
        /// Shifts lanes of 32 bits right and fills with zeros.
        fn shift_right_u32<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_srli_epi32::<BY>(a) }
        /// Shifts lanes of 32 bits left.
        fn shift_left_u32<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_slli_epi32::<BY>(a) }
        /// Shifts lane l of 32 bits right by `by[l]` bits and fills with zeros.
        fn shift_right_each_u32(self, a: __m512i, by: __m512i) -> __m512i {
            _mm512_srlv_epi32(a, by)
        }
        /// Shifts lanes of 64 bits right and fills with zeros.
        fn shift_right_u64<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_srli_epi64::<BY>(a) }
        /// Shifts lanes of 32 bits right, all by as many, and fills with zeros.
        fn shift_right_by_u32(self, a: __m512i, by: u32) -> __m512i {
            _mm512_srl_epi32(a, _mm_cvtsi32_si128(by as i32))
        }
        /// Shifts lanes of 64 bits right, all by as many, and fills with zeros.
        fn shift_right_by_u64(self, a: __m512i, by: u32) -> __m512i {
            _mm512_srl_epi64(a, _mm_cvtsi32_si128(by as i32))
        }
        /// Shifts lane l of 64 bits left by `by[l]` bits, from 0 to 63.
        fn shift_left_each_u64(self, a: __m512i, by: __m512i) -> __m512i {
            _mm512_sllv_epi64(a, by)
        }
        /// Looks up each byte in the 16 bytes of its quarter of the table; indexes are from 0 to
        /// 15.
        fn shuffle_bytes(self, table: __m512i, index: __m512i) -> __m512i {
            _mm512_shuffle_epi8(table, index)
        }
        /// [`shuffle_bytes`](Self::shuffle_bytes) where the mask is set, else 0.
        fn shuffle_bytes_where(self, mask: __mmask64, table: __m512i, index: __m512i) -> __m512i {
            _mm512_maskz_shuffle_epi8(mask, table, index)
        }
        /// Looks up each byte in a table of 64 bytes: byte b takes `table[index[b] mod 64]`.
        fn permute_bytes(self, table: __m512i, index: __m512i) -> __m512i {
            _mm512_permutexvar_epi8(index, table)
        }
        /// Looks up each byte in a table of 128 bytes, whose halves are `low` and `high`: byte b
        /// takes entry `index[b] mod 128`.
        fn permute_bytes_2(self, low: __m512i, high: __m512i, index: __m512i) -> __m512i {
            _mm512_permutex2var_epi8(low, index, high)
        }
        /// [`permute_bytes_2`](Self::permute_bytes_2) where the mask is set, else 0.
        fn permute_bytes_2_or_zero(
            self, mask: __mmask64, low: __m512i, high: __m512i, index: __m512i
        ) -> __m512i {
            _mm512_maskz_permutex2var_epi8(mask, low, index, high)
        }
        /// [`permute_bytes`](Self::permute_bytes) where the mask is set, else `other`.
        fn permute_bytes_where(
            self, mask: __mmask64, other: __m512i, table: __m512i, index: __m512i
        ) -> __m512i {
            _mm512_mask_permutexvar_epi8(other, mask, index, table)
        }
        /// [`permute_bytes`](Self::permute_bytes) where the mask is set, else 0.
        fn permute_bytes_or_zero(self, mask: __mmask64, table: __m512i, index: __m512i) -> __m512i {
            _mm512_maskz_permutexvar_epi8(mask, index, table)
        }
        /// Byte b takes eight bits of its word of 64 bits, from bit `first[b]` on, which is from 0
        /// to 63; bit 0 follows bit 63.
        fn bytes_from_bits(self, words: __m512i, first: __m512i) -> __m512i {
            _mm512_multishift_epi64_epi8(first, words)
        }
        /// sum + the dot product of the four bytes of each lane of 32 bits, wrapping: a unsigned, b
        /// signed.
        fn dot_u8_i8(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
            _mm512_dpbusd_epi32(sum, a, b)
        }
        /// sum + the dot product of the two numbers of 16 bits of each lane of 32 bits, wrapping.
        fn dot_i16(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
            _mm512_dpwssd_epi32(sum, a, b)
        }
        /// The mask of the bytes whose highest bit is set.
        fn top_bits_u8(self, a: __m512i) -> __mmask64 { _mm512_movepi8_mask(a) }
        /// The mask of a ≥ b in lanes of 16 bits without sign.
        fn ge_u16(self, a: __m512i, b: __m512i) -> __mmask32 { _mm512_cmpge_epu16_mask(a, b) }
        /// Bytes of b where the mask is set, else of a.
        fn select_u8(self, mask: __mmask64, a: __m512i, b: __m512i) -> __m512i {
            _mm512_mask_blend_epi8(mask, a, b)
        }
        /// a·b in lanes of 32 bits, wrapping. Two instructions.
        fn mul_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_mullo_epi32(a, b) }
        /// The dot product of the two bytes of each lane of 16 bits: a unsigned, b signed; it must
        /// fit 16 bits.
        fn madd_u8_i8(self, a: __m512i, b: __m512i) -> __m512i { _mm512_maddubs_epi16(a, b) }
        /// The dot product of the two numbers of 16 bits of each lane of 32 bits.
        fn madd_i16(self, a: __m512i, b: __m512i) -> __m512i { _mm512_madd_epi16(a, b) }
        /// The bytes of the low and of the high halves of each quarter of a and b, alternating.
        fn interleave_u8(self, a: __m512i, b: __m512i) -> [__m512i; 2] {
            [_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)]
        }
        /// [`interleave_u8`](Self::interleave_u8) for lanes of 16 bits.
        fn interleave_u16(self, a: __m512i, b: __m512i) -> [__m512i; 2] {
            [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
        }
        /// [`interleave_u8`](Self::interleave_u8) for lanes of 32 bits.
        fn interleave_u32(self, a: __m512i, b: __m512i) -> [__m512i; 2] {
            [_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)]
        }
        /// [`interleave_u8`](Self::interleave_u8) for lanes of 64 bits.
        fn interleave_u64(self, a: __m512i, b: __m512i) -> [__m512i; 2] {
            [_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)]
        }
        /// The sums of all lanes of four vectors, wrapping. Fourteen instructions.
        fn sums_of_four_i32(self, of: [__m512i; 4]) -> [i32; 4] {
            // Neighbours are added while the vectors are put together:
            //
            //   a02 b02 a13 b13 | …      after the first step, where a02 is a0 + a2
            //   a   b   c   d   | …      after the second one: the sums of each quarter
            let add = |a, b| {
                _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b))
            };
            let (ab, cd) = (add(of[0], of[1]), add(of[2], of[3]));
            let quarters =
                _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let halves = _mm256_add_epi32(
                _mm512_castsi512_si256(quarters),
                _mm512_extracti64x4_epi64::<1>(quarters),
            );
            let all =
                _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
            let mut sums = [0i32; 4];
            _mm_storeu_si128(sums.as_mut_ptr().cast(), all);
            sums
        }
        /// Lanes of 32 bits of a where the mask is set, else 0.
        fn lanes_where(self, mask: __mmask16, a: __m512i) -> __m512i {
            _mm512_maskz_mov_epi32(mask, a)
        }
        /// The mask of a ≥ b in lanes of 32 bits.
        fn ge_i32(self, a: __m512i, b: __m512i) -> __mmask16 { _mm512_cmpge_epi32_mask(a, b) }
        /// Lanes of 32 bits of b where the mask is set, else of a.
        fn select_i32(self, mask: __mmask16, a: __m512i, b: __m512i) -> __m512i {
            _mm512_mask_blend_epi32(mask, a, b)
        }
        /// The lanes of 32 bits where the mask is set, one after the other; zeros after them.
        fn compress_i32(self, mask: __mmask16, a: __m512i) -> __m512i {
            _mm512_maskz_compress_epi32(mask, a)
        }
        /// The largest of the 16 lanes of 32 bits. Eight instructions.
        fn largest_i32(self, a: __m512i) -> i32 { _mm512_reduce_max_epi32(a) }
        /// The sum of the 16 lanes of 32 bits, wrapping.
        fn sum_i32(self, a: __m512i) -> i32 { _mm512_reduce_add_epi32(a) }
    }
}
