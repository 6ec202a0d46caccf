//! Lloyd–Max levels: the best few values to which one coordinate can be rounded. They minimise the
//! mean squared error for the law of the coordinate (Max 1960; Lloyd 1982).
//!
//! A coordinate t of u has the density f ∝ (1 − t²/d)^((d−3)/2) on [−√d, √d], which tends to the
//! density of N(0, 1) as d grows. The levels x₁ < … < x_K are a stationary point of the error: each
//! level is the mean of its cell, and the ends of a cell are the midpoints between neighbours. For
//! d ≥ 3 the law is symmetric and the logarithm of its density is concave, so the solution is
//! unique and odd, and only its positive half is solved. The solver starts from the quantiles of
//! f^(1/3) (Panter and Dite 1951), does some Lloyd steps, and then uses Newton's method on the
//! tridiagonal system xᵢ − mean(cell i) = 0.
//!
//! With t = √d·sin φ the first moment of a cell has the closed form
//! √d·C/(d−1)·(cos^(d−1) φ₁ − cos^(d−1) φ₂). Its mass is C·∫cos^(d−2) φ dφ, computed by composite
//! 8-point Gauss–Legendre sums. For d = 1 the law has only two points, and the levels are equally
//! spaced from −1 to 1.
//!
//! FROZEN: the levels are part of what decoding means. They come from `libm` and from sums in a
//! fixed order, so they are the same bits on every platform.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::threads::{self, forked::ForkLock};

/// The law of a coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// N(0, 1).
    Gaussian,
    /// √d times a coordinate of a uniform point of the sphere in d = `dim` dimensions.
    Sphere {
        /// The dimension d.
        dim: usize,
    },
}

/// The end of the Gaussian law for the solver: float64 does not see the mass beyond it.
const GAUSSIAN_END: f64 = 12.0;

/// Lloyd steps before the first Newton step.
const LLOYD_STEPS: usize = 10;
/// The most steps of both kinds.
const MAX_STEPS: usize = 200;
/// The solver stops when no level moves further than this, in units of u.
const TOLERANCE: f64 = 1e-13;

/// √(2π).
const SQRT_TAU: f64 = 2.506_628_274_631_000_7;

/// Nodes and weights of the 8-point Gauss–Legendre rule on [−1, 1]: its positive half.
const GAUSS_LEGENDRE: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_47),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
];

impl Law {
    /// The end of the support, or [`GAUSSIAN_END`].
    fn end(self) -> f64 {
        match self {
            Self::Gaussian => GAUSSIAN_END,
            Self::Sphere { dim } => (dim as f64).sqrt(),
        }
    }

    fn angle(self, t: f64) -> f64 {
        libm::asin((t / self.end()).clamp(-1.0, 1.0))
    }

    /// The density without its constant, raised to `power`, times dt/dφ. `x` is the angle φ for the
    /// sphere and t itself for the Gaussian.
    fn weight(self, x: f64, power: f64) -> f64 {
        match self {
            Self::Gaussian => libm::exp(-0.5 * power * x * x),
            Self::Sphere { dim } => {
                let exponent = power * (dim as f64 - 3.0) + 1.0;
                if exponent == 0.0 {
                    1.0
                } else {
                    libm::pow(libm::cos(x).max(0.0), exponent)
                }
            }
        }
    }

    /// The integral of [`weight`](Self::weight) between two values of its variable.
    fn integral(self, from: f64, to: f64) -> f64 {
        let width = match self {
            Self::Gaussian => 0.5,
            Self::Sphere { dim } => 0.5 / (dim as f64).sqrt(),
        };
        let panels = ((to - from) / width).ceil().max(1.0);
        let half = 0.5 * (to - from) / panels;
        let mut sum = 0.0;
        for panel in 0..panels as usize {
            let middle = from + (2 * panel + 1) as f64 * half;
            for (node, weight) in GAUSS_LEGENDRE {
                let pair =
                    self.weight(middle - half * node, 1.0) + self.weight(middle + half * node, 1.0);
                sum += weight * pair;
            }
        }
        sum * half
    }
}

/// The cell of one level.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The upper end of the cell.
    end: f64,
    /// The probability of the cell.
    mass: f64,
    /// The mean of the law within the cell.
    mean: f64,
}

/// A law with the constant of its density. Its methods are for t ≥ 0.
struct Density {
    law: Law,
    constant: f64,
}

impl Density {
    fn new(law: Law) -> Self {
        let constant = match law {
            Law::Gaussian => 1.0 / SQRT_TAU,
            Law::Sphere { .. } => 0.5 / law.integral(0.0, std::f64::consts::FRAC_PI_2),
        };
        Self { law, constant }
    }

