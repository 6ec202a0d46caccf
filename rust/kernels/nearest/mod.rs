//! The nearest codeword of a block.
//!
//! argmin ‖u − c_k‖² = argmax s_k with s_k = ⟨u, c_k⟩ − ‖c_k‖²/2, computed as −‖c_k‖²/2 and then p fused multiply-adds in order
//! of the coordinate; the highest score wins, ties to the lowest k. Coordinate j of block i stands at u\[i + j·m\] (m blocks).
//!
//! **[`block`], brute force**: the blocks of two registers go against one broadcast codeword at a time: K·(p + 3)/p/8 instructions a coordinate.
//! The definition, and what codebooks too small to prune use.
//!
//! **[`pruned`]**, the same result by way of a grid ([`Plan`]): the block's coordinates, taken to bins, name a cell, and the cell names the
//! few codewords that can win anywhere in it. Codewords stand in groups of eight, coordinate by coordinate, so a group is
//! p + 1 loads, p of them inside fused multiply-adds, against the broadcast block. Which words a cell needs is proved when the plan is made
//! (`codebook/pruning.rs`), with the rounding of the scores included, so the winner is that of brute force to the bit, ties included.
//! * *One group a cell* (up to four dimensions and 256 to 1024 words; sizes in `codebook/pruning.rs`): no loop, and no branch that is mispredicted more often than a
//!   block escapes its cell. About 40 instructions a block, 10 a coordinate at p = 4, where brute force at K = 256 takes 56; the cells of 64 blocks are found first
//!   and their groups sent for, since both tables live in the second-level cache. At d = 1536, p = 4, K = 256: 2.1 µs a row, brute force 12.
//! * *A list of groups a cell* (more codewords): 2p + 6 instructions a group; the length of the list is a branch mispredicted about once a block. p = 4, K = 4096:
//!   nine groups of 512 on average, 9.4 µs a row, brute force 190; bound by reading the lists, 0.7 MB, which are sent for a tile ahead (else 11 µs).
//! * *No grid* (256 words in seven or eight dimensions, where half of the words would be candidates): the words are screened by small integers
//!   (`screen.rs`). p = 8, K = 256: 6.1 µs a row, brute force 12.
//! * Other large blocks (five or six coordinates below 512 words, seven or eight beyond 256, more than eight) are left to brute force.
//! * A block outside the grid, or in a cell that nothing bounds, goes against all groups.

mod scalar;
mod screen;
mod vector;

use screen::Screen;

use crate::aligned::Aligned;

use super::{kernel, simd, vector_kernel};

/// Codewords of a group: one in each 32-bit lane of a vector.
pub const WORDS_PER_GROUP: usize = simd::LANES_32;

/// The codewords of a block.
#[derive(Debug, Clone)]
pub struct Words {
    block: usize,
    words: Aligned<f32>,
    half_norms: Vec<f32>,
}

impl Words {
    /// `words` is K × `block`, word-major.
    ///
    /// # Panics
    /// If there are none, more than 2¹⁶, or a part of one.
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

    /// p.
    pub fn block(&self) -> usize {
        self.block
    }

    /// K.
    pub fn count(&self) -> usize {
        self.half_norms.len()
    }

    /// K × p, word-major.
    pub fn words(&self) -> &[f32] {
        &self.words
    }

    /// ‖c_k‖²/2.
    pub fn half_norms(&self) -> &[f32] {
        &self.half_norms
    }
}

/// What the cells of a grid name.
#[derive(Debug, Clone)]
pub enum Lists {
    /// Cell value g: the candidates are group g; [`EVERY`]: all words.
    One(Groups),
    /// Cell value l: the candidates are in the groups `groups[ends[l − 1]..ends[l]]` (from 0 for l = 0) of the words in their own order, ascending.
    Many {
        /// End of each list.
        ends: Vec<u32>,
        /// The lists one after the other.
        groups: Vec<u16>,
    },
}

/// The cell value of a cell that nothing bounds.
pub const EVERY: u16 = u16::MAX;

/// One cache line: two registers.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([[f32; WORDS_PER_GROUP]; 2]);

/// Groups of eight codewords side by side, each from a cache line on.
///
/// The registers of a group: −‖c‖²/2 of each word, −∞ in a lane without one; the p coordinates; the indexes, ascending, as numbers.
#[derive(Debug, Clone)]
pub struct Groups {
    lines: Vec<Line>,
    /// Cache lines of a group.
    stride: usize,
}

