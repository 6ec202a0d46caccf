//! The state of the search for one query, and the rows that wait in it.

use super::corpus::SearchQuery;
use super::levels::{Levels, Seen};
use super::top::{Bar, Top};

/// Candidates that may wait besides eight for each row that is asked for.
pub(super) const MOST_WAITING: usize = 256;

/// A row that can be in the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub row: u32,
    /// The estimate of its product, and the merit that this gives.
    pub merit: f32,
    /// The least upper bound of its product that is known.
    pub upper: f32,
    /// Whether this includes the bound of level 0, if the query has one.
    pub is_seen: bool,
}

impl Candidate {
    /// Lowers the bound to that of level 0.
    pub fn lower(&mut self, upper: f32) {
        self.upper = self.upper.min(upper);
        self.is_seen = true;
    }

    /// Takes the bounds away.
    pub fn free(&mut self) {
        self.upper = f32::INFINITY;
        self.is_seen = true;
    }
}

/// A row whose bound reached the bar while its estimate did not: it waits for a higher bar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    pub row: u32,
    /// The bound of its key.
    pub bound: f32,
    pub seen: Seen,
}

/// What a tile has cost a query: rows that went so far.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TileWork {
    /// Rows that passed level 0.
    pub passed: usize,
    /// Rows that passed level 1.
    pub candidates: usize,
    /// Rows that were estimated exactly.
    pub estimated: usize,
}

/// The state of the search for one query.
pub(super) struct Run<'q> {
    /// The number of the query.
    pub place: usize,
    pub query: SearchQuery<'q>,
    pub levels: Option<&'q Levels>,
    pub top: Top,
    /// The bar when it was last read.
    pub bar: Bar,
    pub work: TileWork,
    pub late: Vec<Late>,
    /// The weight of the addends of keys.
    pub weight: f32,
    /// The bar and the largest addend of the last threshold, and the threshold.
    pub threshold: (Bar, f32, f32),
    pub count: usize,
    /// Candidates whose estimate reaches the bar, until there are enough for a call.
    pub ready: Vec<Candidate>,
    /// Candidates whose estimate does not.
    pub waiting: Vec<Candidate>,
    /// How many may wait before those below the bar are dropped.
    pub most_waiting: usize,
}

impl<'q> Run<'q> {
    pub fn new(
        place: usize,
        query: SearchQuery<'q>,
        weight: f32,
        levels: Option<&'q Levels>,
        count: usize,
    ) -> Self {
        Self {
            place,
            query,
            levels,
            top: Top::new(count),
            bar: Bar::NONE,
            work: TileWork::default(),
            late: Vec::new(),
            weight,
            threshold: (Bar::NONE, 0.0, f32::NEG_INFINITY),
            count,
            ready: Vec::new(),
            waiting: Vec::new(),
            most_waiting: 8 * count + MOST_WAITING,
        }
    }
}

impl Run<'_> {
    /// Forgets all rows, but not the bar: rows that reach it come again.
    pub fn restart(&mut self) {
        self.top = Top::new(self.count);
        self.ready.clear();
        self.waiting.clear();
        self.late.clear();
    }
}
