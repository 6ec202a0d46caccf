//! Codes along fitted axes: their bytes, the same bits on every instruction set, estimates that are
//! unbiased, bounds that hold, and corner cases.

use std::sync::Arc;

use blockquant::axes::Axes;
use blockquant::quantizer::{Criterion, EXTRA_BYTES, Group, MAX_GROUPS};
use blockquant::{Codes, Dense, Isa, Metric, Quantizer, Request, Spec};

use crate::common::{encode, gaussian, model};

/// Rows with the mean, axes and variances of a model.
pub fn rows(axes: &Axes, count: usize, seed: u64) -> Vec<f32> {
    let dim = axes.dim();
    let numbers = gaussian(count * dim, seed);
    let mut x = Vec::new();
    for z in numbers.chunks_exact(dim) {
        let mut row: Vec<f64> = axes.mean().iter().map(|&m| f64::from(m)).collect();
        for ((z, axis), variance) in z
            .iter()
            .zip(axes.axes().chunks_exact(dim))
            .zip(axes.variances())
        {
            let z = f64::from(*z) * variance.sqrt();
            row.iter_mut()
                .zip(axis)
                .for_each(|(x, &v)| *x += z * f64::from(v));
        }
        x.extend(row.iter().map(|&x| x as f32));
    }
    x
}

pub fn spec(method: &str, bits: f64, axes: &Arc<Axes>) -> Spec {
    Spec {
        axes: Some(Arc::clone(axes)),
        store_norm: true,
        ..Spec::new(method, axes.dim(), bits)
    }
}

pub fn of(spec: Spec) -> Quantizer {
    Quantizer::new(spec).unwrap()
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter()
        .zip(y)
        .map(|(&x, &y)| f64::from(x) * f64::from(y))
        .sum()
}

/// What all operations give on an instruction set.
type All = (Codes, Vec<f32>, Vec<f32>, [Vec<f32>; 2], Vec<(u32, f32)>);

fn all(quantizer: &Quantizer, isa: Isa, x: &[f32], y: &[f32]) -> All {
    let (dim, queries) = (
        quantizer.spec().dim,
        Dense::new(y, quantizer.spec().dim).unwrap(),
    );
    let codes = encode(quantizer, isa, x);
    let (n, m) = (x.len() / dim, y.len() / dim);
    let mut decoded = vec![0.0; x.len()];
    quantizer
        .decode_into(isa, codes.view(), &mut decoded)
        .unwrap();
    let mut products = vec![0.0; n * m];
    quantizer
        .inner_product_into(isa, codes.view(), &queries, &mut products)
        .unwrap();
    let (mut low, mut high) = (vec![0.0; n * m], vec![0.0; n * m]);
    quantizer
        .interval(isa, codes.view(), &queries, 0.9, &mut low, &mut high)
        .unwrap();
    let request = Request::new(5, Metric::Euclidean);
    let hits = quantizer
        .search_with(isa, codes.view(), &queries, request)
        .unwrap();
    let hits = hits.iter().flatten().map(|hit| (hit.row, hit.score));
    let hits = hits.collect();
    (codes, decoded, products, [low, high], hits)
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for (method, dim, bits) in [
        ("trellis", 5, 8.0),
        ("trellis", 33, 4.0),
        ("trellis", 100, 1.0),
        ("trellis", 130, 2.0),
        ("trellis", 208, 4.0),
        ("eden", 17, 8.0),
        ("eden", 96, 2.0),
        ("blockquant", 100, 2.0),
        ("rabitq", 70, 2.0),
    ] {
        let axes = model(dim, 3);
        let x = rows(&axes, 70, 4);
        let y = rows(&axes, 3, 5);
        let quantizer = of(spec(method, bits, &axes));
        let expected = all(&quantizer, Isa::Scalar, &x, &y);
        for isa in Isa::available() {
            assert_eq!(
                all(&quantizer, isa, &x, &y),
                expected,
                "{method} {dim} {isa:?}"
            );
        }
    }
}

#[test]
fn rows_take_the_bytes_that_were_asked_for() {
    for dim in [24, 48, 64, 100, 128, 300, 768] {
        let axes = model(dim, 1);
        for bits in [1.0, 1.7, 2.0, 4.0, 8.0] {
            for criterion in [
                Criterion::Recall,
                Criterion::Reconstruction,
                Criterion::InnerProduct,
            ] {
                for store_norm in [false, true] {
                    let mut spec = spec("trellis", bits, &axes);
                    (spec.criterion, spec.store_norm) = (Some(criterion), store_norm);
                    let most = (dim as f64 * bits / 8.0) as usize + EXTRA_BYTES;
                    let what = format!("{dim} {bits} {criterion:?} {store_norm}");
                    let Ok((shape, _)) = spec.shape() else {
                        assert!(most < 20, "{what}: no groups");
                        continue;
                    };
                    let found = shape.row_bytes + 4;
                    assert!(found <= most, "{what}: {found} bytes of {most}");
                    // What is left over would not have paid for another group of axes.
                    assert!(
                        bits > 4.0 || 5 * found >= 4 * most,
                        "{what}: {found} of {most}"
                    );
                    let quantizer = of(spec);
                    let groups = quantizer.spec().groups.clone().unwrap();
                    let kept: usize = groups.iter().map(|group| group.axes).sum();
                    assert!(
                        (1..=MAX_GROUPS).contains(&groups.len()) && kept <= dim,
                        "{what}"
                    );
                    assert!(
                        groups.is_sorted_by(|a, b| a.bits >= b.bits),
                        "{what}: {groups:?}"
                    );
                    assert_eq!(quantizer.spec().axes.as_ref().unwrap().kept(), kept);
                }
            }
        }
    }
}

