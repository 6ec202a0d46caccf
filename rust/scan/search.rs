//! The k best rows of each query.
//!
//! The filter (`filter.rs`) names the rows that can be among them, by their [sketch](super::sketch), and these are estimated exactly.
//!
//! Exactly means: with the estimator of [`products`](super::products). By inner product scores are its bits, the other metrics go on from it in float64. A
//! row is expanded once for all queries that ask for it. Where few rows are allowed, or all would have to be looked at, all of them are estimated.
//!
//! **Metrics.** Keys order rows as the metric does: ⟨x, y⟩ − ⟨center, y⟩; ⟨x, y⟩/‖x‖ for the cosine; ⟨x, y⟩ − ⟨center, y⟩ − ‖x‖²/2 for the
//! Euclidean distance.
//!
//! **The same result everywhere.** Sums are integers, each key and bound is a fixed sequence of rounded operations on one row, segments of rows are fixed, and ties go to the
//! lower index: neither threads nor instruction sets change what is looked at.

use std::cmp::Ordering;

use super::Query;
use super::filter::Asked;
use super::seeds::seeds_for;
use super::sketch::Sketch;
use crate::codes::CodesRef;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::scan::GROUP;
use crate::kernels::{prefetch, reduce};
use crate::threads;

/// Rows that a thread takes at a time.
pub(super) const SEGMENT: usize = 1 << 15;
/// Bytes of sums that are kept at a time: what the second-level cache holds.
const SUMS: usize = 1 << 21;
/// Queries whose pairs with a segment are listed at a time where every row is estimated: 8 MiB.
const TOGETHER: usize = 32;
/// Of the batch, the share that must be allowed for the sketch to be worth a pass over all rows.
const DENSE: usize = 16;

/// Pairs ahead for which a row's code is sent for: rows in question are far apart in memory.
const AHEAD: usize = 8;
const CACHE_LINE: usize = 64;

/// How rows are compared with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// ⟨x, y⟩, the greatest first.
    InnerProduct,
    /// ‖x − y‖², the least first, never below 0.
    Euclidean,
    /// ⟨x, y⟩/(‖x‖‖y‖), the greatest first; 0 for a zero row or query.
    Cosine,
}

impl Metric {
    const ALL: [Self; 3] = [Self::InnerProduct, Self::Euclidean, Self::Cosine];

    /// `ip`, `l2` or `cosine`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InnerProduct => "ip",
            Self::Euclidean => "l2",
            Self::Cosine => "cosine",
        }
    }

    /// The metric of this name.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == name);
        found.ok_or_else(|| Error::invalid(format!("metric={name:?}, expected ip, l2 or cosine")))
    }
}

/// The rows that are searched.
pub struct Rows<'a, E> {
    /// The codes, with norms for the metrics that need them.
    pub codes: CodesRef<'a>,
    /// How rows are compared.
    pub metric: Metric,
    /// Which rows may be found.
    pub allowed: Option<&'a [bool]>,
    /// The sketch; without it every row is estimated.
    pub sketch: Option<&'a Sketch>,
    /// `expand(row, index, c)` writes what a query's vector is multiplied with.
    pub expand: E,
}

/// A row and its score, to be ordered best first.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// Row of the batch.
    pub row: u32,
    /// The score in the metric's units.
    pub score: f32,
    /// The greater the better.
    merit: f32,
    /// In the units of the sketch's keys.
    pub(super) key: f32,
}

impl Hit {
    fn order(&self, other: &Self) -> Ordering {
        (other.merit.total_cmp(&self.merit)).then(self.row.cmp(&other.row))
    }
}

/// Keeps the `count` best.
fn cut(hits: &mut Vec<Hit>, count: usize) {
    if hits.len() > count {
        hits.select_nth_unstable_by(count, Hit::order);
        hits.truncate(count);
    }
}

