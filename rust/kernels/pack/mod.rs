//! Packing indexes of 1 to 16 bits without gaps, and unpacking them.
//!
//! The codes of a row are stored as one string of bits. This layout is part of the file format:
//! FROZEN, it never changes.
//!
//! **The layout.** With w bits per index, index i occupies bits first + i·w to
//! first + (i + 1)·w − 1 of the row, least significant bit first. Bit k of a row is bit k mod 8 of
//! byte k div 8.
//!
//! **The vector body.** From a byte boundary on, eight indexes fill w whole bytes. Four indexes are
//! the four 16-bit lanes of a 64-bit word, which are joined in two steps; unpacking takes the same
//! steps backwards. Every word takes the same shifts, so that the compiler vectorizes eight words
//! at a time, without intrinsics.
//!
//! ```text
//! for each 4 indexes, as a 64-bit word:                   (w = 3, bit 0 on the right)
//!     start:                                               |...d |...c |...b |...a
//!     move the high 16 bits of each 32 down to bit w:      |......... dc|......... ba
//!     move the high 32 bits of the 64 down to bit 2w:      |................... dcba
//! for each 2 words:                                        8 indexes
//!     piece ← word₀ | word₁ << 4w                          8w bits
//!     write the w bytes of the piece
//! ```
//!
//! **Cost.** One to two instructions per index, bound by the shifts and the stores that put the
//! pieces together. Indexes that do not begin at a byte boundary, and the last ones of a row (fewer
//! than 32), are packed one by one. AVX-512 permutes bytes of eight words at once, in a half to a
//! quarter of the time.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
pub(super) mod vector;

use super::vector_kernel;

vector_kernel! {
    /// Packs `indices`, all below 2^`width`, into `row` from bit `first` on, `width` bits each.
    ///
    /// The bits of `row` that are written must be zero.
    ///
    /// # Panics
    /// If the row is too short, or `width` is not from 1 to 16.
    pub fn pack(indices: &[u16], width: u32, first: usize, row: &mut [u8]); avx512
}

vector_kernel! {
    /// Unpacks `out.len()` indexes of `width` bits from bit `first` of `row` on.
    ///
    /// # Panics
    /// If the row is too short, or `width` is not from 1 to 16.
    pub fn unpack(row: &[u8], width: u32, first: usize, out: &mut [u16]); avx512
}
