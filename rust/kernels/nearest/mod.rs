//! Vector quantization: the nearest codeword of each block of coordinates.
//!
//! A rotated row is cut into blocks of p coordinates, and each block is stored as the index of the
//! nearest of K codewords. Encoding spends most of its time here, so the search prunes: for most
//! blocks it computes the scores of only eight codewords.
//!
//! **Mathematics.** argmin ‖u − c_k‖² = argmax s_k with s_k = ⟨u, c_k⟩ − ‖c_k‖²/2. A score is
//! computed as −‖c_k‖²/2 and then p fused multiply-adds in order of the coordinate. The highest
//! score wins; ties go to the lowest k. Coordinate j of block i stands at u\[i + j·m\], with m
//! blocks in the row.
//!
//! **[`brute_force`]** is the definition, and serves codebooks that are too small to prune: the
//! blocks of two vectors are scored against one broadcast codeword at a time.
//!
//! **[`pruned`]** finds the same codeword by way of a grid ([`Plan`]). The bins of the block's
//! coordinates name a cell, and the cell names the few codewords that can win anywhere in it. Which
//! ones these are is proved when the plan is made (`codebook/pruning.rs`), with the rounding of the
//! scores included, so that the winner is that of brute force to the bit, ties included.
//!
//! ```text
//! pruned(u, plan):
//!     for each tile of 64 blocks:
//!         for each 8 blocks:                        one block per lane
//!             bins ← clamp(⌊u·scale + offset⌋)      per coordinate
//!             cell ← (…(bin₀·B + bin₁)·B + …)
//!         for each block:                           one codeword per lane
//!             for each group of 8 words that the cell names (one, or a list):
//!                 score ← −‖c‖²/2
//!                 for j in 0..p: score ← fma(splat(u_j), c_j, score)
//!                 keep the highest score and its word in each lane
//!             winner ← the lowest word among the highest scores
//! ```
//!
//! **Cost.** Brute force takes K·(p + 3)/(8p) instructions per coordinate. What pruning takes
//! depends on the codebook; times are for a row of d = 1536:
//! * *One group per cell* (p up to 4 and K from 256 to 1024; sizes are in `codebook/pruning.rs`):
//!   no loop, and no branch that is mispredicted more often than a block escapes its cell. About 40
//!   instructions per block, 10 per coordinate at p = 4, where brute force at K = 256 takes 56.
//!   Cells and groups both live in the second-level cache, so the groups of a tile are prefetched.
//!   p = 4, K = 256: 2.1 µs per row; brute force 12.
//! * *A list of groups per cell* (more codewords): 2p + 6 instructions per group. The length of the
//!   list costs about one branch misprediction per block. p = 4, K = 4096: nine groups of 512 on
//!   average, 9.4 µs per row; brute force 190. Bound by reading the lists, 0.7 MB, which are
//!   prefetched a tile ahead (11 µs otherwise).
//! * *No grid* (256 words in seven or eight dimensions, where a cell would name half of the words):
//!   the words are screened by small integers (`screen.rs`). p = 8, K = 256: 6.1 µs per row; brute
//!   force 12. AVX-512 screens with products of four bytes (`avx512.rs`), in 0.7 times the time.
//! * Other large blocks (five or six coordinates below 512 words, seven or eight beyond 256, more
//!   than eight) are left to brute force.
//! * A block outside the grid, or in a cell that nothing bounds, is scored against all groups.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod screen;
mod vector;

use screen::Screen;

use crate::aligned::Aligned;

use super::{kernel, simd, vector_kernel};

/// Codewords of a group: one in each 32-bit lane of a vector.
pub const WORDS_PER_GROUP: usize = simd::LANES_32;

/// The codewords of a codebook.
#[derive(Debug, Clone)]
pub struct Words {
    block: usize,
    words: Aligned<f32>,
    half_norms: Vec<f32>,
}

