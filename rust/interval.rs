//! Intervals: bounds on an inner product that hold with a stated probability. They follow from the
//! exact law of the error of a rotated code, so they have no fitted constant (RaBitQ,
//! arXiv 2405.12497; arXiv 2605.19972).
//!
//! Let x and y be unit vectors, v = Rᵀ c/‖c‖ the direction of the row's code, and θ the angle
//! between x and v. Over Haar rotations the part of v orthogonal to x has a uniform direction. So
//! with m = ⟨x, y⟩
//!
//! ```text
//! a = ⟨v, y⟩ = m·cos θ + sin θ·√(1 − m²)·t
//! ```
//!
//! where t is a coordinate of a uniform point of the sphere S^(d−2), t² ~ Beta(½, (d−2)/2). Let τ
//! be the quantile of |t| at the confidence. Then (a − m·cos θ)² ≤ sin²θ·τ²·(1 − m²) holds with
//! that probability. It is a quadratic inequality in m with the solution
//!
//! ```text
//! q = cos²θ + sin²θ·τ²        m = [a·cos θ ± sin θ·τ·√(max(0, q − a²))]/q
//! ```
//!
//! The code and the stored scalars give a and θ. With ρ = ⟨u, c⟩/d and ‖c‖² divided by d,
//! cos θ = ρ/‖c‖. Here ρ = ‖x‖/s for the scale `unbiased` and ρ = s·‖c‖²/‖x‖ for `mse`, and a is
//! the estimate divided by s·‖c‖.
//!
//! With a center μ the law holds for r = x − μ in place of x, and for the part of y across μ in
//! place of y. The bounds of their product are moved by the exact rest, and are narrower as these
//! two vectors are shorter.
//!
//! **Contract.** The law is exact for every row. Each interval has the confidence by itself: among
//! many pairs the expected share of those covered is the confidence. The float32 steps of encoding
//! and scanning change cos θ by some units of 2⁻²⁴, and the estimate by some units of 2⁻²⁴·‖x‖‖y‖.
//! The bounds are widened by what such changes can move them: about 1 % at 8 bits per coordinate,
//! and imperceptibly at 4.

use crate::error::{Error, Result};

/// The largest relative error of one rounding to float32, 2⁻²⁴.
pub(crate) const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// What the bounds need to know of a row besides its estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    /// cos θ, or 0 if the stored scalars do not determine it.
    pub cosine: f64,
    /// 1/(s·‖c‖). ⟨v, y⟩ is this factor times the estimate without what a center adds to it.
    pub factor: f64,
    /// The norm of what was quantized: ‖x‖, or ‖x − center‖ if there is a center.
    pub norm: f64,
}

/// The law of the error at one confidence for rows of one dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    dim: usize,
    tau: f64,
    rounding: f64,
}

/// The bounds of one row as a function of the query. Everything that does not depend on the query
/// is computed already.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// q plus the largest rounding error of a².
    q: f64,
    /// cos θ/q.
    middle: f64,
    /// sin θ·τ/q.
    half: f64,
    /// The rounding error by which both bounds are widened.
    slack: f64,
}

impl Interval {
    /// Two-sided bounds that hold with probability `confidence`.
    ///
    /// # Errors
    /// If `dim` is 0 or `confidence` is not between 0 and 1, both excluded.
    pub fn new(dim: usize, confidence: f64) -> Result<Self> {
        Ok(Self {
            dim,
            tau: quantile(dim, confidence)?,
            // One rounding each for the scale, the norm, the factor to unit norm and the three
            // rounds of a rotation. Sums of d products in 16 lanes add about √d/16.
            rounding: UNIT * (6.0 + (dim as f64).sqrt() / 16.0),
        })
    }

    /// The bounds of a row with this cos θ.
    pub fn of(&self, cosine: f64) -> Bounds {
        if self.dim == 1 {
            // On a line v = x, so the sign of a is the sign of m. Without a code (cos θ = 0) both
            // signs are possible.
            let (q, middle, half) = if cosine > 0.0 {
                (0.0, f64::MAX, 0.0)
            } else {
                (1.0, 0.0, 1.0)
            };
            let slack = UNIT;
            return Bounds {
                q,
                middle,
                half,
                slack,
            };
        }
        let squared_sine = (1.0 - cosine * cosine + 2.0 * self.rounding).min(1.0);
        let spread = squared_sine * self.tau * self.tau;
        let q = cosine * cosine + spread;
        let slack = 2.0 * self.rounding;
        Bounds {
            // If y is nearly parallel to v, then q − a² is nearly 0, and its root magnifies the
            // rounding of a. So the rounding is added under the root.
            q: q + 2.0 * slack,
            middle: cosine / q,
            half: spread.sqrt() / q,
            slack,
        }
    }
}