    /// The probability of an interval.
    fn mass(&self, from: f64, to: f64) -> f64 {
        match self.law {
            Law::Gaussian => {
                let upper = |t: f64| 0.5 * libm::erfc(t * std::f64::consts::FRAC_1_SQRT_2);
                upper(from) - upper(to)
            }
            law => self.constant * law.integral(law.angle(from), law.angle(to)),
        }
    }

    /// ∫ t f(t) dt from t to the end of the support.
    fn upper_moment(&self, t: f64) -> f64 {
        match self.law {
            Law::Gaussian => self.constant * libm::exp(-0.5 * t * t),
            Law::Sphere { dim } => {
                let d = dim as f64;
                let cosine = (1.0 - t * t / d).max(0.0).sqrt();
                d.sqrt() * self.constant / (d - 1.0) * libm::pow(cosine, d - 1.0)
            }
        }
    }

    fn at(&self, t: f64) -> f64 {
        match self.law {
            Law::Gaussian => self.constant * libm::exp(-0.5 * t * t),
            Law::Sphere { dim } => {
                let d = dim as f64;
                let cosine = (1.0 - t * t / d).max(1e-300).sqrt();
                self.constant / d.sqrt() * libm::pow(cosine, d - 3.0)
            }
        }
    }

    /// The cells of these positive levels.
    fn cells(&self, levels: &[f64]) -> Vec<Cell> {
        let mut from = 0.0;
        let mut out = Vec::with_capacity(levels.len());
        for (i, &level) in levels.iter().enumerate() {
            let to = levels
                .get(i + 1)
                .map_or(self.law.end(), |next| 0.5 * (level + next));
            let mass = self.mass(from, to);
            let last = i + 1 == levels.len();
            let moment = self.upper_moment(from) - if last { 0.0 } else { self.upper_moment(to) };
            let mean = if mass > 0.0 {
                (moment / mass).clamp(from, to)
            } else {
                0.5 * (from + to)
            };
            out.push(Cell {
                end: to,
                mass,
                mean,
            });
            from = to;
        }
        out
    }

    /// Quantiles of f^(1/3) on the positive half.
    fn initial_levels(&self, count: usize) -> Vec<f64> {
        const STEPS: usize = 4096;
        let top = match self.law {
            Law::Gaussian => GAUSSIAN_END,
            Law::Sphere { .. } => std::f64::consts::FRAC_PI_2,
        };
        let step = top / STEPS as f64;
        let mut total = vec![0.0];
        for i in 0..STEPS {
            let x = (i as f64 + 0.5) * step;
            total.push(total[i] + self.law.weight(x, 1.0 / 3.0));
        }
        let mut at = 0;
        (0..count)
            .map(|i| {
                let target = (i as f64 + 0.5) / count as f64 * total[STEPS];
                while total[at + 1] < target {
                    at += 1;
                }
                let x = (at as f64 + (target - total[at]) / (total[at + 1] - total[at])) * step;
                match self.law {
                    Law::Gaussian => x,
                    Law::Sphere { dim } => (dim as f64).sqrt() * libm::sin(x),
                }
            })
            .collect()
    }

    /// The levels after one Newton step; `None` if the step would put them out of order.
    fn newton_step(&self, levels: &[f64], cells: &[Cell]) -> Option<Vec<f64>> {
        let n = levels.len();
        let mut upper = vec![0.0; n];
        let mut right = vec![0.0; n];
        for i in 0..n {
            let Cell {
                end: to,
                mass,
                mean,
            } = cells[i];
            if mass <= 0.0 {
                return None;
            }
            let by_end = if i + 1 < n {
                0.5 * self.at(to) * (to - mean) / mass
            } else {
                0.0
            };
            let by_start = if i > 0 {
                let from = cells[i - 1].end;
                0.5 * self.at(from) * (mean - from) / mass
            } else {
                0.0
            };
            let mut diagonal = 1.0 - by_end - by_start;
            let mut value = mean - levels[i];
            if i > 0 {
                diagonal += by_start * upper[i - 1];
                value += by_start * right[i - 1];
            }
            upper[i] = -by_end / diagonal;
            right[i] = value / diagonal;
        }
        for i in (0..n - 1).rev() {
            right[i] -= upper[i] * right[i + 1];
        }
        let moved: Vec<f64> = levels
            .iter()
            .zip(&right)
            .map(|(x, step)| x + step)
            .collect();
        let ordered = moved.windows(2).all(|pair| pair[0] < pair[1]);
        (ordered && moved[0] > 0.0 && moved[n - 1] < self.law.end()).then_some(moved)
    }
}

