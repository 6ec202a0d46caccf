//! Loads, stores and look-ups in memory.

use std::arch::x86_64::*;

use crate::isa::Avx512;

/// The last place in the table from which `bytes` bytes can be read.
#[inline(always)]
fn gather_limit(table: &[u8], bytes: usize) -> i32 {
    assert!(
        table.len() >= bytes && table.len() < 1 << 31,
        "the length of a table"
    );
    (table.len() - bytes) as i32
}

impl Avx512 {
    /// Reads up to 64 bytes, and zeros beyond them. Four instructions.
    ///
    /// # Panics
    /// If there are more than 64.
    #[inline(always)]
    pub fn load_part_u8(self, from: &[u8]) -> __m512i {
        let mask = self.first_u8(from.len());
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

    /// Writes as many of the first bytes as the slice has.
    ///
    /// # Panics
    /// If it has more than 64.
    #[inline(always)]
    pub fn store_part_u8(self, x: __m512i, to: &mut [u8]) {
        let mask = self.first_u8(to.len());
        // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 BW. The mask
        // keeps the bytes of the slice only, and a byte that is masked off is not accessed.
        unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), mask, x) }
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
        /// Reads 32 integers of 16 bits with a sign.
        fn load_i16(self, from: &[i16; 32]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
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
        /// Writes 16 integers of 32 bits.
        fn store_u32(self, x: __m512i, to: &mut [u32; 16]) {
            _mm512_storeu_si512(to.as_mut_ptr().cast(), x)
        }
        /// Reads eight integers of 64 bits.
        fn load_i64(self, from: &[i64; 8]) -> __m512i { _mm512_loadu_si512(from.as_ptr().cast()) }
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
        /// Writes the low byte of each lane of 32 bits, signed. Two instructions.
        fn store_i32_as_i8(self, x: __m512i, to: &mut [i8; 16]) {
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(x))
        }
        /// Reads 16 integers of 16 bits and extends them with zeros to 32.
        fn load_u16_as_i32(self, from: &[u16; 16]) -> __m512i {
            _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()))
        }
    }
}
