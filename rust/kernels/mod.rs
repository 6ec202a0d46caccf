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
//! (`vector_kernel!`). Where registers of 512 bits gain time, `avx512.rs` has a body for AVX-512,
//! and the macro's `; avx512` says so; AVX-512 runs the AVX2 body of the other kernels. Only the
//! files of `simd` (and [`prefetch`]) use intrinsics.
//!
//! ```text
//! dot(isa, a, b)                       public: takes a token, is safe to call
//!   ├── Isa::Avx512 → avx512::dot      #[target_feature(enable = "avx512f,…")], body inlined
//!   ├── Isa::Avx2   → the vector body  #[target_feature(enable = "avx2,fma")], body inlined
//!   ├── Isa::Neon   → the vector body  NEON is in the baseline of AArch64
//!   └── Isa::Scalar → scalar::dot      the definition
//! ```
//!
//! **Unsafe code.** This module is the only one of the crate with `unsafe`: in the dispatch above,
//! in [`prefetch`] and in the intrinsics of `simd`.
#![allow(unsafe_code)]

pub mod asymmetric;
pub mod attention;
pub mod code_products;
pub mod convert;
pub mod dense;
pub mod fixed;
pub mod fwht;
pub mod moments;
pub mod nearest;
pub mod pack;
pub mod quantize;
pub mod reduce;
pub mod rescale;
pub mod sign_scan;
pub mod simd;
pub mod trellis;

use crate::aligned::CACHE_LINE_BYTES;

/// Lanes of every sum whose order is fixed.
pub const SUM_LANES: usize = 16;

/// Calls a body that is compiled with the features of an instruction set, whose proof the caller
/// holds: `compiled!(avx2, scalar::add(x: &mut [f32], y: &[f32]))`.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    (avx2, $($body:tt)*) => { $crate::kernels::compiled!(@ "avx2,fma", $($body)*) };
    (avx512, $($body:tt)*) => {
        $crate::kernels::compiled!(
            @ "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni,avx2,fma,popcnt,bmi1,bmi2,lzcnt",
            $($body)*
        )
    };
    (@ $features:literal, $module:ident::$name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?) => {{
        #[target_feature(enable = $features)]
        fn body($($arg: $ty),*) $(-> $ret)? {
            $module::$name($($arg),*)
        }
        // SAFETY: `body` needs the features of an instruction set. The macros below call it where
        // they hold the token of this set, which `Isa::available` makes only after the CPU was seen
        // to have all of them.
        unsafe { body($($arg),*) }
    }};
}
#[cfg(target_arch = "x86_64")]
pub(crate) use compiled;

/// Returns what the body in `avx512` does, if the kernel has one and `isa` is AVX-512.
#[cfg(target_arch = "x86_64")]
macro_rules! avx512_body {
    ([] $isa:ident, $($rest:tt)*) => {};
    ([avx512] $isa:ident, $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?) => {
        if let $crate::Isa::Avx512(token) = $isa {
            return $crate::kernels::compiled!(
                avx512,
                avx512::$name(token: $crate::isa::Avx512, $($arg: $ty),*) $(-> $ret)?
            );
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512_body;

/// Defines a public kernel that compiles the scalar definition for each instruction set.
///
/// With `; avx512` at its end there is another body in `avx512`, which takes the token first.
macro_rules! kernel {
    (
        $(#[$doc:meta])*
        pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $(; $avx512:tt)?
    ) => {
        $(#[$doc])*
        pub fn $name(isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::avx512_body!(
                [$($avx512)?] isa, $name($($arg: $ty),*) $(-> $ret)?
            );
            #[cfg(target_arch = "x86_64")]
            if isa.avx2().is_some() {
                return $crate::kernels::compiled!(
                    avx2,
                    scalar::$name($($arg: $ty),*) $(-> $ret)?
                );
            }
            let _ = isa;
            // On AArch64 the definition is already compiled with NEON, its baseline.
            scalar::$name($($arg),*)
        }
    };
}
pub(crate) use kernel;

/// Defines a public kernel with the definition in `scalar` and a body over [`simd::Simd`] in
/// `vector`.
///
/// With `; avx512` at its end there is another body in `avx512`, which takes the token first.
macro_rules! vector_kernel {
    (
        $(#[$doc:meta])*
        pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $(; $avx512:tt)?
    ) => {
        $(#[$doc])*
        pub fn $name(isa: $crate::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::avx512_body!(
                [$($avx512)?] isa, $name($($arg: $ty),*) $(-> $ret)?
            );
            #[cfg(target_arch = "x86_64")]
            if let Some(token) = isa.avx2() {
                return $crate::kernels::compiled!(
                    avx2,
                    vector::$name(token: $crate::isa::Avx2, $($arg: $ty),*) $(-> $ret)?
                );
            }
            #[cfg(target_arch = "aarch64")]
            if let $crate::Isa::Neon(token) = isa {
                return vector::$name(token, $($arg),*);
            }
            scalar::$name($($arg),*)
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

/// Fetches the cache lines of `values`.
#[inline(always)]
pub fn prefetch_all<T>(values: &[T]) {
    let per_line = (CACHE_LINE_BYTES / size_of::<T>().max(1)).max(1);
    values.iter().step_by(per_line).for_each(prefetch);
}
