//! A vector is a pair of registers of 128 bits: what applies instructions to both of them.

use std::arch::aarch64::*;

/// Lanes 0 to 3 and 4 to 7.
pub type F32x8 = (float32x4_t, float32x4_t);
pub type I32x8 = (int32x4_t, int32x4_t);
/// Lanes 0 to 7 and 8 to 15.
pub type I16x16 = (int16x8_t, int16x8_t);

/// Applies an instruction for bytes to both registers.
#[inline(always)]
pub fn on_bytes(
    a: I16x16,
    b: I16x16,
    instruction: impl Fn(uint8x16_t, uint8x16_t) -> uint8x16_t,
) -> I16x16 {
    let half = |a, b| {
        // SAFETY: NEON is in the baseline of AArch64, and a reinterpretation of a register
        // touches no memory.
        #[allow(unused_unsafe)]
        unsafe {
            vreinterpretq_s16_u8(instruction(
                vreinterpretq_u8_s16(a),
                vreinterpretq_u8_s16(b),
            ))
        }
    };
    (half(a.0, b.0), half(a.1, b.1))
}

/// Methods whose bodies are NEON intrinsics.
macro_rules! intrinsics {
    ($(fn $name:ident($self:ident $(, $arg:ident: $ty:ty)* $(,)?) $(-> $ret:ty)? { $($body:tt)* })*) => {
        $(#[inline(always)]
        // From Rust 1.87 on, intrinsics that touch no memory are safe to call here, since NEON is
        // in the baseline of AArch64.
        #[allow(unused_unsafe)]
        fn $name($self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: NEON is in the baseline of AArch64, and `$self` says that it was detected.
            // Memory is read and written only through references to arrays, at offsets with at
            // least as many values behind them as the instruction accesses.
            unsafe { $($body)* }
        })*
    };
}

/// Applies one instruction to both registers.
macro_rules! both {
    ($instruction:ident$(::<$n:literal>)?($a:expr)) => {
        ($instruction$(::<$n>)?($a.0), $instruction$(::<$n>)?($a.1))
    };
    ($instruction:ident($a:expr, $b:expr)) => {
        ($instruction($a.0, $b.0), $instruction($a.1, $b.1))
    };
    ($instruction:ident($a:expr, $b:expr, $c:expr)) => {
        ($instruction($a.0, $b.0, $c.0), $instruction($a.1, $b.1, $c.1))
    };
}
