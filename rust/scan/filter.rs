//! Which rows can be among the best of a query, by their sketches.
//!
//! A level of the sketch gives every row a key, from sums in one pass over its newest plane. The rows with the greatest keys, the seeds, are
//! estimated exactly; the k-th best of them is a bound that the k-th best of all reaches. In question are the rows whose key, with its reach, is above
//! the bound; they are looked for in the groups of rows whose greatest key is near it. If these are more than a pass over the second level would cost, the second level decides.

use std::borrow::Cow;
use std::ops::Range;

use super::search::{Hit, Metric, Rows, SEGMENT};
use super::seeds::Seeds;
use super::sketch::{Column, Plane, Sketch, Tables, greatest};
use super::{Query, columns};
use crate::isa::Isa;
use crate::kernels::scan::{GROUP, Keys, Term, above};
use crate::threads;

/// Rows whose sums are computed while their nibbles are in the first-level cache; the first pieces of a segment are smaller, so that its
/// seeds are soon few.
const PIECE: usize = 512;
const FIRST_PIECE: usize = 2 * GROUP;
/// The share of rows whose exact estimates cost as much as a pass over the second level.
const SECOND: f64 = 0.02;

/// A query among those that are filtered together.
pub(super) struct Asked<'a> {
    pub query: &'a Query,
    /// ‖y‖.
    pub norm: f64,
}

/// What is left of a query.
pub(super) struct Left {
    /// The seeds, estimated.
    pub seeds: Vec<Hit>,
    /// The other rows in question, ascending, segment by segment.
    pub near: Vec<Vec<u32>>,
    /// Whether there is a bound; else every row is in question.
    bounded: bool,
}

/// Sums of a plane, query by query.
struct Sums {
    values: Vec<u16>,
    /// Of a query: its rows in whole groups.
    length: usize,
}

impl Sums {
    fn of(&self, query: usize, rows: &Range<usize>) -> &[u16] {
        &self.values[query * self.length..][rows.clone()]
    }
}

/// The sums of the plane before, and which query there each query was.
type Before<'a> = Option<(&'a Sums, &'a [usize])>;

/// What a level gives the keys, in the metric's units.
struct Level<'a> {
    plane: &'a Plane,
    factors: Vec<Cow<'a, [f32]>>,
    spread: Cow<'a, [f32]>,
    /// ‖x‖², of which half is subtracted, or 1/‖x‖, which has ⟨center, y⟩ as its factor.
    shift: Option<&'a [f32]>,
    metric: Metric,
    /// The greatest |factor|, spread and shift.
    greatest: [f32; 3],
}

impl Level<'_> {
    /// Whether keys are far from where float32 ends, so that no bound is lost.
    fn is_usable(&self, query: &Query, tables: &Tables) -> bool {
        let [factor, spread, shift] = self.greatest;
        let product = factor * tables.offset.abs();
        (1e-30..1e30).contains(&product)
            && spread * tables.reach < 1e30
            && shift * self.weight(query).abs() < 1e30
    }

    /// Factor of the shift.
    fn weight(&self, query: &Query) -> f32 {
        match self.metric {
            Metric::Euclidean => -0.5,
            _ => query.offset as f32,
        }
    }

    /// What the reach adds to a key at the most.
    fn most_reach(&self, tables: &Tables) -> f32 {
        let [factor, spread, _] = self.greatest;
        let terms = self.factors.len() as f32;
        1.001 * (tables.reach * spread + terms * tables.rounding * factor)
    }

    /// Keys of some rows, with their reach or without.
    fn keys<'s>(
        &'s self,
        query: &Query,
        tables: &Tables,
        sums: [&'s [u16]; 2],
        rows: Range<usize>,
        reach: bool,
    ) -> Keys<'s> {
        let reach = f32::from(u8::from(reach));
        let term = |place: usize| Term {
            sums: &sums[place][..rows.len()],
            factor: &self.factors[place][rows.clone()],
        };
        // The rounding of each term is its own.
        let rounding = tables.rounding * reach;
        Keys {
            first: term(0),
            second: (self.factors.len() > 1).then(|| term(1)),
            spread: &self.spread[rows.clone()],
            shift: self.shift.map(|shift| &shift[rows.clone()]),
            unit: tables.unit,
            offset: tables.offset + rounding,
            weight: self.weight(query),
            reach: reach * tables.reach,
        }
    }
}

