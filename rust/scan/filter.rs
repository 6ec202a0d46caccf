//! Which rows can be among the best of a query, by their sketches.
//!
//! A level of the sketch gives every row a bound, its key with the reach of the sketch, from sums in one pass over its newest plane; of these the greatest of
//! each group of rows is kept. The rows of the greatest bounds, the seeds, are estimated exactly, and the k-th best of them is a key that the k-th best
//! of all reaches. In question are the other rows whose bound is above it: they are looked for in the groups whose greatest is. If these are more than
//! a pass over the second level would cost, the second level decides.

use std::sync::OnceLock;

use super::level::Level;
use super::rows::{Asked, Hit, Metric, Rows};
use super::seeds;
use super::sketch::{Sketch, Tables};
use super::{Expand, Work, columns};
use crate::isa::Isa;
use crate::kernels::fast_scan::{ROWS_PER_GROUP, group_maxima, select_in_range};
use crate::threads;

/// Rows that a thread takes at a time.
const SEGMENT: usize = 1 << 13;
/// Rows whose sums are computed while their nibbles are in the first-level cache.
const PIECE: usize = 256;
/// The share of rows whose exact estimates cost as much as a pass over the second level.
const SECOND: f64 = 0.02;

/// What is left of a query.
pub(super) struct Left {
    /// The seeds, estimated.
    pub seeds: Vec<Hit>,
    /// The other rows in question, ascending.
    pub near: Vec<u32>,
    /// Whether there is a bound and more rows are above it than were asked for: they may not be listed.
    wide: bool,
}

/// The levels of a sketch for one search.
pub(super) struct Filter<'a, E> {
    isa: Isa,
    rows: &'a Rows<'a, E>,
    sketch: &'a Sketch,
    shift: Option<&'a [f32]>,
    first: Level<'a>,
    /// How many rows are to be found.
    count: usize,
}

/// Sums of a plane and the greatest bounds, query by query.
#[derive(Default)]
pub(super) struct Pass {
    sums: Vec<u16>,
    greatest: Vec<f32>,
    /// Rows in whole groups.
    length: usize,
}

impl Pass {
    fn sums(&self, query: usize, from: usize, rows: usize) -> &[u16] {
        &self.sums[query * self.length + from..][..rows]
    }

    fn greatest(&self, query: usize) -> &[f32] {
        let groups = self.length / ROWS_PER_GROUP;
        &self.greatest[query * groups..][..groups]
    }
}

/// The pass over the plane before, and which query there each query was.
type Before<'a> = Option<(&'a Pass, &'a [usize])>;

impl<'a, E: Expand> Filter<'a, E> {
    pub fn new(
        isa: Isa,
        rows: &'a Rows<'a, E>,
        sketch: &'a Sketch,
        shift: Option<&'a [f32]>,
        count: usize,
    ) -> Self {
        let factors = [&sketch.factor];
        Self {
            isa,
            rows,
            sketch,
            shift,
            first: Level::new(rows, &sketch.plane, &factors, &sketch.spread, shift),
            count,
        }
    }

    /// The rows in question for each query. `second` keeps the second level from one call to the
    /// next, and `room` the memory of the passes, which the system would clear each time.
    pub fn left(
        &self,
        asked: &[Asked<'_>],
        second: &OnceLock<Level<'a>>,
        room: &mut Vec<Pass>,
    ) -> Vec<Left> {
        let tables = threads::map(asked.to_vec(), |_, asked| self.sketch.tables(asked.query));
        let most = (SECOND * self.rows.codes.len() as f64) as usize;
        let empty = room.pop().unwrap_or_default();
        let (mut left, pass) = self.pass(&self.first, asked, &tables, None, most, empty);
        let wide: Vec<usize> = (0..left.len()).filter(|&q| left[q].wide).collect();
        if !wide.is_empty() {
            let second = self.second(second);
            let asked: Vec<Asked<'_>> = wide.iter().map(|&q| asked[q]).collect();
            let tables: Vec<Tables> = wide.iter().map(|&q| tables[q].clone()).collect();
            let empty = room.pop().unwrap_or_default();
            let before = Some((&pass, &*wide));
            let (closer, used) = self.pass(second, &asked, &tables, before, usize::MAX, empty);
            room.push(used);
            for (q, closer) in wide.into_iter().zip(closer) {
                left[q] = closer;
            }
        }
        room.push(pass);
        left
    }

    fn second<'s>(&self, kept: &'s OnceLock<Level<'a>>) -> &'s Level<'a> {
        // Not within the cell: a thread that waits for it could be the one that the pool needs.
        if kept.get().is_none() {
            let scale = self.rows.codes.scale;
            let second = (self.sketch).second(self.isa, scale, &self.rows.expand);
            let [first_factor, second_factor] = &second.factors;
            let factors = [first_factor, second_factor];
            let level = Level::new(
                self.rows,
                &second.plane,
                &factors,
                &second.spread,
                self.shift,
            );
            let _ = kept.set(level);
        }
        kept.get_or_init(|| unreachable!("set above"))
    }

