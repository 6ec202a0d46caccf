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

use super::bounds::{Levels, Shape, Tables};
use super::corpus::SearchQuery;
use super::plain::Plain;
use super::refine::{Buffers, Known, Run, Scan};
use super::signs::{Chunk, ROWS_PER_CHUNK, Signs};
use super::top::{Bar, Bars, Top};
use super::{Corpus, Expand};
use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::sign_scan::{self, Columns, Cut, ROWS_PER_GROUP, group_bytes};
use crate::threads;

/// Rows of the first tile.
const FIRST_ROWS: usize = 128;
/// Bytes of signs of a tile, which stay in the cache while all queries scan them.
const TILE_BYTES: usize = 1 << 16;
/// The fewest queries for which deriving signs costs less than it saves.
const MIN_QUERIES_TO_DERIVE: usize = 4;
/// The fewest queries for which a tile is expanded to bytes.
const MIN_QUERIES_TO_EXPAND: usize = 4;
/// Queries that share the LUT pass over a tile.
const QUERIES_PER_PASS: usize = 4;
/// For many queries that search fewer rows than these, finding the mode costs more than it saves.
const MAX_SMALL_ROWS: usize = 1024;
/// Tiles after which a query tries a cheaper mode again.
const TILES_PER_TRIAL: usize = 16;
/// A part of the slack that a filter gives to rounding: see [`Tile::new`].
const SLACK: f32 = 1.001;

/// How a query takes the rows of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Level 0, then integers of what is left.
    Signs,
    /// Integers of all rows.
    Integers,
    /// Exact estimates of all rows.
    Exact,
}

/// What one row costs a query, in any unit.
#[derive(Debug, Clone, Copy)]
struct Costs {
    signs: f64,
    /// Integers of a single row.
    integers: f64,
    /// Integers of all rows of a tile.
    all_integers: f64,
    /// An exact estimate with its bounds.
    exact: f64,
    /// An exact estimate if all rows are estimated.
    all_exact: f64,
}

/// What decides the mode of a query.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    mode: Mode,
    /// The shares of rows that pass level 0 and level 1.
    pass: [f64; 2],
    /// Tiles so far, and at which of them a cheaper mode is tried again.
    tiles: usize,
    trial: usize,
}

/// The rows of a search on one thread: a range, or those of it that are allowed.
pub(super) struct Part<'a> {
    pub rows: std::ops::Range<usize>,
    /// One bit per row of the whole batch, in groups of 64.
    pub allowed: Option<&'a [u64]>,
}

/// A cascade over some rows.
pub(super) struct Cascade<'a, E> {
    pub isa: Isa,
    pub corpus: &'a Corpus<'a, E>,
    pub tables: Option<&'a Tables>,
    pub signs: Option<&'a Signs>,
    pub levels: &'a [Option<Levels>],
    pub queries: &'a [SearchQuery<'a>],
    pub count: usize,
}

/// The columns of a tile in the units of the metric.
#[derive(Default)]
struct TileColumns {
    factor: Vec<f32>,
    spread: Vec<f32>,
    shift: Vec<f32>,
    /// α of each row; 0 without bounds.
    alpha: Vec<f32>,
    /// The largest |h|.
    most: f32,
    /// The least and the largest h.
    ends: [f32; 2],
    /// The largest α·‖c‖.
    size: f32,
}

impl<'a, E: Expand> Cascade<'a, E> {
    /// The best rows of each query among those of a part.
    pub fn run(&self, part: &Part<'_>, bars: &Bars) -> Vec<Top> {
        let scan = Scan {
            isa: self.isa,
            corpus: self.corpus,
            tables: self.tables,
            bars,
        };
        let mut runs: Vec<Run<'_>> = (self.queries.iter().zip(self.levels).enumerate())
            .map(|(place, (&query, levels))| Run::new(place, query, levels.as_ref(), self.count))
            .collect();
        let mut tunings: Vec<Tuning> = self.levels.iter().map(|l| self.first(l.as_ref())).collect();
        let mut state = State::default();
        let costs = self.costs();
        let most_rows = self.tile_rows();
        let many = self.queries.len() >= MIN_QUERIES_TO_EXPAND;
        let is_small = many && part.rows.len() <= MAX_SMALL_ROWS;
        let mut from = part.rows.start;
        let mut length = FIRST_ROWS.max(2 * self.count).next_multiple_of(ROWS_PER_GROUP);
        while from < part.rows.end {
            threads::check();
            let length_now = length.min(most_rows).min(ROWS_PER_CHUNK - from % ROWS_PER_CHUNK);
            let to = part.rows.end.min(from + length_now);
            state.list_rows(from..to, part.allowed);
            if !state.rows.is_empty() {
                let had_bars: Vec<bool> = runs.iter().map(|run| run.bar != Bar::NONE).collect();
                self.tile(&scan, from..to, part.allowed, &mut runs, &mut tunings, &mut state);
                if !is_small {
                    for ((tuning, levels), had_bar) in
                        tunings.iter_mut().zip(self.levels).zip(had_bars)
                    {
                        tuning.choose(&costs, self.possible(levels.as_ref()), had_bar);
                    }
                }
            }
            from = to;
            length = if is_small { MAX_SMALL_ROWS } else { 2 * length };
        }
        (runs.into_iter())
            .map(|mut run| {
                scan.estimate_waiting(&mut run, &mut state.buffers, 0);
                run.top
            })
            .collect()
    }

