//! Attention over coded rows: a head to attend to, and what its coders promise.

use blockquant::cache::attend::Block;
use blockquant::cache::coder::{Coder, Part};
use blockquant::rng::SeedStream;
use blockquant::{Codes, Isa, Quantizer, Spec};

mod bits;
mod decoded;
mod kernels;

fn gaussians(stream: &mut SeedStream, count: usize) -> Vec<f32> {
    (0..count).map(|_| stream.gaussian() as f32).collect()
}

fn coder(method: &str, dim: usize, bits: f64, seed: u64) -> Coder {
    let spec = Spec {
        seed,
        ..Spec::new(method, dim, bits)
    };
    Coder::new(Quantizer::new(spec).unwrap()).unwrap()
}

fn part(codes: &Codes) -> Part<'_> {
    Part {
        packed: &codes.packed,
        scale: &codes.scale,
        gamma: codes.residual_norm.as_deref(),
    }
}

/// R_j μ in float64.
fn turned(mu: &[f32], frequencies: &[f64], position: usize) -> Vec<f64> {
    let half = frequencies.len();
    let mut out = vec![0.0; 2 * half];
    for (f, frequency) in frequencies.iter().enumerate() {
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (a, b) = (f64::from(mu[f]), f64::from(mu[f + half]));
        out[f] = a * cos - b * sin;
        out[f + half] = b * cos + a * sin;
    }
    out
}

/// A head with exact rows, pages of codes, and exact rows again.
struct Head {
    keys: Coder,
    values: Coder,
    /// Coded pages with the position of their first row, and the center of each row.
    pages: Vec<(usize, Codes, Codes, Vec<u8>)>,
    /// Exact keys and values before and after the pages.
    exact: [(Vec<f32>, Vec<f32>); 2],
    centers: Vec<f32>,
}

/// How the keys are centered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Center {
    None,
    Static,
    Rotary,
}

impl Head {
    fn new(keys: Coder, values: Coder, pages: &[usize], centers: usize, seed: u64) -> Self {
        let mut stream = SeedStream::new(seed, 77);
        let (dim, value_dim) = (keys.dim(), values.dim());
        let mut position = 5;
        let coded = pages.iter().map(|&rows| {
            let k = gaussians(&mut stream, rows * dim);
            let v = gaussians(&mut stream, rows * value_dim);
            let isa = Isa::detect();
            let (k, v) = (
                keys.encode(isa, &k).unwrap(),
                values.encode(isa, &v).unwrap(),
            );
            let which = (0..rows).map(|i| (i * 7 % centers.max(1)) as u8).collect();
            position += rows;
            (position - rows, k, v, which)
        });
        let pages = coded.collect();
        let exact = [5, 21].map(|rows| {
            (
                gaussians(&mut stream, rows * dim),
                gaussians(&mut stream, rows * value_dim),
            )
        });
        let centers = gaussians(&mut stream, centers * dim);
        Self {
            keys,
            values,
            pages,
            exact,
            centers,
        }
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let exact = |i: usize| Block::Exact {
            keys: &self.exact[i].0,
            values: &self.exact[i].1,
        };
        let mut blocks = vec![exact(0)];
        blocks.extend(
            self.pages
                .iter()
                .map(|(position, k, v, which)| Block::Coded {
                    keys: part(k),
                    values: part(v),
                    position: *position,
                    centroid: (self.centers.len() > self.keys.dim()).then_some(which),
                }),
        );
        blocks.push(exact(1));
        blocks
    }

    fn tokens(&self) -> usize {
        let coded: usize = self.pages.iter().map(|page| page.1.len()).sum();
        (self.exact[0].0.len() + self.exact[1].0.len()) / self.keys.dim() + coded
    }

