//! Indexes of 1 to 16 bits to packed bits and back.
//!
//! Index i occupies bits first + i·w … first + (i+1)·w − 1 of the row, least significant bit first; bit k of a row is bit k mod 8
//! of byte k div 8. FROZEN: this layout never changes.

mod scalar;

use super::kernel;

kernel! {
    /// Writes `indices`, `width` bits each, from bit `first` on into `row`, whose bits there are zero.
    ///
    /// # Panics
    /// If the row is too short.
    pub fn pack(indices: &[u16], width: u32, first: usize, row: &mut [u8])
}

kernel! {
    /// Reads `out.len()` indexes of `width` bits from bit `first` on.
    ///
    /// # Panics
    /// If the row is too short.
    pub fn unpack(row: &[u8], width: u32, first: usize, out: &mut [u16])
}