    fn tile_rows(&self) -> usize {
        let bytes = self.tables.map_or(1, |tables| group_bytes(tables.codes.dim()));
        (TILE_BYTES / bytes).clamp(1, ROWS_PER_CHUNK / ROWS_PER_GROUP) * ROWS_PER_GROUP
    }

    /// The mode of the first tile: many queries share exact estimates, which give the bar.
    fn first(&self, levels: Option<&Levels>) -> Tuning {
        let many = self.queries.len() >= MIN_QUERIES_TO_EXPAND;
        let mode = match levels {
            Some(_) if !many => Mode::Integers,
            _ => Mode::Exact,
        };
        Tuning {
            mode,
            pass: [1.0; 2],
            tiles: 0,
            trial: TILES_PER_TRIAL,
        }
    }

    /// Whether level 0 and level 1 are possible for a query.
    fn possible(&self, levels: Option<&Levels>) -> [bool; 2] {
        let has_signs = self.signs.is_some() || self.queries.len() >= MIN_QUERIES_TO_DERIVE;
        [
            has_signs && levels.is_some_and(|levels| levels.signs.is_some()),
            levels.is_some(),
        ]
    }

    fn tile(
        &self,
        scan: &Scan<'_, E>,
        range: std::ops::Range<usize>,
        allowed: Option<&[u64]>,
        runs: &mut [Run<'_>],
        tunings: &mut [Tuning],
        state: &mut State,
    ) {
        let with = |mode: Mode, tunings: &[Tuning]| -> Vec<usize> {
            (0..tunings.len()).filter(|&q| tunings[q].mode == mode).collect()
        };
        let signs = with(Mode::Signs, tunings);
        let integers = with(Mode::Integers, tunings);
        let exact = with(Mode::Exact, tunings);
        if !signs.is_empty() {
            self.by_signs(scan, range.clone(), allowed, &signs, runs, tunings, state);
        }
        if !integers.is_empty() {
            self.by_integers(scan, &integers, runs, tunings, state);
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
                let found =
                    scan.take_exact(&mut runs[q], &rows, merits, &mut state.buffers);
                tunings[q].pass[1] = found as f64 / rows.len() as f64;
            }
            state.rows = rows;
        }
    }