impl Groups {
    /// No groups yet, of words of `block` coordinates.
    pub fn new(block: usize) -> Self {
        Self {
            lines: Vec::new(),
            stride: (block + 2).div_ceil(2),
        }
    }

    /// The words in their own order, eight a group.
    pub fn in_order(words: &Words) -> Self {
        let mut groups = Self::new(words.block);
        let index: Vec<u16> = (0..words.count()).map(|k| k as u16).collect();
        for eight in index.chunks(WORDS_PER_GROUP) {
            groups.push(words, eight);
        }
        groups
    }

    /// The groups, each in its L cache lines.
    #[inline(always)]
    fn as_chunks<const L: usize>(&self) -> &[[Line; L]] {
        debug_assert_eq!(self.stride, L, "cache lines of a group");
        self.lines.as_chunks().0
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.lines.len() / self.stride
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Appends the group of up to eight words.
    ///
    /// # Panics
    /// If there are more than eight, or an index has no word.
    pub fn push(&mut self, words: &Words, index: &[u16]) {
        assert!(
            index.len() <= WORDS_PER_GROUP && index.is_sorted(),
            "up to eight words, ascending"
        );
        let mut registers = vec![[0f32; WORDS_PER_GROUP]; 2 * self.stride];
        registers[0] = [f32::NEG_INFINITY; WORDS_PER_GROUP];
        for (lane, &k) in index.iter().enumerate() {
            let word = &words.words[usize::from(k) * words.block..][..words.block];
            registers[0][lane] = -words.half_norms[usize::from(k)];
            for (register, &c) in registers[1..].iter_mut().zip(word) {
                register[lane] = c;
            }
            registers[words.block + 1][lane] = f32::from(k);
        }
        let (pairs, _) = registers.as_chunks::<2>();
        self.lines.extend(pairs.iter().map(|&pair| Line(pair)));
    }
}

/// `bins` bins a coordinate, of equal width on \[−`reach`, `reach`\]; the outer ones extend to ±`limit`.
#[derive(Debug, Clone)]
pub struct Grid {
    /// Bins of a coordinate.
    pub bins: usize,
    /// Where the bins end.
    pub reach: f32,
    /// How far the cells are proved.
    pub limit: f32,
    /// A value for each of bins^p cells, the last coordinate's bin running fastest.
    pub cells: Vec<u16>,
    /// What the values mean.
    pub lists: Lists,
}

impl Grid {
    /// (1/width, reach/width): x is in bin ⌊x/width + reach/width⌋, held to 0 … bins − 1.
    pub fn to_bins(&self) -> (f32, f32) {
        let per_unit = self.bins as f32 / (2.0 * self.reach);
        (per_unit, per_unit * self.reach)
    }
}

/// Codewords with a grid that leaves few of them to try.
#[derive(Debug, Clone)]
pub struct Plan {
    words: Words,
    all: Groups,
    /// 0, 1, …: the list of all groups.
    every: Vec<u16>,
    grid: Option<Grid>,
    screen: Option<Screen>,
}

impl Plan {
    /// `grid` must bound the winners of `words`; without one the search is brute force.
    ///
    /// # Panics
    /// If the grid has a wrong number of cells, or a cell a value without meaning.
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
            let every = matches!(grid.lists, Lists::One(_));
            let named = |&v: &u16| usize::from(v) < known || (every && v == EVERY);
            assert!(grid.cells.iter().all(named), "cells name lists");
        }
        let every = (0..).take(all.len()).collect();
        Self {
            screen: Screen::new(&words),
            words,
            all,
            every,
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
    /// The nearest codeword for each of `index.len()` blocks, by trying all.
    pub fn block(u: &[f32], words: &Words, index: &mut [u16])
}

vector_kernel! {
    /// The same as [`block`] of the plan's words.
    pub fn pruned(u: &[f32], plan: &Plan, index: &mut [u16])
}

vector_kernel! {
    /// out\[i + j·m\] ← coordinate j of the codeword of block i.
    ///
    /// # Panics
    /// If an index has no codeword.
    pub fn gather(index: &[u16], words: &Words, out: &mut [f32])
}