impl Words {
    /// Takes K codewords of `block` coordinates each, one codeword after the other.
    ///
    /// # Panics
    /// If there are none, if there are more than 2¹⁶, or if the last one is not whole.
    pub fn new(words: &[f32], block: usize) -> Self {
        assert!(
            block > 0 && words.len().is_multiple_of(block),
            "whole codewords of {block} coordinates"
        );
        let half_norms: Vec<f32> = words
            .chunks_exact(block)
            .map(|word| 0.5 * word.iter().map(|c| c * c).sum::<f32>())
            .collect();
        assert!(
            (1..=1 << 16).contains(&half_norms.len()),
            "1 to 65536 codewords"
        );
        Self {
            block,
            words: Aligned::from(words),
            half_norms,
        }
    }

    /// p: coordinates per codeword.
    pub fn block(&self) -> usize {
        self.block
    }

    /// K: the number of codewords.
    pub fn count(&self) -> usize {
        self.half_norms.len()
    }

    /// The K × p coordinates, one codeword after the other.
    pub fn words(&self) -> &[f32] {
        &self.words
    }

    /// ‖c_k‖²/2 for each codeword.
    pub fn half_norms(&self) -> &[f32] {
        &self.half_norms
    }
}

/// What the values of a grid's cells mean.
#[derive(Debug, Clone)]
pub enum Lists {
    /// Value g: the candidates are the words of group g; [`ALL_WORDS`]: all words.
    One(Groups),
    /// Value l: the candidates are in the groups `groups[ends[l − 1]..ends[l]]` (from 0 for l = 0)
    /// of all words in their own order, ascending.
    Many {
        /// Where each list ends in `groups`.
        ends: Vec<u32>,
        /// The lists, one after the other.
        groups: Vec<u16>,
    },
}

/// The value of a cell that nothing bounds: every word is a candidate.
pub const ALL_WORDS: u16 = u16::MAX;

/// One cache line: two vectors.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([[f32; WORDS_PER_GROUP]; 2]);

/// Groups of eight codewords, one per lane, each group from a cache line on.
///
/// ```text
/// vector 0:      −‖c‖²/2 of each word, −∞ in a lane without a word
/// vectors 1 … p: coordinate 0 … p − 1 of each word
/// vector p + 1:  the index of each word, ascending, as float32
/// ```
#[derive(Debug, Clone)]
pub struct Groups {
    lines: Vec<Line>,
    /// Cache lines per group.
    stride: usize,
}

impl Groups {
    /// An empty list of groups, for words of `block` coordinates.
    pub fn new(block: usize) -> Self {
        Self {
            lines: Vec::new(),
            stride: (block + 2).div_ceil(2),
        }
    }

    /// All words in their own order, eight per group.
    pub fn in_order(words: &Words) -> Self {
        let mut groups = Self::new(words.block);
        let index: Vec<u16> = (0..words.count()).map(|k| k as u16).collect();
        for group in index.chunks(WORDS_PER_GROUP) {
            groups.push(words, group);
        }
        groups
    }

