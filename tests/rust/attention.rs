//! Attention over coded rows against decoded rows and a softmax in float64.

use blockquant::cache::attend::{Block, Offset, Queries, Work, attend};
use blockquant::cache::coder::{Coder, Part};
use blockquant::cache::tables::Tables;
use blockquant::rng::SeedStream;
use blockquant::{Codes, Isa, Quantizer, Spec};

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

/// Attention in float64 over decoded rows.
fn expected(
    rows: &[(f64, Vec<f64>, f64)],
    scale: f64,
    debias: f64,
    visible: usize,
    mask: &[f32],
) -> Vec<f64> {
    let logits: Vec<f64> = (rows.iter().zip(mask))
        .map(|((logit, _, square), &mask)| logit * scale - debias * square + f64::from(mask))
        .collect();
    let logits = &logits[..visible];
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut out = vec![0.0; rows[0].1.len()];
    if max == f64::NEG_INFINITY {
        return out;
    }
    let total: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    for (logit, (_, v, _)) in logits.iter().zip(rows) {
        for (out, v) in out.iter_mut().zip(v) {
            *out += (logit - max).exp() / total * v;
        }
    }
    out
}

#[test]
fn equals_attention_over_decoded_rows() {
    let cases = [
        ("blockquant", 64, 3.0, "blockquant", 64, 2.0),
        ("blockquant", 80, 2.0, "eden", 96, 3.0),
        ("eden", 7, 1.0, "turboquant/mse", 3, 4.0),
        ("rabitq", 100, 4.0, "blockquant", 50, 1.0),
        ("turboquant/prod", 32, 3.0, "turboquant/prod", 48, 2.0),
        ("eden", 128, 8.0, "eden", 128, 5.0),
        ("blockquant", 64, 9.0, "blockquant", 2, 12.0),
        ("blockquant", 1, 2.0, "blockquant", 1, 1.0),
        ("blockquant", 65, 2.5, "blockquant", 65, 3.5),
    ];
    for (i, (km, kd, kb, vm, vd, vb)) in cases.into_iter().enumerate() {
        for center in [Center::None, Center::Static, Center::Rotary] {
            if center == Center::Rotary && kd % 2 == 1 {
                continue;
            }
            for centers in [1, 5] {
                let (keys, values) = (coder(km, kd, kb, 1), coder(vm, vd, vb, 2));
                let head = Head::new(keys, values, &[64, 64, 1, 64, 13], centers, i as u64);
                check(
                    &head,
                    center,
                    i as u64,
                    &format!("{km} {kd} {kb}, {vm} {vd} {vb}"),
                );
            }
        }
    }
}

fn check(head: &Head, center: Center, seed: u64, what: &str) {
    let (dim, value_dim) = (head.keys.dim(), head.values.dim());
    let mut stream = SeedStream::new(seed, 78);
    let frequencies: Vec<f64> = (0..dim / 2)
        .map(|f| 1e4f64.powf(-2.0 * f as f64 / dim as f64))
        .collect();
    let mut tables = Tables::new(frequencies.clone(), 5);
    tables.extend(70);
    let offset = match center {
        Center::None => Offset::None,
        Center::Static => Offset::Static {
            centers: &head.centers,
        },
        Center::Rotary => Offset::Rotary {
            centers: &head.centers,
            tables: &tables,
        },
    };
    let tokens = head.tokens();
    // All but the last two see many tokens; one sees the first token, one none.
    let visible = [tokens, tokens - 1, tokens - 30, 100, 9, 1, 0];
    let q = gaussians(&mut stream, visible.len() * dim);
    let mut mask = gaussians(&mut stream, visible.len() * tokens);
    for (i, mask) in mask.iter_mut().enumerate() {
        if i % 3 == 0 && i % tokens > 0 {
            *mask = f32::NEG_INFINITY;
        }
    }
    let scale = 0.7 / (dim as f32).sqrt();
    let blocks = head.blocks();
    let mut work = Work::default();
    for (mask, debias) in [(None, 0.0), (Some(&mask[..]), 0.01)] {
        let queries = Queries {
            q: &q,
            visible: &visible,
            mask,
            scale,
        };
        let mut out = vec![f32::NAN; visible.len() * value_dim];
        for isa in Isa::available() {
            attend(
                isa,
                &head.keys,
                &head.values,
                offset,
                debias,
                &blocks,
                queries,
                &mut work,
                &mut out,
            );
            for (g, out) in out.chunks_exact(value_dim).enumerate() {
                let q = &q[g * dim..][..dim];
                let rows = head.decoded(q, center, &frequencies);
                let zeros = vec![0f32; tokens];
                let mask = mask.map_or(&zeros[..], |mask| &mask[g * tokens..][..tokens]);
                let square: f64 = q.iter().map(|&q| f64::from(q) * f64::from(q)).sum();
                let debias = f64::from(debias) * f64::from(scale).powi(2) * square;
                let expected = expected(&rows, f64::from(scale), debias, visible[g], mask);
                for (j, (&found, expected)) in out.iter().zip(expected).enumerate() {
                    assert!(
                        (f64::from(found) - expected).abs() < 2e-4,
                        "{what} {center:?} {}: query {g} coordinate {j}: {found}, {expected}",
                        isa.name()
                    );
                }
            }
        }
    }
}