    /// The logit of each token without scale and mask, with its value and its squared scale (0 if
    /// it is exact), in float64.
    fn decoded(&self, q: &[f32], center: Center, frequencies: &[f64]) -> Vec<(f64, Vec<f64>, f64)> {
        let (dim, value_dim) = (self.keys.dim(), self.values.dim());
        let dot = |k: &[f64]| k.iter().zip(q).map(|(k, &q)| k * f64::from(q)).sum::<f64>();
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let exact = |i: usize| {
            let (k, v) = &self.exact[i];
            k.chunks_exact(dim)
                .zip(v.chunks_exact(value_dim))
                .map(|(k, v)| (dot(&wide(k)), wide(v), 0.0))
                .collect::<Vec<_>>()
        };
        let mut rows = exact(0);
        for (position, k, v, which) in &self.pages {
            let mut decoded = (vec![0f32; k.len() * dim], vec![0f32; v.len() * value_dim]);
            let isa = Isa::detect();
            self.keys.decode(isa, part(k), &mut decoded.0).unwrap();
            self.values.decode(isa, part(v), &mut decoded.1).unwrap();
            let both = decoded.0.chunks_exact(dim);
            for (i, (k_hat, v_hat)) in both.zip(decoded.1.chunks_exact(value_dim)).enumerate() {
                let mut logit = dot(&wide(k_hat));
                if !self.centers.is_empty() {
                    let mu = &self.centers[usize::from(which[i]) * dim..][..dim];
                    logit += match center {
                        Center::None => 0.0,
                        Center::Static => dot(&wide(mu)),
                        Center::Rotary => dot(&turned(mu, frequencies, position + i)),
                    };
                }
                let scale = f64::from(k.scale[i]);
                rows.push((logit, wide(v_hat), scale * scale));
            }
        }
        rows.extend(exact(1));
        rows
    }
}

/// A row of codes decodes to nearly what the quantizer's own decoder gives: the integer codewords
/// add a small error.
#[test]
fn integer_codewords_are_close_to_the_codebook() {
    for (method, bits, bound) in [
        ("blockquant", 2.0, 2e-4),
        ("eden", 4.0, 2e-4),
        ("rabitq", 4.0, 2e-4),
        ("trellis", 2.0, 2e-4),
        ("eden", 8.0, 2e-6),
        ("turboquant/prod", 3.0, 1e-9),
        ("blockquant", 9.0, 1e-9),
    ] {
        let coder = coder(method, 64, bits, 4);
        let x = gaussians(&mut SeedStream::new(5, 5), 200 * 64);
        let codes = coder.encode(Isa::detect(), &x).unwrap();
        let mut found = vec![0f32; x.len()];
        coder
            .decode(Isa::detect(), part(&codes), &mut found)
            .unwrap();
        let exact = coder.quantizer().decode(codes.view()).unwrap();
        let square = |x: f32| f64::from(x) * f64::from(x);
        let error: f64 = found.iter().zip(&exact).map(|(a, b)| square(a - b)).sum();
        let total: f64 = exact.iter().map(|&x| square(x)).sum();
        assert!(error < bound * total, "{method} {bits}: {}", error / total);
    }
}

/// Codes that are not those of the coder, and rows of another length, are refused.
#[test]
fn foreign_codes_are_refused() {
    let (one, other) = (coder("eden", 8, 2.0, 0), coder("eden", 16, 2.0, 0));
    let codes = one.encode(Isa::detect(), &[0.5; 16]).unwrap();
    let mut out = vec![0f32; 32];
    let error = other.decode(Isa::detect(), part(&codes), &mut out);
    assert!(error.unwrap_err().to_string().contains("4 bytes"));
    let error = one.decode(Isa::detect(), part(&codes), &mut out);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("room for 32 values")
    );
    let centered = Spec {
        center: Some(vec![1.0; 8]),
        ..Spec::new("eden", 8, 2.0)
    };
    assert!(Coder::new(Quantizer::new(centered).unwrap()).is_err());
    let with_norms = Spec {
        store_norm: true,
        ..Spec::new("eden", 8, 2.0)
    };
    assert!(Coder::new(Quantizer::new(with_norms).unwrap()).is_err());
}

/// ½·ρ̄²·D/d against its two parts, measured on other rows: with `unbiased` the variance of the
/// logit of a unit query is ‖r‖²·D/d, which is s²·ρ̄²·D/d.
#[test]
fn the_debiasing_factor_is_half_the_variance() {
    let (dim, rows) = (64, 2000);
    let coder = coder("blockquant", dim, 2.0, 3);
    let mut stream = SeedStream::new(9, 9);
    let x = gaussians(&mut stream, rows * dim);
    let codes = coder.encode(Isa::detect(), &x).unwrap();
    let mut decoded = vec![0f32; x.len()];
    coder
        .decode(Isa::detect(), part(&codes), &mut decoded)
        .unwrap();
    let mut measured = 0.0;
    for ((x, y), s) in x.chunks(dim).zip(decoded.chunks(dim)).zip(&codes.scale) {
        // The error of a unit query along each axis, whose mean square is that of a random one.
        let error: f64 = x.iter().zip(y).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        measured += error / dim as f64 / f64::from(*s).powi(2);
    }
    let expected = 0.5 * measured / rows as f64;
    let found = f64::from(coder.debias(Isa::detect()).unwrap());
    assert!((found / expected - 1.0).abs() < 0.03, "{found} {expected}");
}
