//! The search by grid or by screen: the cells of eight blocks at a time, then block by block.

use super::screen::{self, Screen};
use super::{ALL_WORDS, Grid, Line, Lists, Plan, Words, scalar};
use crate::kernels::simd::{LANES_32, Simd};

#[inline(always)]
pub fn pruned<S: Simd>(s: S, u: &[f32], plan: &Plan, index: &mut [u16]) {
    let grid = plan.grid.as_ref();
    if grid.is_none() && plan.screen.is_none() {
        return scalar::brute_force(u, &plan.words, index);
    }
    match plan.words.block {
        1 => search_tiles::<S, 1, 2>(s, u, plan, grid, index),
        2 => search_tiles::<S, 2, 2>(s, u, plan, grid, index),
        3 => search_tiles::<S, 3, 3>(s, u, plan, grid, index),
        4 => search_tiles::<S, 4, 3>(s, u, plan, grid, index),
        5 => search_tiles::<S, 5, 4>(s, u, plan, grid, index),
        6 => search_tiles::<S, 6, 4>(s, u, plan, grid, index),
        7 => search_tiles::<S, 7, 5>(s, u, plan, grid, index),
        8 => search_tiles::<S, 8, 5>(s, u, plan, grid, index),
        _ => scalar::brute_force(u, &plan.words, index),
    }
}

/// Blocks of a tile. The cells of a tile are found before its groups are searched, so that what the
/// cells name can be prefetched from the second-level cache.
const BLOCKS_PER_TILE: usize = 64;
/// How many blocks ahead a group is prefetched.
const BLOCKS_AHEAD: usize = 8;

/// [`pruned`] for blocks of P coordinates, whose groups take L = ⌈(P + 2)/2⌉ cache lines.
#[inline(always)]
fn search_tiles<S: Simd, const P: usize, const L: usize>(
    s: S,
    u: &[f32],
    plan: &Plan,
    grid: Option<&Grid>,
    index: &mut [u16],
) {
    let blocks = index.len();
    assert_eq!(u.len(), P * blocks, "coordinates of the blocks");
    let search = Search::<S, P, L> {
        s,
        all: plan.all.as_chunks(),
    };
    let mut x = [[0f32; BLOCKS_PER_TILE]; P];
    let mut values = [ALL_WORDS; BLOCKS_PER_TILE + BLOCKS_AHEAD];
    let mut sums = [[[s.splat_i16(0); 2]; screen::MAX_ROUNDS]; LANES_32];
    for (tile, out) in index.chunks_mut(BLOCKS_PER_TILE).enumerate() {
        for (j, lanes) in x.iter_mut().enumerate() {
            // Lanes after the last block keep old values, whose results are not used.
            let rest = &u[j * blocks + tile * BLOCKS_PER_TILE..];
            match rest.first_chunk() {
                Some(full) => *lanes = *full,
                None => lanes[..rest.len()].copy_from_slice(rest),
            }
        }
        let inside = match grid {
            Some(grid) => search.cell_values(&x, grid, &mut values),
            None => false,
        };
        let Some(grid) = grid.filter(|_| inside) else {
            if let Some(screen) = &plan.screen {
                for (eight, out) in out.chunks_mut(LANES_32).enumerate() {
                    search.search_screen(screen, &x, eight, &mut sums, out);
                }
                continue;
            }
            // Some block of the tile lies outside the grid's limit.
            for (i, slot) in out.iter_mut().enumerate() {
                *slot = search.search_list(&search.broadcast(&x, i), &plan.all_list);
            }
            continue;
        };
        match &grid.lists {
            Lists::One(groups) => {
                let groups = groups.as_chunks();
                for (i, slot) in out.iter_mut().enumerate() {
                    let block = search.broadcast(&x, i);
                    search.prefetch_group(groups, values[i + BLOCKS_AHEAD]);
                    *slot = match values[i] {
                        ALL_WORDS => search.search_list(&block, &plan.all_list),
                        group => search.search_group(&block, &groups[usize::from(group)]),
                    };
                }
            }
            Lists::Many { ends, groups } => {
                let mut spans = [(0, 0); BLOCKS_PER_TILE];
                for (span, &value) in spans.iter_mut().zip(&values).take(out.len()) {
                    let list = usize::from(value);
                    let from = if list == 0 {
                        0
                    } else {
                        ends[list - 1] as usize
                    };
                    *span = (from, ends[list] as usize);
                    if let Some(first) = groups.get(from) {
                        s.prefetch(first);
                    }
                }
                for (i, (slot, (from, to))) in out.iter_mut().zip(spans).enumerate() {
                    *slot = search.search_list(&search.broadcast(&x, i), &groups[from..to]);
                }
            }
        }
    }
}

