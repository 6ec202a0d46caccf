//! The nearest codeword of a block, and the nearest level of a coordinate.
//!
//! **Block.** argmin ‖u − c_k‖² = argmax s_k with s_k = ⟨u, c_k⟩ − ‖c_k‖²/2, computed as −‖c_k‖²/2 and then p fused multiply-adds in order
//! of the coordinate; the highest score wins, ties to the lowest k. Coordinate j of block i stands at u\[i + j·m\] (m blocks), so that
//! the blocks of one register are neighbours in memory: 16 blocks go against one broadcast codeword at a time, p fused
//! multiply-adds, one comparison and two selections a codeword and 16 blocks; bound by arithmetic, K·(p + 3)/p/8 instructions a coordinate.
//!
//! **Level.** The index is the number of boundaries (midpoints of neighbouring levels) below the value: a value on a
//! boundary goes to the lower level.

mod scalar;

use super::kernel;

kernel! {
    /// The nearest of K codewords for each of `index.len()` blocks of `block` coordinates.
    ///
    /// `words` is K × block, word-major; `half_norms` has ‖c_k‖²/2.
    pub fn block(u: &[f32], block: usize, words: &[f32], half_norms: &[f32], index: &mut [u16])
}

kernel! {
    /// out\[i + j·m\] ← coordinate j of the codeword of block i.
    ///
    /// # Panics
    /// If an index has no codeword.
    pub fn gather(index: &[u16], block: usize, words: &[f32], out: &mut [f32])
}

kernel! {
    /// The number of `boundaries` (ascending) below each value.
    pub fn level(u: &[f32], boundaries: &[f32], index: &mut [u16])
}
