//! The k best rows of each query.
//!
//! 1. The [sketch](super::sketch) gives every pair an integer sum, and with it a key: what the estimate probably is.
//! 2. The rows with the best keys are estimated exactly; the k-th best of them is a bound that the k-th best of all reaches.
//! 3. Every row whose key could reach the bound, by the spread of its sketch, is estimated exactly, and the k best of these are the result.
//!
//! Exactly means: with the estimator of [`products`](super::products), so scores are its bits. A row is expanded once for all queries that ask for it. Where few
//! rows are allowed, or all would have to be looked at, only step 3 remains.
//!
//! **Metrics.** Keys order rows as the metric does: ⟨x, y⟩ itself; ⟨x, y⟩/‖x‖ for the cosine; ⟨x, y⟩ − ‖x‖²/2 for the Euclidean distance.
//!
//! **The same result everywhere.** Sums are integers, each key and bound is a fixed sequence of rounded operations on one row, segments of rows are fixed, and ties go to the
//! lower index: neither threads nor instruction sets change what is looked at.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::Query;
use super::sketch::{Sketch, Tables};
use crate::codes::CodesRef;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::scan::{GROUP, Keys, above};
use crate::kernels::{prefetch, reduce};

/// Rows that a thread takes at a time.
const SEGMENT: usize = 1 << 14;
/// Rows whose sums are computed while their nibbles are in the first-level cache.
const PIECE: usize = 512;
/// Bytes of sums that are kept at a time.
const SUMS: usize = 1 << 26;
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
    key: f32,
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

/// What the metric adds to estimates, for keys.
struct Terms {
    factor: Vec<f32>,
    spread: Vec<f32>,
    /// ‖x‖², of which half is subtracted.
    shift: Option<Vec<f32>>,
}

impl Terms {
    /// Whether keys are far from where float32 ends, so that no bound is lost: else every row is estimated.
    fn is_usable(&self, tables: &Tables) -> bool {
        let greatest = |values: &[f32]| values.iter().fold(0f32, |most, x| most.max(x.abs()));
        let product = greatest(&self.factor) * tables.offset.abs();
        let others = [
            greatest(&self.spread) * tables.reach,
            self.shift.as_deref().map_or(0.0, greatest),
        ];
        (1e-30..1e30).contains(&product) && others.iter().all(|other| *other < 1e30)
    }
}