/// A search among groups of words of P coordinates, each group in L cache lines.
struct Search<'a, S, const P: usize, const L: usize> {
    s: S,
    all: &'a [[Line; L]],
}

impl<S: Simd, const P: usize, const L: usize> Search<'_, S, P, L> {
    /// Writes the values of the cells of a tile; returns false if a coordinate is outside the
    /// grid's limit or NaN.
    #[inline(always)]
    fn cell_values(
        &self,
        x: &[[f32; BLOCKS_PER_TILE]; P],
        grid: &Grid,
        values: &mut [u16; BLOCKS_PER_TILE + BLOCKS_AHEAD],
    ) -> bool {
        let s = self.s;
        let (per_unit, offset) = grid.to_bins();
        let (per_unit, offset) = (s.splat(per_unit), s.splat(offset));
        let (zero, last) = (s.splat(0.0), s.splat((grid.bins - 1) as f32));
        let (bins, limit) = (s.splat(grid.bins as f32), s.splat(grid.limit));
        let mut inside = s.splat_i32(-1);
        let mut cells = [0i32; LANES_32];
        for eight in 0..BLOCKS_PER_TILE / LANES_32 {
            let mut cell = zero;
            for lanes in x {
                let value = s.load(&lanes.as_chunks::<LANES_32>().0[eight]);
                inside = s.and_i32(inside, s.gt(limit, s.abs(value)));
                let bin = s.floor(s.fma(value, per_unit, offset));
                // `min` takes a NaN to the last bin, so that the cell exists.
                let bin = s.max(s.min(bin, last), zero);
                cell = s.fma(cell, bins, bin);
            }
            s.store_i32(s.to_i32(cell), &mut cells);
            for (i, &cell) in cells.iter().enumerate() {
                values[eight * LANES_32 + i] = grid.cells[cell as usize];
            }
        }
        s.mask_all(inside)
    }

    /// Prefetches a group that is searched soon; the values after the tile may name no group.
    #[inline(always)]
    fn prefetch_group(&self, groups: &[[Line; L]], group: u16) {
        if let Some(lines) = groups.get(usize::from(group)) {
            for line in lines {
                self.s.prefetch(line);
            }
        }
    }

    /// The coordinates of block i, each in all lanes of a vector.
    #[inline(always)]
    fn broadcast(&self, x: &[[f32; BLOCKS_PER_TILE]; P], i: usize) -> [S::F32x8; P] {
        let mut block = [self.s.splat(0.0); P];
        for (value, lanes) in block.iter_mut().zip(x) {
            *value = self.s.splat(lanes[i]);
        }
        block
    }

    /// Searches eight blocks of a tile by the screen.
    #[inline(always)]
    fn search_screen(
        &self,
        screen: &Screen,
        x: &[[f32; BLOCKS_PER_TILE]; P],
        eight: usize,
        sums: &mut [screen::Sums<S>; LANES_32],
        out: &mut [u16],
    ) {
        let s = self.s;
        let mut lanes = [s.splat(0.0); P];
        for (lanes, x) in lanes.iter_mut().zip(x) {
            *lanes = s.load(&x.as_chunks::<LANES_32>().0[eight]);
        }
        let blocks = screen.prepare(s, &lanes);
        // Each step is taken for eight blocks before the next: the steps of one block depend on
        // each other, those of different blocks overlap.
        let mut maxima = [s.splat_i16(0); LANES_32];
        for (i, (sums, max)) in sums.iter_mut().zip(&mut maxima).enumerate() {
            *max = screen.sums::<S, P>(s, &blocks, i, sums);
        }
        let mut candidates = [0; LANES_32];
        for (i, groups) in candidates.iter_mut().enumerate() {
            *groups = screen.groups(s, &blocks, i, &sums[i], maxima[i]);
        }
        for (i, (slot, mut groups)) in out.iter_mut().zip(candidates).enumerate() {
            let block = self.broadcast(x, eight * LANES_32 + i);
            let mut best = s.splat(f32::NEG_INFINITY);
            let mut winner = s.splat(0.0);
            while groups != 0 {
                let group = &self.all[groups.trailing_zeros() as usize];
                groups &= groups - 1;
                (best, winner) = self.update_best(&block, group, best, winner);
            }
            *slot = self.winning_word(best, winner);
        }
    }

    /// The scores of the eight words of a group.
    #[inline(always)]
    fn scores(&self, block: &[S::F32x8; P], group: &[Line; L]) -> S::F32x8 {
        let mut score = self.s.load(vector_of(group, 0));
        for (i, x) in (1..).zip(block) {
            score = self.s.fma(*x, self.s.load(vector_of(group, i)), score);
        }
        score
    }

    /// The winning word of one group.
    #[inline(always)]
    fn search_group(&self, block: &[S::F32x8; P], group: &[Line; L]) -> u16 {
        let score = self.scores(block, group);
        let lane = self.s.first_equal(score, self.s.reduce_max(score));
        vector_of(group, P + 1)[lane % LANES_32] as u16
    }

    /// Updates each lane's highest score and its word with one more group; a tie keeps the earlier
    /// word, which is the lower one.
    #[inline(always)]
    fn update_best(
        &self,
        block: &[S::F32x8; P],
        group: &[Line; L],
        best: S::F32x8,
        winner: S::F32x8,
    ) -> (S::F32x8, S::F32x8) {
        let s = self.s;
        let score = self.scores(block, group);
        let words = s.load(vector_of(group, P + 1));
        let better = s.gt(score, best);
        (s.max(score, best), s.select(better, words, winner))
    }

    /// The winning word of a list of groups of all words; lists from the grid have an even length.
    #[inline(always)]
    fn search_list(&self, block: &[S::F32x8; P], list: &[u16]) -> u16 {
        let mut best = self.s.splat(f32::NEG_INFINITY);
        let mut winner = self.s.splat(0.0);
        let (pairs, rest) = list.as_chunks::<2>();
        for pair in pairs {
            for &group in pair {
                let group = &self.all[usize::from(group)];
                (best, winner) = self.update_best(block, group, best, winner);
            }
        }
        for &group in rest {
            let group = &self.all[usize::from(group)];
            (best, winner) = self.update_best(block, group, best, winner);
        }
        self.winning_word(best, winner)
    }

    /// The lowest word among the lanes with the highest score.
    #[inline(always)]
    fn winning_word(&self, best: S::F32x8, winner: S::F32x8) -> u16 {
        let s = self.s;
        s.min_where_equal(best, s.reduce_max(best), s.to_i32(winner)) as u16
    }
}

