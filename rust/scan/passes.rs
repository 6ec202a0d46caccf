//! A pass of a level over all rows of a tile, for some queries: level 0, or level 1 of each row.
//! The rows that pass go through the other levels.

use super::Expand;
use super::bounds::{Shape, SignLevel, Tables};
use super::refine::{Buffers, Known, LATE_ROWS, Scan};
use super::run::{Late, Run};
use super::signs::{Chunk, Places, first_bits};
use super::tile::{Tile, TileColumns};
use super::tuning::MIN_QUERIES_TO_EXPAND;
use crate::aligned::Aligned;
use crate::kernels::code_products;
use crate::kernels::sign_scan::{self, Cut, ROWS_PER_GROUP, group_bytes};

/// Queries that share the LUT pass over a tile.
const QUERIES_PER_PASS: usize = 4;
/// How much wider than computed the reach of a filter is: it rounds more than the bound does.
const SLACK: f32 = 1.001;
/// Rows of a trial whose integers are multiplied.
const TRIED_ROWS: usize = 16;

impl<E: Expand> Scan<'_, E> {
    /// Level 0 for some queries, and the other levels for at most `most` of the rows that it
    /// leaves. `cut` makes what is cut off of the number of a query, the cut of its bar, the sums
    /// and the columns.
    pub fn by_signs(
        &self,
        places: Places<'_>,
        which: &[usize],
        runs: &mut [Run<'_>],
        state: &mut State,
        most: usize,
        mut cut: impl FnMut(usize, &Cut, &[u16], &TileColumns) -> Cut,
    ) {
        let Some(tables) = self.tables else { return };
        let dim = tables.codes.dim();
        let State {
            buffers,
            chunk,
            tile,
            columns,
            sums,
            masks,
            picked,
            known,
            ..
        } = state;
        let (chunk, place) = self.signs_of(tables, places, tile, chunk, picked);
        columns.fill(self.isa, self.corpus, chunk, place, tile);
        let groups = tile.masks.len();
        let planes = planes(chunk, place, groups, dim);
        let length = groups * ROWS_PER_GROUP;
        masks.resize(groups, 0);
        for some in which.chunks(QUERIES_PER_PASS) {
            let levels = some
                .iter()
                .filter_map(|&q| Some((q, runs[q].levels?.signs.as_ref()?)));
            let levels: Vec<_> = levels.collect();
            let luts: Vec<&[u8]> = levels.iter().map(|(_, level)| &*level.query.lut).collect();
            sums.resize(length * luts.len(), 0);
            sign_scan::sums(self.isa, planes, dim, &luts, sums);
            for ((q, level), sums) in levels.iter().zip(sums.chunks_exact(length)) {
                let run = &mut runs[*q];
                let of_bar = self.cut(run, level, columns);
                let threshold = of_bar.threshold;
                let cut = cut(*q, &of_bar, sums, columns);
                sign_scan::sums_reach(self.isa, sums, &columns.view(), &cut, masks);
                picked.clear();
                known.clear();
                for (group, (&mask, &live)) in masks.iter().zip(&tile.masks).enumerate() {
                    let mut mask = mask & live;
                    run.work.passed += mask.count_ones() as usize;
                    while mask != 0 {
                        let at = group * ROWS_PER_GROUP + mask.trailing_zeros() as usize;
                        mask &= mask - 1;
                        let (row, sum) = (tile.row(at), sums[at]);
                        let signs = (chunk.shape(place + at), sum);
                        let [key, bound] = columns.bound(at, sum, &cut);
                        if key < threshold {
                            run.late.push(Late { row, bound, signs });
                        } else {
                            picked.push(row);
                            known.push(signs);
                        }
                    }
                }
                picked.truncate(most);
                self.refine(run, picked, &Known::Signs(known), buffers);
                if run.late.len() >= LATE_ROWS {
                    self.refine_late(run, picked, known, buffers);
                }
            }
        }
    }

    /// The shares of the rows of a small tile that pass level 0, and level 1, of some queries.
    /// Nothing is done with the rows. `has_signs` says for which queries level 0 is
    /// possible.
    pub fn trial(
        &self,
        places: Places<'_>,
        which: &[usize],
        has_signs: impl Fn(usize) -> bool,
        runs: &mut [Run<'_>],
        state: &mut State,
    ) -> Vec<[f64; 2]> {
        let Some(tables) = self.tables else {
            return vec![[1.0; 2]; which.len()];
        };
        let State {
            chunk,
            tile,
            columns,
            sums,
            masks,
            picked,
            ints,
            rows,
            ..
        } = state;
        let dim = tables.codes.dim();
        let groups = tile.masks.len();
        sums.resize(groups * ROWS_PER_GROUP, 0);
        masks.resize(groups, 0);
        let signs = which.iter().any(|&q| has_signs(q)).then(|| {
            let (chunk, place) = self.signs_of(tables, places, tile, chunk, picked);
            columns.fill(self.isa, self.corpus, chunk, place, tile);
            planes(chunk, place, groups, dim)
        });
        picked.clear();
        picked.extend(rows.iter().step_by(rows.len().div_ceil(TRIED_ROWS)));
        ints.resize(picked.len(), 0);
        let mut shares = |run: &mut Run<'_>, has_signs: bool| {
            let Some(levels) = run.levels else {
                return [1.0; 2];
            };
            let mut passed = tile.rows;
            let level = levels.signs.as_ref().filter(|_| has_signs);
            if let Some((planes, level)) = signs.zip(level) {
                sign_scan::sums(self.isa, planes, dim, &[&level.query.lut], sums);
                let cut = self.cut(run, level, columns);
                sign_scan::sums_reach(self.isa, sums, &columns.view(), &cut, masks);
                let live = masks
                    .iter()
                    .zip(&tile.masks)
                    .map(|(mask, live)| mask & live);
                passed = live.map(|mask| mask.count_ones() as usize).sum();
            }
            let packed = self.corpus.codes.packed;
            code_products::products(self.isa, &tables.codes, packed, picked, &levels.ints, ints);
            let threshold = self.threshold_of(run, picked);
            let reaching = (picked.iter().zip(ints.iter())).filter(|&(&row, &product)| {
                let key = self.corpus.key(run.weight, row, levels.upper(product));
                key.is_none_or(|key| key >= threshold)
            });
            [
                passed as f64 / tile.rows as f64,
                reaching.count() as f64 / picked.len() as f64,
            ]
        };
        let shares = which.iter().map(|&q| shares(&mut runs[q], has_signs(q)));
        shares.collect()
    }

    /// The signs of the tile, and the place in them of its first row: kept signs are those of the
    /// whole chunk, derived ones those of the tile.
    fn signs_of<'a>(
        &self,
        tables: &Tables,
        places: Places<'a>,
        tile: &Tile,
        derived: &'a mut Chunk,
        rows: &mut Vec<u32>,
    ) -> (&'a Chunk, usize) {
        match places.chunk {
            Some(chunk) => (chunk, tile.group * ROWS_PER_GROUP),
            None => {
                tile.list_all(rows);
                derived.derive(self.isa, tables, self.corpus.codes, rows);
                (derived, 0)
            }
        }
    }

    /// What level 0 of a query cuts off of the tile with these columns.
    fn cut(&self, run: &mut Run<'_>, level: &SignLevel, columns: &TileColumns) -> Cut {
        let threshold = self.threshold(run, columns.most);
        let across = columns.across(threshold, run.weight, level.query.norm);
        Cut {
            unit: level.query.unit,
            offset: level.query.offset,
            reach: level.reach * level.widening(across) * SLACK,
            weight: run.weight,
            threshold,
        }
    }

    /// Level 1 of all rows for some queries.
    pub fn by_integers(&self, which: &[usize], runs: &mut [Run<'_>], state: &mut State) {
        let Some(tables) = self.tables else { return };
        let State {
            buffers,
            rows,
            bytes,
            ints,
            picked,
            products,
            masks,
            columns,
            ..
        } = state;
        if which.len() < MIN_QUERIES_TO_EXPAND {
            for &q in which {
                self.refine(&mut runs[q], rows, &Known::Nothing, buffers);
            }
            return;
        }
        let dim = tables.codes.dim();
        if bytes.len() != code_products::tile_bytes(dim) {
            *bytes = Aligned::new(code_products::tile_bytes(dim));
        }
        let levels: Vec<_> = which.iter().filter_map(|&q| runs[q].levels).collect();
        let integers: Vec<_> = levels.iter().map(|levels| &levels.ints).collect();
        masks.resize(1, 0);
        for some in rows.chunks(ROWS_PER_GROUP) {
            let packed = self.corpus.codes.packed;
            code_products::expand(self.isa, &tables.codes, packed, some, bytes);
            ints.resize(ROWS_PER_GROUP * which.len(), 0);
            code_products::tile_products(self.isa, bytes, dim, &integers, ints);
            columns.fill_alpha(self.corpus, some);
            for ((&q, levels), ints) in which
                .iter()
                .zip(&levels)
                .zip(ints.chunks_exact(ROWS_PER_GROUP))
            {
                let run = &mut runs[q];
                let threshold = self.threshold(run, columns.most);
                let cut = Cut {
                    unit: levels.unit,
                    offset: 0.0,
                    reach: levels.margin * SLACK,
                    weight: run.weight,
                    threshold,
                };
                sign_scan::ints_reach(self.isa, ints, &columns.view(), &cut, masks);
                let mut mask = masks[0] & first_bits(some.len());
                if mask == 0 {
                    continue;
                }
                picked.clear();
                products.clear();
                while mask != 0 {
                    let at = mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    picked.push(some[at]);
                    products.push(ints[at]);
                }
                self.refine_with(run, picked, products, &Known::Nothing, buffers);
            }
        }
    }
}

