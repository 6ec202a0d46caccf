//! Vectors of 256 bits: the operations that vector bodies are written in.
//!
//! A vector body is written once, generic over a token `S: Simd`, and is compiled for each
//! instruction set. On AVX2 a vector is one 256-bit register; on NEON it is a pair of 128-bit
//! registers.
//!
//! **Bits.** Every operation is exact, or rounds once per lane as IEEE 754 says. A body therefore
//! gives the same bits on both instruction sets. Where instruction sets differ (a NaN in a maximum,
//! a conversion that overflows), the operation's documentation excludes that input.
//!
//! **Safety.** The token is a proof ([`Avx2`](crate::isa::Avx2), [`Neon`](crate::isa::Neon)) that
//! the CPU has the instructions, which is why the methods are safe to call. Bodies must be
//! `#[inline(always)]`: they are inlined into a function that has the target feature enabled
//! (`vector_kernel!`), and elsewhere each operation would be a call.
//!
//! **Names.** An operation without suffix works on float32 lanes; the others end in the type of
//! their lanes. In the diagrams below, lane 0 is on the left and `|` marks the border between the
//! two halves of 128 bits.
//!
//! ```text
//! fn body<S: Simd>(s: S, x: &[f32; 8], y: &mut [f32; 8]) {
//!     let a = s.load(x);                      // one load on AVX2, two on NEON
//!     s.store(s.fma(a, a, s.splat(1.0)), y);  // y[l] ← x[l]² + 1, rounded once
//! }
//! ```
//!
//! **Cost.** One instruction on AVX2 and two on NEON, if nothing else is said. Reductions of a
//! vector to one number take four to six instructions on AVX2, and `gather` one that reads the
//! first-level cache eight times.
//!
//! **AVX-512.** A kernel that gains from vectors of 512 bits has a body of its own for them in its
//! `avx512.rs`, in terms of the methods of [`Avx512`](crate::isa::Avx512); the others run their
//! AVX2 body there.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pairs;

pub use pairs::PairSums;

/// 32-bit lanes of a vector.
pub const LANES_32: usize = 8;

/// 16-bit lanes of a vector.
pub const LANES_16: usize = 16;

/// Bytes of a vector.
pub const BYTES: usize = 32;

/// The operations; `self` is a token that proves the instruction set.
pub trait Simd: Copy {
    /// Eight float32 lanes.
    type F32x8: Copy;
    /// Eight 32-bit integer lanes, or a mask: a lane with all bits set (true) or clear (false).
    type I32x8: Copy;
    /// Sixteen 16-bit integer lanes, or the 32 bytes of these.
    type I16x16: Copy;

    /// Fetches the cache line of `from`, which is read soon; does nothing where stable Rust has no
    /// instruction for it.
    fn prefetch<T>(self, from: &T);