    /// Level 0 for some queries.
    #[allow(clippy::too_many_arguments)]
    fn by_signs(
        &self,
        scan: &Scan<'_, E>,
        range: std::ops::Range<usize>,
        allowed: Option<&[u64]>,
        which: &[usize],
        runs: &mut [Run<'_>],
        tunings: &mut [Tuning],
        state: &mut State,
    ) {
        let Some(tables) = self.tables else { return };
        let dim = tables.codes.dim();
        let State {
            buffers,
            chunk,
            columns,
            sums,
            masks,
            picked,
            known,
            rows,
            ..
        } = state;
        // A kept chunk may end after the tile, and begins before it.
        let place = range.start % ROWS_PER_CHUNK;
        let groups = range.len().div_ceil(ROWS_PER_GROUP);
        let (chunk, place) = match self.signs {
            Some(signs) => (signs.chunk(range.start / ROWS_PER_CHUNK), place),
            None => {
                let all: Vec<u32> = range.clone().map(|row| row as u32).collect();
                chunk.derive(self.isa, tables, self.corpus.codes, &all);
                (&*chunk, 0)
            }
        };
        columns.fill(self.corpus, chunk, place, range.clone(), dim);
        let bytes = group_bytes(dim);
        let planes = &chunk.groups[place / ROWS_PER_GROUP * bytes..][..groups * bytes];
        let length = groups * ROWS_PER_GROUP;
        masks.resize(groups, 0);
        for some in which.chunks(QUERIES_PER_PASS) {
            let levels = some.iter().filter_map(|&q| Some((q, runs[q].levels?.signs.as_ref()?)));
            let levels: Vec<_> = levels.collect();
            let luts: Vec<&[u8]> = levels.iter().map(|(_, level)| &*level.query.lut).collect();
            sums.resize(length * luts.len(), 0);
            sign_scan::sums(self.isa, planes, dim, &luts, sums);
            for ((q, level), sums) in levels.iter().zip(sums.chunks_exact(length)) {
                let run = &mut runs[*q];
                run.bar = run.bar.max(scan.bars.get(run.place));
                let weight = self.corpus.weight(run.query);
                let threshold = self.corpus.threshold(run.query, run.bar, columns.most);
                let cut = Cut {
                    unit: level.query.unit,
                    offset: level.query.offset,
                    reach: level.reach * columns.across(threshold, weight, level.query.norm) * SLACK,
                    weight,
                    threshold,
                };
                sign_scan::sums_reach(self.isa, sums, &columns.view(), &cut, masks);
                picked.clear();
                known.clear();
                for (group, &mask) in masks.iter().enumerate() {
                    let first = range.start + group * ROWS_PER_GROUP;
                    let mut mask = mask & live(first, range.end);
                    if let Some(allowed) = allowed {
                        mask &= allowed[first / ROWS_PER_GROUP];
                    }
                    while mask != 0 {
                        let at = group * ROWS_PER_GROUP + mask.trailing_zeros() as usize;
                        mask &= mask - 1;
                        picked.push((range.start + at) as u32);
                        known.push((chunk.shape(place + at), sums[at]));
                    }
                }
                let found = scan.refine(run, picked, &Known::Signs(known), buffers);
                let all = rows.len() as f64;
                tunings[*q].pass = [picked.len() as f64 / all, found as f64 / all];
            }
        }
    }

    /// Level 1 of all rows for some queries.
    fn by_integers(
        &self,
        scan: &Scan<'_, E>,
        which: &[usize],
        runs: &mut [Run<'_>],
        tunings: &mut [Tuning],
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
                let found = scan.refine(&mut runs[q], rows, &Known::Nothing, buffers);
                tunings[q].pass[1] = found as f64 / rows.len() as f64;
            }
            return;
        }
        for &q in which {
            tunings[q].pass[1] = 0.0;
        }
        let levels: Vec<_> = which.iter().filter_map(|&q| runs[q].levels).collect();
        let integers: Vec<_> = levels.iter().map(|levels| &levels.ints).collect();
        masks.resize(1, 0);
        for some in rows.chunks(ROWS_PER_GROUP) {
            (tables.codes).expand(self.isa, self.corpus.codes.packed, some, bytes);
            ints.resize(ROWS_PER_GROUP * which.len(), 0);
            (tables.codes).tile_products(self.isa, bytes, &integers, ints);
            columns.fill_alpha(self.corpus, some);
            for ((&q, levels), ints) in
                which.iter().zip(&levels).zip(ints.chunks_exact(ROWS_PER_GROUP))
            {
                let run = &mut runs[q];
                run.bar = run.bar.max(scan.bars.get(run.place));
                let cut = Cut {
                    unit: levels.unit,
                    offset: 0.0,
                    reach: levels.margin * SLACK,
                    weight: self.corpus.weight(run.query),
                    threshold: self.corpus.threshold(run.query, run.bar, columns.most),
                };
                sign_scan::ints_reach(self.isa, ints, &columns.view(), &cut, masks);
                let mut mask = masks[0] & live(0, some.len());
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
                let found = scan.refine_with(run, picked, products, &Known::Nothing, buffers);
                tunings[q].pass[1] += found as f64 / rows.len() as f64;
            }
        }
    }

    /// What the levels cost, in nanoseconds per coordinate on a machine with these instructions, as
    /// measured by `cargo bench`. Only the choice of modes depends on them.
    fn costs(&self) -> Costs {
        let many = self.queries.len() >= MIN_QUERIES_TO_EXPAND;
        let [signs, integers, all_integers, all_exact] = match self.isa {
            Isa::Avx512(_) => [1.0, 12.0, 3.0, 12.0],
            Isa::Avx2(_) | Isa::Neon(_) => [1.5, 30.0, 10.0, 15.0],
            Isa::Scalar => [10.0, 40.0, 40.0, 40.0],
        };
        Costs {
            signs,
            integers,
            all_integers: if many { all_integers } else { integers },
            exact: 100.0,
            all_exact: if many { all_exact } else { 90.0 },
        }
    }
}

/// The rows of a group from `first` on that are below `end`.
fn live(first: usize, end: usize) -> u64 {
    match end - first {
        rows @ 0..ROWS_PER_GROUP => (1 << rows) - 1,
        _ => u64::MAX,
    }
}

