//! Pruning: which rows can be among the best of a query, by their sketches.
//!
//! A stage gives every row an upper bound: its key plus the reach of the sketch, from the LUT sums
//! of one pass over a plane. Only the maximum of each group of rows is cell.
//!
//! 1. The rows with the largest bounds are the seeds. They are estimated exactly, and the key of
//!    the k-th best of them is a lower bound of the k-th best key of all rows.
//! 2. The candidates are the other rows whose upper bound is above it. They are looked up in the
//!    groups whose maximum is above it.
//! 3. If there are more candidates than a pass over the second plane costs, the second stage
//!    decides.

use std::sync::OnceLock;

use super::corpus::{Corpus, Hit, Metric, SearchQuery};
use super::seeds;
use super::sketch::{QueryLuts, Sketch};
use super::stage::Stage;
use super::{Expand, Work, columns};
use crate::isa::Isa;
use crate::kernels::fast_scan::{ROWS_PER_GROUP, group_maxima, select_in_range};
use crate::threads;

/// Rows of a segment, which one thread takes at a time.
const ROWS_PER_SEGMENT: usize = 1 << 13;
/// Rows of a piece, whose sums stay in the first-level cache.
const ROWS_PER_PIECE: usize = 256;
/// The share of rows whose exact estimates cost as much as a pass over the second plane.
const SECOND_STAGE_COST: f64 = 0.02;

/// The rows that can be among the best of a query.
pub(super) struct Candidates {
    /// The seeds, which are estimated already.
    pub seeds: Vec<Hit>,
    /// The other candidates, ascending.
    pub rows: Vec<u32>,
    /// Whether more rows are above the bound than the pass may list; `rows` may then be incomplete.
    is_unresolved: bool,
}

/// The stages of a sketch for one search.
pub(super) struct Filter<'a, E> {
    isa: Isa,
    corpus: &'a Corpus<'a, E>,
    sketch: &'a Sketch,
    shift: Option<&'a [f32]>,
    first: Stage<'a>,
    /// The number of rows to find.
    count: usize,
}

/// The sums of a plane and the largest bound of each group, query by query.
#[derive(Default)]
pub(super) struct Pass {
    sums: Vec<u16>,
    maxima: Vec<f32>,
    /// The number of rows, rounded up to whole groups.
    length: usize,
}

impl Pass {
    fn sums(&self, query: usize, from: usize, rows: usize) -> &[u16] {
        &self.sums[query * self.length + from..][..rows]
    }

    fn maxima(&self, query: usize) -> &[f32] {
        let groups = self.length / ROWS_PER_GROUP;
        &self.maxima[query * groups..][..groups]
    }
}

/// The pass over the previous plane, and the number of each query in that pass.
type PreviousPass<'a> = Option<(&'a Pass, &'a [usize])>;

impl<'a, E: Expand> Filter<'a, E> {
    pub fn new(
        isa: Isa,
        corpus: &'a Corpus<'a, E>,
        sketch: &'a Sketch,
        shift: Option<&'a [f32]>,
        count: usize,
    ) -> Self {
        let factors = [&sketch.factor];
        Self {
            isa,
            corpus,
            sketch,
            shift,
            first: Stage::new(corpus, &sketch.plane, &factors, &sketch.spread, shift),
            count,
        }
    }