impl<E: Fn(usize, &mut Vec<u16>, &mut [f32]) + Sync> Rows<'_, E> {
    /// The rows in question for each query.
    pub(super) fn filter(
        &self,
        isa: Isa,
        sketch: &Sketch,
        asked: &[Asked<'_>],
        count: usize,
    ) -> Vec<Left> {
        let centred = asked.iter().any(|asked| asked.query.offset != 0.0);
        let of_norms =
            |shift: fn(f32) -> f32| self.norm().iter().map(|&norm| shift(norm)).collect();
        let shift: Option<Vec<f32>> = match self.metric {
            Metric::Euclidean => Some(of_norms(|norm| norm * norm)),
            Metric::Cosine if centred => {
                Some(of_norms(|norm| if norm > 0.0 { norm.recip() } else { 0.0 }))
            }
            _ => None,
        };
        let tables = threads::map(asked.iter().collect(), |_, asked: &Asked<'_>| {
            sketch.tables(asked.query)
        });
        let level = self.level(
            &sketch.plane,
            &[&sketch.factor],
            &sketch.spread,
            shift.as_deref(),
        );
        let (mut left, sums) = self.pass(isa, &level, asked, &tables, None, count);
        let most = (SECOND * self.codes.len() as f64) as usize;
        let count_near = |left: &Left| {
            let near = left.near.iter().flatten();
            near.filter(|&&row| self.is_allowed(row)).count()
        };
        let wide: Vec<usize> = (0..left.len())
            .filter(|&q| left[q].bounded && count_near(&left[q]) > most)
            .collect();
        if !wide.is_empty() {
            let second = threads::run(|| sketch.second(isa, self.codes.scale, &self.expand));
            let [first_factor, second_factor] = &second.factors;
            let level = self.level(
                &second.plane,
                &[first_factor, second_factor],
                &second.spread,
                shift.as_deref(),
            );
            let pick = |&q: &usize| Asked { ..asked[q] };
            let asked: Vec<Asked<'_>> = wide.iter().map(pick).collect();
            let tables: Vec<Tables> = wide.iter().map(|&q| tables[q].clone()).collect();
            let before = Some((&sums, &*wide));
            let (closer, _) = self.pass(isa, &level, &asked, &tables, before, count);
            for (q, closer) in wide.into_iter().zip(closer) {
                left[q] = closer;
            }
        }
        threads::map(left, |_, mut left| {
            let mut estimated: Vec<u32> = left.seeds.iter().map(|seed| seed.row).collect();
            estimated.sort_unstable();
            for near in &mut left.near {
                near.retain(|row| self.is_allowed(*row) && estimated.binary_search(row).is_err());
            }
            left
        })
    }

    fn level<'a>(
        &self,
        plane: &'a Plane,
        factors: &[&'a Column],
        spread: &'a Column,
        shift: Option<&'a [f32]>,
    ) -> Level<'a> {
        let in_metric = |column: &'a Column| match self.metric {
            Metric::Cosine => {
                let values: Vec<f32> = (column.values.iter().zip(self.norm()))
                    .map(|(value, &norm)| if norm > 0.0 { value / norm } else { 0.0 })
                    .collect();
                (greatest(&values), Cow::Owned(values))
            }
            _ => (column.greatest, Cow::Borrowed(&*column.values)),
        };
        let (greatest_factors, factors): (Vec<f32>, Vec<_>) =
            factors.iter().map(|column| in_metric(column)).unzip();
        let (greatest_spread, spread) = in_metric(spread);
        let greatest = [
            greatest_factors.into_iter().fold(0.0, f32::max),
            greatest_spread,
            shift.map_or(0.0, greatest),
        ];
        Level {
            plane,
            factors,
            spread,
            shift,
            metric: self.metric,
            greatest,
        }
    }

    /// One level: sums of its plane (`before` has those of the plane before), seeds, bound, and the rows above it.
    fn pass(
        &self,
        isa: Isa,
        level: &Level<'_>,
        asked: &[Asked<'_>],
        tables: &[Tables],
        before: Before<'_>,
        count: usize,
    ) -> (Vec<Left>, Sums) {
        let rows = self.codes.len();
        let segment_rows = |segment: usize| segment * SEGMENT..rows.min((segment + 1) * SEGMENT);
        let length = rows.next_multiple_of(GROUP);
        // One allocation, which the allocator keeps for the next call.
        let mut newest = Sums {
            values: vec![0; length * asked.len()],
            length,
        };
        let pieces = columns(&mut newest.values, length, SEGMENT);
        let old =
            |q: usize, rows: &Range<usize>| before.map(|(sums, which)| sums.of(which[q], rows));
        let each: Vec<&Tables> = tables.iter().collect();
        let seeded: Vec<Vec<Seeds>> =
            threads::map(pieces, |segment, mut pieces: Vec<&mut [u16]>| {
                let mut seeds = vec![Seeds::new(count); asked.len()];
                let mut near = Vec::new();
                let all = segment_rows(segment);
                let mut from = all.start;
                while from < all.end {
                    let place = from - all.start;
                    let rows = from..all.end.min(from + place.clamp(FIRST_PIECE, PIECE));
                    let end = place + rows.len().next_multiple_of(GROUP);
                    let mut sums: Vec<&mut [u16]> = (pieces.iter_mut())
                        .map(|piece| &mut piece[place..end])
                        .collect();
                    level.plane.sums(isa, &each, from, &mut sums);
                    for (q, (seeds, new)) in seeds.iter_mut().zip(&sums).enumerate() {
                        let sums = in_order(old(q, &rows), &new[..rows.len()]);
                        let keys =
                            level.keys(asked[q].query, &tables[q], sums, rows.clone(), false);
                        near.clear();
                        let (least, greatest) = (seeds.least, &mut seeds.greatest);
                        above(isa, &keys, least, from as u32, &mut near, greatest);
                        for &row in near.iter().filter(|&&row| self.is_allowed(row)) {
                            seeds.add(keys.key(row as usize - from), row);
                        }
                    }
                    from = rows.end;
                }
                seeds
            });
        let bounds: Vec<(Vec<Hit>, Option<f32>)> =
            threads::map((0..asked.len()).collect(), |_, q| {
                if !level.is_usable(asked[q].query, &tables[q]) {
                    return (Vec::new(), None);
                }
                let mut seeds = Seeds::new(count);
                for part in &seeded {
                    part[q]
                        .kept
                        .iter()
                        .for_each(|&(key, row)| seeds.add(key, row));
                }
                let mut hits = self.seed_hits(isa, &asked[q], seeds);
                let bound = self.bound(&asked[q], &mut hits, count);
                (hits, bound)
            });
        let segments = (0..rows.div_ceil(SEGMENT)).collect();
        let near: Vec<Vec<Vec<u32>>> = threads::map(segments, |_, segment| {
            let all = segment_rows(segment);
            let near = |(q, (_, bound)): (usize, &(Vec<Hit>, Option<f32>))| {
                let mut near = Vec::new();
                let Some(bound) = *bound else {
                    // Without a bound every row is in question.
                    near.extend(all.start as u32..all.end as u32);
                    return near;
                };
                let key = bound - level.most_reach(&tables[q]);
                let mut scratch = Vec::new();
                let groups = &seeded[segment][q].greatest;
                for (group, _) in groups.iter().enumerate().filter(|(_, most)| **most > key) {
                    let from = all.start + group * GROUP;
                    let rows = from..all.end.min(from + GROUP);
                    let sums = in_order(old(q, &rows), newest.of(q, &rows));
                    let keys = level.keys(asked[q].query, &tables[q], sums, rows, true);
                    scratch.clear();
                    above(isa, &keys, bound, from as u32, &mut near, &mut scratch);
                }
                near
            };
            bounds.iter().enumerate().map(near).collect()
        });
        let mut left: Vec<Left> = (bounds.into_iter())
            .map(|(seeds, bound)| Left {
                seeds,
                bounded: bound.is_some(),
                near: Vec::with_capacity(near.len()),
            })
            .collect();
        for segment in near {
            for (left, near) in left.iter_mut().zip(segment) {
                left.near.push(near);
            }
        }
        (left, newest)
    }

    fn seed_hits(&self, isa: Isa, asked: &Asked<'_>, seeds: Seeds) -> Vec<Hit> {
        let mut pairs: Vec<(u32, u32)> = (seeds.finish().into_iter())
            .map(|(_, row)| (row, 0))
            .collect();
        pairs.sort_unstable();
        let mut hits = Vec::with_capacity(pairs.len());
        self.hits(isa, std::slice::from_ref(asked), &pairs, |_, hit| {
            hits.push(hit)
        });
        hits
    }

    /// The least key of the `count` best, lowered by what rounding of keys and scores could have added, so that ties of scores are in question. None for
    /// fewer than `count`, and where it is no number.
    fn bound(&self, asked: &Asked<'_>, hits: &mut [Hit], count: usize) -> Option<f32> {
        hits.sort_unstable_by(|a, b| b.key.total_cmp(&a.key));
        let last = *hits.get(count - 1)?;
        let norm = || self.norm()[last.row as usize];
        let offset = asked.query.offset as f32;
        let square = (asked.norm * asked.norm) as f32;
        let (key, size) = match self.metric {
            Metric::InnerProduct => (last.key, offset.abs()),
            // Distances below 0 are 0, and tie.
            Metric::Euclidean => (
                last.key.min(0.5 * square - offset),
                norm().powi(2) + square + 2.0 * offset.abs(),
            ),
            Metric::Cosine => (last.key, offset.abs() / norm().max(f32::MIN_POSITIVE)),
        };
        let bound = (key - 1e-6 * (key.abs() + size)).next_down();
        bound.is_finite().then_some(bound)
    }
}

/// The sums of the planes in order; the second is not looked at where there is one plane.
fn in_order<'a>(before: Option<&'a [u16]>, newest: &'a [u16]) -> [&'a [u16]; 2] {
    [before.unwrap_or(newest), newest]
}
