//! The operations on AVX-512, where a vector is one register of 512 bits: 16 lanes of 32 bits, as
//! many as a sum of the contract has ([`SUM_LANES`](crate::kernels::SUM_LANES)).
//!
//! They are methods of the token, so that they are safe to call, and are meant for the bodies in
//! the `avx512.rs` of a kernel. As in [`simd`](super), an operation is exact or rounds once per
//! lane, is named after the type of its lanes if that is not float32, and must be inlined into a
//! function that has the target features enabled. A mask has a bit for each lane.
//!
//! One load of 64 bytes that crosses the border of two cache lines costs two, so arrays that are
//! read often should be [`Aligned`](crate::aligned::Aligned).

/// Methods whose bodies are AVX-512 intrinsics.
macro_rules! intrinsics {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<const $by:ident: u32>)? (
            $self:ident $(, $arg:ident: $ty:ty)* $(,)?
        ) $(-> $ret:ty)? { $($body:tt)* }
    )*) => {
        $($(#[$doc])*
        #[inline(always)]
        pub fn $name$(<const $by: u32>)?($self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: An `Avx512` is made only after the CPU was seen to have AVX-512 F, BW, VL,
            // VBMI and VNNI, AVX2 and FMA, and `$self` is one. Memory is read and written only by
            // unaligned loads and stores through references to arrays of exactly the size that the
            // instruction accesses.
            unsafe { $($body)* }
        })*
    };
}

mod floats;
mod integers;
mod memory;