    /// The same value in all lanes.
    fn splat(self, x: f32) -> Self::F32x8;
    /// Reads eight values.
    fn load(self, from: &[f32; LANES_32]) -> Self::F32x8;
    /// Reads each half from a place of its own; two instructions on AVX2 too.
    fn load_halves(self, from: [&[f32; 4]; 2]) -> Self::F32x8;
    /// Reads each quarter from a place of its own; five instructions on AVX2, four on NEON.
    fn load_quarters(self, from: [&[f32; 2]; 4]) -> Self::F32x8;
    /// Reads eight rows of four values, transposed: vector j has value j of row l in lane l.
    ///
    /// ```text
    /// row 0:  a0 a1 a2 a3        result 0:  a0 b0 c0 d0 | e0 f0 g0 h0
    /// row 1:  b0 b1 b2 b3        result 1:  a1 b1 c1 d1 | e1 f1 g1 h1
    ///   …                          …
    /// row 7:  h0 h1 h2 h3        result 3:  a3 b3 c3 d3 | e3 f3 g3 h3
    /// ```
    ///
    /// Eight loads of 128 bits, of which four insert a half, and eight shuffles on AVX2.
    fn load_transposed_8x4(self, rows: [&[f32; 4]; LANES_32]) -> [Self::F32x8; 4];
    /// Reads eight rows of two values, transposed.
    ///
    /// ```text
    /// row 0:  a0 a1              result 0:  a0 b0 c0 d0 | e0 f0 g0 h0
    /// row 1:  b0 b1              result 1:  a1 b1 c1 d1 | e1 f1 g1 h1
    ///   …
    /// ```
    ///
    /// Eight loads of 64 bits, of which four insert a pair, and four shuffles on AVX2.
    fn load_transposed_8x2(self, rows: [&[f32; 2]; LANES_32]) -> [Self::F32x8; 2];
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
    /// The larger of a and b; b where a is NaN.
    ///
    /// b must not be NaN, and a and b must not be zeros of different signs: instruction sets
    /// differ there.
    fn max(self, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// The smaller of a and b; b where a is NaN, under the conditions of [`max`](Self::max).
    fn min(self, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;
    /// |a|.
    fn abs(self, a: Self::F32x8) -> Self::F32x8;
    /// The largest integer that is at most a.
    fn floor(self, a: Self::F32x8) -> Self::F32x8;
    /// The nearest integer, ties to the even one.
    fn round_ties_even(self, a: Self::F32x8) -> Self::F32x8;
    /// The mask of a > b; false for NaN.
    fn gt(self, a: Self::F32x8, b: Self::F32x8) -> Self::I32x8;
    /// a where the mask is true, else b.
    fn select(self, mask: Self::I32x8, a: Self::F32x8, b: Self::F32x8) -> Self::F32x8;

    /// Lane l takes lane l xor 1: neighbors swap.
    ///
    /// ```text
    /// a:       a0 a1 a2 a3 | a4 a5 a6 a7
    /// result:  a1 a0 a3 a2 | a5 a4 a7 a6
    /// ```
    fn shuffle_xor1(self, a: Self::F32x8) -> Self::F32x8;
    /// Lane l takes lane l xor 2: pairs swap within each half.
    ///
    /// ```text
    /// a:       a0 a1 a2 a3 | a4 a5 a6 a7
    /// result:  a2 a3 a0 a1 | a6 a7 a4 a5
    /// ```
    fn shuffle_xor2(self, a: Self::F32x8) -> Self::F32x8;
    /// Lane l takes lane l xor 4: the halves swap. Free on NEON.
    ///
    /// ```text
    /// a:       a0 a1 a2 a3 | a4 a5 a6 a7
    /// result:  a4 a5 a6 a7 | a0 a1 a2 a3
    /// ```
    fn shuffle_xor4(self, a: Self::F32x8) -> Self::F32x8;
    /// Transposes the 2 × 2 matrix of halves: the low halves of a and b, then the high ones.
    /// Two instructions on AVX2, free on NEON.
    ///
    /// ```text
    /// a:         a0 a1 a2 a3 | a4 a5 a6 a7
    /// b:         b0 b1 b2 b3 | b4 b5 b6 b7
    /// result 0:  a0 a1 a2 a3 | b0 b1 b2 b3
    /// result 1:  a4 a5 a6 a7 | b4 b5 b6 b7
    /// ```
    fn transpose_halves(self, a: Self::F32x8, b: Self::F32x8) -> [Self::F32x8; 2];
    /// Transposes the 2 × 2 matrix of pairs in each half. Two instructions on AVX2, four on NEON.
    ///
    /// ```text
    /// a:         a0 a1 a2 a3 | a4 a5 a6 a7
    /// b:         b0 b1 b2 b3 | b4 b5 b6 b7
    /// result 0:  a0 a1 b0 b1 | a4 a5 b4 b5
    /// result 1:  a2 a3 b2 b3 | a6 a7 b6 b7
    /// ```
    fn transpose_pairs(self, a: Self::F32x8, b: Self::F32x8) -> [Self::F32x8; 2];

    /// Looks up in a table of 8 (a permutation): lane l takes `table[index[l] mod 8]`.
    ///
    /// ```text
    /// table:   t0 t1 t2 t3 | t4 t5 t6 t7
    /// index:    7  0  0  2 |  9  1  3  6
    /// result:  t7 t0 t0 t2 | t1 t1 t3 t6
    /// ```
    ///
    /// One instruction on AVX2; on NEON two byte look-ups and four to compute the byte numbers.
    fn lookup8(self, table: Self::F32x8, index: Self::I32x8) -> Self::F32x8;
    /// Looks up in a table of 16: lane l takes entry `index[l] mod 16`, of `low` for 0 to 7 and of
    /// `high` for 8 to 15. Two [`lookup8`](Self::lookup8), a shift and a selection.
    fn lookup16(self, low: Self::F32x8, high: Self::F32x8, index: Self::I32x8) -> Self::F32x8;
    /// Looks up in memory: lane l takes `table[index[l] mod N]` of a table of N entries.
    ///
    /// # Panics
    /// If N is not a power of two, or is above 2³¹.
    fn gather(self, table: &[f32], index: Self::I32x8) -> Self::F32x8;

    /// The largest of the eight lanes, in every lane; no lane may be NaN. Six instructions.
    #[inline(always)]
    fn reduce_max(self, a: Self::F32x8) -> Self::F32x8 {
        let a = self.max(a, self.shuffle_xor4(a));
        let a = self.max(a, self.shuffle_xor2(a));
        self.max(a, self.shuffle_xor1(a))
    }
    /// The first lane in which a equals b; 8 if there is none.
    fn first_equal(self, a: Self::F32x8, b: Self::F32x8) -> usize;
    /// The smallest x, from 0 to 65535, of the lanes in which a equals b; 65535 if there is none.
    fn min_where_equal(self, a: Self::F32x8, b: Self::F32x8, x: Self::I32x8) -> u32;

    /// Truncates to integers; magnitudes must be below 2³¹, beyond which instruction sets differ.
    fn to_i32(self, a: Self::F32x8) -> Self::I32x8;
    /// Converts integers to the nearest values, ties to even; exact up to a magnitude of 2²⁴.
    fn to_f32(self, a: Self::I32x8) -> Self::F32x8;
    /// 2^n for whole n from −126 to 127. Three instructions on AVX2, six on NEON.
    fn pow2(self, n: Self::F32x8) -> Self::F32x8;
    /// Reads eight 8-bit integers as float32. Two instructions on AVX2, six on NEON.
    fn load_i8_as_f32(self, from: &[i8; LANES_32]) -> Self::F32x8;
    /// Eight signed bytes as float32, four to a number with the first in its low bits. Four
    /// instructions from memory on AVX2.
    fn i8_to_f32(self, bytes: [u32; 2]) -> Self::F32x8;
    /// Reads eight 16-bit integers as float32. Two instructions on AVX2, five on NEON.
    fn load_i16_as_f32(self, from: &[i16; LANES_32]) -> Self::F32x8;
    /// The same integer in all lanes.
    fn splat_i32(self, x: i32) -> Self::I32x8;
    /// Reads eight integers.
    fn load_i32(self, from: &[i32; LANES_32]) -> Self::I32x8;
    /// Writes eight integers.
    fn store_i32(self, x: Self::I32x8, to: &mut [i32; LANES_32]);
    /// Reads eight 16-bit integers and extends them with zeros.
    fn load_u16_as_i32(self, from: &[u16; LANES_32]) -> Self::I32x8;
    /// Writes integers from 0 to 65535 as 16 bits.
    fn store_i32_as_u16(self, x: Self::I32x8, to: &mut [u16; LANES_32]);
    /// a + b, wrapping.
    fn add_i32(self, a: Self::I32x8, b: Self::I32x8) -> Self::I32x8;
    /// a − b, wrapping.
    fn sub_i32(self, a: Self::I32x8, b: Self::I32x8) -> Self::I32x8;
    /// The sums of all lanes of four vectors, wrapping. Five instructions and a store on AVX2,
    /// seven and a store on NEON.
    ///
    /// ```text
    /// a:       a0 a1 a2 a3 | a4 a5 a6 a7     (also b, c, d)
    /// result:  a0 + … + a7, b0 + … + b7, c0 + … + c7, d0 + … + d7
    /// ```
    fn sums_of_four_i32(self, of: [Self::I32x8; 4]) -> [i32; 4];
    /// The bits that are set in a and in b.
    fn and_i32(self, a: Self::I32x8, b: Self::I32x8) -> Self::I32x8;
    /// Shifts each lane left by 8 bits.
    fn shift_left_8(self, a: Self::I32x8) -> Self::I32x8;
    /// Shifts lane l right by `by[l]` bits, from 0 to 31, and fills with zeros.
    fn shift_right(self, a: Self::I32x8, by: Self::I32x8) -> Self::I32x8;
    /// Bit l of the result says whether lane l of the mask is true. Six instructions on NEON.
    fn movemask(self, mask: Self::I32x8) -> u32;
    /// Whether every lane of the mask is true.
    fn mask_all(self, mask: Self::I32x8) -> bool;

    /// The same integer in all sixteen lanes.
    fn splat_i16(self, x: i16) -> Self::I16x16;
    /// Reads sixteen integers.
    fn load_i16(self, from: &[i16; LANES_16]) -> Self::I16x16;
    /// Reads integers, whose bits are taken as signed, each half from a place of its own; two
    /// instructions on AVX2 too.
    fn load_halves_u16(self, from: [&[u16; LANES_16 / 2]; 2]) -> Self::I16x16;
    /// Reads sixteen 8-bit integers and extends their signs. Two more instructions on NEON.
    fn load_i8_as_i16(self, from: &[i8; LANES_16]) -> Self::I16x16;
    /// Sixteen signed bytes as 16-bit integers, four to a number with the first in its low bits.
    /// Five instructions from memory on AVX2.
    fn widen_i8(self, bytes: [u32; 4]) -> Self::I16x16;
    /// The sums of neighbouring products, in 32 bits: lane l is a\[2l\]·b\[2l\] +
    /// a\[2l + 1\]·b\[2l + 1\]. The four factors of a lane must not all be −2¹⁵. Six
    /// instructions on NEON.
    fn madd_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I32x8;
    /// The mask of a > b.
    fn gt_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// Which lanes of two masks are true, eight lanes at a time. Two instructions on AVX2, ten on
    /// NEON.
    ///
    /// ```text
    /// a:  lanes 0–7 → bits 0–7  | lanes 8–15 → bits 16–23
    /// b:  lanes 0–7 → bits 8–15 | lanes 8–15 → bits 24–31
    /// ```
    fn movemask_i16(self, a: Self::I16x16, b: Self::I16x16) -> u32;
    /// Writes sixteen integers, whose bits are taken as unsigned.
    fn store_u16(self, x: Self::I16x16, to: &mut [u16; LANES_16]);
    /// a + b, wrapping.
    fn add_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// a − b, wrapping.
    fn sub_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The larger of a and b.
    fn max_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The largest of the sixteen lanes.
    fn reduce_max_i16(self, a: Self::I16x16) -> i16;
    /// The dot product of the two bytes of each lane: a from 0 to 127, q signed.
    ///
    /// ```text
    /// bytes of a:  a0 a1       | a2 a3       | …
    /// bytes of q:  q0 q1       | q2 q3       | …
    /// result:      a0q0 + a1q1 | a2q2 + a3q3 | …
    /// ```
    ///
    /// With a up to 127 no sum leaves 16 bits (at most 2 · 127 · 128 = 32,512), so that AVX2's
    /// saturation never acts. One instruction on AVX2 (besides the load), six on NEON.
    fn madd_u8_i8(self, a: &[u8; BYTES], q: Self::I16x16) -> Self::I16x16;
    /// Four bits that say in which groups of eight lanes some lane is above `limit`, which has the
    /// same value in all lanes.
    ///
    /// ```text
    /// a:  lanes 0–7 → bit 0 | lanes 8–15 → bit 2
    /// b:  lanes 0–7 → bit 1 | lanes 8–15 → bit 3
    /// ```
    fn any_gt_i16(self, a: Self::I16x16, b: Self::I16x16, limit: Self::I16x16) -> u32;

    /// Reads 32 bytes, two per 16-bit lane.
    fn load_u8(self, from: &[u8; BYTES]) -> Self::I16x16;
    /// Reads 16 bytes into both halves.
    fn load_u8_twice(self, from: &[u8; BYTES / 2]) -> Self::I16x16;
    /// a + b byte by byte, wrapping.
    fn add_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// a + b byte by byte, at most 255.
    fn add_saturating_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// a − b byte by byte, wrapping.
    fn sub_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The smaller of a and b byte by byte.
    fn min_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The least byte of each half, in all bytes of this half. Nine instructions on AVX2, four on
    /// NEON.
    fn reduce_min_halves_u8(self, a: Self::I16x16) -> Self::I16x16;
    /// The bits that are set in a or in b.
    fn or_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// A mask of bytes: all bits of a byte are set where a equals b, else clear.
    fn eq_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// Bit i of the result says whether byte i of the mask is set. Six instructions on NEON.
    fn movemask_u8(self, mask: Self::I16x16) -> u32;
    /// The low four bits of each byte.
    fn low_nibbles(self, a: Self::I16x16) -> Self::I16x16;
    /// The high four bits of each byte, as a number from 0 to 15.
    fn high_nibbles(self, a: Self::I16x16) -> Self::I16x16;
    /// Looks up each byte in a table of 16 bytes; each half has its own table, and indexes are
    /// from 0 to 15 (PSHUFB on x86, TBL on Arm).
    ///
    /// ```text
    /// table:   t0 t1 … t15         | u0 u1 … u15
    /// index:   i0 i1 … i15         | j0 j1 … j15
    /// result:  t[i0] t[i1] … t[i15] | u[j0] u[j1] … u[j15]
    /// ```
    fn shuffle_bytes(self, table: Self::I16x16, index: Self::I16x16) -> Self::I16x16;
    /// The high byte of each 16-bit lane, as a number from 0 to 255.
    fn high_bytes(self, a: Self::I16x16) -> Self::I16x16;
    /// The low byte of each 16-bit lane becomes its high byte, and the low byte becomes 0.
    fn low_to_high_bytes(self, a: Self::I16x16) -> Self::I16x16;

    /// Reads each half from a place of its own; two instructions on AVX2 too.
    fn load_halves_u8(self, from: [&[u8; BYTES / 2]; 2]) -> Self::I16x16;
    /// Eight times four bytes, the first of each in the low bits of its number. Nine instructions
    /// from memory on AVX2.
    fn words_u8(self, words: [u32; LANES_32]) -> Self::I16x16;
    /// Writes 32 bytes.
    fn store_u8(self, x: Self::I16x16, to: &mut [u8; BYTES]);
    /// The same, with bytes that are taken as signed.
    fn store_i8(self, x: Self::I16x16, to: &mut [i8; BYTES]);
    /// Writes each half to a place of its own. Two instructions on AVX2 too.
    fn store_halves_u8(self, x: Self::I16x16, to: [&mut [u8; BYTES / 2]; 2]);
    /// The low half of a and the high half of b. Free on NEON.
    fn join_halves(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// a·b, wrapping.
    fn mul_i16(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The bytes of a and b, alternating: those of the low eight bytes of each half, then those of
    /// the high ones. Two instructions on AVX2, four on NEON.
    ///
    /// ```text
    /// a:         a0 a1 … a15          | a16 a17 … a31
    /// b:         b0 b1 … b15          | b16 b17 … b31
    /// result 0:  a0 b0 a1 b1 … a7 b7  | a16 b16 … a23 b23
    /// result 1:  a8 b8 … a15 b15      | a24 b24 … a31 b31
    /// ```
    fn interleave_u8(self, a: Self::I16x16, b: Self::I16x16) -> [Self::I16x16; 2];
    /// The same with 16-bit lanes.
    fn interleave_u16(self, a: Self::I16x16, b: Self::I16x16) -> [Self::I16x16; 2];
    /// The 32-bit lanes of the two halves, alternating. One instruction, two on NEON.
    ///
    /// ```text
    /// a:       a0 a1 a2 a3 | a4 a5 a6 a7
    /// result:  a0 a4 a1 a5 | a2 a6 a3 a7
    /// ```
    fn alternate_u32(self, a: Self::I16x16) -> Self::I16x16;
    /// Transposes the 2 × 2 matrices of the 32-bit lanes 2l and 2l + 1 of both halves.
    ///
    /// ```text
    /// a:       a0 a1 a2 a3 | a4 a5 a6 a7
    /// result:  a0 a4 a2 a6 | a1 a5 a3 a7
    /// ```
    fn transpose_u32(self, a: Self::I16x16) -> Self::I16x16;
    /// The bits that are set in one of a and b, not in both.
    fn xor_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// a where the highest bit of the byte of the mask is set, else b. Four instructions on NEON.
    fn select_by_sign_u8(
        self,
        mask: Self::I16x16,
        a: Self::I16x16,
        b: Self::I16x16,
    ) -> Self::I16x16;
    /// The bits that are set in a and in b.
    fn and_u8(self, a: Self::I16x16, b: Self::I16x16) -> Self::I16x16;
    /// The same number in all four lanes of 64 bits.
    fn splat_u64(self, x: u64) -> Self::I16x16;
    /// Shifts lanes of 64 bits left by the lanes of `by`, from 0 to 63, and fills with zeros.
    fn shift_left_u64(self, a: Self::I16x16, by: Self::I16x16) -> Self::I16x16;
    /// The same to the right. Four instructions on NEON.
    fn shift_right_u64(self, a: Self::I16x16, by: Self::I16x16) -> Self::I16x16;
    /// a where the highest bit of the 64-bit lane of the mask is set, else b. Four instructions on
    /// NEON.
    fn select_by_sign_u64(
        self,
        mask: Self::I16x16,
        a: Self::I16x16,
        b: Self::I16x16,
    ) -> Self::I16x16;
    /// The highest bits of the bytes, the first in bit 0. Eight instructions on NEON.
    fn signs_u8(self, a: Self::I16x16) -> u32;
    /// The sum of the squares of the two bytes of each lane, which are from 0 to 127. One
    /// instruction on AVX2, six on NEON.
    fn square_pairs_u8(self, a: Self::I16x16) -> Self::I16x16;
    /// Adds the products of the bytes to the lanes of a sum: a from 0 to 127, q signed.
    ///
    /// The sum of the lanes of a half grows by the products of this half, wrapping. Which lane a
    /// product goes to differs. Three instructions on AVX2, eight on NEON.
    fn add_products_u8_i8(self, sum: Self::I32x8, a: Self::I16x16, q: &[i8; BYTES]) -> Self::I32x8;
    /// Adds the dot product of the four bytes of each lane with the four of q: a from 0 to 127.
    /// Four instructions on AVX2, eleven on NEON.
    fn add_dots_u8_i8(self, sum: Self::I32x8, a: Self::I16x16, q: [i8; 4]) -> Self::I32x8;
    /// Adds the bytes to the lanes of a sum, distributed as in
    /// [`add_products_u8_i8`](Self::add_products_u8_i8). Two instructions on AVX2, four on NEON.
    fn add_bytes(self, sum: Self::I32x8, a: Self::I16x16) -> Self::I32x8;
}