impl Bounds {
    /// Bounds on ⟨x, y⟩ for unit x and y, from `along` = ⟨v, y⟩.
    #[inline]
    pub fn at(&self, along: f64) -> (f64, f64) {
        let middle = along * self.middle;
        let half = self.half * (self.q - along * along).max(0.0).sqrt();
        (
            (middle - half).clamp(-1.0, 1.0) - self.slack,
            (middle + half).clamp(-1.0, 1.0) + self.slack,
        )
    }
}

/// The value that |t| exceeds with probability 1 − `confidence`, where t is a coordinate of a
/// uniform point of the sphere S^(dim−2).
///
/// For `dim` = 2 the sphere is two points, and the value is 1. For `dim` = 1 nothing is orthogonal
/// to a row, and the value is 0. The relative accuracy is 10⁻¹² for every `confidence` that float64
/// distinguishes from 1.
///
/// # Errors
/// If `dim` is 0 or `confidence` is not between 0 and 1, both excluded.
pub fn quantile(dim: usize, confidence: f64) -> Result<f64> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(Error::invalid(format!(
            "confidence={confidence}, expected a number between 0 and 1, both excluded"
        )));
    }
    match dim {
        0 => Err(Error::invalid("dim is 0, expected at least 1")),
        1 => Ok(0.0),
        2 => Ok(1.0),
        // S^1 is a circle, and t is the sine of a uniform angle.
        3 => Ok(libm::sin(confidence * std::f64::consts::FRAC_PI_2)),
        _ => Ok(solve(0.5 * (dim as f64 - 2.0), confidence)),
    }
}

/// The quantile for h = (dim − 2)/2, by Newton's method within a bracket. The method solves for the
/// logarithm of the smaller of the two probabilities, which keeps its relative precision.
fn solve(h: f64, confidence: f64) -> f64 {
    let constant = beta_constant(h);
    let (mut low, mut high) = (0.0, 1.0);
    let mut t = (0.5 * confidence / constant).min(0.5);
    for _ in 0..200 {
        let (mass, tail) = masses(h, constant, t);
        let density = 2.0 * constant * libm::pow((1.0 - t) * (1.0 + t), h - 1.0);
        let (beyond, above) = if confidence > 0.5 {
            let wanted = 1.0 - confidence;
            (tail < wanted, tail * libm::log(wanted / tail) / density)
        } else {
            (
                mass > confidence,
                mass * libm::log(mass / confidence) / density,
            )
        };
        if beyond {
            high = t;
        } else {
            low = t;
        }
        let mut next = t - above;
        if !(next > low && next < high) {
            next = 0.5 * (low + high);
        }
        let step = (next - t).abs();
        t = next;
        if step <= 1e-15 * t {
            break;
        }
    }
    t
}

/// P(|t| ≤ `t`) and P(|t| > `t`), each with full relative precision if it is below about ½. They
/// are the regularised incomplete beta functions of t² at (½, h) and of 1 − t² at (h, ½).
fn masses(h: f64, constant: f64, t: f64) -> (f64, f64) {
    let rest = (1.0 - t) * (1.0 + t);
    let front = constant * t * libm::exp(h * (libm::log1p(-t) + libm::log1p(t)));
    if t * t * (h + 2.5) < 1.5 {
        let mass = 2.0 * front / beta_fraction(0.5, h, t * t);
        (mass, 1.0 - mass)
    } else {
        let tail = front / (h * beta_fraction(h, 0.5, rest));
        (1.0 - tail, tail)
    }
}

