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
//! Of rows of more sections the first one is taken by its integers instead of its signs.
//!
//! **Modes.** Where many rows pass level 0, its pass is not worth its cost: the query then takes
//! integer products of all rows (of a tile that is expanded to bytes once, if several queries do).
//! Where many rows pass level 1 too, as equal rows do, all are estimated in float32. A query gives
//! a mode up when a tile has cost more than the next mode would. It comes back by a trial: in a
//! tile of one group of rows it is counted how many pass each level. Trials come at tiles 1, 2, 4,
//! 8, …, so they cost little where they fail. The mode never changes the result: see
//! [`top`](super::top).
//!
//! **Tiles** grow from [`FIRST_ROWS`] rows, because the bar rises most in the beginning, up to four
//! chunks (one where signs are kept), or to the number of rows whose signs take [`TILE_BYTES`],
//! which stay in the second-level cache. What a hundred queries know and read does not stay in the
//! first-level one, so that each tile costs a query some 0.2 µs.
//!
//! **Cost.** For 100 queries of d = 384 at 2 bits over 50,000 rows on AVX-512 (an AMD EPYC of the
//! Zen 5 kind) a profile has, of 1.3 ns per pair: 0.23 ns the scan of signs, 0.18 deriving them (16
//! ns per row, shared by the queries), 0.06 the bounds, 0.2 picking some 500 rows per query from
//! masks, 0.12 their integer products, and 0.07 exact estimates of some 50. The rest is sorting
//! candidates, the first bar (5 to 10 µs per query, which is most where there are few rows), and
//! what a query costs however many rows there are. One query is bound by reading the signs, 48
//! bytes per row.
//!
//! Rows of more sections cost more where plain rows cost little. Level 0 multiplies the integers of
//! the first section, and a bound has a square root. Each section is decoded by itself, for signs
//! and for integers. A candidate is expanded section by section, because its gains are factors of
//! the codewords. A query is multiplied with all axes. One query is bound by reading the integers
//! of the first section, a byte per coordinate, and for d = 768 by reading the axes. Where plain
//! rows hardly differ, as hidden states and SIFT descriptors do, sections leave fewer rows, and
//! this saves more than all of it costs.

use std::ops::Range;

use super::Expand;
use super::bounds::Tables;
use super::corpus::{Corpus, SearchQuery};
use super::levels::Levels;
use super::passes::State;
use super::plain::Plain;
use super::refine::Scan;
use super::run::{Run, TileWork};
use super::signs::{GROUPS_PER_CHUNK, Places, ROWS_PER_CHUNK, Signs};
use super::top::{Bar, Bars, Top};
use super::tuning::{Costs, MIN_QUERIES_TO_EXPAND, Mode, Tuning, choose_all};
use crate::isa::Isa;
use crate::kernels::sign_scan::ROWS_PER_GROUP;
use crate::threads;

