//! The operations on NEON, where a vector is a pair of registers of 128 bits.
//!
//! Most operations are one instruction on each register (`both!`). NEON loads and stores need no
//! more alignment than the type of a lane.

#[macro_use]
mod both;
mod pairs;

use std::arch::aarch64::*;

use both::{F32x8, I16x16, I32x8, on_bytes};

use super::{BYTES, LANES_16, LANES_32, Simd};
use crate::isa::Neon;

impl Simd for Neon {
    type F32x8 = F32x8;
    type I32x8 = I32x8;
    type I16x16 = I16x16;

    /// Does nothing: stable Rust has no prefetch for AArch64.
    #[inline(always)]
    fn prefetch<T>(self, _from: &T) {}

    intrinsics! {
        fn splat(self, x: f32) -> F32x8 { (vdupq_n_f32(x), vdupq_n_f32(x)) }
        fn load(self, from: &[f32; LANES_32]) -> F32x8 {
            (vld1q_f32(from.as_ptr()), vld1q_f32(from[4..].as_ptr()))
        }
        fn load_halves(self, from: [&[f32; 4]; 2]) -> F32x8 {
            (vld1q_f32(from[0].as_ptr()), vld1q_f32(from[1].as_ptr()))
        }
        fn load_quarters(self, from: [&[f32; 2]; 4]) -> F32x8 {
            let two_pairs = |i: usize| {
                vcombine_f32(vld1_f32(from[i].as_ptr()), vld1_f32(from[i + 1].as_ptr()))
            };
            (two_pairs(0), two_pairs(2))
        }
        fn store(self, x: F32x8, to: &mut [f32; LANES_32]) {
            vst1q_f32(to.as_mut_ptr(), x.0);
            vst1q_f32(to[4..].as_mut_ptr(), x.1);
        }
        fn add(self, a: F32x8, b: F32x8) -> F32x8 { both!(vaddq_f32(a, b)) }
        fn sub(self, a: F32x8, b: F32x8) -> F32x8 { both!(vsubq_f32(a, b)) }
        fn mul(self, a: F32x8, b: F32x8) -> F32x8 { both!(vmulq_f32(a, b)) }
        fn fma(self, a: F32x8, b: F32x8, c: F32x8) -> F32x8 { both!(vfmaq_f32(c, a, b)) }
        fn max(self, a: F32x8, b: F32x8) -> F32x8 { both!(vmaxnmq_f32(a, b)) }
        fn min(self, a: F32x8, b: F32x8) -> F32x8 { both!(vminnmq_f32(a, b)) }
        fn abs(self, a: F32x8) -> F32x8 { both!(vabsq_f32(a)) }
        fn floor(self, a: F32x8) -> F32x8 { both!(vrndmq_f32(a)) }
        fn round_ties_even(self, a: F32x8) -> F32x8 { both!(vrndnq_f32(a)) }
        fn gt(self, a: F32x8, b: F32x8) -> I32x8 {
            let mask = both!(vcgtq_f32(a, b));
            both!(vreinterpretq_s32_u32(mask))
        }
        fn select(self, mask: I32x8, a: F32x8, b: F32x8) -> F32x8 {
            let mask = both!(vreinterpretq_u32_s32(mask));
            both!(vbslq_f32(mask, a, b))
        }
        fn shuffle_xor1(self, a: F32x8) -> F32x8 { both!(vrev64q_f32(a)) }
        fn shuffle_xor2(self, a: F32x8) -> F32x8 {
            (vextq_f32::<2>(a.0, a.0), vextq_f32::<2>(a.1, a.1))
        }
        fn shuffle_xor4(self, a: F32x8) -> F32x8 { (a.1, a.0) }
        fn transpose_halves(self, a: F32x8, b: F32x8) -> [F32x8; 2] { [(a.0, b.0), (a.1, b.1)] }
        fn transpose_pairs(self, a: F32x8, b: F32x8) -> [F32x8; 2] {
            let pairs = |x| vreinterpretq_f64_f32(x);
            let low = |a, b| vreinterpretq_f32_f64(vtrn1q_f64(pairs(a), pairs(b)));
            let high = |a, b| vreinterpretq_f32_f64(vtrn2q_f64(pairs(a), pairs(b)));
            [(low(a.0, b.0), low(a.1, b.1)), (high(a.0, b.0), high(a.1, b.1))]
        }
        fn lookup8(self, table: F32x8, index: I32x8) -> F32x8 {
            // TBL looks up bytes: entry k is bytes 4k to 4k + 3 of the 32 bytes of the table.
            //
            //   index k as bytes:  4k, 4k + 1, 4k + 2, 4k + 3 = 0x04040404·k + 0x03020100
            let bytes = uint8x16x2_t(vreinterpretq_u8_f32(table.0), vreinterpretq_u8_f32(table.1));
            let half = |k: int32x4_t| {
                let k = vandq_s32(k, vdupq_n_s32(7));
                let byte_index = vmlaq_n_s32(vdupq_n_s32(0x0302_0100), k, 0x0404_0404);
                vreinterpretq_f32_u8(vqtbl2q_u8(bytes, vreinterpretq_u8_s32(byte_index)))
            };
            (half(index.0), half(index.1))
        }
        fn lookup16(self, low: F32x8, high: F32x8, index: I32x8) -> F32x8 {
            // Bit 3 of the index, spread to a mask of the whole lane.
            let upper = both!(vshlq_n_s32::<28>(index));
            let upper = both!(vshrq_n_s32::<31>(upper));
            let (low, high) = (self.lookup8(low, index), self.lookup8(high, index));
            self.select(upper, high, low)
        }
        fn gather(self, table: &[f32], index: I32x8) -> F32x8 {
            assert!(
                table.len().is_power_of_two() && table.len() <= 1 << 31,
                "the length of the table is not a power of two up to 2^31"
            );
            let (mut indexes, mut values) = ([0i32; LANES_32], [0f32; LANES_32]);
            self.store_i32(index, &mut indexes);
            for (value, &k) in values.iter_mut().zip(&indexes) {
                *value = table[k as usize & (table.len() - 1)];
            }
            self.load(&values)
        }
        fn load_transposed_8x4(self, rows: [&[f32; 4]; LANES_32]) -> [F32x8; 4] {
            // Each half is a 4 × 4 matrix; two rounds of ZIP transpose it.
            //
            //   a:  a0 a1 a2 a3    zip1(a, c):    a0 c0 a1 c1
            //   b:  b0 b1 b2 b3    zip1(b, d):    b0 d0 b1 d1
            //   c, d:  alike       zip1(ac, bd):  a0 b0 c0 d0
            //                      zip2(ac, bd):  a1 b1 c1 d1
            let half = |from: usize| {
                let row = |i: usize| vld1q_f32(rows[from + i].as_ptr());
                let (a, b, c, d) = (row(0), row(1), row(2), row(3));
                let (ac_low, ac_high) = (vzip1q_f32(a, c), vzip2q_f32(a, c));
                let (bd_low, bd_high) = (vzip1q_f32(b, d), vzip2q_f32(b, d));
                [
                    vzip1q_f32(ac_low, bd_low),
                    vzip2q_f32(ac_low, bd_low),
                    vzip1q_f32(ac_high, bd_high),
                    vzip2q_f32(ac_high, bd_high),
                ]
            };
            let (low, high) = (half(0), half(4));
            [(low[0], high[0]), (low[1], high[1]), (low[2], high[2]), (low[3], high[3])]
        }
        fn load_transposed_8x2(self, rows: [&[f32; 2]; LANES_32]) -> [F32x8; 2] {
            let two_rows = |i: usize| {
                vcombine_f32(vld1_f32(rows[i].as_ptr()), vld1_f32(rows[i + 1].as_ptr()))
            };
            // UZP1 takes the even lanes of two registers, UZP2 the odd ones: a column of four rows.
            let (a, b, c, d) = (two_rows(0), two_rows(2), two_rows(4), two_rows(6));
            [
                (vuzp1q_f32(a, b), vuzp1q_f32(c, d)),
                (vuzp2q_f32(a, b), vuzp2q_f32(c, d)),
            ]
        }
        fn to_i32(self, a: F32x8) -> I32x8 { both!(vcvtq_s32_f32(a)) }

        fn pow2(self, n: F32x8) -> F32x8 {
            // The exponent has 8 bits above the 23 of the fraction, and a bias of 127.
            let half = |n| {
                let biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
            };
            (half(n.0), half(n.1))
        }
        fn load_i8_as_f32(self, from: &[i8; LANES_32]) -> F32x8 {
            let shorts = vmovl_s8(vld1_s8(from.as_ptr()));
            let wide = (vmovl_s16(vget_low_s16(shorts)), vmovl_high_s16(shorts));
            both!(vcvtq_f32_s32(wide))
        }
        fn i8_to_f32(self, bytes: [u32; 2]) -> F32x8 {
            let shorts = vmovl_s8(vreinterpret_s8_u32(vld1_u32(bytes.as_ptr())));
            let wide = (vmovl_s16(vget_low_s16(shorts)), vmovl_high_s16(shorts));
            both!(vcvtq_f32_s32(wide))
        }
        fn load_i16_as_f32(self, from: &[i16; LANES_32]) -> F32x8 {
            let shorts = vld1q_s16(from.as_ptr());
            let wide = (vmovl_s16(vget_low_s16(shorts)), vmovl_high_s16(shorts));
            both!(vcvtq_f32_s32(wide))
        }
        fn splat_i32(self, x: i32) -> I32x8 { (vdupq_n_s32(x), vdupq_n_s32(x)) }
        fn load_i32(self, from: &[i32; LANES_32]) -> I32x8 {
            (vld1q_s32(from.as_ptr()), vld1q_s32(from[4..].as_ptr()))
        }
        fn shift_right(self, a: I32x8, by: I32x8) -> I32x8 {
            // USHL shifts right by a negative count.
            let half = |a, by| {
                vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vnegq_s32(by)))
            };
            (half(a.0, by.0), half(a.1, by.1))
        }
        fn store_i32(self, x: I32x8, to: &mut [i32; LANES_32]) {
            vst1q_s32(to.as_mut_ptr(), x.0);
            vst1q_s32(to[4..].as_mut_ptr(), x.1);
        }
        fn add_i32(self, a: I32x8, b: I32x8) -> I32x8 { both!(vaddq_s32(a, b)) }
        fn sub_i32(self, a: I32x8, b: I32x8) -> I32x8 { both!(vsubq_s32(a, b)) }
        fn sums_of_four_i32(self, of: [I32x8; 4]) -> [i32; 4] {
            let [a, b, c, d] = of.map(|x| vaddq_s32(x.0, x.1));
            let mut sums = [0i32; 4];
            let all = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
            vst1q_s32(sums.as_mut_ptr(), all);
            sums
        }
        fn shift_left_8(self, a: I32x8) -> I32x8 { both!(vshlq_n_s32::<8>(a)) }
        fn and_i32(self, a: I32x8, b: I32x8) -> I32x8 { both!(vandq_s32(a, b)) }
        fn load_u16_as_i32(self, from: &[u16; LANES_32]) -> I32x8 {
            let narrow = vld1q_u16(from.as_ptr());
            let extended = (vmovl_u16(vget_low_u16(narrow)), vmovl_high_u16(narrow));
            both!(vreinterpretq_s32_u32(extended))
        }
        fn store_i32_as_u16(self, x: I32x8, to: &mut [u16; LANES_32]) {
            let x = both!(vreinterpretq_u32_s32(x));
            vst1q_u16(to.as_mut_ptr(), vcombine_u16(vmovn_u32(x.0), vmovn_u32(x.1)));
        }
        fn mask_all(self, mask: I32x8) -> bool {
            // A true lane is −1 and a false one 0: the largest is −1 only if all are true.
            vmaxvq_s32(vmaxq_s32(mask.0, mask.1)) < 0
        }
        fn first_equal(self, a: F32x8, b: F32x8) -> usize {
            let equal = both!(vceqq_f32(a, b));
            let lanes: [u32; LANES_32] = [0, 1, 2, 3, 4, 5, 6, 7];
            let none = vdupq_n_u32(LANES_32 as u32);
            let low = vbslq_u32(equal.0, vld1q_u32(lanes.as_ptr()), none);
            let high = vbslq_u32(equal.1, vld1q_u32(lanes[4..].as_ptr()), none);
            vminvq_u32(vminq_u32(low, high)) as usize
        }
        fn min_where_equal(self, a: F32x8, b: F32x8, x: I32x8) -> u32 {
            let equal = both!(vceqq_f32(a, b));
            let none = vdupq_n_s32(0xffff);
            let min = vminq_s32(vbslq_s32(equal.0, x.0, none), vbslq_s32(equal.1, x.1, none));
            vminvq_s32(min) as u32
        }

        fn splat_i16(self, x: i16) -> I16x16 { (vdupq_n_s16(x), vdupq_n_s16(x)) }
        fn load_i16(self, from: &[i16; LANES_16]) -> I16x16 {
            (vld1q_s16(from.as_ptr()), vld1q_s16(from[8..].as_ptr()))
        }
        fn load_halves_u16(self, from: [&[u16; LANES_16 / 2]; 2]) -> I16x16 {
            let half = |from: &[u16; LANES_16 / 2]| vreinterpretq_s16_u16(vld1q_u16(from.as_ptr()));
            (half(from[0]), half(from[1]))
        }
        fn load_i8_as_i16(self, from: &[i8; LANES_16]) -> I16x16 {
            let bytes = vld1q_s8(from.as_ptr());
            (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes))
        }
        fn widen_i8(self, bytes: [u32; 4]) -> I16x16 {
            let bytes = vreinterpretq_s8_u32(vld1q_u32(bytes.as_ptr()));
            (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes))
        }
        fn madd_i16(self, a: I16x16, b: I16x16) -> I32x8 {
            let half = |a, b| {
                let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
                vpaddq_s32(low, vmull_high_s16(a, b))
            };
            (half(a.0, b.0), half(a.1, b.1))
        }
        fn add_i16(self, a: I16x16, b: I16x16) -> I16x16 { both!(vaddq_s16(a, b)) }
        fn sub_i16(self, a: I16x16, b: I16x16) -> I16x16 { both!(vsubq_s16(a, b)) }
        fn max_i16(self, a: I16x16, b: I16x16) -> I16x16 { both!(vmaxq_s16(a, b)) }
        fn madd_u8_i8(self, a: &[u8; BYTES], q: I16x16) -> I16x16 {
            let half = |a: *const u8, q: int16x8_t| {
                let (a, q) = (vld1q_s8(a.cast()), vreinterpretq_s8_s16(q));
                let low = vmull_s8(vget_low_s8(a), vget_low_s8(q));
                vpaddq_s16(low, vmull_high_s8(a, q))
            };
            (half(a.as_ptr(), q.0), half(a[16..].as_ptr(), q.1))
        }
        fn reduce_max_i16(self, a: I16x16) -> i16 { vmaxvq_s16(vmaxq_s16(a.0, a.1)) }
        fn to_f32(self, a: I32x8) -> F32x8 { both!(vcvtq_f32_s32(a)) }
        fn movemask(self, mask: I32x8) -> u32 {
            let bit_of_lane = [1i32, 2, 4, 8];
            let half = |mask| vaddvq_s32(vandq_s32(mask, vld1q_s32(bit_of_lane.as_ptr())));
            (half(mask.0) | half(mask.1) << 4) as u32
        }
        fn load_u8(self, from: &[u8; BYTES]) -> I16x16 {
            let half = |from: *const u8| vreinterpretq_s16_u8(vld1q_u8(from));
            (half(from.as_ptr()), half(from[LANES_16..].as_ptr()))
        }
        fn load_u8_twice(self, from: &[u8; BYTES / 2]) -> I16x16 {
            let both = vreinterpretq_s16_u8(vld1q_u8(from.as_ptr()));
            (both, both)
        }
        fn store_u16(self, x: I16x16, to: &mut [u16; LANES_16]) {
            vst1q_u16(to.as_mut_ptr(), vreinterpretq_u16_s16(x.0));
            vst1q_u16(to[8..].as_mut_ptr(), vreinterpretq_u16_s16(x.1))
        }
        fn add_u8(self, a: I16x16, b: I16x16) -> I16x16 { on_bytes(a, b, |a, b| vaddq_u8(a, b)) }
        fn add_saturating_u8(self, a: I16x16, b: I16x16) -> I16x16 {
            on_bytes(a, b, |a, b| vqaddq_u8(a, b))
        }
        fn sub_u8(self, a: I16x16, b: I16x16) -> I16x16 { on_bytes(a, b, |a, b| vsubq_u8(a, b)) }
        fn min_u8(self, a: I16x16, b: I16x16) -> I16x16 { on_bytes(a, b, |a, b| vminq_u8(a, b)) }
        fn reduce_min_halves_u8(self, a: I16x16) -> I16x16 {
            on_bytes(a, a, |a, _| vdupq_n_u8(vminvq_u8(a)))
        }
        fn or_u8(self, a: I16x16, b: I16x16) -> I16x16 { both!(vorrq_s16(a, b)) }
        fn eq_u8(self, a: I16x16, b: I16x16) -> I16x16 { on_bytes(a, b, |a, b| vceqq_u8(a, b)) }
        fn movemask_u8(self, mask: I16x16) -> u32 {
            // Each byte keeps the bit of its place among eight; sums of neighbours then bring the
            // eight bits of a group into one byte.
            let bits = [1u8, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
            let bits = vld1q_u8(bits.as_ptr());
            let half = |mask| vandq_u8(vreinterpretq_u8_s16(mask), bits);
            let pairs = vpaddq_u8(half(mask.0), half(mask.1));
            let fours = vpaddq_u8(pairs, pairs);
            let eights = vpaddq_u8(fours, fours);
            vgetq_lane_u32::<0>(vreinterpretq_u32_u8(eights))
        }
        fn gt_i16(self, a: I16x16, b: I16x16) -> I16x16 {
            let mask = both!(vcgtq_s16(a, b));
            both!(vreinterpretq_s16_u16(mask))
        }
        fn movemask_i16(self, a: I16x16, b: I16x16) -> u32 {
            let narrow = |a, b| vreinterpretq_s16_s8(vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
            self.movemask_u8((narrow(a.0, b.0), narrow(a.1, b.1)))
        }
        fn low_nibbles(self, a: I16x16) -> I16x16 {
            on_bytes(a, a, |a, _| vandq_u8(a, vdupq_n_u8(15)))
        }
        fn high_nibbles(self, a: I16x16) -> I16x16 { on_bytes(a, a, |a, _| vshrq_n_u8::<4>(a)) }
        fn shuffle_bytes(self, table: I16x16, index: I16x16) -> I16x16 {
            on_bytes(table, index, |table, index| vqtbl1q_u8(table, index))
        }
        fn load_halves_u8(self, from: [&[u8; BYTES / 2]; 2]) -> I16x16 {
            let half = |from: &[u8; BYTES / 2]| vreinterpretq_s16_u8(vld1q_u8(from.as_ptr()));
            (half(from[0]), half(from[1]))
        }
        fn words_u8(self, words: [u32; LANES_32]) -> I16x16 {
            let half = |words: *const u32| vreinterpretq_s16_u32(vld1q_u32(words));
            (half(words.as_ptr()), half(words[4..].as_ptr()))
        }
        fn store_u8(self, x: I16x16, to: &mut [u8; BYTES]) {
            vst1q_u8(to.as_mut_ptr(), vreinterpretq_u8_s16(x.0));
            vst1q_u8(to[16..].as_mut_ptr(), vreinterpretq_u8_s16(x.1))
        }
        fn store_i8(self, x: I16x16, to: &mut [i8; BYTES]) {
            vst1q_s8(to.as_mut_ptr(), vreinterpretq_s8_s16(x.0));
            vst1q_s8(to[16..].as_mut_ptr(), vreinterpretq_s8_s16(x.1))
        }
        fn store_halves_u8(self, x: I16x16, to: [&mut [u8; BYTES / 2]; 2]) {
            let [low, high] = to;
            vst1q_u8(low.as_mut_ptr(), vreinterpretq_u8_s16(x.0));
            vst1q_u8(high.as_mut_ptr(), vreinterpretq_u8_s16(x.1))
        }
        fn join_halves(self, a: I16x16, b: I16x16) -> I16x16 { (a.0, b.1) }
        fn mul_i16(self, a: I16x16, b: I16x16) -> I16x16 { both!(vmulq_s16(a, b)) }
        fn interleave_u8(self, a: I16x16, b: I16x16) -> [I16x16; 2] {
            [
                on_bytes(a, b, |a, b| vzip1q_u8(a, b)),
                on_bytes(a, b, |a, b| vzip2q_u8(a, b)),
            ]
        }
        fn interleave_u16(self, a: I16x16, b: I16x16) -> [I16x16; 2] {
            [both!(vzip1q_s16(a, b)), both!(vzip2q_s16(a, b))]
        }
        fn alternate_u32(self, a: I16x16) -> I16x16 {
            let (low, high) = both!(vreinterpretq_s32_s16(a));
            both!(vreinterpretq_s16_s32((vzip1q_s32(low, high), vzip2q_s32(low, high))))
        }
        fn transpose_u32(self, a: I16x16) -> I16x16 {
            let (low, high) = both!(vreinterpretq_s32_s16(a));
            both!(vreinterpretq_s16_s32((vtrn1q_s32(low, high), vtrn2q_s32(low, high))))
        }
        fn xor_u8(self, a: I16x16, b: I16x16) -> I16x16 { both!(veorq_s16(a, b)) }
        fn select_by_sign_u8(self, mask: I16x16, a: I16x16, b: I16x16) -> I16x16 {
            let half = |mask, a, b| {
                let mask = vshrq_n_s8::<7>(vreinterpretq_s8_s16(mask));
                vbslq_s16(vreinterpretq_u16_s8(mask), a, b)
            };
            (half(mask.0, a.0, b.0), half(mask.1, a.1, b.1))
        }
        fn and_u8(self, a: I16x16, b: I16x16) -> I16x16 { both!(vandq_s16(a, b)) }
        fn splat_u64(self, x: u64) -> I16x16 {
            let x = vreinterpretq_s16_u64(vdupq_n_u64(x));
            (x, x)
        }
        fn shift_left_u64(self, a: I16x16, by: I16x16) -> I16x16 {
            let (a, by) = (both!(vreinterpretq_u64_s16(a)), both!(vreinterpretq_s64_s16(by)));
            both!(vreinterpretq_s16_u64(both!(vshlq_u64(a, by))))
        }
        fn shift_right_u64(self, a: I16x16, by: I16x16) -> I16x16 {
            // USHL shifts right by a negative count.
            let by = both!(vnegq_s64(both!(vreinterpretq_s64_s16(by))));
            self.shift_left_u64(a, both!(vreinterpretq_s16_s64(by)))
        }
        fn select_by_sign_u64(self, mask: I16x16, a: I16x16, b: I16x16) -> I16x16 {
            let mask = both!(vshrq_n_s64::<63>(both!(vreinterpretq_s64_s16(mask))));
            let mask = both!(vreinterpretq_u16_s64(mask));
            both!(vbslq_s16(mask, a, b))
        }
        fn signs_u8(self, a: I16x16) -> u32 {
            let mask = both!(vshrq_n_s8::<7>(both!(vreinterpretq_s8_s16(a))));
            self.movemask_u8(both!(vreinterpretq_s16_s8(mask)))
        }
        fn square_pairs_u8(self, a: I16x16) -> I16x16 {
            let a = both!(vreinterpretq_s8_s16(a));
            let low = both!(vget_low_s8(a));
            both!(vpaddq_s16(both!(vmull_s8(low, low)), both!(vmull_high_s8(a, a))))
        }
        fn add_products_u8_i8(self, sum: I32x8, a: I16x16, q: &[i8; BYTES]) -> I32x8 {
            let half = |sum, a: int16x8_t, q: *const i8| {
                let (a, q) = (vreinterpretq_s8_s16(a), vld1q_s8(q));
                let sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(q)));
                vpadalq_s16(sum, vmull_high_s8(a, q))
            };
            (half(sum.0, a.0, q.as_ptr()), half(sum.1, a.1, q[16..].as_ptr()))
        }
        fn add_dots_u8_i8(self, sum: I32x8, a: I16x16, q: [i8; 4]) -> I32x8 {
            let q = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(q.map(|q| q as u8))));
            let half = |sum, a: int16x8_t| {
                let a = vreinterpretq_s8_s16(a);
                let low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(q)));
                let high = vpaddlq_s16(vmull_high_s8(a, q));
                vaddq_s32(sum, vpaddq_s32(low, high))
            };
            (half(sum.0, a.0), half(sum.1, a.1))
        }
        fn add_bytes(self, sum: I32x8, a: I16x16) -> I32x8 {
            let half = |sum, a| {
                let pairs = vpaddlq_u8(vreinterpretq_u8_s16(a));
                vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(sum), pairs))
            };
            (half(sum.0, a.0), half(sum.1, a.1))
        }
        fn high_bytes(self, a: I16x16) -> I16x16 {
            let half = |a| vreinterpretq_s16_u16(vshrq_n_u16::<8>(vreinterpretq_u16_s16(a)));
            (half(a.0), half(a.1))
        }
        fn low_to_high_bytes(self, a: I16x16) -> I16x16 { both!(vshlq_n_s16::<8>(a)) }
        fn any_gt_i16(self, a: I16x16, b: I16x16, limit: I16x16) -> u32 {
            let any = |x: int16x8_t| u32::from(vmaxvq_u16(vcgtq_s16(x, limit.0))) & 1;
            any(a.0) | any(b.0) << 1 | any(a.1) << 2 | any(b.1) << 3
        }
    }
}
