//! The streaming cascade: tiles of rows go through the levels for all queries at once.
//!
//! ```text
//! for each tile of rows:
//!     signs and shapes of its rows      kept, or derived from the packed codes
//!     for each four queries:
//!         sums of weights where signs agree                 one LUT pass over the tile
//!         masks of the rows whose bound reaches the bar     no branch per row
//!     for each query:
//!         integer products of these rows                    straight from the packed codes
//!         candidates; the best are estimated exactly, and the bar rises
//! at the end: candidates that still reach the bar are estimated
//! ```
//!
//! **Modes.** Where most rows pass level 0, its pass is not worth its cost: the query then takes
//! integer products of all rows (of a tile that is expanded to bytes once, if several queries do).
//! Where most rows pass level 1 too, as equal rows do, all are estimated in float32. A query
//! changes its mode by what the tile before has left, and tries the cheaper ones again from time to
//! time. The mode never changes the result: see [`top`](super::top).
//!
//! **Tiles** grow from [`FIRST_ROWS`] rows, because the bar rises most in the beginning, up to the
//! number whose signs fit half of the first-level cache, at least one group.

use super::Expand;
use super::bounds::{Levels, Shape, Tables};
use super::corpus::{Corpus, SearchQuery};
use super::plain::Plain;
use super::refine::{Buffers, Known, LATE_ROWS, Late, Run, Scan};
use super::signs::{Chunk, GROUPS_PER_CHUNK, Places, ROWS_PER_CHUNK, Signs, first_bits};
use super::tile::{Tile, TileColumns};
use super::top::{Bar, Bars, Top};
use super::tuning::{Costs, Mode, Tuning};
use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::code_products;
use crate::kernels::sign_scan::{self, Cut, ROWS_PER_GROUP, group_bytes};
use crate::threads;

/// Rows of the first tile.
const FIRST_ROWS: usize = 128;
/// Bytes of signs of a tile, which stay in the cache while all queries scan them.
const TILE_BYTES: usize = 1 << 17;
/// The fewest queries for which deriving signs costs less than it saves.
pub const MIN_QUERIES_TO_DERIVE: usize = 4;
/// The fewest queries for which a tile is expanded to bytes.
const MIN_QUERIES_TO_EXPAND: usize = 4;
/// Queries that share the LUT pass over a tile.
const QUERIES_PER_PASS: usize = 4;
/// For many queries that search fewer rows than these, finding the mode costs more than it saves.
const MAX_SMALL_ROWS: usize = 1024;
/// The most chunks in which a first bar is looked for, at most one in so many of all.
const SEED_CHUNKS: usize = 4;
const CHUNKS_PER_SEED_CHUNK: usize = 8;
/// Seeds besides two for each row that is asked for, and the largest share of rows they may be.
const MIN_SEEDS: usize = 32;
const MAX_SEED_SHARE: f64 = 0.1;
/// Groups of a tile in which a query tries a cheaper mode.
const TRIAL_GROUPS: usize = 2;
/// A part of the slack that a filter gives to rounding: see [`Tile::new`].
const SLACK: f32 = 1.001;

/// A cascade over some rows.
pub(super) struct Cascade<'a, E> {
    pub isa: Isa,
    pub corpus: &'a Corpus<'a, E>,
    pub tables: Option<&'a Tables>,
    pub signs: Option<&'a Signs>,
    pub levels: &'a [Option<Levels>],
    pub queries: &'a [SearchQuery<'a>],
    /// Which rows may be found: one bit per row, in words of 64.
    pub allowed: Option<&'a [u64]>,
    pub count: usize,
}

impl<'a, E: Expand> Cascade<'a, E> {
    /// The number of chunks of rows.
    pub fn chunks(&self) -> usize {
        match self.signs {
            Some(signs) => signs.chunks(),
            None => self.corpus.codes.len().div_ceil(ROWS_PER_CHUNK),
        }
    }

