//! Which levels a query uses for the next tile. This changes the time of a search, never its
//! result.

use crate::isa::Isa;

/// How many times as much as the next mode a mode must cost before it is given up: both costs are
/// rough, and a mode that is given up comes back late.
const PATIENCE: f64 = 1.5;

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

/// What one row costs a query, in any unit.
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
    /// The rows of the tile that passed level 0.
    pub passed: usize,
    /// The exact estimates before this tile.
    pub estimated: usize,
    /// The candidates before this tile.
    pub candidates: usize,
}

impl Costs {
    /// What the levels cost per row and query, where the scan of signs costs 1 on AVX-512. They are
    /// rough ratios of the times that the modules of the kernels give for d = 384; for other d they
    /// change little. Only the choice of modes depends on them.
    pub fn new(isa: Isa, many: bool) -> Self {
        let [signs, integers, all_integers, all_exact] = match isa {
            Isa::Avx512(_) => [1.0, 25.0, 2.5, 13.0],
            Isa::Avx2(_) | Isa::Neon(_) => [1.6, 35.0, 8.0, 15.0],
            Isa::Scalar => [10.0, 60.0, 60.0, 60.0],
        };
        Self {
            signs,
            integers,
            all_integers: if many { all_integers } else { integers },
            candidate: 40.0,
            exact: 65.0,
            all_exact: if many { all_exact } else { 60.0 },
        }
    }
}

impl Tuning {
    /// The mode of the first tile without a bar: many queries share exact estimates.
    pub fn new(many: bool, possible: [bool; 2]) -> Self {
        Self {
            mode: if possible[1] && !many {
                Mode::Integers
            } else {
                Mode::Exact
            },
            possible,
            passed: 0,
            estimated: 0,
            candidates: 0,
        }
    }

    pub fn cheapest(&self) -> Mode {
        match self.possible {
            [_, false] => Mode::Exact,
            [false, _] => Mode::Integers,
            [true, _] => Mode::Signs,
        }
    }

    /// Chooses the mode of the next tile by what a tile with so many rows cost in this one, and by
    /// the candidates and exact estimates since then.
    pub fn choose(&mut self, costs: &Costs, rows: usize, estimated: usize, candidates: usize) {
        let share = |count: usize| count as f64 / rows as f64;
        let exact = share(estimated - self.estimated) * costs.exact
            + share(candidates - self.candidates) * costs.candidate;
        let by_signs = costs.signs + share(self.passed) * costs.integers + exact;
        let by_integers = costs.all_integers + exact;
        self.mode = match self.mode {
            Mode::Signs if by_signs.min(by_integers) > PATIENCE * costs.all_exact => Mode::Exact,
            Mode::Signs if by_signs > PATIENCE * by_integers => Mode::Integers,
            Mode::Integers if by_integers > PATIENCE * costs.all_exact => Mode::Exact,
            mode => mode,
        };
    }
}
