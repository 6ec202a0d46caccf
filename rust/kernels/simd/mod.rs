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

/// Lanes of a vector.
pub const WIDTH: usize = 8;

/// 16-bit lanes of a vector.
pub const PAIRS: usize = 16;

/// The operations; `self` is a token that proves the instruction set.
pub trait Simd: Copy {
    /// Eight float32.
    type F: Copy;
    /// Eight 32-bit integers, or masks (all bits of a lane alike).
    type I: Copy;
    /// Sixteen 16-bit integers.
    type P: Copy;

    /// The same value in all lanes.
    fn splat(self, x: f32) -> Self::F;
    /// Asks for the cache line of what is read soon, where the language has an instruction for it.
    fn prefetch<T>(self, from: &T);
    /// Reads eight values.
    fn load(self, from: &[f32; WIDTH]) -> Self::F;
    /// Reads four values and four more.
    fn load_halves(self, from: [&[f32; 4]; 2]) -> Self::F;
    /// Reads four times two values.
    fn load_quarters(self, from: [&[f32; 2]; 4]) -> Self::F;
    /// Writes eight values.
    fn store(self, x: Self::F, to: &mut [f32; WIDTH]);
    /// a + b.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a − b.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a·b.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a·b + c, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The greater; b where a is no number. b must be a number, and not a zero of the other sign than a zero a: instruction sets differ there.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; b where a is no number; b as for [`max`](Self::max).
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// |a|.
    fn abs(self, a: Self::F) -> Self::F;
    /// The largest whole number not above a.
    fn floor(self, a: Self::F) -> Self::F;
    /// The nearest whole number, of two the even one.
    fn nearest(self, a: Self::F) -> Self::F;
    /// Mask of a > b.
    fn above(self, a: Self::F, b: Self::F) -> Self::I;
    /// a where the mask is set, else b.
    fn select(self, mask: Self::I, a: Self::F, b: Self::F) -> Self::F;
    /// Lane l takes lane l xor 1.
    fn swap1(self, a: Self::F) -> Self::F;
    /// Lane l takes lane l xor 2.
    fn swap2(self, a: Self::F) -> Self::F;
    /// Lane l takes lane l xor 4.
    fn swap4(self, a: Self::F) -> Self::F;
    /// Lanes 0 to 3 of a and of b, and lanes 4 to 7 of a and of b.
    fn apart4(self, a: Self::F, b: Self::F) -> [Self::F; 2];
    /// In each half: lanes 0 and 1 of a and of b, and lanes 2 and 3 of a and of b.
    fn apart2(self, a: Self::F, b: Self::F) -> [Self::F; 2];
    /// `table[index mod 8]`.
    fn look_up(self, table: Self::F, index: Self::I) -> Self::F;
    /// `table[index mod 16]` of a table in two vectors.
    fn look_up_pair(self, low: Self::F, high: Self::F, index: Self::I) -> Self::F;
    /// `table[index mod N]`; N is a power of two.
    fn gather(self, table: &[f32], index: Self::I) -> Self::F;
    /// Four columns of eight rows.
    fn columns(self, rows: [&[f32; 4]; WIDTH]) -> [Self::F; 4];
    /// Two columns of eight rows.
    fn column_pair(self, rows: [&[f32; 2]; WIDTH]) -> [Self::F; 2];
    /// Whole numbers below 2³¹ in magnitude as integers; beyond, instruction sets differ.
    fn to_int(self, a: Self::F) -> Self::I;

    /// The same integer in all lanes.
    fn splat_int(self, x: i32) -> Self::I;
    /// Reads eight integers.
    fn load_int(self, from: &[i32; WIDTH]) -> Self::I;
    /// Writes eight integers.
    fn store_int(self, x: Self::I, to: &mut [i32; WIDTH]);
    /// a + b, wrapping.
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// a − b, wrapping.
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// Each lane times 256.
    fn shift_byte(self, a: Self::I) -> Self::I;
    /// Each lane without its lowest bits, as many as the lane of `by` says (0 to 31).
    fn shift_down(self, a: Self::I, by: Self::I) -> Self::I;
    /// The bits of both.
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// a where the mask is set, else b.
    fn select_int(self, mask: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// Reads eight 16-bit indexes.
    fn load_index(self, from: &[u16; WIDTH]) -> Self::I;
    /// The integers as numbers, for magnitudes below 2²⁴.
    fn to_float(self, a: Self::I) -> Self::F;
    /// Bit l: whether lane l of the mask is set.
    fn bits(self, mask: Self::I) -> u32;
    /// Writes integers of at most 16 bits.
    fn store_index(self, x: Self::I, to: &mut [u16; WIDTH]);
    /// Whether every lane of the mask is set.
    fn all(self, mask: Self::I) -> bool;

    /// The greatest of the eight, in every lane; for numbers only.
    #[inline(always)]
    fn maximum(self, a: Self::F) -> Self::F {
        let a = self.max(a, self.swap4(a));
        let a = self.max(a, self.swap2(a));
        self.max(a, self.swap1(a))
    }
    /// The first lane in which a equals b; 8 if there is none.
    fn first_equal(self, a: Self::F, b: Self::F) -> usize;
    /// The least of the integers of 0 to 65535 in the lanes in which a equals b; 65535 if there are none.
    fn least_where_equal(self, a: Self::F, b: Self::F, x: Self::I) -> u32;

    /// The same integer in all sixteen lanes.
    fn splat_pair(self, x: i16) -> Self::P;
    /// Reads sixteen integers.
    fn load_pairs(self, from: &[i16; PAIRS]) -> Self::P;
    /// a + b, wrapping.
    fn add_pairs(self, a: Self::P, b: Self::P) -> Self::P;
    /// The greater.
    fn max_pairs(self, a: Self::P, b: Self::P) -> Self::P;
    /// a₀q₀ + a₁q₁ for the two bytes of each lane: a from 0 to 127, q from −128 to 127.
    fn multiply_bytes(self, a: &[u8; 2 * PAIRS], q: Self::P) -> Self::P;
    /// The greatest of the sixteen.
    fn maximum_pair(self, a: Self::P) -> i16;
    /// Four bits, from the lowest: whether any of lanes 0 to 7 of a, 0 to 7 of b, 8 to 15 of a, 8 to 15 of b is above the limit.
    fn any_above(self, a: Self::P, b: Self::P, limit: Self::P) -> u32;

    /// Reads 32 bytes, two in each lane.
    fn load_bytes(self, from: &[u8; 2 * PAIRS]) -> Self::P;
    /// Writes sixteen integers.
    fn store_pairs(self, x: Self::P, to: &mut [u16; PAIRS]);
    /// a + b byte by byte, wrapping.
    fn add_bytes(self, a: Self::P, b: Self::P) -> Self::P;
    /// The low four bits of each byte.
    fn low_nibbles(self, a: Self::P) -> Self::P;
    /// The high four bits of each byte.
    fn high_nibbles(self, a: Self::P) -> Self::P;
    /// `table[index]` byte by byte, for indexes below 16: the first sixteen bytes are looked up in the first sixteen of the table, the others in
    /// the others.
    fn look_up_bytes(self, table: Self::P, index: Self::P) -> Self::P;
    /// The high byte of each lane.
    fn high_bytes(self, a: Self::P) -> Self::P;
}
