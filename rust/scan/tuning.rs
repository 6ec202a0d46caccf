//! Which levels a query uses for the next tile. This changes the time of a search, never its
//! result.
//!
//! A query that leaves a cheap mode comes back by a trial: for one group of rows it is counted how
//! many pass each level, and nothing else is done with them, since rows that pass cost the most.

use super::run::TileWork;
use crate::isa::Isa;

/// The fewest queries for which a tile is expanded to bytes.
pub(super) const MIN_QUERIES_TO_EXPAND: usize = 4;
/// How many times as much as the next mode a mode must cost before it is given up: both costs are
/// rough.
const PATIENCE: f64 = 1.15;
/// The share of candidates whose exact estimate is needed, over the share of rows that are
/// candidates: where many rows hardly differ, all candidates are estimated.
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
    /// Integers of all rows, and what the queries that take them share.
    all_integers: [f64; 2],
    /// The bounds of a candidate.
    candidate: f64,
    /// An exact estimate of a single row.
    exact: f64,
    /// Exact estimates of all rows, and what the queries that take them share.
    all_exact: [f64; 2],
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
    pub fn new(isa: Isa) -> Self {
        let (signs, integers, all_integers, candidate, exact, all_exact) = match isa {
            Isa::Avx512(_) => (0.3, 12.0, [2.2, 15.0], 15.0, 30.0, [5.0, 40.0]),
            Isa::Avx2(_) | Isa::Neon(_) => (0.7, 40.0, [3.5, 110.0], 60.0, 150.0, [12.0, 80.0]),
            Isa::Scalar => (5.0, 500.0, [300.0, 40.0], 60.0, 400.0, [300.0, 80.0]),
        };
        Self {
            signs,
            integers,
            all_integers,
            candidate,
            exact,
            all_exact,
        }
    }

    /// The costs of integers and of exact estimates of all rows, where so many queries take them.
    fn of_all(&self, sharing: Sharing) -> [f64; 2] {
        let shared = |[own, shared]: [f64; 2], queries: usize| own + shared / queries.max(1) as f64;
        let integers = if sharing.integers < MIN_QUERIES_TO_EXPAND {
            self.integers
        } else {
            shared(self.all_integers, sharing.integers)
        };
        [
            integers,
            self.exact.min(shared(self.all_exact, sharing.exact)),
        ]
    }
}

/// How many queries take all rows by integers, and how many exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sharing {
    integers: usize,
    exact: usize,
}

impl Sharing {
    pub fn of(tunings: &[Tuning]) -> Self {
        let count = |mode: Mode| tunings.iter().filter(|tuning| tuning.mode == mode).count();
        Self {
            integers: count(Mode::Integers),
            exact: count(Mode::Exact),
        }
    }
}

/// Sets the mode of each of some queries to what `choose` makes of it: first as if all of them took
/// the same mode, then with those that would.
pub(super) fn choose_all(
    tunings: &mut [Tuning],
    which: &[usize],
    choose: impl Fn(usize, &Tuning, Sharing) -> Mode,
) {
    let before: Vec<Tuning> = which.iter().map(|&q| tunings[q]).collect();
    let all = which.len();
    let mut sharing = Sharing {
        integers: all,
        exact: all,
    };
    for _ in 0..2 {
        for (place, (&q, before)) in which.iter().zip(&before).enumerate() {
            tunings[q].mode = choose(place, before, sharing);
        }
        sharing = Sharing::of(tunings);
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

    /// The mode of the next tile by what a tile with so many rows has cost in this one.
    pub fn by_work(&self, costs: &Costs, sharing: Sharing, rows: usize, work: TileWork) -> Mode {
        let share = |count: usize| count as f64 / rows as f64;
        let found = share(work.candidates) * costs.candidate + share(work.estimated) * costs.exact;
        let [all_integers, all_exact] = costs.of_all(sharing);
        let by_signs = costs.signs + share(work.passed) * costs.integers + found;
        let by_integers = all_integers + found;
        match self.mode {
            Mode::Signs if by_signs.min(by_integers) > PATIENCE * all_exact => Mode::Exact,
            Mode::Signs if by_signs > PATIENCE * by_integers => Mode::Integers,
            Mode::Integers if by_integers > PATIENCE * all_exact => Mode::Exact,
            mode => mode,
        }
    }

    /// The mode by the shares of rows that pass level 0, and level 1.
    pub fn by_trial(&self, costs: &Costs, sharing: Sharing, [signs, integers]: [f64; 2]) -> Mode {
        let found = costs.candidate + (EXACT_SHARE * integers).min(1.0) * costs.exact;
        let [all_integers, all_exact] = costs.of_all(sharing);
        let by_signs = costs.signs + signs * costs.integers + signs.min(integers) * found;
        let by_integers = all_integers + integers * found;
        if !self.possible[1] || by_signs.min(by_integers) > all_exact {
            Mode::Exact
        } else if self.possible[0] && by_signs <= by_integers {
            Mode::Signs
        } else {
            Mode::Integers
        }
    }
}