impl<E: Fn(usize, &mut Vec<u16>, &mut [f32]) + Sync> Rows<'_, E> {
    /// ‖x‖ of each row; nothing for a metric that does not need it.
    fn norm(&self) -> &[f32] {
        self.codes.norm.unwrap_or(&[])
    }

    fn is_allowed(&self, row: u32) -> bool {
        self.allowed.is_none_or(|allowed| allowed[row as usize])
    }

    fn hit(&self, query: &Query, norm: f64, row: u32, dot: f32) -> Hit {
        let i = row as usize;
        let estimate = query.estimate(dot, self.codes.scale[i]);
        let product = f64::from(estimate);
        let own = || f64::from(self.norm()[i]);
        let (score, key) = match self.metric {
            Metric::InnerProduct => (product, product),
            Metric::Euclidean => {
                let square = own() * own();
                let distance = square + norm * norm - 2.0 * product;
                (distance.max(0.0), product - 0.5 * square)
            }
            Metric::Cosine => {
                let divide = |by: f64| if by > 0.0 { product / by } else { 0.0 };
                (divide(own() * norm), divide(own()))
            }
        };
        // Adding zero makes −0 a 0, so that they tie.
        let score = score as f32 + 0.0;
        let merit = match self.metric {
            Metric::Euclidean => -score,
            _ => score,
        };
        Hit {
            row,
            score,
            merit,
            key: key as f32,
        }
    }

    /// Exact hits of pairs of a row and a query; each row is expanded once.
    fn hits(
        &self,
        isa: Isa,
        queries: &[Query],
        norms: &[f64],
        pairs: &[(u32, u32)],
        mut found: impl FnMut(u32, Hit),
    ) {
        let Some(length) = queries.first().map(|query| query.vector.len()) else {
            return;
        };
        let (mut index, mut c) = (Vec::new(), vec![0f32; length]);
        let mut ahead = pairs.iter().skip(AHEAD);
        for same_row in pairs.chunk_by(|a, b| a.0 == b.0) {
            let row = same_row[0].0;
            for &(row, _) in ahead.by_ref().take(same_row.len()) {
                let code = self.codes.row(row as usize);
                code.chunks(CACHE_LINE).for_each(|line| prefetch(&line[0]));
            }
            (self.expand)(row as usize, &mut index, &mut c);
            for &(_, q) in same_row {
                let query = &queries[q as usize];
                let dot = reduce::dot(isa, &c, &query.vector);
                found(q, self.hit(query, norms[q as usize], row, dot));
            }
        }
    }

    /// The `count` best of `candidates` for each query; the candidates of a piece of the batch come from `of(segment)`, ascending by row.
    fn best(
        &self,
        isa: Isa,
        queries: &[Query],
        norms: &[f64],
        count: usize,
        of: impl Fn(usize) -> Vec<(u32, u32)> + Sync,
    ) -> Vec<Vec<Hit>> {
        let segments = self.codes.len().div_ceil(SEGMENT);
        let parts: Vec<Vec<Vec<Hit>>> = (0..segments)
            .into_par_iter()
            .map(|segment| {
                let mut best = vec![Vec::new(); queries.len()];
                self.hits(isa, queries, norms, &of(segment), |q, hit| {
                    let hits: &mut Vec<Hit> = &mut best[q as usize];
                    hits.push(hit);
                    if hits.len() >= 4 * count + GROUP {
                        cut(hits, count);
                    }
                });
                best
            })
            .collect();
        let mut best = vec![Vec::new(); queries.len()];
        for part in parts {
            for (all, hits) in best.iter_mut().zip(part) {
                all.extend(hits);
            }
        }
        best.par_iter_mut().for_each(|hits| {
            cut(hits, count);
            hits.sort_unstable_by(Hit::order);
        });
        best
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
        let seeds = 2 * count + GROUP / 2;
        match self.sketch {
            Some(sketch) if allowed > 8 * seeds && allowed > rows / DENSE => {
                let terms = self.terms(sketch);
                let together = (SUMS / 2 / rows.next_multiple_of(SEGMENT)).max(1);
                let mut found = Vec::with_capacity(queries.len());
                for (queries, norms) in queries.chunks(together).zip(norms.chunks(together)) {
                    found.extend(self.sketched(isa, sketch, &terms, queries, norms, count, seeds));
                }
                found
            }
            _ => {
                let all = |segment: usize| {
                    let from = segment * SEGMENT;
                    let to = rows.min(from + SEGMENT);
                    (from as u32..to as u32)
                        .filter(|&row| self.is_allowed(row))
                        .flat_map(|row| (0..queries.len() as u32).map(move |q| (row, q)))
                        .collect()
                };
                self.best(isa, queries, norms, count, all)
            }
        }
    }

    fn terms(&self, sketch: &Sketch) -> Terms {
        let divided = |values: &[f32]| match self.metric {
            Metric::Cosine => (values.iter().zip(self.norm()))
                .map(|(value, &norm)| if norm > 0.0 { value / norm } else { 0.0 })
                .collect(),
            _ => values.to_vec(),
        };
        Terms {
            factor: divided(&sketch.factor),
            spread: divided(&sketch.spread),
            shift: (self.metric == Metric::Euclidean)
                .then(|| self.norm().iter().map(|norm| norm * norm).collect()),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn sketched(
        &self,
        isa: Isa,
        sketch: &Sketch,
        terms: &Terms,
        queries: &[Query],
        norms: &[f64],
        count: usize,
        seeds: usize,
    ) -> Vec<Vec<Hit>> {
        let rows = self.codes.len();
        let tables: Vec<Tables> = queries
            .par_iter()
            .map(|query| sketch.tables(query))
            .collect();
        let keys = |q: usize, rows: std::ops::Range<usize>, reach: bool| {
            let tables: &Tables = &tables[q];
            let reach = f32::from(u8::from(reach));
            Keys {
                factor: &terms.factor[rows.clone()],
                spread: &terms.spread[rows.clone()],
                shift: terms.shift.as_deref().map(|shift| &shift[rows]),
                unit: tables.unit,
                offset: reach.mul_add(tables.rounding, tables.offset),
                weight: -0.5,
                reach: reach * tables.reach,
            }
        };
        // Sums of a segment, query by query, and the rows with the best keys.
        let padded = SEGMENT.min(rows.next_multiple_of(GROUP));
        let mut sums = vec![0u16; rows.div_ceil(SEGMENT) * queries.len() * padded];
        let best_keys: Vec<Vec<Vec<(f32, u32)>>> = sums
            .par_chunks_mut(queries.len() * padded)
            .enumerate()
            .map(|(segment, sums)| {
                let from = segment * SEGMENT;
                let to = rows.min(from + SEGMENT);
                let mut seeding = vec![Seeds::new(seeds); queries.len()];
                let mut near = Vec::new();
                for from in (from..to).step_by(PIECE) {
                    let to = to.min(from + PIECE);
                    let place = from % SEGMENT;
                    let end = place + (to - from).next_multiple_of(GROUP);
                    let mut sums: Vec<&mut [u16]> = (sums.chunks_exact_mut(padded))
                        .map(|sums| &mut sums[place..end])
                        .collect();
                    sketch.sums(isa, &tables, from, &mut sums);
                    for (q, (seeding, sums)) in seeding.iter_mut().zip(&sums).enumerate() {
                        let keys = keys(q, from..to, false);
                        near.clear();
                        let least = seeding.least;
                        above(
                            isa,
                            &sums[..to - from],
                            &keys,
                            least,
                            from as u32,
                            &mut near,
                        );
                        for &row in near.iter().filter(|&&row| self.is_allowed(row)) {
                            let i = row as usize - from;
                            seeding.add(keys.key(i, sums[i]), row);
                        }
                    }
                }
                seeding.into_iter().map(Seeds::finish).collect()
            })
            .collect();
        let mut seeded: Vec<Seeds> = vec![Seeds::new(seeds); queries.len()];
        for part in best_keys {
            for (all, part) in seeded.iter_mut().zip(part) {
                part.into_iter().for_each(|(key, row)| all.add(key, row));
            }
        }
        let (bounds, seeded): (Vec<Option<f32>>, Vec<Vec<Hit>>) = seeded
            .into_par_iter()
            .enumerate()
            .map(|(q, seeds)| {
                if !terms.is_usable(&tables[q]) {
                    return (None, Vec::new());
                }
                let mut pairs: Vec<_> = (seeds.finish().into_iter())
                    .map(|(_, row)| (row, 0))
                    .collect();
                pairs.sort_unstable();
                let mut hits = Vec::with_capacity(pairs.len());
                let alone = std::slice::from_ref(&queries[q]);
                self.hits(isa, alone, &norms[q..=q], &pairs, |_, hit| hits.push(hit));
                (Some(self.bound(&mut hits, count)), hits)
            })
            .unzip();
        let mut best = self.best(isa, queries, norms, count, |segment| {
            let from = segment * SEGMENT;
            let to = rows.min(from + SEGMENT);
            let (mut pairs, mut near) = (Vec::new(), Vec::new());
            for (q, &bound) in bounds.iter().enumerate() {
                let sums = &sums[(segment * queries.len() + q) * padded..][..to - from];
                near.clear();
                match bound {
                    Some(bound) => {
                        let keys = keys(q, from..to, true);
                        above(isa, sums, &keys, bound, from as u32, &mut near);
                    }
                    None => near.extend(from as u32..to as u32),
                }
                pairs.extend(
                    (near.iter().filter(|&&row| self.is_allowed(row))).map(|&row| (row, q as u32)),
                );
            }
            by_row(pairs, from, queries.len())
        });
        // The rows that made the bound are found, even where their own sketch is that far off.
        for (best, seeded) in best.iter_mut().zip(seeded) {
            best.extend(seeded);
            best.sort_unstable_by(Hit::order);
            best.dedup_by_key(|hit| hit.row);
            best.truncate(count);
        }
        best
    }

    /// The least key of the `count` best, lowered by what rounding could have added.
    fn bound(&self, hits: &mut [Hit], count: usize) -> f32 {
        hits.sort_unstable_by(|a, b| b.key.total_cmp(&a.key));
        let last = hits[count - 1];
        let size = match self.metric {
            Metric::Euclidean => self.norm()[last.row as usize].powi(2),
            _ => 0.0,
        };
        (last.key - 1e-6 * (last.key.abs() + size)).next_down()
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

/// The rows with the greatest keys.
#[derive(Debug, Clone)]
struct Seeds {
    count: usize,
    kept: Vec<(f32, u32)>,
    /// No smaller key is wanted.
    least: f32,
}

impl Seeds {
    fn new(count: usize) -> Self {
        Self {
            count,
            kept: Vec::new(),
            least: f32::NEG_INFINITY,
        }
    }

    fn add(&mut self, key: f32, row: u32) {
        self.kept.push((key, row));
        if self.kept.len() >= 4 * self.count {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.kept.len() > self.count {
            let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            self.kept.select_nth_unstable_by(self.count - 1, order);
            self.kept.truncate(self.count);
            self.least = self.kept[self.count - 1].0;
        }
    }

    fn finish(mut self) -> Vec<(f32, u32)> {
        self.cut();
        self.kept
    }
}
