//! The inner loops, one folder an operation.
//!
//! **The contract of bit-exactness.** `scalar.rs` is the definition; every other instruction set gives the same bits.
//! * Products that are added are fused: `f32::mul_add` is one rounding everywhere.
//! * A sum has a fixed number of lanes ([`SUM_LANES`]): element i goes to lane i mod [`SUM_LANES`] in order of i, and the lanes are
//!   combined by halving (l + l + 8, then + 4, + 2, + 1).
//! * Ties go to the lowest index.
//!
//! **The shape.** `mod.rs` of a folder has the mathematics, the contract and the safe public functions, which take the [`Isa`](crate::Isa) token
//! first; `scalar.rs` has the definition. Where the compiler's own vectorisation of the definition is near what the machine can do, that is
//! all, compiled for each instruction set (`kernel!`). Elsewhere `vector.rs` has a body of its own, written once over the eight lanes of
//! [`simd`] and compiled for AVX2 and for NEON (`vector_kernel!`); `simd/avx2.rs` and `simd/neon.rs` are the only files with intrinsics.
//!
//! This module is the only home of `unsafe` in the crate: the dispatch calls and the blocks in `simd` are all its uses.
#![allow(unsafe_code)]

pub mod asymmetric;
pub mod convert;
pub mod dense;
pub mod fast_scan;
pub mod fwht;
pub mod nearest;
pub mod pack;
pub mod quantize;
pub mod reduce;
pub mod rescale;
pub mod simd;

/// Lanes of every fixed-order sum.
pub const SUM_LANES: usize = 16;

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
                // NEON is in the baseline of AArch64.
                _ => scalar::$name($($arg),*),
            }
        }
    };
}
pub(crate) use kernel;

/// A public kernel with the definition in `scalar` and a body over [`simd::Simd`] in `vector`.
macro_rules! vector_kernel {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {
        $(#[$doc])*
        pub fn $name(isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2(token: $crate::isa::Avx2, $($arg: $ty),*) $(-> $ret)? {
                vector::$name(token, $($arg),*)
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: an `Isa::Avx2` is made only after the CPU was seen to have AVX2 and FMA.
                $crate::Isa::Avx2(token) => unsafe { avx2(token, $($arg),*) },
                #[cfg(target_arch = "aarch64")]
                $crate::Isa::Neon(token) => vector::$name(token, $($arg),*),
                _ => scalar::$name($($arg),*),
            }
        }
    };
}
pub(crate) use vector_kernel;

/// Asks for the cache line of what is read soon, where the language has an instruction for it.
#[inline(always)]
pub fn prefetch<T>(from: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is in the baseline of x86-64, and a prefetch reads nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(from).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}