#[test]
fn estimates_are_products_of_decoded_rows() {
    let axes = model(96, 7);
    let (x, y) = (rows(&axes, 40, 8), rows(&axes, 5, 9));
    for method in ["trellis", "eden", "blockquant", "rabitq"] {
        let quantizer = of(Spec {
            scale: Some("mse".into()),
            ..spec(method, 3.0, &axes)
        });
        let codes = quantizer.encode(&x).unwrap();
        let decoded = quantizer.decode(codes.view()).unwrap();
        let products = quantizer.inner_product(codes.view(), &y).unwrap();
        for (q, y) in y.chunks_exact(96).enumerate() {
            for (i, row) in decoded.chunks_exact(96).enumerate() {
                let (found, expected) = (f64::from(products[q * 40 + i]), dot(row, y));
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{method}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn estimates_are_unbiased_and_bounds_hold_over_rotations() {
    let (dim, seeds, confidence) = (64, 200, 0.8);
    let axes = model(dim, 2);
    let (x, y) = (rows(&axes, 6, 3), rows(&axes, 4, 4));
    let queries = Dense::new(&y, dim).unwrap();
    let mut sums = [[0.0f64; 2]; 24];
    let mut held = 0;
    for seed in 0..seeds {
        let quantizer = of(Spec {
            seed,
            // All axes have bits, so that nothing is left out.
            groups: Some(vec![
                Group {
                    axes: 32,
                    method: "trellis".into(),
                    bits: 3.0,
                },
                Group {
                    axes: 32,
                    method: "eden".into(),
                    bits: 1.0,
                },
            ]),
            ..spec("trellis", 3.0, &axes)
        });
        let codes = quantizer.encode(&x).unwrap();
        let products = quantizer.inner_product(codes.view(), &y).unwrap();
        let (mut low, mut high) = (vec![0.0; 24], vec![0.0; 24]);
        let isa = Isa::detect();
        quantizer
            .interval(isa, codes.view(), &queries, confidence, &mut low, &mut high)
            .unwrap();
        for (place, &product) in products.iter().enumerate() {
            let truth = dot(&x[place % 6 * dim..][..dim], &y[place / 6 * dim..][..dim]);
            let error = f64::from(product) - truth;
            sums[place][0] += error;
            sums[place][1] += error * error;
            held += usize::from(f64::from(low[place]) <= truth && truth <= f64::from(high[place]));
        }
    }
    for [sum, square] in sums {
        // Five standard errors, and what the rounding of gains can do.
        let most = 5.0 * square.sqrt() + 1e-3 * seeds as f64;
        assert!(sum.abs() < most, "{sum} of {most}");
    }
    let all = 24 * seeds as usize;
    let deviation = (confidence * (1.0 - confidence) / all as f64).sqrt();
    let share = held as f64 / all as f64;
    // Pairs of one row share its error, so a deviation counts for several.
    assert!(share > confidence - 12.0 * deviation, "{share}");
    assert!(
        share < confidence + 0.1,
        "{share}: bounds are wider than they need be"
    );
}

#[test]
fn rows_at_the_mean_and_rows_of_any_size() {
    let axes = model(80, 5);
    let quantizer = of(spec("trellis", 4.0, &axes));
    let codes = quantizer.encode(axes.mean()).unwrap();
    assert_eq!(codes.scale, [0.0]);
    assert_eq!(quantizer.decode(codes.view()).unwrap(), axes.mean());
    // With a mean of zero everything but the norm is the same for every multiple of a row.
    let axes = Axes::new(
        vec![0.0; 80],
        axes.axes().to_vec(),
        axes.variances().to_vec(),
        None,
        10,
        0.5,
    );
    let quantizer = of(spec("trellis", 4.0, &Arc::new(axes.unwrap())));
    let x = gaussian(80, 6);
    let expected = quantizer.encode(&x).unwrap();
    for power in [-120, -60, -1, 20, 100] {
        let factor = 2f32.powi(power);
        let scaled: Vec<f32> = x.iter().map(|x| x * factor).collect();
        let found = quantizer.encode(&scaled).unwrap();
        assert_eq!(found.packed, expected.packed, "2^{power}");
        assert_eq!(found.scale[0], expected.scale[0] * factor, "2^{power}");
    }
    // A row across all axes with bits decodes to the mean, and its norm is kept.
    let dropped = of(Spec {
        groups: Some(vec![Group {
            axes: 40,
            method: "eden".into(),
            bits: 2.0,
        }]),
        ..quantizer.spec().clone()
    });
    let across = &quantizer.spec().axes.clone().unwrap();
    let row = &across.axes()[79 * 80..];
    let codes = dropped.encode(row).unwrap();
    assert!(
        dropped
            .decode(codes.view())
            .unwrap()
            .iter()
            .all(|x| x.abs() < 1e-3)
    );
    let norms = dropped.norms(codes.view()).unwrap().unwrap();
    assert!((norms[0] - 1.0).abs() < 1e-3);
    let y = Dense::new(row, 80).unwrap();
    let (mut low, mut high) = ([0.0], [0.0]);
    dropped
        .interval(Isa::detect(), codes.view(), &y, 0.9, &mut low, &mut high)
        .unwrap();
    assert!(low[0] <= 1.0 && 1.0 <= high[0], "{low:?} {high:?}");
}