/// Vector i of a group.
#[inline(always)]
fn vector_of<const L: usize>(group: &[Line; L], i: usize) -> &[f32; LANES_32] {
    &group[i / 2].0[i % 2]
}

/// The rows of a table that eight indexes name, or part `$part` of `$parts` of each row.
macro_rules! rows {
    ($table:ident, $k:ident) => {
        rows!($table, $k, 1, 0)
    };
    ($table:ident, $k:ident, $parts:literal, $part:literal) => {
        $k.map(|k| &$table[usize::from(k) * $parts + $part])
    };
}

/// Writes the columns of each whole group of eight blocks, and evaluates to the number of blocks
/// done.
macro_rules! write_columns {
    ($index:ident, $out:ident, $k:ident => $columns:expr, $s:ident) => {{
        let (eights, _) = $index.as_chunks::<LANES_32>();
        for (eight, &$k) in eights.iter().enumerate() {
            let columns = $columns;
            for (j, column) in columns.into_iter().enumerate() {
                let from = eight * LANES_32 + j * $index.len();
                if let Some(to) = $out[from..].first_chunk_mut() {
                    $s.store(column, to);
                }
            }
        }
        eights.len() * LANES_32
    }};
}

#[inline(always)]
pub fn gather<S: Simd>(s: S, index: &[u16], words: &Words, out: &mut [f32]) {
    let Words { block, words, .. } = words;
    assert_eq!(out.len(), block * index.len(), "coordinates of the blocks");
    match block {
        2 => {
            let (table, _) = words.as_chunks::<2>();
            let done = write_columns!(index, out, k => s.load_transposed_8x2(rows!(table, k)), s);
            scalar::gather_from(done, index, words, out);
        }
        4 => {
            let (table, _) = words.as_chunks::<4>();
            let done = write_columns!(index, out, k => s.load_transposed_8x4(rows!(table, k)), s);
            scalar::gather_from(done, index, words, out);
        }
        8 => {
            let (table, _) = words.as_chunks::<4>();
            let done = write_columns!(index, out, k => {
                let [a, b, c, d] = s.load_transposed_8x4(rows!(table, k, 2, 0));
                let [e, f, g, h] = s.load_transposed_8x4(rows!(table, k, 2, 1));
                [a, b, c, d, e, f, g, h]
            }, s);
            scalar::gather_from(done, index, words, out);
        }
        _ => scalar::gather_from(0, index, words, out),
    }
}
