//! From rows that a filter has left to hits: level 1, then exact products.
//!
//! Level 1 multiplies the integers of a row with those of the query, straight from the packed code.
//! The rows whose bounds reach the bar become candidates. Those whose estimate alone reaches it are
//! likely to raise the bar and are estimated exactly at once, the best first; the others wait until
//! the bar has risen.

use super::bounds::Tables;
use super::corpus::{Corpus, Hit, merit_of};
use super::filter::{Sums, seen};
use super::levels::{Bounded, Seen};
use super::run::{Candidate, MOST_WAITING, Run};
use super::signs::Chunk;
use super::top::{Bar, Bars};
use super::{Expand, Work};
use crate::isa::Isa;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::sign_scan::ROWS_PER_GROUP;

/// Rows that wait for level 1 before they are taken together.
pub(super) const LATE_ROWS: usize = 256;

/// Buffers of a thread.
#[derive(Default)]
pub(super) struct Buffers {
    work: Work,
    dots: Vec<f32>,
    ints: Vec<i32>,
    bounded: Vec<Bounded>,
    rows: Vec<u32>,
    now: Vec<Candidate>,
    tried: Vec<Candidate>,
    best: Vec<Exact>,
    chunk: Chunk,
    sums: Sums,
}

/// What level 0 knows of rows: where they come from.
pub(super) enum Known<'a> {
    /// What was found of each row.
    Signs(&'a [Seen]),
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

    /// [`Scan::threshold`] of these rows.
    pub fn threshold_of(&self, run: &mut Run<'_>, rows: &[u32]) -> f32 {
        let most = rows.iter().map(|&row| self.corpus.shift_size(row));
        let most = if self.corpus.has_shift() {
            most.fold(0.0, f32::max)
        } else {
            0.0
        };
        self.threshold(run, most)
    }

    /// Level 1 for the rows that wait for it and still reach the bar.
    pub fn refine_late(
        &self,
        run: &mut Run<'_>,
        rows: &mut Vec<u32>,
        signs: &mut Vec<Seen>,
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
                signs.push(late.seen);
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
        let mut bounded = std::mem::take(&mut buffers.bounded);
        self.bounded(tables, levels, rows, &mut buffers.ints, &mut bounded);
        self.refine_with(run, rows, &bounded, known, buffers);
        buffers.bounded = bounded;
    }

    /// [`Scan::refine`] with what level 1 knows of the rows.
    pub fn refine_with(
        &self,
        run: &mut Run<'_>,
        rows: &[u32],
        bounded: &[Bounded],
        known: &Known<'_>,
        buffers: &mut Buffers,
    ) {
        let Some(levels) = run.levels else {
            return self.estimate_all(run, rows, buffers);
        };
        let threshold = self.threshold_of(run, rows);
        let Run {
            query, bar, weight, ..
        } = *run;
        let mut now = std::mem::take(&mut buffers.now);
        now.clear();
        for (i, (&row, &Bounded { estimate, upper })) in rows.iter().zip(bounded).enumerate() {
            let key = self.corpus.key(weight, row, upper);
            if key.is_some_and(|key| key < threshold) {
                continue;
            }
            let mut candidate = Candidate {
                row,
                merit: self.corpus.merit(query, row, estimate),
                upper,
                is_seen: levels.signs.is_none(),
            };
            match (known, &levels.signs) {
                _ if key.is_none() => candidate.free(),
                (Known::Signs(signs), Some(level)) => candidate.lower(level.upper(signs[i])),
                _ => {}
            }
            now.push(candidate);
        }
        run.work.candidates += now.len();
        let reached =
            |c: &Candidate| bar.is_reached(self.corpus.merit(query, c.row, c.upper), c.row);
        now.retain(|c| c.upper == f32::INFINITY || reached(c));
        self.sort_out(run, &mut now, buffers);
        buffers.now = now;
    }

    /// Lowers the bounds of the candidates that level 0 has not seen, from their codes.
    fn see(&self, run: &Run<'_>, candidates: &mut [Candidate], buffers: &mut Buffers) {
        let (Some(tables), Some(level)) = (
            self.tables,
            run.levels.and_then(|levels| levels.signs.as_ref()),
        ) else {
            return;
        };
        let Buffers {
            rows, chunk, sums, ..
        } = buffers;
        for some in candidates.chunks_mut(ROWS_PER_GROUP) {
            let unseen = || some.iter().filter(|candidate| !candidate.is_seen);
            rows.clear();
            rows.extend(unseen().map(|candidate| candidate.row));
            if rows.is_empty() {
                continue;
            }
            chunk.derive(self.isa, tables, self.corpus.codes, rows);
            sums.fill(self.isa, chunk, 0, 1, &[level]);
            let sums = sums.of(0);
            let unseen = some.iter_mut().filter(|candidate| !candidate.is_seen);
            for (place, candidate) in unseen.enumerate() {
                candidate.lower(level.upper(seen(level, chunk, place, &sums)));
            }
        }
    }

    /// Estimates the candidates that are likely to raise the bar, the best first. The others wait.
    fn sort_out(&self, run: &mut Run<'_>, now: &mut [Candidate], buffers: &mut Buffers) {
        let bar = run.bar;
        if bar == Bar::NONE {
            // The bar rises with the best of them, and most of the others never need an estimate.
            return self.estimate_best_first(run, now, run.count.max(8), buffers);
        }
        let waits = |c: &Candidate| !bar.is_reached(c.merit, c.row) && c.upper < f32::INFINITY;
        run.waiting.extend(now.iter().filter(|c| waits(c)));
        run.ready.extend(now.iter().filter(|c| !waits(c)));
        if run.ready.len() >= ROWS_PER_CALL {
            let mut ready = std::mem::take(&mut run.ready);
            self.estimate_best_first(run, &mut ready, 8, buffers);
            ready.clear();
            run.ready = ready;
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
        waiting.append(&mut run.ready);
        let (query, bar) = (run.query, run.bar.max(self.bars.get(run.place)));
        waiting.retain(|c| bar.is_reached(self.corpus.merit(query, c.row, c.upper), c.row));
        if waiting.len() > most {
            self.estimate_best_first(run, &mut waiting, 8, buffers);
            waiting.clear();
        }
        run.waiting = waiting;
    }

    /// Estimates the candidates that can still reach the bar, so many at a time.
    fn estimate_best_first(
        &self,
        run: &mut Run<'_>,
        candidates: &mut [Candidate],
        at_once: usize,
        buffers: &mut Buffers,
    ) {
        if candidates.len() > at_once {
            candidates.sort_unstable_by(|a, b| b.merit.total_cmp(&a.merit).then(a.row.cmp(&b.row)));
        }
        for some in candidates.chunks(at_once) {
            self.estimate(run, some, buffers);
        }
    }

    /// Estimates those of a few candidates exactly that can still reach the bar.
    fn estimate(&self, run: &mut Run<'_>, some: &[Candidate], buffers: &mut Buffers) {
        let Run { query, bar, .. } = *run;
        let reached = |c: &&Candidate| {
            c.upper == f32::INFINITY
                || bar.is_reached(self.corpus.merit(query, c.row, c.upper), c.row)
        };
        let mut tried = std::mem::take(&mut buffers.tried);
        tried.clear();
        tried.extend(some.iter().filter(reached));
        let Buffers {
            work, dots, rows, ..
        } = buffers;
        rows.clear();
        rows.extend(tried.iter().map(|c| c.row));
        self.corpus.products(query, rows, work, dots);
        run.work.estimated += rows.len();
        for (candidate, &dot) in tried.iter_mut().zip(&*dots) {
            candidate.merit = self.corpus.signed_score(query, candidate.row, dot);
        }
        tried.retain(|c| bar.is_reached(merit_of(c.merit), c.row));
        self.take(run, &mut tried, buffers);
        buffers.tried = tried;
    }

    /// Adds the hits of candidates whose exact signed scores stand in place of their merits.
    fn take(&self, run: &mut Run<'_>, candidates: &mut [Candidate], buffers: &mut Buffers) {
        self.see(run, candidates, buffers);
        for c in candidates {
            let hit = (self.corpus).hit_of_score(run.query, c.row, c.merit, c.upper);
            self.push(run, hit);
        }
    }

    /// Adds the hit of a row.
    fn push(&self, run: &mut Run<'_>, hit: Hit) {
        if let Some(bar) = run.top.push(hit) {
            run.bar = self.bars.raise(run.place, bar).max(run.bar);
        }
    }

    /// Estimates all of these rows exactly. They have no bounds.
    fn estimate_all(&self, run: &mut Run<'_>, rows: &[u32], buffers: &mut Buffers) {
        let Buffers { work, dots, .. } = buffers;
        self.corpus.products(run.query, rows, work, dots);
        for (&row, &dot) in rows.iter().zip(&*dots) {
            let signed = self.corpus.signed_score(run.query, row, dot);
            let hit = (self.corpus).hit_of_score(run.query, row, signed, f32::INFINITY);
            self.push(run, hit);
        }
    }

    /// Takes rows, in ascending order, whose exact merits are known. Bounds are computed for the
    /// best of those whose merit reaches the bar, until no other reaches it.
    pub fn take_exact(
        &self,
        run: &mut Run<'_>,
        rows: &[u32],
        merits: &[f32],
        buffers: &mut Buffers,
    ) {
        run.bar = run.bar.max(self.bars.get(run.place));
        let mut best = std::mem::take(&mut buffers.best);
        let (mut below, mut most) = (Bar::ABOVE_ALL, run.count.max(8));
        // Where bounds lie below the estimates, more rows are taken, each time twice as many.
        loop {
            best_below(rows, merits, [run.bar, below], most, &mut best);
            for some in best.chunks(ROWS_PER_GROUP) {
                self.bound_exact(run, some, buffers);
            }
            below = best
                .iter()
                .map(|exact| exact.place)
                .min()
                .unwrap_or(Bar::NONE);
            if best.len() < most || below <= run.bar {
                break;
            }
            most *= 2;
        }
        buffers.best = best;
    }

    /// Adds the hits of a few rows with all bounds.
    fn bound_exact(&self, run: &mut Run<'_>, some: &[Exact], buffers: &mut Buffers) {
        let mut candidates: Vec<Candidate> = (some.iter())
            .map(|exact| Candidate {
                row: exact.row,
                merit: exact.merit,
                upper: f32::INFINITY,
                is_seen: true,
            })
            .collect();
        if let (Some(tables), Some(levels)) = (self.tables, run.levels) {
            let Buffers {
                rows,
                ints,
                bounded,
                ..
            } = buffers;
            rows.clear();
            rows.extend(some.iter().map(|exact| exact.row));
            self.bounded(tables, levels, rows, ints, bounded);
            for (candidate, bounded) in candidates.iter_mut().zip(&*bounded) {
                if self.corpus.alpha(candidate.row as usize).is_some() {
                    candidate.upper = bounded.upper;
                    candidate.is_seen = false;
                }
            }
        }
        self.take(run, &mut candidates, buffers);
    }
}

/// A row whose exact merit is known.
struct Exact {
    /// The row among others by its merit.
    place: Bar,
    row: u32,
    merit: f32,
}

/// Merits that are compared with the bar at a time.
const MERITS_PER_LOOK: usize = 16;

/// Finds the `most` best of the rows that reach the first bar and not the second, in no order.
fn best_below(
    rows: &[u32],
    merits: &[f32],
    [bar, below]: [Bar; 2],
    most: usize,
    best: &mut Vec<Exact>,
) {
    best.clear();
    let mut least = bar;
    let keep_best = |best: &mut Vec<Exact>| {
        best.select_nth_unstable_by_key(most - 1, |exact| std::cmp::Reverse(exact.place));
        best.truncate(most);
        best[most - 1].place
    };
    let pieces = rows
        .chunks(MERITS_PER_LOOK)
        .zip(merits.chunks(MERITS_PER_LOOK));
    for (rows, merits) in pieces {
        // Rows after that of the bar must be better than it. Neither a NaN nor the rank of no bar,
        // which is a NaN, is below anything.
        let rank = least.rank();
        let is_below = if rows[0] > least.row() {
            merits.iter().all(|&merit| merit <= rank)
        } else {
            merits.iter().all(|&merit| merit < rank)
        };
        if is_below {
            continue;
        }
        for (&row, &merit) in rows.iter().zip(merits) {
            let place = Bar::new(merit_of(merit), row);
            if place >= least && place < below {
                best.push(Exact { place, row, merit });
            }
        }
        if best.len() >= 2 * most + MERITS_PER_LOOK {
            least = keep_best(best);
        }
    }
    if best.len() > most {
        keep_best(best);
    }
}
