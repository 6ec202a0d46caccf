//! Transport: turns a codebook for Gaussian blocks into one for blocks of a rotated unit vector. So
//! one frozen Gaussian table serves every dimension d.
//!
//! For many codewords the best density of words is proportional to f^(p/(p+2)), where f is the
//! density of the law (Zador 1982). Both laws are radial, so the map from one best density to the
//! other moves every word along its ray, from radius r to G⁻¹(F(r)). F and G are the radial
//! distribution functions, proportional to ∫ r^(p−1) f^(p/(p+2)) dr, of
//!
//! * N(0, I), with f = exp(−r²/2);
//! * the exact law, with f = (1 − r²/d)^((d−p−2)/2), integrated over a with r = √d·sin a.
//!
//! Both are tabulated by the trapezoidal rule with [`TABLE_STEPS`] equal steps. At p = d the exact
//! law is the sphere itself, and every word moves onto it.
//!
//! FROZEN: the words that come out are part of what decoding means.

use std::f64::consts::FRAC_PI_2;

/// Steps of the tabulated distribution functions.
const TABLE_STEPS: usize = 1024;

/// How far the tables reach beyond √p, the usual radius of a block, in units of u.
const REACH_BEYOND_RADIUS: f64 = 10.0;

/// A radial distribution function as a table, up to a constant factor.
struct Radial {
    /// Ascending radii.
    radius: Vec<f64>,
    /// The mass within each radius.
    mass: Vec<f64>,
}

impl Radial {
    /// The integral of `weight` over a parameter from 0 to `end`; `radius` maps the parameter to r.
    fn tabulate(end: f64, radius: impl Fn(f64) -> f64, weight: impl Fn(f64) -> f64) -> Self {
        let step = end / TABLE_STEPS as f64;
        let mut before = weight(0.0);
        let mut table = Self {
            radius: vec![radius(0.0)],
            mass: vec![0.0],
        };
        for i in 1..=TABLE_STEPS {
            let parameter = step * i as f64;
            let here = weight(parameter);
            table.mass.push(table.mass[i - 1] + before + here);
            table.radius.push(radius(parameter));
            before = here;
        }
        table
    }

    /// N(0, I) in p dimensions, up to the radius `reach`; no word lies beyond it.
    fn normal(block: usize, reach: f64) -> Self {
        let p = block as f64;
        // The exponential is scaled to 1 at the usual radius √p, so it does not underflow there.
        let weight = |r: f64| libm::pow(r, p - 1.0) * libm::exp(0.5 * p / (p + 2.0) * (p - r * r));
        Self::tabulate(reach, |r| r, weight)
    }

    /// The exact law for p < d, up to the radius `reach`.
    fn exact(dim: usize, block: usize, reach: f64) -> Self {
        let (d, p) = (dim as f64, block as f64);
        let end = if d.sqrt() > reach {
            libm::asin(reach / d.sqrt())
        } else {
            FRAC_PI_2
        };
        let power = p / (p + 2.0) * (d - p - 2.0) + 1.0;
        let weight = |a: f64| {
            let radius = libm::sin(a) * (d / p).sqrt();
            libm::pow(radius, p - 1.0) * libm::pow(libm::cos(a).max(0.0), power)
        };
        Self::tabulate(end, |a| d.sqrt() * libm::sin(a), weight)
    }

    /// The probability of a smaller radius.
    fn probability(&self, radius: f64) -> f64 {
        interpolate(&self.radius, &self.mass, radius) / self.mass[TABLE_STEPS]
    }

    /// The radius within which the given probability lies.
    fn radius_of(&self, probability: f64) -> f64 {
        interpolate(
            &self.mass,
            &self.radius,
            probability * self.mass[TABLE_STEPS],
        )
    }
}

/// The value at `x` of the broken line through the points (from, to), constant beyond its ends.
fn interpolate(from: &[f64], to: &[f64], x: f64) -> f64 {
    let node = from.partition_point(|&f| f <= x).clamp(1, TABLE_STEPS);
    let width = from[node] - from[node - 1];
    let part = if width > 0.0 {
        ((x - from[node - 1]) / width).clamp(0.0, 1.0)
    } else {
        0.5
    };
    to[node - 1] + part * (to[node] - to[node - 1])
}

/// Moves words for N(0, I) in p = `block` dimensions, in place, to words for a block of p of the
/// d = `dim` coordinates of u.
pub fn transport(dim: usize, block: usize, words: &mut [f32]) {
    let reach = (block as f64).sqrt() + REACH_BEYOND_RADIUS;
    let normal = Radial::normal(block, reach);
    let exact = (dim > block).then(|| Radial::exact(dim, block, reach));
    for word in words.chunks_exact_mut(block) {
        let square: f64 = word.iter().map(|&c| f64::from(c) * f64::from(c)).sum();
        let radius = square.sqrt();
        if radius < 1e-6 {
            continue;
        }
        let wanted = exact.as_ref().map_or((dim as f64).sqrt(), |law| {
            law.radius_of(normal.probability(radius))
        });
        for c in word {
            *c = (f64::from(*c) * (wanted / radius)) as f32;
        }
    }
}

/// `count` levels for N(0, 1) at the quantiles of the best density f^(1/3) (Panter and Dite 1951).
pub fn gaussian_quantiles(count: usize) -> Vec<f32> {
    let law = Radial::normal(1, 1.0 + REACH_BEYOND_RADIUS);
    (0..count)
        .map(|k| (2 * k + 1) as f64 / count as f64 - 1.0)
        .map(|q| (law.radius_of(q.abs()) * q.signum()) as f32)
        .collect()
}
