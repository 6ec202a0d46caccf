//! The operations on AVX-512, where a vector is one register of 512 bits: 16 lanes of 32 bits, as
//! many as a sum of the contract has ([`SUM_LANES`](crate::kernels::SUM_LANES)).
//!
//! They are methods of the token, so that they are safe to call, and are meant for the bodies in
//! the `avx512.rs` of a kernel. As in [`simd`](super), an operation is exact or rounds once per
//! lane, is named after the type of its lanes if that is not float32, and must be inlined into a
//! function that has the target features enabled. A mask has a bit for each lane.
//!
//! One load of 64 bytes that crosses the border of two cache lines costs two, so arrays that are
//! read often should be [`Aligned`](crate::aligned::Aligned).

use std::arch::x86_64::*;

use crate::isa::Avx512;

/// Methods whose bodies are AVX-512 intrinsics.
macro_rules! intrinsics {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<const $by:ident: u32>)? (
            $self:ident $(, $arg:ident: $ty:ty)* $(,)?
        ) $(-> $ret:ty)? { $($body:tt)* }
    )*) => {
        $($(#[$doc])*
        #[inline(always)]
        pub fn $name$(<const $by: u32>)?($self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 F, BW, VL,
            // VBMI and VNNI, AVX2 and FMA, and `$self` is one. Memory is read and written only by
            // unaligned loads and stores through references to arrays of exactly the size that the
            // instruction accesses.
            unsafe { $($body)* }
        })*
    };
}

/// Memory.
impl Avx512 {
    /// Reads up to 64 bytes, and zeros beyond them. Four instructions.
    ///
    /// # Panics
    /// If there are more than 64.
    #[inline(always)]
    pub fn load_part_u8(self, from: &[u8]) -> __m512i {
        assert!(from.len() <= 64, "more bytes than a vector has");
        let mask = u64::MAX.checked_shr(64 - from.len() as u32).unwrap_or(0);
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 BW. The mask
        // keeps the bytes of the slice only, and a byte that is masked off is not accessed.
        unsafe { _mm512_maskz_loadu_epi8(mask, from.as_ptr().cast()) }
    }

    /// The mask of the first `count` of 16 lanes.
    ///
    /// # Panics
    /// If there are more than 16.
    #[inline(always)]
    pub fn first(self, count: usize) -> __mmask16 {
        assert!(count <= 16, "more lanes than a vector has");
        ((1u32 << count) - 1) as __mmask16
    }

    /// Reads up to 16 values, and zeros beyond them. Four instructions.
    ///
    /// # Panics
    /// If there are more than 16.
    #[inline(always)]
    pub fn load_part(self, from: &[f32]) -> __m512 {
        let mask = self.first(from.len());
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 F. The mask keeps
        // the values of the slice only, and a value that is masked off is not accessed.
        unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
    }

    /// Writes as many of the first lanes as the slice has.
    ///
    /// # Panics
    /// If it has more than 16.
    #[inline(always)]
    pub fn store_part(self, x: __m512, to: &mut [f32]) {
        let mask = self.first(to.len());
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 F. The mask keeps
        // the values of the slice only, and a value that is masked off is not accessed.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, x) }
    }

    intrinsics! {
        /// Reads 16 values.
        fn load(self, from: &[f32; 16]) -> __m512 { _mm512_loadu_ps(from.as_ptr()) }
        /// Reads each half from a place of its own; two instructions.
        fn load_halves(self, from: [&[f32; 8]; 2]) -> __m512 {
            let low = _mm512_castps_pd(_mm512_castps256_ps512(_mm256_loadu_ps(from[0].as_ptr())));
            let high = _mm256_castps_pd(_mm256_loadu_ps(from[1].as_ptr()));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high))
        }
        /// Writes 16 values.
        fn store(self, x: __m512, to: &mut [f32; 16]) { _mm512_storeu_ps(to.as_mut_ptr(), x) }
        /// Reads 64 bytes.
        fn load_u8(self, from: &[u8; 64]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        /// Reads 64 signed bytes.
        fn load_i8(self, from: &[i8; 64]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        /// Writes 64 bytes.
        fn store_u8(self, x: __m512i, to: &mut [u8; 64]) {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x)
        }
        /// Reads 32 integers of 16 bits.
        fn load_u16(self, from: &[u16; 32]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        /// Writes 32 integers of 16 bits.
        fn store_u16(self, x: __m512i, to: &mut [u16; 32]) {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x)
        }
        /// Reads 16 integers of 32 bits.
        fn load_i32(self, from: &[i32; 16]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        /// Writes 16 integers of 32 bits.
        fn store_i32(self, x: __m512i, to: &mut [i32; 16]) {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x)
        }
        /// Reads 16 bytes into each of the four quarters.
        fn broadcast_u8x16(self, from: &[u8; 16]) -> __m512i {
            _mm512_broadcast_i32x4(_mm_loadu_si128(from.as_ptr().cast()))
        }
        /// Reads 16 integers of 16 bits and extends them with zeros to 32.
        fn load_u16_as_i32(self, from: &[u16; 16]) -> __m512i {
            _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()))
        }
    }
}