impl<E: Fn(usize, &mut Vec<u16>, &mut [f32]) + Sync> Rows<'_, E> {
    /// ‖x‖ of each row; nothing for a metric that does not need it.
    pub(super) fn norm(&self) -> &[f32] {
        self.codes.norm.unwrap_or(&[])
    }

    pub(super) fn is_allowed(&self, row: u32) -> bool {
        self.allowed.is_none_or(|allowed| allowed[row as usize])
    }

    fn hit(&self, query: &Query, norm: f64, row: u32, dot: f32) -> Hit {
        let i = row as usize;
        let scale = self.codes.scale[i];
        let product = query.product(dot, scale);
        let estimate = product + query.offset;
        let own = || f64::from(self.norm()[i]);
        let (score, key) = match self.metric {
            Metric::InnerProduct => (f64::from(query.estimate(dot, scale)), product),
            Metric::Euclidean => {
                let square = own() * own();
                let distance = square + norm * norm - 2.0 * estimate;
                (distance.max(0.0), product - 0.5 * square)
            }
            Metric::Cosine => {
                let divide = |by: f64| if by > 0.0 { estimate / by } else { 0.0 };
                (divide(own() * norm), divide(own()))
            }
        };
        // Adding zero makes −0 a 0, so that they tie.
        let score = score as f32 + 0.0;
        let merit = match self.metric {
            Metric::Euclidean => -score,
            _ => score,
        };
        // Damaged codes can have no number: these rows are the last.
        let merit = if merit.is_nan() {
            f32::NEG_INFINITY
        } else {
            merit
        };
        Hit {
            row,
            score,
            merit,
            key: key as f32,
        }
    }

    /// Exact hits of pairs of a row and a query; each row is expanded once.
    pub(super) fn hits(
        &self,
        isa: Isa,
        asked: &[Asked<'_>],
        pairs: &[(u32, u32)],
        mut found: impl FnMut(u32, Hit),
    ) {
        let Some(length) = asked.first().map(|asked| asked.query.vector.len()) else {
            return;
        };
        let (mut index, mut c) = (Vec::new(), vec![0f32; length]);
        let mut ahead = pairs.iter().skip(AHEAD);
        for same_row in pairs.chunk_by(|a, b| a.0 == b.0) {
            let row = same_row[0].0;
            for &(row, _) in ahead.by_ref().take(same_row.len()) {
                let code = self.codes.row(row as usize);
                code.chunks(CACHE_LINE).for_each(|line| prefetch(&line[0]));
                prefetch(&self.codes.scale[row as usize]);
            }
            (self.expand)(row as usize, &mut index, &mut c);
            for &(_, q) in same_row {
                let Asked { query, norm } = asked[q as usize];
                let dot = reduce::dot(isa, &c, &query.vector);
                found(q, self.hit(query, norm, row, dot));
            }
        }
    }

    /// The `count` best of `candidates` for each query; the candidates of a piece of the batch come from `of(segment)`, ascending by row.
    fn best(
        &self,
        isa: Isa,
        asked: &[Asked<'_>],
        count: usize,
        of: impl Fn(usize) -> Vec<(u32, u32)> + Sync,
    ) -> Vec<Vec<Hit>> {
        let segments = self.codes.len().div_ceil(SEGMENT);
        let parts: Vec<Vec<Vec<Hit>>> = threads::map((0..segments).collect(), |_, segment| {
            let mut best = vec![Vec::new(); asked.len()];
            self.hits(isa, asked, &of(segment), |q, hit| {
                let hits: &mut Vec<Hit> = &mut best[q as usize];
                hits.push(hit);
                if hits.len() >= 4 * count + GROUP {
                    cut(hits, count);
                }
            });
            best
        });
        let mut best = vec![Vec::new(); asked.len()];
        for part in parts {
            for (all, hits) in best.iter_mut().zip(part) {
                all.extend(hits);
            }
        }
        threads::map(best, |_, mut hits| {
            cut(&mut hits, count);
            hits.sort_unstable_by(Hit::order);
            hits
        })
    }

    /// The `count` best rows of each query, best first; fewer where fewer are allowed. `norms` holds ‖y‖.
    pub fn search(
        &self,
        isa: Isa,
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
        match self.sketch {
            Some(sketch) if allowed > 8 * seeds_for(count) && allowed > rows / DENSE => {
                let together = (SUMS / 2 / rows.next_multiple_of(GROUP)).max(2);
                let groups = asked.chunks(together).collect();
                let found =
                    threads::map(groups, |_, asked| self.sketched(isa, sketch, asked, count));
                found.concat()
            }
            _ => {
                let groups = asked.chunks(TOGETHER).collect();
                let found = threads::map(groups, |_, asked: &[Asked<'_>]| {
                    self.best(isa, asked, count, |segment| {
                        let from = segment * SEGMENT;
                        let to = rows.min(from + SEGMENT);
                        (from as u32..to as u32)
                            .filter(|&row| self.is_allowed(row))
                            .flat_map(|row| (0..asked.len() as u32).map(move |q| (row, q)))
                            .collect()
                    })
                });
                found.concat()
            }
        }
    }

    fn sketched(
        &self,
        isa: Isa,
        sketch: &Sketch,
        asked: &[Asked<'_>],
        count: usize,
    ) -> Vec<Vec<Hit>> {
        let left = self.filter(isa, sketch, asked, count);
        let mut best = self.best(isa, asked, count, |segment| {
            let near = (0..).zip(&left);
            let pairs =
                near.flat_map(|(q, left)| left.near[segment].iter().map(move |&row| (row, q)));
            by_row(pairs.collect(), segment * SEGMENT, asked.len())
        });
        // The rows that made the bound, which are found even where their own sketch is that far off.
        for (best, left) in best.iter_mut().zip(left) {
            best.extend(left.seeds);
            cut(best, count);
            best.sort_unstable_by(Hit::order);
        }
        best
    }
}

/// The pairs of several queries, each query's ascending, in order of the row, and of the query within a row.
fn by_row(pairs: Vec<(u32, u32)>, from: usize, queries: usize) -> Vec<(u32, u32)> {
    if queries == 1 {
        return pairs;
    }
    let mut ends = vec![0u32; SEGMENT + 1];
    let place = |row: u32| row as usize - from;
    pairs.iter().for_each(|&(row, _)| ends[place(row) + 1] += 1);
    for i in 1..ends.len() {
        ends[i] += ends[i - 1];
    }
    let mut ordered = vec![(0, 0); pairs.len()];
    for pair in pairs {
        let end = &mut ends[place(pair.0)];
        ordered[*end as usize] = pair;
        *end += 1;
    }
    ordered
}