    /// The groups, each of L cache lines.
    #[inline(always)]
    fn as_chunks<const L: usize>(&self) -> &[[Line; L]] {
        debug_assert_eq!(self.stride, L, "cache lines of a group");
        self.lines.as_chunks().0
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.lines.len() / self.stride
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Appends a group of up to eight words, given by their indexes.
    ///
    /// # Panics
    /// If there are more than eight, if they are not ascending, or if an index has no word.
    pub fn push(&mut self, words: &Words, index: &[u16]) {
        assert!(
            index.len() <= WORDS_PER_GROUP && index.is_sorted(),
            "up to eight words, ascending"
        );
        let mut vectors = vec![[0f32; WORDS_PER_GROUP]; 2 * self.stride];
        vectors[0] = [f32::NEG_INFINITY; WORDS_PER_GROUP];
        for (lane, &k) in index.iter().enumerate() {
            let word = &words.words[usize::from(k) * words.block..][..words.block];
            vectors[0][lane] = -words.half_norms[usize::from(k)];
            for (vector, &c) in vectors[1..].iter_mut().zip(word) {
                vector[lane] = c;
            }
            vectors[words.block + 1][lane] = f32::from(k);
        }
        let (pairs, _) = vectors.as_chunks::<2>();
        self.lines.extend(pairs.iter().map(|&pair| Line(pair)));
    }
}

/// A grid of cells over the blocks: `bins` bins per coordinate, of equal width on
/// \[−`reach`, `reach`\]; the outer bins extend to ±`limit`.
#[derive(Debug, Clone)]
pub struct Grid {
    /// Bins per coordinate.
    pub bins: usize,
    /// The end of the bins of equal width.
    pub reach: f32,
    /// The end of the outer bins, up to which the candidates of a cell are proved.
    pub limit: f32,
    /// A value for each of the bins^p cells; the bin of the last coordinate varies fastest.
    pub cells: Vec<u16>,
    /// What the values of the cells mean.
    pub lists: Lists,
}

impl Grid {
    /// (1/width, reach/width): x is in bin ⌊x/width + reach/width⌋, clamped to 0 … bins − 1.
    pub fn to_bins(&self) -> (f32, f32) {
        let per_unit = self.bins as f32 / (2.0 * self.reach);
        (per_unit, per_unit * self.reach)
    }
}

/// A codebook with what its search needs: a grid or a screen, where either pays.
#[derive(Debug, Clone)]
pub struct Plan {
    words: Words,
    all: Groups,
    /// 0, 1, …: the list of all groups.
    all_list: Vec<u16>,
    grid: Option<Grid>,
    screen: Option<Screen>,
    /// The screen for AVX-512, if there is a screen and no grid.
    #[cfg(target_arch = "x86_64")]
    wide: Option<avx512::Wide>,
}

impl Plan {
    /// Plans the search of `words`, whose winners `grid` must bound; without a grid or a screen
    /// that fits, the search is brute force.
    ///
    /// # Panics
    /// If the grid does not have bins^p cells, or if the value of a cell names no list.
    pub fn new(words: Words, grid: Option<Grid>) -> Self {
        let all = Groups::in_order(&words);
        if let Some(grid) = &grid {
            let cells = u32::try_from(words.block)
                .ok()
                .and_then(|p| grid.bins.checked_pow(p));
            assert_eq!(cells, Some(grid.cells.len()), "cells of the grid");
            let known = match &grid.lists {
                Lists::One(groups) => {
                    assert_eq!(groups.stride, all.stride, "cache lines of a group");
                    groups.len()
                }
                Lists::Many { ends, groups } => {
                    assert!(
                        ends.is_sorted() && ends.last().map_or(0, |&e| e as usize) == groups.len()
                    );
                    assert!(groups.iter().all(|&g| usize::from(g) < all.len()));
                    ends.len()
                }
            };
            let all_words_is_known = matches!(grid.lists, Lists::One(_));
            let named = |&v: &u16| usize::from(v) < known || (all_words_is_known && v == ALL_WORDS);
            assert!(grid.cells.iter().all(named), "cells name lists");
        }
        let all_list = (0..).take(all.len()).collect();
        let screen = Screen::new(&words);
        #[cfg(target_arch = "x86_64")]
        let wide = (screen.is_some() && grid.is_none()).then(|| avx512::Wide::new(&words));
        Self {
            screen,
            #[cfg(target_arch = "x86_64")]
            wide,
            words,
            all,
            all_list,
            grid,
        }
    }

    /// The codewords.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// The grid, if there is one.
    pub fn grid(&self) -> Option<&Grid> {
        self.grid.as_ref()
    }
}

kernel! {
    /// index\[i\] ← the nearest codeword of block i, found by scoring all.
    ///
    /// # Panics
    /// If u does not have one block per index.
    pub fn brute_force(u: &[f32], words: &Words, index: &mut [u16])
}

vector_kernel! {
    /// The result of [`brute_force`] for the plan's words, found by way of the plan.
    ///
    /// # Panics
    /// If u does not have one block per index.
    pub fn pruned(u: &[f32], plan: &Plan, index: &mut [u16]); avx512
}

vector_kernel! {
    /// out\[i + j·m\] ← coordinate j of the codeword of block i.
    ///
    /// # Panics
    /// If an index has no codeword, or if `out` does not have one block per index.
    pub fn gather(index: &[u16], words: &Words, out: &mut [f32])
}