    /// The candidates of each query. From one call to the next, `second` keeps the second stage,
    /// and `passes` keeps memory, because the system clears new memory each time.
    pub fn candidates(
        &self,
        queries: &[SearchQuery<'_>],
        second: &OnceLock<Stage<'a>>,
        passes: &mut Vec<Pass>,
    ) -> Vec<Candidates> {
        let luts = threads::map(queries.to_vec(), |_, query| self.sketch.luts(query.scan));
        let max_rows = (SECOND_STAGE_COST * self.corpus.codes.len() as f64) as usize;
        let empty = passes.pop().unwrap_or_default();
        let (mut candidates, pass) = self.pass(&self.first, queries, &luts, None, max_rows, empty);
        let unresolved: Vec<usize> = (0..candidates.len())
            .filter(|&q| candidates[q].is_unresolved)
            .collect();
        if !unresolved.is_empty() {
            let second = self.second(second);
            let queries: Vec<SearchQuery<'_>> = unresolved.iter().map(|&q| queries[q]).collect();
            let luts: Vec<QueryLuts> = unresolved.iter().map(|&q| luts[q].clone()).collect();
            let empty = passes.pop().unwrap_or_default();
            let previous = Some((&pass, &*unresolved));
            let (refined, used) = self.pass(second, &queries, &luts, previous, usize::MAX, empty);
            passes.push(used);
            for (q, refined) in unresolved.into_iter().zip(refined) {
                candidates[q] = refined;
            }
        }
        passes.push(pass);
        candidates
    }

    fn second<'s>(&self, cell: &'s OnceLock<Stage<'a>>) -> &'s Stage<'a> {
        // This is not done inside the cell: a thread that waits for it could be the one that the
        // pool needs.
        if cell.get().is_none() {
            let scale = self.corpus.codes.scale;
            let second = (self.sketch).second(self.isa, scale, &self.corpus.expand);
            let [first_factor, second_factor] = &second.factors;
            let factors = [first_factor, second_factor];
            let stage = Stage::new(
                self.corpus,
                &second.plane,
                &factors,
                &second.spread,
                self.shift,
            );
            let _ = cell.set(stage);
        }
        cell.get_or_init(|| unreachable!("set above"))
    }

