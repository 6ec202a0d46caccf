//! Eight lanes of 32 bits: the instructions that vector bodies are written in.
//!
//! A vector body is written once, over a token `S: Simd`, and compiled for each instruction set: on AVX2 a vector is one register, on NEON a
//! pair of them. Every operation is exact or rounds once as IEEE 754 says, lane by lane, so a body gives the same bits on both.
//! The token is the proof ([`Avx2`](crate::isa::Avx2), [`Neon`](crate::isa::Neon)) that the CPU has the instructions, which is what makes the
//! methods safe to call. Bodies must be `#[inline(always)]`: they are inlined into a function that has the target feature enabled.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;

/// 32-bit lanes of a vector.
pub const LANES_32: usize = 8;

/// 16-bit lanes of a vector.
pub const LANES_16: usize = 16;

/// Bytes of a vector.
pub const BYTES: usize = 32;

/// The operations; `self` is a token that proves the instruction set.
pub trait Simd: Copy {
    /// Eight float32.
    type F32x8: Copy;
    /// Eight 32-bit integers, or masks (all bits of a lane alike).
    type I32x8: Copy;
    /// Sixteen 16-bit integers.
    type I16x16: Copy;

    /// The same value in all lanes.
    fn splat(self, x: f32) -> Self::F32x8;
    /// Asks for the cache line of what is read soon, where the language has an instruction for it.
    fn prefetch<T>(self, from: &T);
    /// Reads eight values.
    fn load(self, from: &[f32; LANES_32]) -> Self::F32x8;
    /// Reads four values and four more.
    fn load_halves(self, from: [&[f32; 4]; 2]) -> Self::F32x8;
    /// Reads four times two values.
    fn load_quarters(self, from: [&[f32; 2]; 4]) -> Self::F32x8;
    /// Writes eight values.
    fn store(self, x: Self::F32x8, to: &mut [f32; LANES_32]);
    /// a + b.
    fn add(self, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// a − b.
    fn sub(self, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// a·b.
    fn mul(self, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// a·b + c, rounded once.
    fn fma(self, a: Self::F32x8, b: Self::F32x8, c: Self::F32x8) -> Self::F32x8;
    /// The greater; b where a is no number. b must be a number, and not a zero of the other sign than a zero a: instruction sets differ there.
    fn max(self, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// The smaller; b where a is no number; b as for [`max`](Self::max).
    fn min(self, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// |a|.
    fn abs(self, a: Self::F32x8) -> Self::F32x8;
    /// The largest whole number not above a.
    fn floor(self, a: Self::F32x8) -> Self::F32x8;
    /// The nearest whole number, of two the even one.
    fn round_ties_even(self, a: Self::F32x8) -> Self::F32x8;
    /// Mask of a > b.
    fn gt(self, a: Self::F32x8, b: Self::F32x8) -> Self::I32x8;
    /// a where the mask is set, else b.
    fn select(self, mask: Self::I32x8, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// Lane l takes lane l xor 1.
    fn shuffle_xor1(self, a: Self::F32x8) -> Self::F32x8;
    /// Lane l takes lane l xor 2.
    fn shuffle_xor2(self, a: Self::F32x8) -> Self::F32x8;
    /// Lane l takes lane l xor 4.
    fn shuffle_xor4(self, a: Self::F32x8) -> Self::F32x8;
    /// Lanes 0 to 3 of a and of b, and lanes 4 to 7 of a and of b.
    fn transpose_halves(self, a: Self::F32x8, b: Self::F32x8) -> [Self::F32x8; 2];
    /// In each half: lanes 0 and 1 of a and of b, and lanes 2 and 3 of a and of b.
    fn transpose_pairs(self, a: Self::F32x8, b: Self::F32x8) -> [Self::F32x8; 2];
    /// `table[index mod 8]`.
    fn lookup8(self, table: Self::F32x8, index: Self::I32x8) -> Self::F32x8;
    /// `table[index mod 16]` of a table in two vectors.
    fn lookup16(self, low: Self::F32x8, high: Self::F32x8, index: Self::I32x8) -> Self::F32x8;
    /// `table[index mod N]`; N is a power of two.
    fn gather(self, table: &[f32], index: Self::I32x8) -> Self::F32x8;
    /// Four columns of eight rows.
    fn load_transposed_8x4(self, rows: [&[f32; 4]; LANES_32]) -> [Self::F32x8; 4];
    /// Two columns of eight rows.
    fn load_transposed_8x2(self, rows: [&[f32; 2]; LANES_32]) -> [Self::F32x8; 2];
    /// Whole numbers below 2³¹ in magnitude as integers; beyond, instruction sets differ.
    fn to_i32(self, a: Self::F32x8) -> Self::I32x8;

    /// The same integer in all lanes.
    fn splat_i32(self, x: i32) -> Self::I32x8;
    /// Reads eight integers.
    fn load_i32(self, from: &[i32; LANES_32]) -> Self::I32x8;
    /// Writes eight integers.
    fn store_i32(self, x: Self::I32x8, to: &mut [i32; LANES_32]);
    /// a + b, wrapping.
    fn add_i32(self, a: Self::I32x8, b: Self::I32x8) -> Self::I32x8;
    /// a − b, wrapping.
    fn sub_i32(self, a: Self::I32x8, b: Self::I32x8) -> Self::I32x8;
    /// Each lane times 256.
    fn shift_left_8(self, a: Self::I32x8) -> Self::I32x8;
    /// Each lane without its lowest bits, as many as the lane of `by` says (0 to 31).
    fn shift_right(self, a: Self::I32x8, by: Self::I32x8) -> Self::I32x8;
    /// The bits of both.
    fn and_i32(self, a: Self::I32x8, b: Self::I32x8) -> Self::I32x8;
    /// Reads eight 16-bit indexes.
    fn load_u16_as_i32(self, from: &[u16; LANES_32]) -> Self::I32x8;
    /// The integers as numbers, for magnitudes below 2²⁴.
    fn to_f32(self, a: Self::I32x8) -> Self::F32x8;
    /// Bit l: whether lane l of the mask is set.
    fn movemask(self, mask: Self::I32x8) -> u32;
    /// Writes integers of at most 16 bits.
    fn store_i32_as_u16(self, x: Self::I32x8, to: &mut [u16; LANES_32]);
    /// Whether every lane of the mask is set.
    fn mask_all(self, mask: Self::I32x8) -> bool;

    /// The greatest of the eight, in every lane; for numbers only.
    #[inline(always)]
    fn reduce_max(self, a: Self::F32x8) -> Self::F32x8 {
        let a = self.max(a, self.shuffle_xor4(a));
        let a = self.max(a, self.shuffle_xor2(a));
        self.max(a, self.shuffle_xor1(a))
    }
    /// The first lane in which a equals b; 8 if there is none.
    fn first_equal(self, a: Self::F32x8, b: Self::F32x8) -> usize;
    /// The least of the integers of 0 to 65535 in the lanes in which a equals b; 65535 if there are none.
    fn min_where_equal(self, a: Self::F32x8, b: Self::F32x8, x: Self::I32x8) -> u32;

    /// The same integer in all sixteen lanes.
    fn splat_i16(self, x: i16) -> Self::I16x16;
    /// Reads sixteen integers.
    fn load_i16(self, from: &[i16; LANES_16]) -> Self::I16x16;
    /// a + b, wrapping.
    fn add_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The greater.
    fn max_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// a₀q₀ + a₁q₁ for the two bytes of each lane: a from 0 to 127, q from −128 to 127.
    fn madd_u8_i8(self, a: &[u8; BYTES], q: Self::I16x16) -> Self::I16x16;
    /// The greatest of the sixteen.
    fn reduce_max_i16(self, a: Self::I16x16) -> i16;
    /// Four bits, from the lowest: whether any of lanes 0 to 7 of a, 0 to 7 of b, 8 to 15 of a, 8 to 15 of b is above the limit.
    fn any_gt_i16(self, a: Self::I16x16, b: Self::I16x16, limit: Self::I16x16) -> u32;

    /// Reads 32 bytes, two in each lane.
    fn load_u8(self, from: &[u8; BYTES]) -> Self::I16x16;
    /// Writes sixteen integers.
    fn store_u16(self, x: Self::I16x16, to: &mut [u16; LANES_16]);
    /// a + b byte by byte, wrapping.
    fn add_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The low four bits of each byte.
    fn low_nibbles(self, a: Self::I16x16) -> Self::I16x16;
    /// The high four bits of each byte.
    fn high_nibbles(self, a: Self::I16x16) -> Self::I16x16;
    /// `table[index]` byte by byte, for indexes below 16: the first sixteen bytes are looked up in the first sixteen of the table, the others in
    /// the others.
    fn shuffle_bytes(self, table: Self::I16x16, index: Self::I16x16) -> Self::I16x16;
    /// The high byte of each lane.
    fn high_bytes(self, a: Self::I16x16) -> Self::I16x16;
}