/// Indexes, and the bits that they are packed in.
impl Avx512 {
    /// Writes as many of the first bytes as the slice has.
    ///
    /// # Panics
    /// If it has more than 64.
    #[inline(always)]
    pub fn store_part_u8(self, x: __m512i, to: &mut [u8]) {
        assert!(to.len() <= 64, "more bytes than a vector has");
        let mask = u64::MAX.checked_shr(64 - to.len() as u32).unwrap_or(0);
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 BW. The mask
        // keeps the bytes of the slice only, and a byte that is masked off is not accessed.
        unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), mask, x) }
    }

    intrinsics! {
        /// Looks up in a table of 16: lane l takes `table[index[l] mod 16]`.
        fn lookup16(self, table: __m512, index: __m512i) -> __m512 {
            _mm512_permutexvar_ps(index, table)
        }
        /// The same integer of 16 bits where the mask is set, else 0.
        fn splat_i16_where(self, mask: __mmask32, x: i16) -> __m512i {
            _mm512_maskz_set1_epi16(mask, x)
        }
        /// The same integer of 64 bits in all lanes.
        fn splat_i64(self, x: i64) -> __m512i { _mm512_set1_epi64(x) }
        /// Reads eight integers of 64 bits.
        fn load_i64(self, from: &[i64; 8]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
        /// The bits that are set in a or in b.
        fn or(self, a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        /// Bits of a where those of the mask are set, else of b.
        fn select_bits(self, mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
            _mm512_ternarylogic_epi32::<0xca>(mask, a, b)
        }
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
        /// [`permute_bytes`](Self::permute_bytes) where the mask is set, else 0.
        fn permute_bytes_where(self, mask: __mmask64, table: __m512i, index: __m512i) -> __m512i {
            _mm512_maskz_permutexvar_epi8(mask, index, table)
        }
        /// Byte b takes eight bits of its word of 64 bits, from bit `first[b]` on, which is from 0
        /// to 63; bit 0 follows bit 63.
        fn bytes_from_bits(self, words: __m512i, first: __m512i) -> __m512i {
            _mm512_multishift_epi64_epi8(first, words)
        }
    }
}

/// Lanes of float32.
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

/// Lanes of integers.
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
        /// |a| in lanes of 32 bits.
        fn abs_i32(self, a: __m512i) -> __m512i { _mm512_abs_epi32(a) }
        /// The larger of a and b in lanes of 32 bits.
        fn max_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_max_epi32(a, b) }
        /// The bits that are set in a and in b.
        fn and(self, a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        /// Shifts lanes of 16 bits right and fills with zeros.
        fn shift_right_u16<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_srli_epi16::<BY>(a) }
        /// Shifts lanes of 16 bits left.
        fn shift_left_u16<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_slli_epi16::<BY>(a) }
        /// Shifts lanes of 32 bits right and fills with zeros.
        fn shift_right_u32<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_srli_epi32::<BY>(a) }
        /// Shifts lanes of 32 bits left.
        fn shift_left_u32<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_slli_epi32::<BY>(a) }
        /// Looks up each byte in the 16 bytes of its quarter of the table; indexes are from 0 to 15.
        fn shuffle_bytes(self, table: __m512i, index: __m512i) -> __m512i {
            _mm512_shuffle_epi8(table, index)
        }
        /// Looks up each byte in a table of 64 bytes: byte b takes `table[index[b] mod 64]`.
        fn permute_bytes(self, table: __m512i, index: __m512i) -> __m512i {
            _mm512_permutexvar_epi8(index, table)
        }
        /// Looks up each byte in a table of 128 bytes, whose halves are `low` and `high`: byte b takes
        /// entry `index[b] mod 128`.
        fn permute_bytes_2(self, low: __m512i, high: __m512i, index: __m512i) -> __m512i {
            _mm512_permutex2var_epi8(low, index, high)
        }
        /// sum + the dot product of the four bytes of each lane of 32 bits, wrapping: a unsigned, b
        /// signed.
        fn dot_u8_i8(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
            _mm512_dpbusd_epi32(sum, a, b)
        }
        /// The mask of the bytes whose highest bit is set.
        fn top_bits_u8(self, a: __m512i) -> __mmask64 { _mm512_movepi8_mask(a) }
        /// The mask of a ≥ b in lanes of 16 bits without sign.
        fn ge_u16(self, a: __m512i, b: __m512i) -> __mmask32 { _mm512_cmpge_epu16_mask(a, b) }
        /// Bytes of b where the mask is set, else of a.
        fn select_u8(self, mask: __mmask64, a: __m512i, b: __m512i) -> __m512i {
            _mm512_mask_blend_epi8(mask, a, b)
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
