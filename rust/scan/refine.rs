//! From rows that a filter has left to hits: level 1, then exact products.
//!
//! Level 1 multiplies the integers of a row with those of the query, straight from the packed code.
//! The rows whose bounds reach the bar become candidates. Those whose estimate alone reaches it are
//! likely to raise the bar and are estimated exactly at once, the best first; the others wait until
//! the bar has risen.

use super::bounds::{Shape, Tables};
use super::corpus::Corpus;
use super::run::{Candidate, MOST_WAITING, Run};
use super::signs::Chunk;
use super::top::{Bar, Bars};
use super::{Expand, Work};
use crate::isa::Isa;
use crate::kernels::code_products;
use crate::kernels::sign_scan::{self, ROWS_PER_GROUP};

/// Rows that wait for level 1 before they are taken together.
pub(super) const LATE_ROWS: usize = 256;

/// Buffers of a thread.
#[derive(Default)]
pub(super) struct Buffers {
    work: Work,
    dots: Vec<f32>,
    ints: Vec<i32>,
    rows: Vec<u32>,
    now: Vec<Candidate>,
    chunk: Chunk,
    sums: Vec<u16>,
}

/// What level 0 knows of rows: where they come from.
pub(super) enum Known<'a> {
    /// The shape and the sum of weights of each row.
    Signs(&'a [(Shape, u16)]),
    /// Nothing yet: signs are derived for the rows that need a bound.
    Nothing,
}

/// What is searched, and with what.
pub(super) struct Scan<'a, E> {
    pub isa: Isa,
    pub corpus: &'a Corpus<'a, E>,
    pub tables: Option<&'a Tables>,
    pub bars: &'a Bars,
}