/// 1/B(h, ½) = Γ(h + ½)/(Γ(h)·√π). For large h the asymptotic series is used, because the
/// difference of two logarithms loses digits there.
fn beta_constant(h: f64) -> f64 {
    let ratio = if h < 32.0 {
        libm::exp(libm::lgamma(h + 0.5) - libm::lgamma(h))
    } else {
        let k = 1.0 / h;
        let series = 1.0
            + k * (-1.0 / 8.0
                + k * (1.0 / 128.0
                    + k * (5.0 / 1024.0 + k * (-21.0 / 32768.0 - k * 399.0 / 262_144.0))));
        h.sqrt() * series
    };
    ratio / std::f64::consts::PI.sqrt()
}

/// The continued fraction F = 1 + d₁/(1 + d₂/(1 + …)) of the regularised incomplete beta function
/// Iₓ(a, b) = x^a (1−x)^b/(a·B(a, b)·F) (DLMF 8.17.22), by Lentz's method.
///
/// It needs some ten terms if x is below (a + 1)/(a + b + 2).
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut fraction, mut c, mut d) = (1.0, 1.0, 0.0);
    for term in 1..10_000 {
        let m = f64::from(term / 2);
        let top = if term % 2 == 0 {
            m * (b - m) * x
        } else {
            -(a + m) * (a + b + m) * x
        };
        // The denominator of an even term is (a + 2m − 1)(a + 2m), of an odd one
        // (a + 2m)(a + 2m + 1).
        let base = a + f64::from(term);
        let coefficient = top / ((base - 1.0) * base);
        d = 1.0 / away(1.0 + coefficient * d);
        c = away(1.0 + coefficient / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_closed_laws() {
        for confidence in [1e-9, 0.1, 0.5, 0.9, 0.99, 1.0 - 1e-12] {
            // For d = 4 a coordinate of the sphere is uniform (Archimedes). For d = 6 the
            // probability of |t| ≤ t is (3t − t³)/2.
            let t = quantile(4, confidence).unwrap();
            assert!((t / confidence - 1.0).abs() < 1e-12, "{t} {confidence}");
            let t = quantile(6, confidence).unwrap();
            let mass = 0.5 * t * (3.0 - t * t);
            assert!((mass / confidence - 1.0).abs() < 1e-12, "{t} {confidence}");
        }
        assert_eq!(quantile(1, 0.9).unwrap(), 0.0);
        assert_eq!(quantile(2, 0.9).unwrap(), 1.0);
        assert!((quantile(3, 0.5).unwrap() - 0.5f64.sqrt()).abs() < 1e-15);
        // √d·t has nearly the law N(0, 1) for large d.
        let t = quantile(1 << 24, 0.95).unwrap() * 4096.0;
        assert!((t - 1.959_963_984_540_054).abs() < 1e-6, "{t}");
        for confidence in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(quantile(8, confidence).is_err());
        }
        assert!(quantile(0, 0.5).is_err());
    }

    #[test]
    fn bounds_solve_the_quadratic() {
        let interval = Interval::new(64, 0.99).unwrap();
        let (cosine, along) = (0.9, 0.4);
        let (low, high) = interval.of(cosine).at(along);
        assert!(low < along / cosine && along / cosine < high);
        let sine = (1.0f64 - cosine * cosine).sqrt();
        for m in [low, high] {
            let t = (along - m * cosine).abs() / (sine * (1.0 - m * m).sqrt());
            assert!((t / interval.tau - 1.0).abs() < 1e-4, "{t}");
        }
        // Without a code only the Cauchy–Schwarz bound is left. An exact code gives a point, up to
        // rounding.
        let (low, high) = interval.of(0.0).at(0.0);
        assert!(low <= -1.0 && high >= 1.0);
        let (low, high) = interval.of(1.0).at(0.25);
        assert!(low < 0.25 && high > 0.25 && high - low < 1e-3);
        let line = Interval::new(1, 0.9).unwrap();
        let (low, high) = line.of(1.0).at(-3.0);
        assert!(low <= -1.0 && high >= -1.0 && high - low < 1e-6);
    }

    #[test]
    fn no_code_at_all_gives_cauchy_and_schwarz() {
        for dim in 1..20 {
            let (low, high) = Interval::new(dim, 0.5).unwrap().of(0.0).at(0.0);
            assert!((low + 1.0).abs() < 1e-5 && (high - 1.0).abs() < 1e-5);
        }
    }
}
