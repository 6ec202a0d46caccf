//! The k best rows of each query, by prune and rerank.
//!
//! The [sketch](super::sketch) bounds the score of every row (`filter.rs`), and the rows that can
//! be among the best are estimated exactly (`corpus.rs`). If few rows are allowed, or if almost all
//! would remain, then all allowed rows are estimated.
//!
//! **The same result everywhere.** Sums are integers, each key and bound is a fixed sequence of
//! rounded operations on one row, and ties go to the lower index. So neither threads nor
//! instruction sets change which rows are estimated.

use std::sync::OnceLock;

use super::corpus::SearchQuery;
pub use super::corpus::{Center, Corpus, Hit, Metric};
use super::filter::Filter;
use super::seeds::seed_count;
use super::sketch::Sketch;
use super::stage::shift;
use super::{Expand, Query, Work};
use crate::isa::Isa;
use crate::kernels::fast_scan::ROWS_PER_GROUP;
use crate::threads;

/// Bytes of sums that a pass keeps, which fit the second-level cache.
const SUM_BYTES_PER_PASS: usize = 1 << 21;
/// Rows that a thread estimates at a time.
const ROWS_PER_PIECE: usize = 1 << 10;
/// Queries that share the expanded rows if every row is estimated.
const QUERIES_PER_PASS: usize = 32;
/// Queries that share a pass over the sketch, however many rows it has.
const MIN_QUERIES_PER_PASS: usize = 4;
/// Estimating fewer rows than this takes less time than making and scanning a sketch.
const MIN_ROWS_FOR_SKETCH: usize = 256;
/// If at most one in this many rows is allowed, estimating them takes less time than a pass over
/// all.
const MAX_ROWS_PER_ALLOWED: usize = 16;
/// If the allowed rows are not more than this many times the seeds, little is left to prune.
const MIN_ALLOWED_PER_SEED: usize = 16;

/// Whether a sketch of `rows` rows is worth making and scanning for a search of the `allowed` ones.
pub fn sketch_pays(rows: usize, allowed: usize) -> bool {
    rows >= MIN_ROWS_FOR_SKETCH && allowed > rows / MAX_ROWS_PER_ALLOWED
}

/// Keeps the `count` best hits, in no order.
fn keep_best(hits: &mut Vec<Hit>, count: usize) {
    if hits.len() > count {
        hits.select_nth_unstable_by(count, Hit::order);
        hits.truncate(count);
    }
}

impl<E: Expand> Corpus<'_, E> {
    /// The `count` best rows of each query, best first, or all allowed rows if they are fewer.
    /// `norms` has the norm of each query. Without a sketch every allowed row is estimated.
    pub fn search(
        &self,
        isa: Isa,
        sketch: Option<&Sketch>,
        queries: &[Query],
        norms: &[f64],
        count: usize,
    ) -> Vec<Vec<Hit>> {
        let rows = self.codes.len();
        let allowed = self.allowed.map_or(rows, |allowed| {
            allowed.iter().filter(|&&allowed| allowed).count()
        });
        let count = count.min(allowed);
        let queries: Vec<SearchQuery<'_>> = (queries.iter().zip(norms))
            .map(|(query, &norm)| SearchQuery { scan: query, norm })
            .collect();
        let mut found = match sketch {
            Some(sketch)
                if sketch_pays(rows, allowed)
                    && allowed > MIN_ALLOWED_PER_SEED * seed_count(count) =>
            {
                self.sketched(isa, sketch, &queries, count)
            }
            _ => {
                let allowed: Vec<u32> = (0..rows as u32)
                    .filter(|&row| self.is_allowed(row))
                    .collect();
                let groups = queries.chunks(QUERIES_PER_PASS).collect();
                let found = threads::map(groups, |_, queries| {
                    self.best_of_all(isa, queries, count, &allowed)
                });
                found.concat()
            }
        };
        for hits in &mut found {
            keep_best(hits, count);
            hits.sort_unstable_by(Hit::order);
        }
        found
    }

    /// The best of these rows and some others, in no order.
    fn best_of_all(
        &self,
        isa: Isa,
        queries: &[SearchQuery<'_>],
        count: usize,
        rows: &[u32],
    ) -> Vec<Vec<Hit>> {
        let pieces = rows.chunks(ROWS_PER_PIECE).collect();
        let parts = threads::map(pieces, |_, rows: &[u32]| {
            let mut best = vec![Vec::new(); queries.len()];
            self.hits_of_all(isa, queries, rows, |q, hit| best[q].push(hit));
            best.iter_mut().for_each(|hits| keep_best(hits, count));
            best
        });
        let mut best = vec![Vec::new(); queries.len()];
        for part in parts {
            for (all, hits) in best.iter_mut().zip(part) {
                all.extend(hits);
            }
        }
        best
    }

    /// The best rows and some others, in no order, with the sketch.
    fn sketched(
        &self,
        isa: Isa,
        sketch: &Sketch,
        queries: &[SearchQuery<'_>],
        count: usize,
    ) -> Vec<Vec<Hit>> {
        let has_offset = queries.iter().any(|query| query.scan.offset != 0.0);
        let shift = shift(self, has_offset);
        let filter = Filter::new(isa, self, sketch, shift.as_deref(), count);
        let second = OnceLock::new();
        let queries_per_pass =
            SUM_BYTES_PER_PASS / 2 / self.codes.len().next_multiple_of(ROWS_PER_GROUP);
        let groups = queries
            .chunks(queries_per_pass.max(MIN_QUERIES_PER_PASS))
            .collect();
        let found = threads::map_with(
            groups,
            Vec::new,
            |passes, _, queries: &[SearchQuery<'_>]| {
                let mut candidates = filter.candidates(queries, &second, passes);
                let pieces: Vec<(usize, &[u32])> = (candidates.iter().enumerate())
                    .flat_map(|(q, found)| {
                        found.rows.chunks(ROWS_PER_PIECE).map(move |rows| (q, rows))
                    })
                    .collect();
                let parts = threads::map(pieces, |_, (q, rows)| {
                    let mut hits = Vec::with_capacity(rows.len());
                    self.hits(queries[q], rows, &mut Work::default(), &mut hits);
                    keep_best(&mut hits, count);
                    (q, hits)
                });
                for (q, hits) in parts {
                    candidates[q].seeds.extend(hits);
                }
                candidates
                    .into_iter()
                    .map(|found| found.seeds)
                    .collect::<Vec<_>>()
            },
        );
        found.concat()
    }
}
