//! A pass of a level over all rows of a tile, for some queries: level 0, or level 1 of each row.
//! The rows that pass go through the other levels.

use super::Expand;
use super::bounds::Tables;
use super::filter::{QUERIES_PER_PASS, Sums, TileCut, TileSigns, ints_reach};
use super::levels::{Bounded, Levels, PerSection, Seen};
use super::refine::{Buffers, Known, LATE_ROWS, Scan};
use super::run::{Late, Run};
use super::signs::{Chunk, Places, first_bits};
use super::tile::{Tile, TileColumns};
use super::tuning::MIN_QUERIES_TO_EXPAND;
use crate::aligned::Aligned;
use crate::kernels::code_products;
use crate::kernels::sign_scan::{Cut, Picked, ROWS_PER_GROUP, SectionsCut};

/// How much wider than computed the reach of a filter is: it rounds more than the bound does.
const SLACK: f32 = 1.001;
/// Rows of a trial whose integers are multiplied.
const TRIED_ROWS: usize = 16;

impl<E: Expand> Scan<'_, E> {
    /// Level 0 for some queries, and the other levels for at most `most` of the rows that it
    /// leaves. `cut` makes what is cut off of the number of a query, its level and the cut of its
    /// bar.
    pub fn by_signs(
        &self,
        places: Places<'_>,
        which: &[usize],
        runs: &mut [Run<'_>],
        state: &mut State,
        most: usize,
        mut cut: impl FnMut(usize, &TileSigns<'_>, TileCut) -> TileCut,
    ) {
        let Some(tables) = self.tables else { return };
        let State {
            buffers,
            chunk,
            tile,
            columns,
            sums,
            masks,
            passed,
            uppers,
            picked,
            known,
            ..
        } = state;
        let (chunk, place) = self.signs_of(tables, places, tile, chunk, picked);
        columns.fill(self.isa, self.corpus, chunk, place, tile);
        let groups = tile.masks.len();
        masks.resize(groups, 0);
        for some in which.chunks(QUERIES_PER_PASS) {
            let levels = some
                .iter()
                .filter_map(|&q| Some((q, runs[q].levels?.signs.as_ref()?)));
            let levels: Vec<_> = levels.collect();
            let each: Vec<_> = levels.iter().map(|&(_, level)| level).collect();
            sums.fill(self.isa, chunk, place, groups, &each);
            for (of, &(q, level)) in levels.iter().enumerate() {
                let run = &mut runs[q];
                let signs = TileSigns {
                    columns,
                    chunk,
                    place,
                    rows: groups * ROWS_PER_GROUP,
                    level,
                    sums: sums.of(of),
                };
                let of_bar = self.cut(run, &signs);
                let cut = cut(q, &signs, of_bar);
                signs.reach(self.isa, &cut, masks);
                let room = (&mut *passed, &mut *uppers);
                signs.pick(self.isa, &of_bar, masks, &tile.masks, room);
                run.work.passed += passed.rows.len();
                picked.clear();
                known.clear();
                let threshold = of_bar.threshold();
                let bounds = passed.keys.iter().zip(&passed.bounds);
                for (i, (&at, (&key, &bound))) in passed.rows.iter().zip(bounds).enumerate() {
                    let at = at as usize;
                    let (row, seen) = (tile.row(at), signs.seen(at, uppers.get(i)));
                    if key < threshold {
                        run.late.push(Late { row, bound, seen });
                    } else {
                        picked.push(row);
                        known.push(seen);
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
            bounded,
            rows,
            ..
        } = state;
        let groups = tile.masks.len();
        masks.resize(groups, 0);
        let signs = which.iter().any(|&q| has_signs(q)).then(|| {
            let (chunk, place) = self.signs_of(tables, places, tile, chunk, picked);
            columns.fill(self.isa, self.corpus, chunk, place, tile);
            (chunk, place)
        });
        picked.clear();
        picked.extend(rows.iter().step_by(rows.len().div_ceil(TRIED_ROWS)));
        let mut shares = |run: &mut Run<'_>, has_signs: bool| {
            let Some(levels) = run.levels else {
                return [1.0; 2];
            };
            let mut passed = tile.rows;
            let level = levels.signs.as_ref().filter(|_| has_signs);
            if let Some(((chunk, place), level)) = signs.zip(level) {
                sums.fill(self.isa, chunk, place, groups, &[level]);
                let signs = TileSigns {
                    columns,
                    chunk,
                    place,
                    rows: groups * ROWS_PER_GROUP,
                    level,
                    sums: sums.of(0),
                };
                signs.reach(self.isa, &self.cut(run, &signs), masks);
                let live = masks
                    .iter()
                    .zip(&tile.masks)
                    .map(|(mask, live)| mask & live);
                passed = live.map(|mask| mask.count_ones() as usize).sum();
            }
            self.bounded(tables, levels, picked, ints, bounded);
            let threshold = self.threshold_of(run, picked);
            let reaching = (picked.iter().zip(bounded.iter())).filter(|&(&row, bounded)| {
                let key = self.corpus.key(run.weight, row, bounded.upper);
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

    /// What level 0 of a query cuts off of the tile.
    fn cut(&self, run: &mut Run<'_>, signs: &TileSigns<'_>) -> TileCut {
        let (columns, level) = (signs.columns, signs.level);
        let threshold = self.threshold(run, columns.most);
        let weight = run.weight;
        match level.only() {
            Some(only) => {
                let across = columns.across(threshold, weight, only.query.norm);
                TileCut::One(Cut {
                    unit: only.query.unit,
                    offset: only.query.offset,
                    reach: only.reach * only.widening(across) * SLACK,
                    weight,
                    threshold,
                })
            }
            None => TileCut::Sections(SectionsCut {
                sections: level.cuts(SLACK),
                weight,
                threshold,
            }),
        }
    }

    /// What level 1 of a query knows of these rows.
    pub fn bounded(
        &self,
        tables: &Tables,
        levels: &Levels,
        rows: &[u32],
        ints: &mut Vec<i32>,
        bounded: &mut Vec<Bounded>,
    ) {
        let (sections, packed) = (tables.sections(), self.corpus.codes.packed);
        ints.resize(sections.len() * rows.len(), 0);
        for (i, section) in sections.iter().enumerate() {
            let ints = &mut ints[i * rows.len()..][..rows.len()];
            let query = levels.ints(i);
            code_products::products(self.isa, &section.codes, packed, rows, query, ints);
        }
        bounded.clear();
        let Some(gains) = tables.gains() else {
            let of = |&product: &i32| levels.bounded(None, |_| product);
            return bounded.extend(ints.iter().map(of));
        };
        let mut each = PerSection::default();
        for (place, &row) in rows.iter().enumerate() {
            gains.gains(self.corpus.codes.row(row as usize), &mut each);
            let product = |section: usize| ints[section * rows.len() + place];
            bounded.push(levels.bounded(Some(&each), product));
        }
    }

    /// What level 1 of a query cuts off of the rows with these columns.
    fn ints_cut(&self, run: &mut Run<'_>, levels: &Levels, columns: &TileColumns) -> TileCut {
        let threshold = self.threshold(run, columns.most);
        let weight = run.weight;
        let sections = levels.cuts(SLACK);
        match levels.sections() {
            1 => TileCut::One(Cut {
                unit: sections[0].unit,
                offset: 0.0,
                reach: sections[0].reach,
                weight,
                threshold,
            }),
            _ => TileCut::Sections(SectionsCut {
                sections,
                weight,
                threshold,
            }),
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
            bounded,
            picked,
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
        let sections = tables.sections();
        bytes.resize_with(sections.len(), || Aligned::new(0));
        for (bytes, section) in bytes.iter_mut().zip(sections) {
            let length = code_products::tile_bytes(section.dim());
            if bytes.len() != length {
                *bytes = Aligned::new(length);
            }
        }
        let levels: Vec<_> = which.iter().filter_map(|&q| runs[q].levels).collect();
        let integers: Vec<Vec<_>> = (0..sections.len())
            .map(|section| levels.iter().map(|levels| levels.ints(section)).collect())
            .collect();
        masks.resize(1, 0);
        let all = ROWS_PER_GROUP * which.len();
        ints.resize(all * sections.len(), 0);
        for some in rows.chunks(ROWS_PER_GROUP) {
            let packed = self.corpus.codes.packed;
            for (i, (section, bytes)) in sections.iter().zip(&mut *bytes).enumerate() {
                code_products::expand(self.isa, &section.codes, packed, some, bytes);
                let out = &mut ints[i * all..][..all];
                code_products::tile_products(self.isa, bytes, section.dim(), &integers[i], out);
            }
            columns.fill_ints(self.corpus, tables, some);
            for (place, (&q, levels)) in which.iter().zip(&levels).enumerate() {
                let run = &mut runs[q];
                let mut products = PerSection::default();
                for (products, of) in products.iter_mut().zip(ints.chunks_exact(all)) {
                    *products = &of[place * ROWS_PER_GROUP..][..ROWS_PER_GROUP];
                }
                let products = &products[..sections.len()];
                let cut = self.ints_cut(run, levels, columns);
                ints_reach(self.isa, products, columns, &cut, masks);
                let mut mask = masks[0] & first_bits(some.len());
                if mask == 0 {
                    continue;
                }
                picked.clear();
                bounded.clear();
                while mask != 0 {
                    let at = mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    picked.push(some[at]);
                    let gains = tables.gains().map(|_| columns.gains_of(at));
                    let of = levels.bounded(gains.as_ref(), |section| products[section][at]);
                    bounded.push(of);
                }
                self.refine_with(run, picked, bounded, &Known::Nothing, buffers);
            }
        }
    }
}

/// Buffers of a thread.
#[derive(Default)]
pub(super) struct State {
    pub buffers: Buffers,
    pub chunk: Chunk,
    pub tile: Tile,
    pub columns: TileColumns,
    pub sums: Sums,
    pub masks: Vec<u64>,
    /// The rows of a tile that level 0 has left.
    pub passed: Picked,
    /// The bounds of the products of these, if they have more sections.
    pub uppers: Vec<f32>,
    /// The rows that a filter has left.
    pub picked: Vec<u32>,
    pub known: Vec<Seen>,
    /// The allowed rows of the tile.
    pub rows: Vec<u32>,
    /// Tiles of integers, one for each section.
    pub bytes: Vec<Aligned<u8>>,
    pub ints: Vec<i32>,
    pub bounded: Vec<Bounded>,
    pub merits: Vec<f32>,
}
