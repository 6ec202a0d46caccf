//! Tests of files. Every method round-trips, the golden files are written again byte for byte, and
//! a damaged file is never read.

use std::path::PathBuf;

use blockquant::file::{self, Contents};
use blockquant::quantizer::{Criterion, Group};
use blockquant::{Codes, Isa, Quantizer, RotationKind, Spec};

use crate::common::{self, gaussian, in_repository, methods, model, spec};

fn encode(spec: Spec, rows: usize) -> (Quantizer, Codes) {
    let quantizer = Quantizer::new(spec).unwrap();
    let dim = quantizer.spec().dim;
    let codes = common::encode(&quantizer, Isa::detect(), &gaussian(rows * dim, 5));
    (quantizer, codes)
}

fn bytes(quantizer: &Quantizer, codes: &Codes) -> Vec<u8> {
    let mut out = Vec::new();
    file::write(&mut out, quantizer, codes.view(), None).unwrap();
    out
}

/// The specs of the golden files, by name.
fn golden() -> Vec<(&'static str, Spec)> {
    vec![
        (
            "blockquant",
            Spec {
                scale: Some("mse".into()),
                store_norm: false,
                ..spec("blockquant", 13, 2.5)
            },
        ),
        (
            "centered",
            Spec {
                center: Some((0..9).map(|i| 0.5 - i as f32).collect()),
                ..spec("rabitq", 9, 2.0)
            },
        ),
        (
            "trellis",
            Spec {
                states: Some(16),
                ..spec("trellis", 13, 2.0)
            },
        ),
        (
            "prod",
            Spec {
                rotation: RotationKind::Haar,
                seed: u64::MAX,
                ..spec("turboquant/prod", 13, 3.0)
            },
        ),
        (
            "scale_search",
            Spec {
                scale_search: Some(9),
                ..spec("eden", 16, 4.0)
            },
        ),
        (
            "fitted",
            Spec {
                axes: Some(model(12, 3)),
                criterion: Some(Criterion::Reconstruction),
                groups: Some(vec![
                    Group {
                        axes: 7,
                        method: "trellis".into(),
                        bits: 1.5,
                    },
                    Group {
                        axes: 4,
                        method: "eden".into(),
                        bits: 3.0,
                    },
                ]),
                ..spec("trellis", 12, 8.0)
            },
        ),
    ]
}

fn golden_path(name: &str) -> PathBuf {
    in_repository(&format!("tests/golden/{name}.safetensors"))
}

#[test]
fn golden_files() {
    for (name, spec) in golden() {
        let path = golden_path(name);
        let (quantizer, codes) = encode(spec, 3);
        if std::env::var_os("BLOCKQUANT_WRITE_GOLDEN").is_some() {
            file::save(&path, &quantizer, codes.view(), None).unwrap();
        }
        assert_eq!(
            std::fs::read(&path).unwrap(),
            bytes(&quantizer, &codes),
            "{name}"
        );
        let (read, back) = file::load(&path, true).unwrap();
        assert_eq!(back, codes, "{name}");
        assert_eq!(read.spec(), quantizer.spec(), "{name}");
    }
}

#[test]
fn every_method_round_trips() {
    for method in methods() {
        for (dim, bits, rows) in [(1, 1.0, 2), (13, 2.0, 0), (130, 4.0, 5), (200, 1.0, 1)] {
            for (store_norm, center) in [
                (false, None),
                (true, None),
                (false, Some(1.5)),
                (true, Some(-2e9)),
            ] {
                let spec = Spec {
                    store_norm,
                    center: center.map(|value| vec![value; dim]),
                    ..spec(method, dim, bits)
                };
                let (quantizer, codes) = encode(spec, rows);
                let written = bytes(&quantizer, &codes);
                let (read, back) = file::read(&written, true).unwrap();
                assert_eq!(back, codes, "{method} {dim}");
                assert_eq!(bytes(&read, &back), written, "{method} {dim}");
                let contents = Contents::new(&written, false).unwrap();
                for tensor in contents.tensors {
                    let unit = if tensor.name == "packed" { 64 } else { 4 };
                    assert_eq!(tensor.bytes.start % unit, 0, "{}", tensor.name);
                }
            }
        }
    }
}

/// Damage in the header and the center is found without `verify` too.
#[test]
fn every_truncation_and_every_flip_is_refused() {
    for (name, _) in golden() {
        let file = std::fs::read(golden_path(name)).unwrap();
        let tensors = Contents::new(&file, false).unwrap().tensors;
        let of_model = ["center", "variances", "mean", "axes"];
        let rest = (tensors.iter()).find(|tensor| !of_model.contains(&tensor.name));
        let start = rest.unwrap().bytes.start;
        for length in 0..file.len() {
            for verify in [false, true] {
                assert!(Contents::new(&file[..length], verify).is_err(), "{length}");
            }
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            for flip in 1..=255 {
                damaged[at] = file[at] ^ flip;
                assert!(Contents::new(&damaged, true).is_err(), "{at} {flip}");
                if at < start {
                    assert!(Contents::new(&damaged, false).is_err(), "{at} {flip}");
                }
            }
        }
        for more in [&[0u8][..], b" ", &file] {
            let longer = [&file, more].concat();
            assert!(Contents::new(&longer, true).is_err());
        }
    }
}

#[test]
fn codes_that_do_not_belong_are_not_written() {
    let (quantizer, codes) = encode(spec("eden", 16, 2.0), 3);
    let error = |codes: &Codes| {
        file::write(&mut Vec::new(), &quantizer, codes.view(), None)
            .unwrap_err()
            .to_string()
    };
    let mut other = codes.clone();
    other.norm = None;
    assert_eq!(error(&other), "norm is missing");
    other.norm = Some(vec![1.0; 2]);
    assert_eq!(error(&other), "norm has 2 values, expected 3");
    let mut other = codes.clone();
    other.scale[1] = f32::NAN;
    assert_eq!(
        error(&other),
        "scale of row 1 is NaN, expected a finite number"
    );
    let mut other = codes.clone();
    other.packed.pop();
    assert!(error(&other).contains("expected 3 rows of 4"));
    let (without, _) = encode(
        Spec {
            store_norm: false,
            ..spec("eden", 16, 2.0)
        },
        0,
    );
    let error = file::write(&mut Vec::new(), &without, codes.view(), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "norm is given for a quantizer that stores none"
    );
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = std::env::temp_dir().join(format!("blockquant-file-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("ä 向量.safetensors");
    let (quantizer, codes) = encode(spec("eden", 16, 2.0), 3);
    file::save(&path, &quantizer, codes.view(), None).unwrap();
    let before = std::fs::read(&path).unwrap();
    let mut broken = codes.clone();
    broken.scale[0] = f32::INFINITY;
    let error = file::save(&path, &quantizer, broken.view(), None).unwrap_err();
    assert!(error.to_string().starts_with(&*path.to_string_lossy()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let is_folder = file::save(&folder, &quantizer, codes.view(), None).unwrap_err();
    assert!(
        is_folder
            .to_string()
            .starts_with(&*folder.to_string_lossy())
    );
    assert!(file::load(&folder.join("none"), true).is_err());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}