    /// One level: sums of its plane (`before` has those of the plane before), seeds, bound, and the rows above it unless they are
    /// more than `most`. `pass` is where they go, whatever stands there.
    #[allow(clippy::too_many_arguments)]
    fn pass(
        &self,
        level: &Level<'_>,
        asked: &[Asked<'_>],
        tables: &[Tables],
        before: Before<'_>,
        most: usize,
        mut pass: Pass,
    ) -> (Vec<Left>, Pass) {
        let rows = self.rows.codes.len();
        let length = rows.next_multiple_of(ROWS_PER_GROUP);
        let groups = length / ROWS_PER_GROUP;
        pass.sums.resize(length * asked.len(), 0);
        pass.greatest.resize(groups * asked.len(), 0.0);
        pass.length = length;
        let each: Vec<&Tables> = tables.iter().collect();
        let segments = columns(&mut pass.sums, length, SEGMENT);
        let tops = columns(&mut pass.greatest, groups, SEGMENT / ROWS_PER_GROUP);
        let segments = segments.into_iter().zip(tops).collect();
        threads::map(
            segments,
            |segment, (mut sums, mut tops): (Vec<&mut [u16]>, Vec<&mut [f32]>)| {
                let length = sums.first().map_or(0, |sums| sums.len());
                for place in (0..length).step_by(PIECE) {
                    let end = length.min(place + PIECE);
                    let from = segment * SEGMENT + place;
                    let live = (end - place).min(rows - from);
                    let mut sums: Vec<&mut [u16]> = (sums.iter_mut())
                        .map(|sums| &mut sums[place..end])
                        .collect();
                    level.plane.sums(self.isa, &each, from, &mut sums);
                    for (q, (sums, tops)) in sums.iter().zip(&mut tops).enumerate() {
                        let tops = &mut tops[place / ROWS_PER_GROUP..end / ROWS_PER_GROUP];
                        let sums = in_order(before, q, from, &sums[..live]);
                        let keys = level.keys(asked[q].query, &tables[q], sums, from);
                        group_maxima(self.isa, &keys, tops);
                    }
                }
            },
        );
        let left = threads::map((0..asked.len()).collect(), |_, q| {
            if !level.is_usable(asked[q].query, &tables[q]) {
                return self.everything();
            }
            let tops = pass.greatest(q);
            let within = |least: f32, most: f32| {
                let mut found = Vec::new();
                if least < most {
                    for (group, _) in tops.iter().enumerate().filter(|(_, top)| **top > least) {
                        let from = group * ROWS_PER_GROUP;
                        let newest = pass.sums(q, from, ROWS_PER_GROUP.min(rows - from));
                        let sums = in_order(before, q, from, newest);
                        let keys = level.keys(asked[q].query, &tables[q], sums, from);
                        select_in_range(self.isa, &keys, least, most, from as u32, &mut found);
                    }
                }
                found
            };
            let limit = seeds::limit(tops, seeds::seeds_for(self.count)).next_down();
            let mut seeds = Vec::new();
            let found = within(limit, f32::INFINITY);
            (self.rows).hits(asked[q], &found, &mut Work::default(), &mut seeds);
            match self.bound(&asked[q], &mut seeds) {
                // A row or more in each group.
                Some(bound) if tops.iter().filter(|top| **top > bound).count() > most => Left {
                    seeds,
                    near: Vec::new(),
                    wide: true,
                },
                Some(bound) => {
                    let near = within(bound, limit);
                    let wide = near.len() > most;
                    Left { seeds, near, wide }
                }
                None => self.everything(),
            }
        });
        (left, pass)
    }

    /// Where nothing is known, all allowed rows are in question.
    fn everything(&self) -> Left {
        let all = 0..self.rows.codes.len() as u32;
        Left {
            seeds: Vec::new(),
            near: all.filter(|&row| self.rows.is_allowed(row)).collect(),
            wide: false,
        }
    }

    /// The least key of the best, lowered by what rounding of keys and scores could have added, so that ties of scores are in question. None for
    /// too few of them, and where it is no number.
    fn bound(&self, asked: &Asked<'_>, hits: &mut [Hit]) -> Option<f32> {
        if hits.len() < self.count {
            return None;
        }
        let order = |a: &Hit, b: &Hit| b.key.total_cmp(&a.key);
        let last = *hits.select_nth_unstable_by(self.count - 1, order).1;
        let norm = || self.rows.norm[last.row as usize];
        let offset = asked.query.offset as f32;
        let square = (asked.norm * asked.norm) as f32;
        let (key, size) = match self.rows.metric {
            Metric::InnerProduct => (last.key, offset.abs()),
            // Distances below 0 are 0, and tie.
            Metric::Euclidean => (
                last.key.min(0.5 * square - offset),
                norm().powi(2) + square + 2.0 * offset.abs(),
            ),
            Metric::Cosine => (last.key, offset.abs() / norm().max(f32::MIN_POSITIVE)),
        };
        let size = size + self.first.center_size(asked.query);
        let bound = (key - 1e-6 * (key.abs() + size)).next_down();
        bound.is_finite().then_some(bound)
    }
}

/// The sums of a query's planes in order, for the rows of `newest`; the second is not looked at where there is one plane.
fn in_order<'s>(before: Before<'s>, q: usize, from: usize, newest: &'s [u16]) -> [&'s [u16]; 2] {
    let first = before.map(|(pass, which)| pass.sums(which[q], from, newest.len()));
    [first.unwrap_or(newest), newest]
}