/// Rows of the first tile, and groups of it where there is a first bar.
const FIRST_ROWS: usize = 64;
const SEEDED_GROUPS: usize = 8;
/// Bytes of signs of a tile, which stay in the cache while all queries scan them.
const TILE_BYTES: usize = 1 << 18;
/// Chunks whose signs are derived together: fewer and larger tiles, because the state of a query
/// has to come back to the first-level cache for each of them.
const CHUNKS_PER_SPAN: usize = 4;
/// The fewest queries for which deriving signs costs less than it saves.
pub const MIN_QUERIES_TO_DERIVE: usize = 4;
/// For many queries that search fewer rows than these, finding the mode costs more than it saves.
const MAX_SMALL_ROWS: usize = 1024;
/// The most chunks in which a first bar is looked for, at most one in so many of all.
const SEED_CHUNKS: usize = 8;
const CHUNKS_PER_SEED_CHUNK: usize = 6;
/// Seeds besides two for each row that is asked for, and the largest share of rows they may be.
const MIN_SEEDS: usize = 32;
const MAX_SEED_SHARE: f64 = 0.1;
/// Groups of a tile in which a query tries a cheaper mode.
const TRIAL_GROUPS: usize = 1;

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

    /// The places of some chunks, which is one where signs are kept.
    fn places(&self, chunks: Range<usize>) -> Places<'a> {
        if let Some(signs) = self.signs {
            return signs.chunk(chunks.start);
        }
        let first = chunks.start * ROWS_PER_CHUNK;
        let end = self.corpus.codes.len().min(chunks.end * ROWS_PER_CHUNK);
        Places {
            chunk: None,
            first,
            length: end - first,
            live: None,
        }
    }

    /// The chunks that tiles are made of together.
    fn chunks_per_span(&self) -> usize {
        match self.signs {
            Some(_) => 1,
            None => CHUNKS_PER_SPAN,
        }
    }

    /// The best rows of each query among those of some chunks.
    pub fn run(&self, chunks: Range<usize>, bars: &Bars) -> Vec<Top> {
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
            Tuning::new([signs == Some(true), signs.is_some()])
        };
        let mut tunings: Vec<Tuning> = self.levels.iter().map(tuning).collect();
        let mut state = State::default();
        let every: Vec<usize> = (0..runs.len()).collect();
        let costs = Costs::new(self.isa);
        let most_groups = self.tile_groups();
        let is_small = many && self.corpus.codes.len() <= MAX_SMALL_ROWS;
        let is_seeded = self.seed(&scan, chunks.clone(), &mut runs, &tunings, &mut state);
        let mut groups = if is_small {
            GROUPS_PER_CHUNK
        } else if is_seeded {
            SEEDED_GROUPS
        } else {
            FIRST_ROWS.max(2 * self.count).div_ceil(ROWS_PER_GROUP)
        };
        // Without a first bar the first tile finds one by exact estimates.
        let (mut tiles, mut next_trial) = (0, usize::from(!is_seeded));
        let span = self.chunks_per_span();
        for first in chunks.clone().step_by(span) {
            let places = self.places(first..chunks.end.min(first + span));
            let end = places.length.div_ceil(ROWS_PER_GROUP);
            let mut from = 0;
            while from < end {
                threads::check();
                // Trials come for all queries at once, and less and less often.
                let is_trial = tiles == next_trial && !is_small && {
                    next_trial = (2 * next_trial).max(2);
                    tunings.iter().any(Tuning::is_dear)
                };
                tiles += 1;
                let most = if is_trial { TRIAL_GROUPS } else { groups };
                groups = (2 * groups).min(most_groups);
                let to = end.min(from + most);
                state.tile.fill(places, from..to, self.allowed);
                from = to;
                let rows = state.tile.rows;
                if rows == 0 {
                    continue;
                }
                if is_trial {
                    state.tile.list(&mut state.rows);
                    let dear = (0..tunings.len()).filter(|&q| tunings[q].is_dear());
                    let which: Vec<usize> = dear.collect();
                    let has_signs = |q: usize| tunings[q].cheapest() == Mode::Signs;
                    let shares = scan.trial(places, &which, has_signs, &mut runs, &mut state);
                    choose_all(&mut tunings, &which, |place, tuning, sharing| {
                        tuning.by_trial(&costs, sharing, shares[place])
                    });
                }
                for run in &mut runs {
                    run.work = TileWork::default();
                }
                self.tile(&scan, places, &mut runs, &tunings, &mut state);
                choose_all(&mut tunings, &every, |q, tuning, sharing| {
                    tuning.by_work(&costs, sharing, rows, runs[q].work)
                });
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

    /// Finds a first bar for the queries that can use signs: the rows of a few chunks whose
    /// estimates by signs are among the largest go through all levels. They come again in their
    /// turn, so only the bar is kept. Returns whether there were such queries.
    fn seed(
        &self,
        scan: &Scan<'_, E>,
        chunks: Range<usize>,
        runs: &mut [Run<'_>],
        tunings: &[Tuning],
        state: &mut State,
    ) -> bool {
        let seeds = 2 * self.count + MIN_SEEDS;
        let length = SEED_CHUNKS.min(chunks.len() / CHUNKS_PER_SEED_CHUNK);
        let share = seeds as f64 / (length * ROWS_PER_CHUNK) as f64;
        let has_bar = |run: &Run<'_>| scan.bars.get(run.place) != Bar::NONE;
        let which: Vec<usize> = (0..runs.len())
            .filter(|&q| tunings[q].cheapest() == Mode::Signs && !has_bar(&runs[q]))
            .collect();
        if length == 0 || share > MAX_SEED_SHARE || which.is_empty() {
            return false;
        }
        let mut thresholds: Vec<Option<f32>> = vec![None; runs.len()];
        // Rows that are alike often stand together, so the chunks are spread over all.
        let step = chunks.len() / length;
        for chunk in chunks.step_by(step).take(length) {
            let places = self.places(chunk..chunk + 1);
            let groups = 0..places.length.div_ceil(ROWS_PER_GROUP);
            state.tile.fill(places, groups, self.allowed);
            scan.by_signs(places, &which, runs, state, 2 * seeds, |q, level, cut| {
                let high = || level.high_key(&cut, share);
                cut.without_reach(*thresholds[q].get_or_insert_with(high))
            });
        }
        for q in which {
            runs[q].restart();
        }
        true
    }

    fn tile_groups(&self) -> usize {
        let bytes = self.tables.map_or(1, Tables::group_bytes);
        (TILE_BYTES / bytes).clamp(1, self.chunks_per_span() * GROUPS_PER_CHUNK)
    }

    fn tile(
        &self,
        scan: &Scan<'_, E>,
        places: Places<'_>,
        runs: &mut [Run<'_>],
        tunings: &[Tuning],
        state: &mut State,
    ) {
        let with = |mode: Mode| -> Vec<usize> {
            (0..tunings.len())
                .filter(|&q| tunings[q].mode == mode)
                .collect()
        };
        let signs = with(Mode::Signs);
        let integers = with(Mode::Integers);
        let exact = with(Mode::Exact);
        if !signs.is_empty() {
            scan.by_signs(places, &signs, runs, state, usize::MAX, |_, _, cut| cut);
        }
        if !(integers.is_empty() && exact.is_empty()) {
            state.tile.list(&mut state.rows);
        }
        if !integers.is_empty() {
            scan.by_integers(&integers, runs, state);
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
}
