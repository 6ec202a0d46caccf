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

/// The last place in the table from which `bytes` bytes can be read.
#[inline(always)]
fn gather_limit(table: &[u8], bytes: usize) -> i32 {
    assert!(
        table.len() >= bytes && table.len() < 1 << 31,
        "the length of a table"
    );
    (table.len() - bytes) as i32
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

    /// Reads up to 64 signed bytes, and zeros beyond them. Four instructions.
    ///
    /// # Panics
    /// If there are more than 64.
    #[inline(always)]
    pub fn load_part_i8(self, from: &[i8]) -> __m512i {
        let mask = self.first_u8(from.len());
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 BW. The mask
        // keeps the bytes of the slice only, and a byte that is masked off is not accessed.
        unsafe { _mm512_maskz_loadu_epi8(mask, from.as_ptr()) }
    }

    /// The mask of the first `count` of 64 lanes.
    ///
    /// # Panics
    /// If there are more than 64.
    #[inline(always)]
    pub fn first_u8(self, count: usize) -> __mmask64 {
        assert!(count <= 64, "more bytes than a vector has");
        u64::MAX.checked_shr(64 - count as u32).unwrap_or(0)
    }

    /// Reads four bytes into each of the 16 lanes, from byte `offset[l]` of the table on; the last
    /// four bytes where it lies beyond them.
    ///
    /// # Panics
    /// If the table has fewer than four bytes, or 2³¹ or more.
    #[inline(always)]
    pub fn gather_u32(self, table: &[u8], offset: __m512i) -> __m512i {
        let last = gather_limit(table, 4);
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 F. No offset is
        // above that of the last four bytes of the table, so every lane reads within it.
        unsafe {
            let offset = _mm512_min_epu32(offset, _mm512_set1_epi32(last));
            _mm512_i32gather_epi32::<1>(offset, table.as_ptr().cast())
        }
    }

    /// Lane l takes `table[index[l]]`, the last entry where the index lies beyond it.
    ///
    /// # Panics
    /// If the table is empty, or has 2²⁹ entries or more.
    #[inline(always)]
    pub fn look_up_u32(self, table: &[u32], index: __m512i) -> __m512i {
        assert!(
            !table.is_empty() && table.len() < 1 << 29,
            "the length of a table"
        );
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 F. No index is
        // above that of the last entry, so every lane reads an entry.
        unsafe {
            let index = _mm512_min_epu32(index, _mm512_set1_epi32((table.len() - 1) as i32));
            _mm512_i32gather_epi32::<4>(index, table.as_ptr().cast())
        }
    }

    /// Reads eight bytes for each of the 16 offsets: those of the first eight, then the others; the
    /// last eight bytes of the table where an offset lies beyond them.
    ///
    /// # Panics
    /// If the table has fewer than eight bytes, or 2³¹ or more.
    #[inline(always)]
    pub fn gather_u64(self, table: &[u8], offset: __m512i) -> [__m512i; 2] {
        let last = gather_limit(table, 8);
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 F. No offset is
        // above that of the last eight bytes of the table, so every lane reads within it.
        unsafe {
            let offset = _mm512_min_epu32(offset, _mm512_set1_epi32(last));
            let halves = [
                _mm512_castsi512_si256(offset),
                _mm512_extracti64x4_epi64::<1>(offset),
            ];
            halves.map(|half| _mm512_i32gather_epi64::<1>(half, table.as_ptr().cast()))
        }
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
        /// Reads each quarter from a place of its own. Four instructions.
        fn load_quarters_u8(self, from: [&[u8; 16]; 4]) -> __m512i {
            let [a, b, c, d] = from.map(|from| _mm_loadu_si128(from.as_ptr().cast()));
            let x = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
            _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(x, c), d)
        }
        /// Writes each quarter to a place of its own. Four instructions.
        fn store_quarters(self, x: __m512i, to: [&mut [u8; 16]; 4]) {
            let [a, b, c, d] = to.map(|to| to.as_mut_ptr().cast());
            _mm_storeu_si128(a, _mm512_castsi512_si128(x));
            _mm_storeu_si128(b, _mm512_extracti32x4_epi32::<1>(x));
            _mm_storeu_si128(c, _mm512_extracti32x4_epi32::<2>(x));
            _mm_storeu_si128(d, _mm512_extracti32x4_epi32::<3>(x));
        }
        /// Writes the low byte of each lane of 16 bits. Two instructions.
        fn store_low_of_u16(self, x: __m512i, to: &mut [u8; 32]) {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi16_epi8(x))
        }
        /// Writes the low byte of each lane of 32 bits. Two instructions.
        fn store_low_of_u32(self, x: __m512i, to: &mut [u8; 16]) {
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x))
        }
        /// Writes the low byte of each lane of 64 bits. Two instructions.
        fn store_low_of_u64(self, x: __m512i, to: &mut [u8; 8]) {
            _mm_storel_epi64(to.as_mut_ptr().cast(), _mm512_cvtepi64_epi8(x))
        }
        /// Reads 16 bytes into each of the four quarters.
        fn broadcast_u8x16(self, from: &[u8; 16]) -> __m512i {
            _mm512_broadcast_i32x4(_mm_loadu_si128(from.as_ptr().cast()))
        }
        /// Writes the low byte of each lane of 32 bits.
        fn store_i32_as_i8(self, x: __m512i, to: &mut [i8; 16]) {
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x))
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
        /// a·b in lanes of 32 bits, wrapping. Two instructions.
        fn mul_i32(self, a: __m512i, b: __m512i) -> __m512i { _mm512_mullo_epi32(a, b) }
        /// Shifts lane l of 32 bits right by `by[l]` bits and fills with zeros.
        fn shift_right_each_u32(self, a: __m512i, by: __m512i) -> __m512i {
            _mm512_srlv_epi32(a, by)
        }
        /// Shifts lanes of 64 bits right and fills with zeros.
        fn shift_right_u64<const BY: u32>(self, a: __m512i) -> __m512i { _mm512_srli_epi64::<BY>(a) }
        /// [`shuffle_bytes`](Self::shuffle_bytes) where the mask is set, else 0.
        fn shuffle_bytes_where(self, mask: __mmask64, table: __m512i, index: __m512i) -> __m512i {
            _mm512_maskz_shuffle_epi8(mask, table, index)
        }
        /// Byte b of each lane of 64 bits takes eight bits of the lane, from bit `from[b]` on.
        fn bits_of_u64(self, a: __m512i, from: __m512i) -> __m512i {
            _mm512_multishift_epi64_epi8(from, a)
        }
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
