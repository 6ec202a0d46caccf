//! The grid search, eight blocks' cells at a time, then block by block.

use super::screen::{self, Screen};
use super::{EVERY, Grid, Line, Lists, Plan, Words, scalar};
use crate::kernels::simd::{LANES_32, Simd};

#[inline(always)]
pub fn pruned<S: Simd>(s: S, u: &[f32], plan: &Plan, index: &mut [u16]) {
    let grid = plan.grid.as_ref();
    if grid.is_none() && plan.screen.is_none() {
        return scalar::block(u, &plan.words, index);
    }
    match plan.words.block {
        1 => grouped::<S, 1, 2>(s, u, plan, grid, index),
        2 => grouped::<S, 2, 2>(s, u, plan, grid, index),
        3 => grouped::<S, 3, 3>(s, u, plan, grid, index),
        4 => grouped::<S, 4, 3>(s, u, plan, grid, index),
        5 => grouped::<S, 5, 4>(s, u, plan, grid, index),
        6 => grouped::<S, 6, 4>(s, u, plan, grid, index),
        7 => grouped::<S, 7, 5>(s, u, plan, grid, index),
        8 => grouped::<S, 8, 5>(s, u, plan, grid, index),
        _ => scalar::block(u, &plan.words, index),
    }
}

/// Blocks whose cells are found before their groups are searched, so that what the cells name can be on its way from the second-level cache.
const TILE: usize = 64;
/// How far ahead.
const AHEAD: usize = 8;

/// P coordinates a block, L = ⌈(P + 2)/2⌉ cache lines a group.
#[inline(always)]
fn grouped<S: Simd, const P: usize, const L: usize>(
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
    let mut x = [[0f32; TILE]; P];
    let mut values = [EVERY; TILE + AHEAD];
    let mut sums = [[[s.splat_i16(0); 2]; screen::MOST]; LANES_32];
    for (place, out) in index.chunks_mut(TILE).enumerate() {
        for (j, lanes) in x.iter_mut().enumerate() {
            // Lanes beyond the last block hold what stands there: they are not looked at.
            let rest = &u[j * blocks + place * TILE..];
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
                    search.screened(screen, &x, eight, &mut sums, out);
                }
                continue;
            }
            // Some block lies beyond what the grid was proved for.
            for (i, slot) in out.iter_mut().enumerate() {
                *slot = search.list(&search.broadcast(&x, i), &plan.every);
            }
            continue;
        };
        match &grid.lists {
            Lists::One(groups) => {
                let groups = groups.as_chunks();
                for (i, slot) in out.iter_mut().enumerate() {
                    let block = search.broadcast(&x, i);
                    search.fetch(groups, values[i + AHEAD]);
                    *slot = match values[i] {
                        EVERY => search.list(&block, &plan.every),
                        group => search.one(&block, &groups[usize::from(group)]),
                    };
                }
            }
            Lists::Many { ends, groups } => {
                let mut spans = [(0, 0); TILE];
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
                    *slot = search.list(&search.broadcast(&x, i), &groups[from..to]);
                }
            }
        }
    }
}

/// The search among groups of words of P coordinates, each in L cache lines.
struct Search<'a, S, const P: usize, const L: usize> {
    s: S,
    all: &'a [[Line; L]],
}