    /// One stage: the sums of its plane, the seeds, the bound, and the rows above it unless they
    /// are more than `max_rows`. `previous` has the sums of the previous plane. The content of
    /// `pass` is overwritten.
    #[allow(clippy::too_many_arguments)]
    fn pass(
        &self,
        stage: &Stage<'_>,
        queries: &[SearchQuery<'_>],
        luts: &[QueryLuts],
        previous: PreviousPass<'_>,
        max_rows: usize,
        mut pass: Pass,
    ) -> (Vec<Candidates>, Pass) {
        let rows = self.corpus.codes.len();
        let length = rows.next_multiple_of(ROWS_PER_GROUP);
        let groups = length / ROWS_PER_GROUP;
        pass.sums.resize(length * queries.len(), 0);
        pass.maxima.resize(groups * queries.len(), 0.0);
        pass.length = length;
        let each: Vec<&QueryLuts> = luts.iter().collect();
        let segments = columns(&mut pass.sums, length, ROWS_PER_SEGMENT);
        let maxima = columns(&mut pass.maxima, groups, ROWS_PER_SEGMENT / ROWS_PER_GROUP);
        let segments = segments.into_iter().zip(maxima).collect();
        threads::map(
            segments,
            |segment, (mut sums, mut maxima): (Vec<&mut [u16]>, Vec<&mut [f32]>)| {
                let length = sums.first().map_or(0, |sums| sums.len());
                for place in (0..length).step_by(ROWS_PER_PIECE) {
                    let end = length.min(place + ROWS_PER_PIECE);
                    let from = segment * ROWS_PER_SEGMENT + place;
                    let live = (end - place).min(rows - from);
                    let mut sums: Vec<&mut [u16]> = (sums.iter_mut())
                        .map(|sums| &mut sums[place..end])
                        .collect();
                    stage.plane.sums(self.isa, &each, from, &mut sums);
                    for (q, (sums, maxima)) in sums.iter().zip(&mut maxima).enumerate() {
                        let maxima = &mut maxima[place / ROWS_PER_GROUP..end / ROWS_PER_GROUP];
                        let sums = plane_sums(previous, q, from, &sums[..live]);
                        let keys = stage.keys(queries[q].scan, &luts[q], sums, from);
                        group_maxima(self.isa, &keys, maxima);
                    }
                }
            },
        );
        let candidates = threads::map((0..queries.len()).collect(), |_, q| {
            if !stage.is_usable(queries[q].scan, &luts[q]) {
                return self.all_allowed();
            }
            let maxima = pass.maxima(q);
            let within = |above: f32, up_to: f32| {
                let mut found = Vec::new();
                if above < up_to {
                    for (group, _) in maxima
                        .iter()
                        .enumerate()
                        .filter(|(_, maximum)| **maximum > above)
                    {
                        let from = group * ROWS_PER_GROUP;
                        let newest = pass.sums(q, from, ROWS_PER_GROUP.min(rows - from));
                        let sums = plane_sums(previous, q, from, newest);
                        let keys = stage.keys(queries[q].scan, &luts[q], sums, from);
                        select_in_range(self.isa, &keys, above, up_to, from as u32, &mut found);
                    }
                }
                found
            };
            let threshold = seeds::threshold(maxima, seeds::seed_count(self.count)).next_down();
            let mut seeds = Vec::new();
            let found = within(threshold, f32::INFINITY);
            (self.corpus).hits(queries[q], &found, &mut Work::default(), &mut seeds);
            match self.bound(&queries[q], &mut seeds) {
                // Each of these groups has at least one row above the bound.
                Some(bound)
                    if maxima.iter().filter(|maximum| **maximum > bound).count() > max_rows =>
                {
                    Candidates {
                        seeds,
                        rows: Vec::new(),
                        is_unresolved: true,
                    }
                }
                Some(bound) => {
                    let rows = within(bound, threshold);
                    let is_unresolved = rows.len() > max_rows;
                    Candidates {
                        seeds,
                        rows,
                        is_unresolved,
                    }
                }
                None => self.all_allowed(),
            }
        });
        (candidates, pass)
    }

    /// All allowed rows, for a query without a usable bound.
    fn all_allowed(&self) -> Candidates {
        let all = 0..self.corpus.codes.len() as u32;
        Candidates {
            seeds: Vec::new(),
            rows: all.filter(|&row| self.corpus.is_allowed(row)).collect(),
            is_unresolved: false,
        }
    }

    /// The smallest key of the `count` best hits, lowered by the possible rounding error of keys
    /// and scores, so that rows with equal scores are candidates too. None if there are too few
    /// hits, or if the key is not finite.
    fn bound(&self, query: &SearchQuery<'_>, hits: &mut [Hit]) -> Option<f32> {
        if hits.len() < self.count {
            return None;
        }
        let order = |a: &Hit, b: &Hit| b.key.total_cmp(&a.key);
        let last = *hits.select_nth_unstable_by(self.count - 1, order).1;
        let norm = || self.corpus.norm[last.row as usize];
        let offset = query.scan.offset as f32;
        let square = (query.norm * query.norm) as f32;
        let (key, size) = match self.corpus.metric {
            Metric::InnerProduct => (last.key, offset.abs()),
            // Distances below 0 are set to 0, so they tie.
            Metric::Euclidean => (
                last.key.min(0.5 * square - offset),
                norm().powi(2) + square + 2.0 * offset.abs(),
            ),
            Metric::Cosine => (last.key, offset.abs() / norm().max(f32::MIN_POSITIVE)),
        };
        let size = size + self.first.center_size(query.scan);
        let bound = (key - 1e-6 * (key.abs() + size)).next_down();
        bound.is_finite().then_some(bound)
    }
}

/// The sums of a query's planes in order, for the rows of `newest`. With one plane the second entry
/// is not used.
fn plane_sums<'s>(
    previous: PreviousPass<'s>,
    q: usize,
    from: usize,
    newest: &'s [u16],
) -> [&'s [u16]; 2] {
    let first = previous.map(|(pass, which)| pass.sums(which[q], from, newest.len()));
    [first.unwrap_or(newest), newest]
}