/// The levels of `law`, ascending.
fn solve(law: Law, bits: u32) -> Vec<f32> {
    let half = 1usize << (bits - 1);
    if law == (Law::Sphere { dim: 1 }) {
        let most = (2 * half - 1) as f32;
        return (0..2 * half).map(|i| (2 * i) as f32 / most - 1.0).collect();
    }
    let density = Density::new(law);
    let mut levels = density.initial_levels(half);
    for step in 0..MAX_STEPS {
        threads::check();
        let cells = density.cells(&levels);
        let moved = if step < LLOYD_STEPS {
            None
        } else {
            density.newton_step(&levels, &cells)
        };
        let moved = moved.unwrap_or_else(|| cells.iter().map(|cell| cell.mean).collect());
        let change = levels
            .iter()
            .zip(&moved)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        levels = moved;
        if change < TOLERANCE {
            break;
        }
    }
    let negative = levels.iter().rev().map(|&x| -x as f32);
    negative.chain(levels.iter().map(|&x| x as f32)).collect()
}

/// The Lloyd–Max levels of `law` at `bits` bits per coordinate: 2^bits ascending float32 values in
/// units of u, symmetric about 0. A process solves for them once and keeps them.
///
/// # Errors
/// If `bits` is not 1 to 8, or the dimension of the sphere is 0.
pub fn lloyd_max(law: Law, bits: u32) -> Result<Arc<Vec<f32>>> {
    type Known = HashMap<(Law, u32), Arc<Vec<f32>>>;
    static KNOWN: ForkLock<Known> = ForkLock::new();
    if !(1..=8).contains(&bits) {
        return Err(Error::invalid(format!(
            "{bits} bits per level, expected 1 to 8"
        )));
    }
    if law == (Law::Sphere { dim: 0 }) {
        return Err(Error::invalid("dim is 0, expected at least 1"));
    }
    if let Some(found) = KNOWN.with(|known| known.as_ref()?.get(&(law, bits)).cloned()) {
        return Ok(found);
    }
    // Solved outside the lock, which has to be short; a second solver finds the same bits.
    let made = Arc::new(solve(law, bits));
    Ok(KNOWN.with(|known| {
        let known = known.get_or_insert_default();
        known.entry((law, bits)).or_insert(made).clone()
    }))
}

/// E(t − nearest level)² for ascending levels that are symmetric about 0.
pub fn distortion(law: Law, levels: &[f32]) -> f64 {
    let positive: Vec<f64> = levels[levels.len() / 2..]
        .iter()
        .map(|&x| f64::from(x))
        .collect();
    if law == (Law::Sphere { dim: 1 }) {
        let off = |x: &f64| (x - 1.0) * (x - 1.0);
        return positive.iter().map(off).fold(f64::INFINITY, f64::min);
    }
    let density = Density::new(law);
    // Over the cells, Σ mass·(x² − 2·x·mean) is what the levels change in E t² = 1.
    let gain = |(&x, cell): (&f64, Cell)| cell.mass * x * (2.0 * cell.mean - x);
    1.0 - 2.0
        * positive
            .iter()
            .zip(density.cells(&positive))
            .map(gain)
            .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_max_1960() {
        for (bits, nmse, last) in [
            (1, 0.3634, 0.7979),
            (2, 0.1175, 1.510),
            (3, 0.03455, 2.152),
            (4, 0.009_50, 2.733),
        ] {
            let levels = lloyd_max(Law::Gaussian, bits).unwrap();
            assert!(
                (distortion(Law::Gaussian, &levels) / nmse - 1.0).abs() < 1e-3,
                "{bits}"
            );
            assert!(
                (levels[levels.len() - 1] - last).abs() < 1e-3,
                "{bits}: {levels:?}"
            );
        }
    }

    #[test]
    fn levels_are_stationary_for_every_law() {
        for dim in [2, 3, 4, 5, 8, 31, 384, 1536, 100_000] {
            for bits in 1..=8 {
                let law = Law::Sphere { dim };
                let levels = lloyd_max(law, bits).unwrap();
                let positive: Vec<f64> = levels[levels.len() / 2..]
                    .iter()
                    .map(|&x| f64::from(x))
                    .collect();
                for (x, cell) in positive.iter().zip(Density::new(law).cells(&positive)) {
                    assert!(
                        (x - cell.mean).abs() < 2e-6 * (1.0 + x),
                        "{dim} {bits}: {x} {cell:?}"
                    );
                }
            }
        }
        // For d = 3 a coordinate is uniform on [−√3, √3].
        let levels = lloyd_max(Law::Sphere { dim: 3 }, 2).unwrap();
        assert!((levels[3] - 0.75 * 3f32.sqrt()).abs() < 1e-6, "{levels:?}");
        assert!(lloyd_max(Law::Gaussian, 9).is_err());
    }
}
