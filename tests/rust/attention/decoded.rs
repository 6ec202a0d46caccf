//! Attention over coded rows against decoded rows and a softmax in float64.

use blockquant::Isa;
use blockquant::cache::attend::{Offset, Queries, Work, attend};
use blockquant::cache::tables::Tables;
use blockquant::rng::SeedStream;

use super::{Center, Head, coder, gaussians};

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
        ("trellis", 64, 3.0, "trellis", 64, 2.0),
        ("trellis", 70, 4.0, "trellis", 33, 1.0),
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
