//! Which levels a query uses for the next tile. This changes the time of a search, never its
//! result.
//!
//! A query that leaves a cheap mode comes back by a trial: for one group of rows it is counted how
//! many pass each level, and nothing else is done with them, since rows that pass cost the most.

use super::run::TileWork;
use crate::isa::Isa;

/// How many times as much as the next mode a mode must cost before it is given up: both costs are
/// rough.
const PATIENCE: f64 = 1.15;
/// By how much the share of candidates whose exact estimate is needed exceeds the share of rows that
/// are candidates: where many rows hardly differ, all are estimated.
const EXACT_SHARE: f64 = 4.0;

/// How a query takes the rows of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Level 0, then integers of what is left.
    Signs,
    /// Integers of all rows.
    Integers,
    /// Exact estimates of all rows.
    Exact,
}

/// What one row costs a query, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    signs: f64,
    /// Integers of a single row.
    integers: f64,
    /// Integers of all rows of a tile.
    all_integers: f64,
    /// The bounds of a candidate.
    candidate: f64,
    /// An exact estimate.
    exact: f64,
    /// An exact estimate if all rows are estimated.
    all_exact: f64,
}

/// What decides the mode of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    pub mode: Mode,
    /// The modes that are possible: level 0, level 1.
    possible: [bool; 2],
}

impl Costs {
    /// Rough times of the kernels for d = 384 and 2 to 4 bits, whose ratios change little with d.
    /// Only the choice of modes depends on them.
    pub fn new(isa: Isa, many: bool) -> Self {
        let [signs, integers, dense, candidate, exact, all_exact] = match isa {
            Isa::Avx512(_) => [0.45, 12.0, 2.0, 20.0, 30.0, 6.0],
            Isa::Avx2(_) | Isa::Neon(_) => [0.7, 70.0, 6.0, 100.0, 150.0, 14.0],
            Isa::Scalar => [5.0, 500.0, 300.0, 100.0, 400.0, 300.0],
        };
        Self {
            signs,
            integers,
            all_integers: if many { dense } else { integers },
            candidate,
            exact,
            all_exact: if many { all_exact } else { exact },
        }
    }
}

impl Tuning {
    /// Without a bar the first tile is estimated exactly: nothing can be left out of it.
    pub fn new(possible: [bool; 2]) -> Self {
        Self {
            mode: Mode::Exact,
            possible,
        }
    }

    /// Whether a cheaper mode is possible.
    pub fn is_dear(&self) -> bool {
        self.mode != self.cheapest()
    }

    pub fn cheapest(&self) -> Mode {
        match self.possible {
            [_, false] => Mode::Exact,
            [false, _] => Mode::Integers,
            [true, _] => Mode::Signs,
        }
    }

    /// Chooses the mode of the next tile by what a tile with so many rows has cost in this one.
    pub fn choose(&mut self, costs: &Costs, rows: usize, work: TileWork) {
        let share = |count: usize| count as f64 / rows as f64;
        let (passed, candidates) = (share(work.passed), share(work.candidates));
        let exact = share(work.estimated) * costs.exact;
        let found = candidates * costs.candidate + exact;
        let by_signs = costs.signs + passed * costs.integers + found;
        let by_integers = costs.all_integers + found;
        self.mode = match self.mode {
            Mode::Signs if by_signs.min(by_integers) > PATIENCE * costs.all_exact => Mode::Exact,
            Mode::Signs if by_signs > PATIENCE * by_integers => Mode::Integers,
            Mode::Integers if by_integers > PATIENCE * costs.all_exact => Mode::Exact,
            mode => mode,
        };
    }

    /// Chooses the mode by the shares of rows that pass level 0, and level 1.
    pub fn choose_by_trial(&mut self, costs: &Costs, [signs, integers]: [f64; 2]) {
        let exact = (EXACT_SHARE * integers).min(1.0) * costs.exact;
        let found = signs.min(integers) * (costs.candidate + exact);
        let by_signs = costs.signs + signs * costs.integers + found;
        let by_integers = costs.all_integers + integers * (costs.candidate + exact);
        let (mode, cost) = if self.possible[0] && by_signs <= by_integers {
            (Mode::Signs, by_signs)
        } else {
            (Mode::Integers, by_integers)
        };
        self.mode = if self.possible[1] && cost <= costs.all_exact {
            mode
        } else {
            Mode::Exact
        };
    }
}