/// The signs of some groups from a place on.
fn planes(chunk: &Chunk, place: usize, groups: usize, dim: usize) -> &[u8] {
    let bytes = group_bytes(dim);
    &chunk.groups[place / ROWS_PER_GROUP * bytes..][..groups * bytes]
}

/// Buffers of a thread.
pub(super) struct State {
    pub buffers: Buffers,
    pub chunk: Chunk,
    pub tile: Tile,
    pub columns: TileColumns,
    pub sums: Vec<u16>,
    pub masks: Vec<u64>,
    /// The rows that a filter has left.
    pub picked: Vec<u32>,
    pub products: Vec<i32>,
    pub known: Vec<(Shape, u16)>,
    /// The allowed rows of the tile.
    pub rows: Vec<u32>,
    pub bytes: Aligned<u8>,
    pub ints: Vec<i32>,
    pub merits: Vec<f32>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            buffers: Buffers::default(),
            chunk: Chunk::default(),
            tile: Tile::default(),
            columns: TileColumns::default(),
            sums: Vec::new(),
            masks: Vec::new(),
            picked: Vec::new(),
            products: Vec::new(),
            known: Vec::new(),
            rows: Vec::new(),
            bytes: Aligned::new(0),
            ints: Vec::new(),
            merits: Vec::new(),
        }
    }
}