    /// The places of a chunk.
    fn places(&self, chunk: usize) -> Places<'a> {
        if let Some(signs) = self.signs {
            return signs.chunk(chunk);
        }
        let first = chunk * ROWS_PER_CHUNK;
        Places {
            chunk: None,
            first,
            length: ROWS_PER_CHUNK.min(self.corpus.codes.len() - first),
            live: None,
        }
    }

    /// The best rows of each query among those of some chunks.
    pub fn run(&self, chunks: std::ops::Range<usize>, bars: &Bars) -> Vec<Top> {
        let many = self.queries.len() >= MIN_QUERIES_TO_EXPAND;
        let scan = Scan {
            isa: self.isa,
            corpus: self.corpus,
            tables: self.tables,
            bars,
        };
        let mut runs: Vec<Run<'_>> = (self.queries.iter().zip(self.levels).enumerate())
            .map(|(place, (&query, levels))| {
                let weight = self.corpus.weight(query);
                Run::new(place, query, weight, levels.as_ref(), self.count)
            })
            .collect();
        let has_signs = self.signs.is_some() || self.queries.len() >= MIN_QUERIES_TO_DERIVE;
        let tuning = |levels: &Option<Levels>| {
            let signs = levels
                .as_ref()
                .map(|levels| has_signs && levels.signs.is_some());
            Tuning::new(many, [signs == Some(true), signs.is_some()])
        };
        let mut tunings: Vec<Tuning> = self.levels.iter().map(tuning).collect();
        let mut state = State::default();
        let costs = Costs::new(self.isa, many);
        let most_groups = self.tile_groups();
        let is_small = many && self.corpus.codes.len() <= MAX_SMALL_ROWS;
        self.seed(&scan, chunks.clone(), &mut runs, &mut tunings, &mut state);
        let mut groups = FIRST_ROWS.max(2 * self.count).div_ceil(ROWS_PER_GROUP);
        let mut seen = 0;
        for chunk in chunks {
            let places = self.places(chunk);
            let end = places.length.div_ceil(ROWS_PER_GROUP);
            let mut from = 0;
            while from < end {
                threads::check();
                let most = if tunings.iter().any(Tuning::is_due) && seen > 0 {
                    TRIAL_GROUPS
                } else {
                    groups.min(most_groups)
                };
                let to = end.min(from + most);
                groups = if is_small {
                    GROUPS_PER_CHUNK
                } else {
                    (2 * groups).min(most_groups)
                };
                state.tile.fill(places, from..to, self.allowed);
                from = to;
                let rows = state.tile.rows;
                if rows == 0 {
                    continue;
                }
                for (tuning, run) in tunings.iter_mut().zip(&runs) {
                    if tuning.is_due() && seen > 0 && !is_small {
                        tuning.mode = tuning.cheapest();
                    }
                    tuning.estimated = run.estimated;
                }
                self.tile(&scan, places, &mut runs, &mut tunings, &mut state);
                seen += rows;
                for (tuning, run) in tunings.iter_mut().zip(&runs) {
                    tuning.choose(&costs, rows, run.estimated);
                }
            }
        }
        (runs.into_iter())
            .map(|mut run| {
                let State {
                    picked,
                    known,
                    buffers,
                    ..
                } = &mut state;
                scan.refine_late(&mut run, picked, known, buffers);
                scan.estimate_waiting(&mut run, buffers, 0);
                run.top
            })
            .collect()
    }

    /// Finds a first bar for the queries that can use signs: the rows of the first chunks whose
    /// estimates by signs are among the largest go through all levels. They come again in their
    /// turn, so only the bar is kept.
    fn seed(
        &self,
        scan: &Scan<'_, E>,
        chunks: std::ops::Range<usize>,
        runs: &mut [Run<'_>],
        tunings: &mut [Tuning],
        state: &mut State,
    ) {
        let seeds = 2 * self.count + MIN_SEEDS;
        let length = SEED_CHUNKS.min(chunks.len() / CHUNKS_PER_SEED_CHUNK);
        let share = seeds as f64 / (length * ROWS_PER_CHUNK) as f64;
        let has_bar = |run: &Run<'_>| scan.bars.get(run.place) != Bar::NONE;
        let which: Vec<usize> = (0..runs.len())
            .filter(|&q| tunings[q].cheapest() == Mode::Signs && !has_bar(&runs[q]))
            .collect();
        if length == 0 || share > MAX_SEED_SHARE || which.is_empty() {
            return;
        }
        let mut thresholds: Vec<Option<f32>> = vec![None; runs.len()];
        for chunk in chunks.take(length) {
            let places = self.places(chunk);
            let groups = 0..places.length.div_ceil(ROWS_PER_GROUP);
            state.tile.fill(places, groups, self.allowed);
            self.by_signs(
                scan,
                places,
                &which,
                runs,
                state,
                |q, cut, sums, columns| Cut {
                    reach: 0.0,
                    threshold: *thresholds[q]
                        .get_or_insert_with(|| columns.high_key(sums, cut, share)),
                    ..*cut
                },
            );
        }
        for q in which {
            runs[q].restart();
            tunings[q].mode = Mode::Signs;
        }
    }

    fn tile_groups(&self) -> usize {
        let bytes = self
            .tables
            .map_or(1, |tables| group_bytes(tables.codes.dim()));
        (TILE_BYTES / bytes).clamp(1, GROUPS_PER_CHUNK)
    }

    fn tile(
        &self,
        scan: &Scan<'_, E>,
        places: Places<'_>,
        runs: &mut [Run<'_>],
        tunings: &mut [Tuning],
        state: &mut State,
    ) {
        let with = |mode: Mode, tunings: &[Tuning]| -> Vec<usize> {
            (0..tunings.len())
                .filter(|&q| tunings[q].mode == mode)
                .collect()
        };
        let signs = with(Mode::Signs, tunings);
        let integers = with(Mode::Integers, tunings);
        let exact = with(Mode::Exact, tunings);
        if !signs.is_empty() {
            self.by_signs(scan, places, &signs, runs, state, |_, cut, _, _| *cut);
            for &q in &signs {
                tunings[q].passed = runs[q].passed;
            }
        }
        if !(integers.is_empty() && exact.is_empty()) {
            state.tile.list(&mut state.rows);
        }
        if !integers.is_empty() {
            self.by_integers(scan, &integers, runs, state);
        }
        if !exact.is_empty() {
            let plain = Plain {
                isa: self.isa,
                corpus: self.corpus,
            };
            let queries: Vec<SearchQuery<'_>> = exact.iter().map(|&q| runs[q].query).collect();
            let rows = std::mem::take(&mut state.rows);
            plain.merits(&queries, &rows, &mut state.merits);
            for (&q, merits) in exact.iter().zip(state.merits.chunks_exact(rows.len())) {
                scan.take_exact(&mut runs[q], &rows, merits, &mut state.buffers);
            }
            state.rows = rows;
        }
    }

    /// Level 0 for some queries, and the other levels for the rows that it leaves. `cut` makes what
    /// is cut off of the number of a query, the cut of its bar, the sums and the columns.
    fn by_signs(
        &self,
        scan: &Scan<'_, E>,
        places: Places<'_>,
        which: &[usize],
        runs: &mut [Run<'_>],
        state: &mut State,
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
        let groups = tile.masks.len();
        // Kept signs are those of the whole chunk, derived ones those of the tile.
        let (chunk, place) = match places.chunk {
            Some(chunk) => (chunk, tile.group * ROWS_PER_GROUP),
            None => {
                tile.list_all(picked);
                chunk.derive(self.isa, tables, self.corpus.codes, picked);
                (&*chunk, 0)
            }
        };
        columns.fill(self.isa, self.corpus, chunk, place, tile);
        let bytes = group_bytes(dim);
        let planes = &chunk.groups[place / ROWS_PER_GROUP * bytes..][..groups * bytes];
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
                let threshold = scan.threshold(run, columns.most);
                let weight = run.weight;
                let of_bar = Cut {
                    unit: level.query.unit,
                    offset: level.query.offset,
                    reach: level.reach
                        * columns.across(threshold, weight, level.query.norm)
                        * SLACK,
                    weight,
                    threshold,
                };
                let cut = cut(*q, &of_bar, sums, columns);
                sign_scan::sums_reach(self.isa, sums, &columns.view(), &cut, masks);
                picked.clear();
                known.clear();
                run.passed = 0;
                for (group, (&mask, &live)) in masks.iter().zip(&tile.masks).enumerate() {
                    let mut mask = mask & live;
                    run.passed += mask.count_ones() as usize;
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
                scan.refine(run, picked, &Known::Signs(known), buffers);
                if run.late.len() >= LATE_ROWS {
                    scan.refine_late(run, picked, known, buffers);
                }
            }
        }
    }

    /// Level 1 of all rows for some queries.
    fn by_integers(
        &self,
        scan: &Scan<'_, E>,
        which: &[usize],
        runs: &mut [Run<'_>],
        state: &mut State,
    ) {
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
                scan.refine(&mut runs[q], rows, &Known::Nothing, buffers);
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
                let threshold = scan.threshold(run, columns.most);
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
                scan.refine_with(run, picked, products, &Known::Nothing, buffers);
            }
        }
    }
}

/// Buffers of a thread.
struct State {
    buffers: Buffers,
    chunk: Chunk,
    tile: Tile,
    columns: TileColumns,
    sums: Vec<u16>,
    masks: Vec<u64>,
    /// The rows that a filter has left.
    picked: Vec<u32>,
    products: Vec<i32>,
    known: Vec<(Shape, u16)>,
    /// The allowed rows of the tile.
    rows: Vec<u32>,
    bytes: Aligned<u8>,
    ints: Vec<i32>,
    merits: Vec<f32>,
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
