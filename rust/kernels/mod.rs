//! The inner loops, one folder an operation.
//!
//! **The contract of bit-exactness.** `scalar.rs` is the definition; every other instruction set gives the same bits.
//! * Products that are added are fused: `f32::mul_add` is one rounding everywhere.
//! * A sum has a fixed number of lanes ([`LANES`]): element i goes to lane i mod [`LANES`] in order of i, and the lanes are
//!   combined by halving (l + l + 8, then + 4, + 2, + 1).
//! * Ties go to the lowest index.
//!
//! **The shape.** `mod.rs` of a folder has the contract and the safe public functions, which take the [`Isa`](crate::Isa) token
//! first; `scalar.rs` has the definition, written over fixed arrays of lanes. The `kernel!` macro compiles that definition twice:
//! for the target's baseline, and with AVX2 and FMA enabled, chosen by the token. (On AArch64 NEON is the baseline,
//! so the definition is NEON code already.) A hand-written body goes to `avx2.rs` or `neon.rs` beside it and replaces an arm of
//! the dispatch; nothing else changes.
//!
//! This module is the only home of `unsafe` in the crate, and the dispatch call is its only use.
#![allow(unsafe_code)]

pub mod dense;
pub mod fwht;
pub mod nearest;
pub mod pack;
pub mod reduce;
pub mod rescale;

/// Lanes of every fixed-order sum.
pub const LANES: usize = 16;

/// A public kernel whose bodies are the scalar definition compiled for each instruction set.
macro_rules! kernel {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {
        $(#[$doc])*
        pub fn $name(isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                scalar::$name($($arg),*)
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Isa::Avx2` is made only after the CPU was seen to have AVX2 and FMA.
                $crate::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                _ => scalar::$name($($arg),*),
            }
        }
    };
}
pub(crate) use kernel;
