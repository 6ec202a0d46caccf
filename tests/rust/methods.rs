//! Tests of the pipeline from Rust, for every method. Bytes do not depend on the number of threads,
//! the batch or the instruction set, and bad input gets a clear error.

use blockquant::{Codes, Dense, Isa, Quantizer, Rotation, RotationKind, Spec};

use crate::common::{encode, gaussian, methods, spec};

#[test]
fn every_instruction_set_gives_the_same_bytes() {
    for method in methods() {
        for (dim, bits) in [
            (1, 1.0),
            (7, 2.0),
            (50, 2.0),
            (130, 1.0),
            (200, 4.0),
            (301, 2.0),
        ] {
            let quantizer = Quantizer::new(spec(method, dim, bits)).unwrap();
            let x = gaussian(5 * dim, 1);
            let expected = encode(&quantizer, Isa::Scalar, &x);
            let mut back = vec![0.0; x.len()];
            quantizer
                .decode_into(Isa::Scalar, expected.view(), &mut back)
                .unwrap();
            for isa in Isa::available() {
                assert_eq!(
                    encode(&quantizer, isa, &x),
                    expected,
                    "{method} {dim} {isa:?}"
                );
                let mut other = vec![0.0; x.len()];
                quantizer
                    .decode_into(isa, expected.view(), &mut other)
                    .unwrap();
                assert_eq!(other, back, "{method} {dim} {isa:?}");
            }
        }
    }
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch() {
    for method in methods() {
        let dim = 100;
        let quantizer = Quantizer::new(spec(method, dim, 2.0)).unwrap();
        let x = gaussian(70 * dim, 2);
        let isa = Isa::detect();
        let all = encode(&quantizer, isa, &x);
        let mut joined = encode(&quantizer, isa, &[]);
        for row in x.chunks(dim) {
            joined.extend(&encode(&quantizer, isa, row)).unwrap();
        }
        assert_eq!(joined, all, "{method}");
        assert_eq!(all.select(&[5, 0]).unwrap(), {
            let mut two = encode(&quantizer, isa, &x[5 * dim..6 * dim]);
            two.extend(&encode(&quantizer, isa, &x[..dim])).unwrap();
            two
        });
    }
}

#[test]
fn inner_products_are_those_of_the_decoded_rows() {
    for method in methods() {
        let dim = 77;
        let quantizer = Quantizer::new(spec(method, dim, 2.0)).unwrap();
        let (x, y) = (gaussian(40 * dim, 4), gaussian(3 * dim, 5));
        let isa = Isa::detect();
        let codes = encode(&quantizer, isa, &x);
        let mut back = vec![0.0; x.len()];
        quantizer.decode_into(isa, codes.view(), &mut back).unwrap();
        let mut products = vec![0.0; 3 * 40];
        quantizer
            .inner_product_into(
                isa,
                codes.view(),
                &Dense::new(&y, dim).unwrap(),
                &mut products,
            )
            .unwrap();
        for (j, query) in y.chunks(dim).enumerate() {
            for (i, row) in back.chunks(dim).enumerate() {
                let expected: f32 = row.iter().zip(query).map(|(a, b)| a * b).sum();
                assert!(
                    (products[j * 40 + i] - expected).abs() < 1e-3,
                    "{method} {i} {j}"
                );
            }
        }
    }
}

#[test]
fn rotations_are_orthogonal() {
    let isa = Isa::detect();
    for kind in [RotationKind::Haar, RotationKind::Hadamard] {
        for dim in [1, 2, 3, 17, 128, 129, 200, 384, 1000] {
            let rotation = Rotation::new(kind, dim, 9).unwrap();
            let x = gaussian(dim, dim as u64);
            let (mut z, mut scratch) = (x.clone(), Vec::new());
            rotation.apply(isa, &mut z, &mut scratch);
            let norm = |v: &[f32]| v.iter().map(|a| f64::from(a * a)).sum::<f64>();
            assert!((norm(&z) / norm(&x) - 1.0).abs() < 1e-5, "{kind:?} {dim}");
            assert!(dim == 1 || z != x, "{kind:?} {dim} moves nothing");
            rotation.apply_inverse(isa, &mut z, &mut scratch);
            for (a, b) in x.iter().zip(&z) {
                assert!((a - b).abs() < 1e-5, "{kind:?} {dim}");
            }
        }
    }
}

#[test]
fn bad_input_is_named() {
    let quantizer = Quantizer::new(spec("eden", 4, 2.0)).unwrap();
    let isa = Isa::detect();
    let mut x = gaussian(12, 1);
    x[6] = f32::NAN;
    let error = quantizer
        .encode_rows(isa, &Dense::new(&x, 4).unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "row 1, column 2 is NaN, expected a finite float32 value"
    );
    let wide = [1e300f64, 0.0, 0.0, 0.0];
    let error = quantizer
        .encode_rows(isa, &Dense::new(&wide, 4).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("row 0, column 0 is 1"), "{error}");
    let error = quantizer
        .encode_rows(isa, &Dense::new(&x, 3).unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "rows have 3 columns, expected dim=4");
    for (method, bits, text) in [
        ("eden", 2.5, "bits=2.5 for eden"),
        ("rabitq", 9.0, "bits=9 for rabitq"),
        (
            "trellis",
            5.0,
            "bits=5 for trellis, expected a multiple of .5 from 0.5 to 4",
        ),
        ("nonesuch", 2.0, "unknown method"),
        ("blockquant", -1.0, "bits=-1"),
    ] {
        let error = Quantizer::new(spec(method, 4, bits))
            .unwrap_err()
            .to_string();
        assert!(error.contains(text), "{error}");
    }
    for (method, states, text) in [
        (
            "trellis",
            100,
            "states=100 for trellis, expected one of 16, 32, 64, 128, 256",
        ),
        ("eden", 64, "states is not an option of eden"),
    ] {
        let error = Quantizer::new(Spec {
            states: Some(states),
            ..spec(method, 4, 2.0)
        });
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let broken = Codes {
        row_bytes: 1,
        packed: vec![0; 3],
        scale: vec![1.0; 3],
        ..Codes::default()
    };
    assert!(
        quantizer
            .decode_into(isa, broken.view(), &mut [0.0; 12])
            .is_ok()
    );
    let broken = Codes {
        row_bytes: 2,
        packed: vec![0; 6],
        scale: vec![1.0; 3],
        ..Codes::default()
    };
    assert!(
        quantizer
            .decode_into(isa, broken.view(), &mut [0.0; 12])
            .is_err()
    );
}

#[test]
fn a_center_is_subtracted_first_and_added_last() {
    let dim = 50;
    let (x, center) = (gaussian(60 * dim, 6), gaussian(dim, 7));
    let residual: Vec<f32> = x
        .iter()
        .zip(center.iter().cycle())
        .map(|(x, c)| x - c)
        .collect();
    let y = gaussian(2 * dim, 8);
    let y = Dense::new(&y, dim).unwrap();
    for method in methods() {
        let plain = Quantizer::new(spec(method, dim, 2.0)).unwrap();
        let quantizer = Quantizer::new(Spec {
            center: Some(center.clone()),
            ..spec(method, dim, 2.0)
        })
        .unwrap();
        let expected = encode(&plain, Isa::Scalar, &residual);
        let mut back = vec![0.0; x.len()];
        plain
            .decode_into(Isa::Scalar, expected.view(), &mut back)
            .unwrap();
        for (value, c) in back.iter_mut().zip(center.iter().cycle()) {
            *value += c;
        }
        let mut products: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let codes = encode(&quantizer, isa, &x);
            assert_eq!(codes.packed, expected.packed, "{method} {isa:?}");
            assert_eq!(codes.scale, expected.scale, "{method} {isa:?}");
            assert_eq!(codes.norm, None, "{method} {isa:?}");
            // Of a row less the center, and the norm of the row from that.
            let norms = quantizer.norms(codes.view()).unwrap().unwrap();
            let lengths = encode(&plain, isa, &x).norm.unwrap();
            for (found, length) in norms.iter().zip(&lengths) {
                assert!((found - length).abs() < 1e-6 * length, "{method} {isa:?}");
            }
            let norms = match method {
                "turboquant/prod" => &expected.residual_norm,
                _ => &expected.norm,
            };
            assert_eq!(&codes.residual_norm, norms, "{method} {isa:?}");
            let mut found = vec![0.0; x.len()];
            quantizer
                .decode_into(isa, codes.view(), &mut found)
                .unwrap();
            assert_eq!(found, back, "{method} {isa:?}");
            let mut found = vec![0.0; 2 * 60];
            quantizer
                .inner_product_into(isa, codes.view(), &y, &mut found)
                .unwrap();
            assert_eq!(*products.get_or_insert(found.clone()), found, "{method}");
        }
    }
}

#[test]
fn bad_centers_are_named() {
    for (center, text) in [
        (vec![0.0; 3], "center has 3 values, expected dim=4"),
        (
            vec![0.0, f32::INFINITY, 0.0, 0.0],
            "center: column 1 is inf, expected a finite float32 value",
        ),
    ] {
        let center = Some(center);
        let error = Quantizer::new(Spec {
            center,
            ..spec("eden", 4, 2.0)
        })
        .unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}
