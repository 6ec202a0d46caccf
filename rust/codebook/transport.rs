//! A codebook for N(0, I) carried to the exact law of a block.
//!
//! For many codewords the best density of words is f^(p/(p+2)) (Zador 1982). Both laws are radial, so the map that carries the one best density to
//! the other moves every word along its ray, from radius r to G⁻¹(F(r)), with F and G the radial distribution functions ∝ ∫ r^(p−1) f^(p/(p+2)) dr:
//! for N(0, I) f = exp(−r²/2); for the exact law f = (1 − r²/d)^((d−p−2)/2), integrated over a with r = √d·sin a. Both by the trapezoidal rule
//! on `NODES` equal steps. At p = d every word goes to the sphere.

use std::f64::consts::FRAC_PI_2;

/// Steps of the tabulated distribution functions.
const NODES: usize = 1024;

/// A radial distribution function, tabulated and not normalised.
struct Radial {
    radius: Vec<f64>,
    below: Vec<f64>,
}

impl Radial {
    /// ∫ `weight` over a parameter from 0 to `end`, at the radius of that parameter.
    fn new(end: f64, radius: impl Fn(f64) -> f64, weight: impl Fn(f64) -> f64) -> Self {
        let step = end / NODES as f64;
        let mut before = weight(0.0);
        let mut table = Self {
            radius: vec![radius(0.0)],
            below: vec![0.0],
        };
        for i in 1..=NODES {
            let parameter = step * i as f64;
            let here = weight(parameter);
            table.below.push(table.below[i - 1] + before + here);
            table.radius.push(radius(parameter));
            before = here;
        }
        table
    }

    /// N(0, I): p to the reach beyond which there is no word.
    fn normal(block: usize, reach: f64) -> Self {
        let p = block as f64;
        let weight = |r: f64| libm::pow(r, p - 1.0) * libm::exp(0.5 * p / (p + 2.0) * (p - r * r));
        Self::new(reach, |r| r, weight)
    }

    /// The exact law, p < d.
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
        Self::new(end, |a| d.sqrt() * libm::sin(a), weight)
    }

    /// The probability of a smaller radius.
    fn share(&self, radius: f64) -> f64 {
        interpolate(&self.radius, &self.below, radius) / self.below[NODES]
    }

    /// The radius below which lies the probability `share`.
    fn inverse(&self, share: f64) -> f64 {
        interpolate(&self.below, &self.radius, share * self.below[NODES])
    }
}

/// The value at `x` of the broken line through (from, to), held at its ends.
fn interpolate(from: &[f64], to: &[f64], x: f64) -> f64 {
    let node = from.partition_point(|&f| f <= x).clamp(1, NODES);
    let width = from[node] - from[node - 1];
    let part = if width > 0.0 {
        ((x - from[node - 1]) / width).clamp(0.0, 1.0)
    } else {
        0.5
    };
    to[node - 1] + part * (to[node] - to[node - 1])
}

/// Moves words for N(0, I_p), in place, to where they serve a block of p coordinates of u.
pub fn transport(dim: usize, block: usize, words: &mut [f32]) {
    let reach = (block as f64).sqrt() + 10.0;
    let normal = Radial::normal(block, reach);
    let exact = (dim > block).then(|| Radial::exact(dim, block, reach));
    for word in words.chunks_exact_mut(block) {
        let square: f64 = word.iter().map(|&c| f64::from(c) * f64::from(c)).sum();
        let radius = square.sqrt();
        if radius < 1e-6 {
            continue;
        }
        let wanted = exact
            .as_ref()
            .map_or((dim as f64).sqrt(), |law| law.inverse(normal.share(radius)));
        for c in word {
            *c = (f64::from(*c) * (wanted / radius)) as f32;
        }
    }
}

/// K levels of N(0, 1) at the quantiles of the best density f^(1/3) (Panter and Dite 1951).
pub fn gaussian_quantiles(count: usize) -> Vec<f32> {
    let law = Radial::normal(1, 11.0);
    (0..count)
        .map(|k| (2 * k + 1) as f64 / count as f64 - 1.0)
        .map(|q| (law.inverse(q.abs()) * q.signum()) as f32)
        .collect()
}