impl<S: Simd, const P: usize, const L: usize> Search<'_, S, P, L> {
    /// The values of the cells of a tile; false if a coordinate is beyond the grid's limit, or no number.
    #[inline(always)]
    fn cell_values(
        &self,
        x: &[[f32; TILE]; P],
        grid: &Grid,
        values: &mut [u16; TILE + AHEAD],
    ) -> bool {
        let s = self.s;
        let (per_unit, offset) = grid.to_bins();
        let (per_unit, offset) = (s.splat(per_unit), s.splat(offset));
        let (zero, last) = (s.splat(0.0), s.splat((grid.bins - 1) as f32));
        let (bins, limit) = (s.splat(grid.bins as f32), s.splat(grid.limit));
        let mut inside = s.splat_i32(-1);
        let mut cells = [0i32; LANES_32];
        for eight in 0..TILE / LANES_32 {
            let mut cell = zero;
            for lanes in x {
                let value = s.load(&lanes.as_chunks::<LANES_32>().0[eight]);
                inside = s.and_i32(inside, s.gt(limit, s.abs(value)));
                let bin = s.floor(s.fma(value, per_unit, offset));
                // A NaN ends as the last bin.
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

    /// Sends for a group that is searched soon.
    #[inline(always)]
    fn fetch(&self, groups: &[[Line; L]], group: u16) {
        if let Some(lines) = groups.get(usize::from(group)) {
            for line in lines {
                self.s.prefetch(line);
            }
        }
    }

    /// Block i, each coordinate in all lanes.
    #[inline(always)]
    fn broadcast(&self, x: &[[f32; TILE]; P], i: usize) -> [S::F32x8; P] {
        let mut block = [self.s.splat(0.0); P];
        for (value, lanes) in block.iter_mut().zip(x) {
            *value = self.s.splat(lanes[i]);
        }
        block
    }

    /// The winners of eight blocks of a tile by [`Screen`].
    #[inline(always)]
    fn screened(
        &self,
        screen: &Screen,
        x: &[[f32; TILE]; P],
        eight: usize,
        sums: &mut [screen::Sums<S>; LANES_32],
        out: &mut [u16],
    ) {
        let s = self.s;
        let mut lanes = [s.splat(0.0); P];
        for (lanes, x) in lanes.iter_mut().zip(x) {
            *lanes = s.load(&x.as_chunks::<LANES_32>().0[eight]);
        }
        let small = screen.prepare(s, &lanes);
        // Step by step for eight blocks, so that no step waits for the end of a block's long chain.
        let mut most = [s.splat_i16(0); LANES_32];
        for (i, (sums, most)) in sums.iter_mut().zip(&mut most).enumerate() {
            *most = screen.sums::<S, P>(s, &small, i, sums);
        }
        let mut candidates = [0; LANES_32];
        for (i, groups) in candidates.iter_mut().enumerate() {
            *groups = screen.groups(s, &small, i, &sums[i], most[i]);
        }
        for (i, (slot, mut groups)) in out.iter_mut().zip(candidates).enumerate() {
            let block = self.broadcast(x, eight * LANES_32 + i);
            let mut best = s.splat(f32::NEG_INFINITY);
            let mut winner = s.splat(0.0);
            while groups != 0 {
                let group = &self.all[groups.trailing_zeros() as usize];
                groups &= groups - 1;
                (best, winner) = self.better(&block, group, best, winner);
            }
            *slot = self.first(best, winner);
        }
    }

    /// The scores of the words of a group.
    #[inline(always)]
    fn scores(&self, block: &[S::F32x8; P], group: &[Line; L]) -> S::F32x8 {
        let mut score = self.s.load(register(group, 0));
        for (place, x) in (1..).zip(block) {
            score = self.s.fma(*x, self.s.load(register(group, place)), score);
        }
        score
    }

    /// The winner of one group.
    #[inline(always)]
    fn one(&self, block: &[S::F32x8; P], group: &[Line; L]) -> u16 {
        let score = self.scores(block, group);
        let lane = self.s.first_equal(score, self.s.reduce_max(score));
        register(group, P + 1)[lane % LANES_32] as u16
    }

    /// The greatest scores so far and the numbers of their words, after one more group.
    #[inline(always)]
    fn better(
        &self,
        block: &[S::F32x8; P],
        group: &[Line; L],
        best: S::F32x8,
        winner: S::F32x8,
    ) -> (S::F32x8, S::F32x8) {
        let s = self.s;
        let score = self.scores(block, group);
        let numbers = s.load(register(group, P + 1));
        let better = s.gt(score, best);
        (s.max(score, best), s.select(better, numbers, winner))
    }

    /// The winner of a list of groups of all words.
    #[inline(always)]
    fn list(&self, block: &[S::F32x8; P], list: &[u16]) -> u16 {
        let mut best = self.s.splat(f32::NEG_INFINITY);
        let mut winner = self.s.splat(0.0);
        let (pairs, rest) = list.as_chunks::<2>();
        for pair in pairs {
            for &group in pair {
                let group = &self.all[usize::from(group)];
                (best, winner) = self.better(block, group, best, winner);
            }
        }
        for &group in rest {
            let group = &self.all[usize::from(group)];
            (best, winner) = self.better(block, group, best, winner);
        }
        self.first(best, winner)
    }

    /// The lowest number among the greatest scores.
    #[inline(always)]
    fn first(&self, best: S::F32x8, winner: S::F32x8) -> u16 {
        let s = self.s;
        s.min_where_equal(best, s.reduce_max(best), s.to_i32(winner)) as u16
    }
}

/// Register `place` of a group.
#[inline(always)]
fn register<const L: usize>(group: &[Line; L], place: usize) -> &[f32; LANES_32] {
    &group[place / 2].0[place % 2]
}

/// The rows of a table that eight indexes name, or part `$part` of `$parts` of each.
macro_rules! rows {
    ($table:ident, $k:ident) => {
        rows!($table, $k, 1, 0)
    };
    ($table:ident, $k:ident, $parts:literal, $part:literal) => {
        $k.map(|k| &$table[usize::from(k) * $parts + $part])
    };
}

/// Writes the columns of each whole eight of blocks, and is the number of blocks done.
macro_rules! eights {
    ($index:ident, $out:ident, $k:ident => $columns:expr, $s:ident) => {{
        let (eights, _) = $index.as_chunks::<LANES_32>();
        for (place, &$k) in eights.iter().enumerate() {
            let columns = $columns;
            for (j, column) in columns.into_iter().enumerate() {
                let from = place * LANES_32 + j * $index.len();
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
            let done = eights!(index, out, k => s.load_transposed_8x2(rows!(table, k)), s);
            scalar::gather_from(done, index, words, out);
        }
        4 => {
            let (table, _) = words.as_chunks::<4>();
            let done = eights!(index, out, k => s.load_transposed_8x4(rows!(table, k)), s);
            scalar::gather_from(done, index, words, out);
        }
        8 => {
            let (table, _) = words.as_chunks::<4>();
            let done = eights!(index, out, k => {
                let [a, b, c, d] = s.load_transposed_8x4(rows!(table, k, 2, 0));
                let [e, f, g, h] = s.load_transposed_8x4(rows!(table, k, 2, 1));
                [a, b, c, d, e, f, g, h]
            }, s);
            scalar::gather_from(done, index, words, out);
        }
        _ => scalar::gather_from(0, index, words, out),
    }
}