impl<E: Expand> Scan<'_, E> {
    /// The least key of a row that can reach the bar, which is read again, if no addend is larger
    /// than `most`.
    pub fn threshold(&self, run: &mut Run<'_>, most: f32) -> f32 {
        run.bar = run.bar.max(self.bars.get(run.place));
        if (run.threshold.0, run.threshold.1) != (run.bar, most) {
            let threshold = self.corpus.threshold(run.query, run.bar, most);
            run.threshold = (run.bar, most, threshold);
        }
        run.threshold.2
    }

    /// Level 1 for the rows that wait for it and still reach the bar.
    pub fn refine_late(
        &self,
        run: &mut Run<'_>,
        rows: &mut Vec<u32>,
        signs: &mut Vec<(Shape, u16)>,
        buffers: &mut Buffers,
    ) {
        let most = (run.late.iter()).map(|late| self.corpus.shift_size(late.row));
        let most = most.fold(0.0, f32::max);
        let threshold = self.threshold(run, most);
        rows.clear();
        signs.clear();
        for late in run.late.drain(..) {
            if late.bound >= threshold || late.bound.is_nan() {
                rows.push(late.row);
                signs.push(late.signs);
            }
        }
        self.refine(run, rows, &Known::Signs(signs), buffers);
    }

    /// Level 1 for these rows, and what follows from it.
    pub fn refine(
        &self,
        run: &mut Run<'_>,
        rows: &[u32],
        known: &Known<'_>,
        buffers: &mut Buffers,
    ) {
        let (Some(tables), Some(levels)) = (self.tables, run.levels) else {
            return self.estimate_all(run, rows, buffers);
        };
        if rows.is_empty() {
            return;
        }
        let mut ints = std::mem::take(&mut buffers.ints);
        ints.resize(rows.len(), 0);
        let packed = self.corpus.codes.packed;
        code_products::products(
            self.isa,
            &tables.codes,
            packed,
            rows,
            &levels.ints,
            &mut ints,
        );
        self.refine_with(run, rows, &ints, known, buffers);
        buffers.ints = ints;
    }

    /// [`Scan::refine`] with the integer products of the rows.
    pub fn refine_with(
        &self,
        run: &mut Run<'_>,
        rows: &[u32],
        ints: &[i32],
        known: &Known<'_>,
        buffers: &mut Buffers,
    ) {
        let Some(levels) = run.levels else {
            return self.estimate_all(run, rows, buffers);
        };
        let has_shift = self.corpus.has_shift();
        // The threshold of keys holds for the largest addend of these rows.
        let most = rows.iter().map(|&row| self.corpus.shift_size(row));
        let most = if has_shift {
            most.fold(0.0, f32::max)
        } else {
            0.0
        };
        let threshold = self.threshold(run, most);
        let Run {
            query, bar, weight, ..
        } = *run;
        let mut now = std::mem::take(&mut buffers.now);
        now.clear();
        let mut unknown = std::mem::take(&mut buffers.rows);
        unknown.clear();
        for (i, (&row, &product)) in rows.iter().zip(ints).enumerate() {
            let upper = levels.upper(product);
            let alpha = self.corpus.alpha(row as usize);
            let upper = match alpha {
                None => f32::INFINITY,
                Some(alpha) => {
                    let shift = if has_shift {
                        weight * self.corpus.shift(row as usize)
                    } else {
                        0.0
                    };
                    if alpha * upper + shift < threshold {
                        continue;
                    }
                    upper
                }
            };
            let estimate = levels.estimate(product);
            let candidate = |upper| Candidate {
                row,
                merit: self.corpus.score(query, row, estimate).1,
                upper,
            };
            match (known, &levels.signs) {
                _ if alpha.is_none() => now.push(candidate(f32::INFINITY)),
                (_, None) => now.push(candidate(upper)),
                (Known::Signs(signs), Some(level)) => {
                    let (shape, sum) = signs[i];
                    now.push(candidate(upper.min(level.upper(shape, sum))));
                }
                (Known::Nothing, Some(_)) => {
                    unknown.push(row);
                    now.push(candidate(upper));
                }
            }
        }
        run.candidates += now.len();
        if !unknown.is_empty() {
            self.bound_by_signs(run, &unknown, &mut now, buffers);
        }
        let reached =
            |c: &Candidate| bar.is_reached(self.corpus.score(query, c.row, c.upper).1, c.row);
        now.retain(|c| c.upper == f32::INFINITY || reached(c));
        buffers.rows = unknown;
        self.sort_out(run, &mut now, buffers);
        buffers.now = now;
    }

    /// Lowers the bounds of the candidates with these rows to those of level 0, from their codes.
    fn bound_by_signs(
        &self,
        run: &Run<'_>,
        rows: &[u32],
        candidates: &mut [Candidate],
        buffers: &mut Buffers,
    ) {
        let (Some(tables), Some(level)) = (
            self.tables,
            run.levels.and_then(|levels| levels.signs.as_ref()),
        ) else {
            return;
        };
        let dim = tables.codes.dim();
        let mut candidates = candidates.iter_mut();
        for rows in rows.chunks(ROWS_PER_GROUP) {
            (buffers.chunk).derive(self.isa, tables, self.corpus.codes, rows);
            buffers.sums.resize(ROWS_PER_GROUP, 0);
            let sums = &mut buffers.sums[..ROWS_PER_GROUP];
            sign_scan::sums(
                self.isa,
                &buffers.chunk.groups,
                dim,
                &[&level.query.lut],
                sums,
            );
            for (place, &row) in rows.iter().enumerate() {
                let Some(candidate) = candidates.find(|c| c.row == row) else {
                    continue;
                };
                let upper = level.upper(buffers.chunk.shape(place), sums[place]);
                candidate.upper = candidate.upper.min(upper);
            }
        }
    }

    /// Estimates the candidates that are likely to raise the bar, the best first. The others wait.
    fn sort_out(&self, run: &mut Run<'_>, now: &mut Vec<Candidate>, buffers: &mut Buffers) {
        let bar = run.bar;
        if bar == Bar::NONE {
            // The bar rises with the best of them, and most of the others never need an estimate.
            now.sort_unstable_by(|a, b| b.merit.total_cmp(&a.merit).then(a.row.cmp(&b.row)));
            for some in now.chunks(run.count.max(8)) {
                self.estimate(run, some, buffers);
            }
            return;
        }
        let waits = |c: &Candidate| !bar.is_reached(c.merit, c.row) && c.upper < f32::INFINITY;
        run.waiting.extend(now.iter().filter(|c| waits(c)));
        now.retain(|c| !waits(c));
        if now.len() > 8 {
            now.sort_unstable_by(|a, b| b.merit.total_cmp(&a.merit).then(a.row.cmp(&b.row)));
        }
        for some in now.chunks(8) {
            self.estimate(run, some, buffers);
        }
        if run.waiting.len() > run.most_waiting {
            self.estimate_waiting(run, buffers, run.most_waiting / 2);
            run.most_waiting = 2 * run.waiting.len() + 8 * run.count + MOST_WAITING;
        }
    }

    /// Drops the waiting candidates that cannot reach the bar any more. If more than `most` remain,
    /// they are estimated.
    pub fn estimate_waiting(&self, run: &mut Run<'_>, buffers: &mut Buffers, most: usize) {
        let mut waiting = std::mem::take(&mut run.waiting);
        let (query, bar) = (run.query, run.bar.max(self.bars.get(run.place)));
        waiting.retain(|c| bar.is_reached(self.corpus.score(query, c.row, c.upper).1, c.row));
        if waiting.len() > most {
            waiting.sort_unstable_by(|a, b| b.merit.total_cmp(&a.merit).then(a.row.cmp(&b.row)));
            for some in waiting.chunks(8) {
                self.estimate(run, some, buffers);
            }
            waiting.clear();
        }
        run.waiting = waiting;
    }

    /// Estimates those of a few candidates exactly that can still reach the bar.
    fn estimate(&self, run: &mut Run<'_>, some: &[Candidate], buffers: &mut Buffers) {
        let Run { query, bar, .. } = *run;
        let reached = |c: &&Candidate| {
            c.upper == f32::INFINITY
                || bar.is_reached(self.corpus.score(query, c.row, c.upper).1, c.row)
        };
        let some: Vec<Candidate> = some.iter().filter(reached).copied().collect();
        let rows: Vec<u32> = some.iter().map(|c| c.row).collect();
        let Buffers { work, dots, .. } = buffers;
        self.corpus.products(query, &rows, work, dots);
        for (candidate, &dot) in some.iter().zip(&*dots) {
            self.push(run, candidate.row, dot, candidate.upper);
        }
    }

    /// Adds the hit of a row.
    fn push(&self, run: &mut Run<'_>, row: u32, dot: f32, upper: f32) {
        DONE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        run.estimated += 1;
        let hit = self.corpus.hit(run.query, row, dot, upper);
        if let Some(bar) = run.top.push(hit) {
            run.bar = self.bars.raise(run.place, bar).max(run.bar);
        }
    }

    /// Estimates all of these rows exactly. They have no bounds.
    fn estimate_all(&self, run: &mut Run<'_>, rows: &[u32], buffers: &mut Buffers) {
        let Buffers { work, dots, .. } = buffers;
        self.corpus.products(run.query, rows, work, dots);
        for (&row, &dot) in rows.iter().zip(&*dots) {
            self.push(run, row, dot, f32::INFINITY);
        }
    }

    /// Takes rows whose exact merits are known, in ascending order of rows. Bounds are computed for
    /// those whose merit reaches the bar.
    pub fn take_exact(
        &self,
        run: &mut Run<'_>,
        rows: &[u32],
        merits: &[f32],
        buffers: &mut Buffers,
    ) {
        run.bar = run.bar.max(self.bars.get(run.place));
        let bar = run.bar;
        // Rows after that of the bar must be better than it; the rank of no bar is a NaN.
        let rank = bar.rank();
        let ties = rows.first().is_some_and(|&row| bar.is_reached(rank, row));
        let mut reaching: Vec<(f32, u32)> = Vec::new();
        for (&row, &merit) in rows.iter().zip(merits) {
            if (!ties && merit <= rank) || merit < rank {
                continue;
            }
            let merit = if merit.is_nan() {
                f32::NEG_INFINITY
            } else {
                merit
            };
            if bar.is_reached(merit, row) {
                reaching.push((merit, row));
            }
        }
        reaching.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for some in reaching.chunks(run.count.clamp(8, ROWS_PER_GROUP)) {
            let bar = run.bar;
            let rows: Vec<u32> = (some.iter())
                .filter(|(merit, row)| bar.is_reached(*merit, *row))
                .map(|pair| pair.1)
                .collect();
            if rows.is_empty() {
                break;
            }
            self.bound_exactly(run, &rows, buffers);
        }
    }

    /// Adds the hits of a few rows with all bounds.
    fn bound_exactly(&self, run: &mut Run<'_>, rows: &[u32], buffers: &mut Buffers) {
        let mut candidates: Vec<Candidate> = (rows.iter())
            .map(|&row| Candidate {
                row,
                merit: f32::NEG_INFINITY,
                upper: f32::INFINITY,
            })
            .collect();
        if let (Some(tables), Some(levels)) = (self.tables, run.levels) {
            buffers.ints.resize(rows.len(), 0);
            let packed = self.corpus.codes.packed;
            let ints = &mut buffers.ints;
            code_products::products(self.isa, &tables.codes, packed, rows, &levels.ints, ints);
            for (candidate, &product) in candidates.iter_mut().zip(&buffers.ints) {
                candidate.upper = levels.upper(product);
            }
            self.bound_by_signs(run, rows, &mut candidates, buffers);
            for candidate in &mut candidates {
                if self.corpus.alpha(candidate.row as usize).is_none() {
                    candidate.upper = f32::INFINITY;
                }
            }
        }
        let Buffers { work, dots, .. } = buffers;
        self.corpus.products(run.query, rows, work, dots);
        let pairs: Vec<f32> = dots.clone();
        for (candidate, dot) in candidates.iter().zip(pairs) {
            self.push(run, candidate.row, dot, candidate.upper);
        }
    }
}

pub static DONE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
