//! The inner loops of the crate, one folder per operation.
//!
//! Each kernel computes the same bits on every instruction set, and `scalar.rs` in its folder is
//! the definition of these bits. The vector versions are there for speed only.
//!
//! **The contract of equal bits.**
//! * Products that are added are fused: `f32::mul_add` rounds once on every machine.
//! * A sum has [`SUM_LANES`] lanes: element i is added to lane i mod [`SUM_LANES`], in order of i.
//!   The lanes are then added by halving: lane l + lane l + 8, then + 4, + 2, + 1.
//! * Ties go to the lowest index.
//!
//! **The layout of a folder.** `mod.rs` has the mathematics, the contract and the safe public
//! functions, which take the [`Isa`](crate::Isa) token first. `scalar.rs` has the definition. Where
//! the compiler vectorizes the definition nearly as well as the machine allows, that is all, and
//! the definition is compiled for each instruction set (`kernel!`). Elsewhere `vector.rs` has
//! another body, generic over the vectors of [`simd`], which is compiled for AVX2 and for NEON
//! (`vector_kernel!`). Only `simd/avx2.rs` and `simd/neon.rs` (and [`prefetch`]) use intrinsics.
//!
//! ```text
//! dot(isa, a, b)                       public: takes a token, is safe to call
//!   ├── Isa::Avx2   → avx2(a, b)       #[target_feature(enable = "avx2,fma")], body inlined
//!   ├── Isa::Neon   → the vector body  NEON is in the baseline of AArch64
//!   └── Isa::Scalar → scalar::dot      the definition
//! ```
//!
//! **Unsafe code.** This module is the only one of the crate with `unsafe`: in the dispatch above,
//! in [`prefetch`] and in the intrinsics of `simd`.
#![allow(unsafe_code)]

pub mod asymmetric;
pub mod attention;
pub mod convert;
pub mod dense;
pub mod fast_scan;
pub mod fwht;
pub mod nearest;
pub mod pack;
pub mod quantize;
pub mod reduce;
pub mod rescale;
pub mod sign_scan;
pub mod simd;

/// Lanes of every sum whose order is fixed.
pub const SUM_LANES: usize = 16;

/// Defines a public kernel that compiles the scalar definition for each instruction set.
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
                // SAFETY: `avx2` needs AVX2 and FMA, and an `Isa::Avx2` holds a token that
                // `Isa::available` makes only after the CPU was seen to have both.
                $crate::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                // On AArch64 the definition is already compiled with NEON, its baseline.
                _ => scalar::$name($($arg),*),
            }
        }
    };
}
pub(crate) use kernel;

/// Defines a public kernel with the definition in `scalar` and a body over [`simd::Simd`] in
/// `vector`.
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
                // SAFETY: `avx2` needs AVX2 and FMA, and an `Isa::Avx2` holds a token that
                // `Isa::available` makes only after the CPU was seen to have both.
                $crate::Isa::Avx2(token) => unsafe { avx2(token, $($arg),*) },
                #[cfg(target_arch = "aarch64")]
                $crate::Isa::Neon(token) => vector::$name(token, $($arg),*),
                _ => scalar::$name($($arg),*),
            }
        }
    };
}
pub(crate) use vector_kernel;

/// Fetches the cache line of `from`, which is read soon; does nothing where stable Rust has no
/// instruction for it.
#[inline(always)]
pub fn prefetch<T>(from: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE, which has the instruction, is in the baseline of x86-64. A prefetch is a hint:
    // it neither reads a value nor faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(from).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}