impl Tuning {
    /// Chooses the mode of the next tile by what this tile has left, if there was a `bar`.
    fn choose(&mut self, costs: &Costs, possible: [bool; 2], had_bar: bool) {
        let [pass, found] = self.pass;
        let exact = found * costs.exact;
        let by_signs = costs.signs + pass * costs.integers + exact;
        let by_integers = costs.all_integers + exact;
        let [signs, integers] = possible;
        self.tiles += 1;
        let cheapest = if signs { Mode::Signs } else { Mode::Integers };
        self.mode = match self.mode {
            _ if !integers => Mode::Exact,
            _ if !had_bar => cheapest,
            Mode::Signs if by_signs.min(by_integers) > costs.all_exact => Mode::Exact,
            Mode::Signs if by_signs > by_integers => Mode::Integers,
            Mode::Integers if by_integers > costs.all_exact => Mode::Exact,
            mode if self.tiles < self.trial => mode,
            _ => cheapest,
        };
        if self.mode == cheapest {
            // A trial that fails is repeated after twice as many tiles.
            self.trial = (2 * self.tiles).max(TILES_PER_TRIAL);
        }
    }
}

/// Buffers of one thread.
#[derive(Default)]
struct State {
    buffers: Buffers,
    chunk: Chunk,
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

impl State {
    fn list_rows(&mut self, range: std::ops::Range<usize>, allowed: Option<&[u64]>) {
        self.rows.clear();
        let is_allowed = |row: &usize| {
            allowed.is_none_or(|bits| bits[row / ROWS_PER_GROUP] >> (row % ROWS_PER_GROUP) & 1 == 1)
        };
        self.rows.extend(range.filter(is_allowed).map(|row| row as u32));
    }
}

impl TileColumns {
    /// The columns of the rows of a tile, whose first is at `place` of the chunk.
    fn fill<E: Expand>(
        &mut self,
        corpus: &Corpus<'_, E>,
        chunk: &Chunk,
        place: usize,
        range: std::ops::Range<usize>,
        dim: usize,
    ) {
        let length = range.len().next_multiple_of(ROWS_PER_GROUP);
        self.clear();
        for (i, row) in range.clone().enumerate() {
            let shape = chunk.shape(place + i);
            let (alpha, spread) = match corpus.alpha(row) {
                Some(alpha) if shape.spread < f32::INFINITY => (alpha, alpha * shape.spread),
                _ => (0.0, f32::INFINITY),
            };
            self.factor.push(alpha * shape.factor);
            self.spread.push(spread);
            let size = f64::from(alpha) * shape.square(dim).sqrt();
            self.size = self.size.max(size as f32);
        }
        self.factor.resize(length, 0.0);
        self.spread.resize(length, 0.0);
        self.fill_shift(corpus, range.map(|row| row as u32), length);
    }

    /// The columns of level 1: α is both the factor and the spread.
    fn fill_alpha<E: Expand>(&mut self, corpus: &Corpus<'_, E>, rows: &[u32]) {
        let length = rows.len().next_multiple_of(ROWS_PER_GROUP);
        self.clear();
        for &row in rows {
            let alpha = corpus.alpha(row as usize);
            self.factor.push(alpha.unwrap_or(0.0));
            self.spread.push(alpha.unwrap_or(f32::INFINITY));
        }
        self.factor.resize(length, 0.0);
        self.spread.resize(length, 0.0);
        self.fill_shift(corpus, rows.iter().copied(), length);
    }

    fn clear(&mut self) {
        self.factor.clear();
        self.spread.clear();
        self.shift.clear();
        self.size = 0.0;
        self.most = 0.0;
        self.ends = [f32::INFINITY, f32::NEG_INFINITY];
    }

    fn fill_shift<E: Expand>(
        &mut self,
        corpus: &Corpus<'_, E>,
        rows: impl Iterator<Item = u32>,
        length: usize,
    ) {
        if !corpus.has_shift() {
            self.ends = [0.0; 2];
            return;
        }
        for row in rows {
            let shift = corpus.shift(row as usize);
            self.shift.push(shift);
            self.most = self.most.max(shift.abs());
            self.ends = [self.ends[0].min(shift), self.ends[1].max(shift)];
        }
        self.shift.resize(length, 0.0);
    }

    fn view(&self) -> Columns<'_> {
        Columns {
            factor: &self.factor,
            spread: &self.spread,
            shift: (!self.shift.is_empty()).then_some(&self.shift),
        }
    }

    /// The largest √(1 − cos²) between a row and the query, for a row that reaches the threshold: it
    /// is nearer to the query than the row whose key has the least to gain.
    fn across(&self, threshold: f32, weight: f32, norm: f32) -> f32 {
        let added = f64::from(weight * self.ends[0]).max(f64::from(weight * self.ends[1]));
        let least = (f64::from(threshold) - added) / (f64::from(self.size) * f64::from(norm));
        if least > 0.0 {
            let cosine = (least * 0.99999).min(1.0);
            (1.0 - cosine * cosine).sqrt() as f32
        } else {
            1.0
        }
    }
}
