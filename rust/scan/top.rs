//! The best rows of a query so far, and the bar that a row must reach to be among them.
//!
//! Rows are ranked by m, the merit at the least of the exact product and the upper bounds, and rows
//! of equal m by position. The bar is the k-th best (m, row) known so far. A row whose m, or any
//! upper bound of it, is worse than the bar is not in the result, and the bar only rises. So which
//! rows are left out early does not change the result, whatever the order of the work.

use std::sync::atomic::{AtomicU64, Ordering};

use super::corpus::Hit;

/// A rank and a row as one number: the greater, the better. Of equal ranks the lower row is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bar(u64);

impl Bar {
    /// The bar that every row reaches.
    pub const NONE: Self = Self(0);
    /// The bar that no row reaches.
    pub const ABOVE_ALL: Self = Self(u64::MAX);

    pub fn new(rank: f32, row: u32) -> Self {
        let bits = rank.to_bits();
        let sign = 1 << 31;
        let ordered = if bits & sign == 0 { bits | sign } else { !bits };
        Self((u64::from(ordered) << 32) | u64::from(!row))
    }

    /// The bar that this hit and better ones reach.
    pub fn of(hit: &Hit) -> Self {
        Self::new(hit.rank, hit.row)
    }

    /// The rank; −∞ or a NaN below it for [`Bar::NONE`].
    pub fn rank(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        let sign = 1 << 31;
        f32::from_bits(if ordered & sign == 0 {
            !ordered
        } else {
            ordered ^ sign
        })
    }

    /// The row.
    pub fn row(self) -> u32 {
        !(self.0 as u32)
    }

    /// Whether a row of at most this rank can be in the result.
    pub fn is_reached(self, rank: f32, row: u32) -> bool {
        Self::new(rank, row) >= self
    }
}

/// The bars of all queries, which threads that search different rows share.
pub(super) struct Bars(Vec<AtomicU64>);

impl Bars {
    pub fn new(queries: usize) -> Self {
        Self((0..queries).map(|_| AtomicU64::new(0)).collect())
    }

    pub fn get(&self, query: usize) -> Bar {
        Bar(self.0[query].load(Ordering::Relaxed))
    }

    /// Raises the bar and returns what it is now.
    pub fn raise(&self, query: usize, bar: Bar) -> Bar {
        let before = self.0[query].fetch_max(bar.0, Ordering::Relaxed);
        Bar(before).max(bar)
    }
}

/// The best `count` hits of a query so far, and some others.
#[derive(Debug, Default)]
pub(super) struct Top {
    count: usize,
    hits: Vec<Hit>,
    /// The lowest of the best `count`, once there are as many.
    own: Option<Bar>,
}

impl Top {
    pub fn new(count: usize) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    /// Adds a hit. Returns the new bar if it has risen.
    pub fn push(&mut self, hit: Hit) -> Option<Bar> {
        if self
            .own
            .is_some_and(|bar| !bar.is_reached(hit.rank, hit.row))
        {
            return None;
        }
        self.hits.push(hit);
        // A selection after each hit keeps the bar exact where few rows are asked for; for many
        // rows it is done after as many hits, so that its cost per hit does not grow.
        let enough = self.count
            + if self.own.is_some() {
                self.count / 8
            } else {
                0
            };
        if self.hits.len() < enough.max(1) {
            return None;
        }
        self.keep_best();
        let worst = self.hits.iter().map(Bar::of).min();
        let risen = worst.filter(|bar| self.own.is_none_or(|own| *bar > own));
        self.own = risen.or(self.own);
        risen
    }

    fn keep_best(&mut self) {
        if self.hits.len() > self.count {
            self.hits
                .select_nth_unstable_by_key(self.count, |hit| std::cmp::Reverse(Bar::of(hit)));
            self.hits.truncate(self.count);
        }
    }

    /// The hits, in no order.
    pub fn into_hits(mut self) -> Vec<Hit> {
        self.keep_best();
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_orders_ranks_first_and_then_rows() {
        let ranks = [
            f32::NEG_INFINITY,
            -2.5,
            -0.0,
            0.0,
            1e-40,
            3.0,
            f32::INFINITY,
        ];
        for pair in ranks.windows(2) {
            assert!(Bar::new(pair[0], 0) < Bar::new(pair[1], 9), "{pair:?}");
            assert_eq!(Bar::new(pair[0], 7).rank().to_bits(), pair[0].to_bits());
        }
        assert!(Bar::new(1.0, 3).is_reached(1.0, 3));
        assert!(Bar::new(1.0, 3).is_reached(1.0, 2));
        assert!(!Bar::new(1.0, 3).is_reached(1.0, 4));
        assert!(Bar::NONE.is_reached(f32::NEG_INFINITY, u32::MAX));
    }
}
