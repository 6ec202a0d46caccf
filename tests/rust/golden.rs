//! Golden bytes: the quantizers must always write the bytes that they wrote once.
//!
//! This file and `tests/python/test_golden.py` both read `tests/golden/codes.json`. The cases of a
//! new method are added to [`cases`] and written by
//! `BLOCKQUANT_WRITE_GOLDEN=1 cargo test --test all golden::`.
//!
//! FROZEN: existing cases must not change.

use blockquant::rng::SeedStream;
use blockquant::{Isa, Quantizer, RotationKind, Spec};
use serde_json::{Value, json};

use crate::common::{encode, in_repository, spec};

const ROWS: usize = 3;

fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes
        .into_iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn floats(values: &[f32]) -> String {
    hex(values.iter().flat_map(|value| value.to_le_bytes()))
}

fn cases() -> Vec<Spec> {
    let mut cases = Vec::new();
    for (method, scales, rates) in [
        (
            "blockquant",
            vec!["none", "mse", "unbiased"],
            vec![1.0, 1.5, 2.0, 2.5, 3.0, 4.0],
        ),
        ("eden", vec!["mse", "unbiased"], vec![1.0, 2.0, 3.0, 8.0]),
        ("turboquant/mse", vec![], vec![1.0, 2.0, 4.0]),
        ("turboquant/prod", vec![], vec![1.0, 2.0, 3.0]),
        ("rabitq", vec!["mse", "unbiased"], vec![1.0, 2.0, 4.0, 8.0]),
    ] {
        for (i, &bits) in rates.iter().enumerate() {
            for (dim, rotation) in [(13, RotationKind::Haar), (200, RotationKind::Hadamard)] {
                let scale = scales.get(i % scales.len().max(1)).map(|s| s.to_string());
                cases.push(Spec {
                    scale,
                    rotation,
                    seed: 7 + i as u64,
                    ..spec(method, dim, bits)
                });
            }
        }
    }
    // Rows of fewer steps than the memory, of few steps, and of many.
    for (i, states) in [16, 64, 256].into_iter().enumerate() {
        for (j, bits) in [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
            .into_iter()
            .enumerate()
        {
            for (dim, rotation) in [
                (3, RotationKind::Haar),
                (21, RotationKind::Haar),
                (101, RotationKind::Hadamard),
            ] {
                cases.push(Spec {
                    scale: Some(["none", "mse", "unbiased"][(i + j) % 3].into()),
                    states: Some(states),
                    rotation,
                    seed: 7 + j as u64,
                    ..spec("trellis", dim, bits)
                });
            }
        }
    }
    // Three windows per round, without overlap: the transform itself does the shuffle.
    for dim in [384, 1536] {
        cases.push(Spec {
            scale: Some("mse".into()),
            seed: 7,
            ..spec("eden", dim, 1.0)
        });
    }
    for (method, dim, bits, count) in [
        ("eden", 64, 4.0, 9),
        ("eden", 13, 3.0, 33),
        ("blockquant", 50, 4.0, 3),
    ] {
        cases.push(Spec {
            scale_search: Some(count),
            seed: 7,
            ..spec(method, dim, bits)
        });
    }
    cases
}

fn record(spec: &Spec, isa: Isa) -> Value {
    let quantizer = Quantizer::new(spec.clone()).unwrap();
    let mut stream = SeedStream::new(spec.seed, 1000 + spec.dim as u64);
    let x: Vec<f32> = (0..ROWS * spec.dim)
        .map(|_| stream.gaussian() as f32)
        .collect();
    let codes = encode(&quantizer, isa, &x);
    let mut record = json!({
        "method": spec.method,
        "scale": spec.scale,
        "dim": spec.dim,
        "bits": spec.bits,
        "rotation": spec.rotation.name(),
        "seed": spec.seed,
        "rows": ROWS,
        "input_hex": floats(&x),
        "packed_hex": hex(codes.packed.iter().copied()),
        "scale_hex": floats(&codes.scale),
        "norm_hex": floats(codes.norm.as_deref().unwrap()),
        "residual_hex": codes.residual_norm.as_deref().map(floats),
    });
    if let Some(count) = spec.scale_search {
        record["scale_search"] = count.into();
    }
    // A key only where the method has it: the other records stay as they are.
    if let Some(states) = spec.states {
        record["states"] = json!(states);
    }
    record
}

#[test]
fn golden_bytes() {
    let path = in_repository("tests/golden/codes.json");
    if std::env::var_os("BLOCKQUANT_WRITE_GOLDEN").is_some() {
        let records: Vec<_> = cases()
            .iter()
            .map(|spec| record(spec, Isa::Scalar))
            .collect();
        let lines: Vec<_> = records.iter().map(Value::to_string).collect();
        std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let golden: Vec<Value> = serde_json::from_str(&text).unwrap();
    let cases = cases();
    assert_eq!(golden.len(), cases.len(), "number of golden cases");
    for (spec, expected) in cases.iter().zip(&golden) {
        for isa in Isa::available() {
            assert_eq!(&record(spec, isa), expected, "{spec:?} on {isa:?}");
        }
    }
}
