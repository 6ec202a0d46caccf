//! The k best rows of each query.
//!
//! The filter (`filter.rs`) names the rows that can be among them, by their [sketch](super::sketch), and these are estimated exactly (`rows.rs`).
//! Where few rows are allowed, or all would have to be looked at, all of them are estimated.
//!
//! **The same result everywhere.** Sums are integers, each key and bound is a fixed sequence of rounded operations on one row, and ties go to the
//! lower index: neither threads nor instruction sets change what is looked at.

use std::sync::OnceLock;

use super::filter::Filter;
use super::level::shift;
use super::rows::Asked;
pub use super::rows::{Center, Hit, Metric, Rows};
use super::seeds::seeds_for;
use super::sketch::Sketch;
use super::{Expand, Query, Work};
use crate::isa::Isa;
use crate::kernels::fast_scan::ROWS_PER_GROUP;
use crate::threads;

/// Bytes of sums that are kept at a time: what the second-level cache holds.
const SUMS: usize = 1 << 21;
/// Rows that are estimated at a time.
const ROWS: usize = 1 << 10;
/// Queries that share the expanded rows where every row is estimated.
const TOGETHER: usize = 32;
/// Of the batch, the share that must be allowed for the sketch to be worth a pass over all rows.
const DENSE: usize = 16;

/// Keeps the `count` best.
fn cut(hits: &mut Vec<Hit>, count: usize) {
    if hits.len() > count {
        hits.select_nth_unstable_by(count, Hit::order);
        hits.truncate(count);
    }
}

impl<E: Expand> Rows<'_, E> {
    /// The `count` best rows of each query, best first; fewer where fewer are allowed. `norms` holds ‖y‖; without sketch every row is estimated.
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
        let asked: Vec<Asked<'_>> = (queries.iter().zip(norms))
            .map(|(query, &norm)| Asked { query, norm })
            .collect();
        let mut found = match sketch {
            Some(sketch) if allowed > 16 * seeds_for(count) && allowed > rows / DENSE => {
                self.sketched(isa, sketch, &asked, count)
            }
            _ => {
                let allowed: Vec<u32> = (0..rows as u32)
                    .filter(|&row| self.is_allowed(row))
                    .collect();
                let groups = asked.chunks(TOGETHER).collect();
                let found = threads::map(groups, |_, asked| {
                    self.best_of_all(isa, asked, count, &allowed)
                });
                found.concat()
            }
        };
        for hits in &mut found {
            cut(hits, count);
            hits.sort_unstable_by(Hit::order);
        }
        found
    }

    /// The best of all these rows, some more, in no order.
    fn best_of_all(
        &self,
        isa: Isa,
        asked: &[Asked<'_>],
        count: usize,
        rows: &[u32],
    ) -> Vec<Vec<Hit>> {
        let pieces = rows.chunks(ROWS).collect();
        let parts = threads::map(pieces, |_, rows: &[u32]| {
            let mut best = vec![Vec::new(); asked.len()];
            self.hits_of_all(isa, asked, rows, |q, hit| best[q].push(hit));
            best.iter_mut().for_each(|hits| cut(hits, count));
            best
        });
        let mut best = vec![Vec::new(); asked.len()];
        for part in parts {
            for (all, hits) in best.iter_mut().zip(part) {
                all.extend(hits);
            }
        }
        best
    }

    fn sketched(
        &self,
        isa: Isa,
        sketch: &Sketch,
        asked: &[Asked<'_>],
        count: usize,
    ) -> Vec<Vec<Hit>> {
        let has_offset = asked.iter().any(|asked| asked.query.offset != 0.0);
        let shift = shift(self, has_offset);
        let filter = Filter::new(isa, self, sketch, shift.as_deref(), count);
        let second = OnceLock::new();
        let together = SUMS / 2 / self.codes.len().next_multiple_of(ROWS_PER_GROUP);
        let groups = asked.chunks(together.max(4)).collect();
        let found = threads::map_with(groups, Vec::new, |room, _, asked: &[Asked<'_>]| {
            let mut left = filter.left(asked, &second, room);
            let pieces: Vec<(usize, &[u32])> = (left.iter().enumerate())
                .flat_map(|(q, left)| left.near.chunks(ROWS).map(move |near| (q, near)))
                .collect();
            let parts = threads::map(pieces, |_, (q, near)| {
                let mut hits = Vec::with_capacity(near.len());
                self.hits(asked[q], near, &mut Work::default(), &mut hits);
                cut(&mut hits, count);
                (q, hits)
            });
            for (q, hits) in parts {
                left[q].seeds.extend(hits);
            }
            left.into_iter().map(|left| left.seeds).collect::<Vec<_>>()
        });
        found.concat()
    }
}
