//! Indexes of 1 to 16 bits to packed bits and back.
//!
//! Index i occupies bits first + i·w … first + (i+1)·w − 1 of the row, least significant bit first; bit k of a row is bit k mod 8
//! of byte k div 8. FROZEN: this layout never changes.
//!
//! **Lanes.** From a byte boundary on, eight indexes fill w whole bytes. As 4 × 16 bits in a 64-bit word, neighbours are joined twice: the upper 16 of
//! each 32 bits move down to bit w, then the upper 32 of the 64 to bit 2w, which leaves 4w bits in one piece; two such pieces are w bytes.
//! Unpacking is the same steps backwards. Every lane does the same shifts, so the compiler makes vector code of eight such words in a row
//! without any intrinsic: one to two instructions an index, bound by the shifts and stores that put the pieces together.

mod scalar;
mod vector;

use super::vector_kernel;

vector_kernel! {
    /// Writes `indices`, all below 2^`width`, `width` bits each, from bit `first` on into `row`, whose bits there are zero.
    ///
    /// # Panics
    /// If the row is too short, or the width not 1 to 16.
    pub fn pack(indices: &[u16], width: u32, first: usize, row: &mut [u8])
}

vector_kernel! {
    /// Reads `out.len()` indexes of `width` bits from bit `first` on.
    ///
    /// # Panics
    /// If the row is too short, or the width not 1 to 16.
    pub fn unpack(row: &[u8], width: u32, first: usize, out: &mut [u16])
}
