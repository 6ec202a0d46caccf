//! The search over scales: the same bytes on every instruction set, never a larger error, and codes
//! that are read as those without it.

use blockquant::{Codes, Dense, Isa, Quantizer, Spec};

use crate::common::{encode, gaussian, methods, spec};

fn searched(method: &str, scale: &str, dim: usize, bits: f64, count: Option<usize>) -> Quantizer {
    let spec = Spec {
        scale: Some(scale.into()),
        scale_search: count,
        ..spec(method, dim, bits)
    };
    Quantizer::new(spec).unwrap()
}

/// Gaussian rows and rows that are unlike them: zero, one-hot, constant, with two signs, with one
/// coordinate of nine deviations, all but zero, huge and tiny.
fn rows(dim: usize) -> Vec<f32> {
    let mut x = gaussian(12 * dim, dim as u64);
    let mut row = x.chunks_exact_mut(dim);
    let mut next = || row.next().unwrap();
    next().fill(0.0);
    let one_hot = next();
    one_hot.fill(0.0);
    one_hot[dim / 2] = -3.0;
    next().fill(0.25);
    for (i, value) in next().iter_mut().enumerate() {
        *value = if i % 2 == 0 { 1.0 } else { -1.0 };
    }
    next()[dim - 1] = 9.0;
    for (i, value) in next().iter_mut().enumerate() {
        *value = if i == 0 { 1.0 } else { 1e-30 };
    }
    next().iter_mut().for_each(|value| *value *= 1e30);
    next().iter_mut().for_each(|value| *value *= 1e-30);
    x
}

#[test]
fn every_instruction_set_finds_the_same_codes() {
    for (method, bits, dims) in [
        ("eden", 3.0, &[1, 2, 3, 7, 16, 17, 50, 64, 130, 301][..]),
        ("eden", 4.0, &[1, 15, 33, 64, 384]),
        ("eden", 8.0, &[31, 64]),
        ("blockquant", 3.0, &[4, 50]),
        ("blockquant", 3.5, &[7, 130]),
        ("blockquant", 4.0, &[1, 9, 64, 301]),
        ("blockquant", 9.0, &[5]),
    ] {
        for &dim in dims {
            let x = rows(dim);
            for count in [3, 9, 33] {
                let quantizer = searched(method, "mse", dim, bits, Some(count));
                let expected = encode(&quantizer, Isa::Scalar, &x);
                for isa in Isa::available() {
                    let found = encode(&quantizer, isa, &x);
                    assert_eq!(found, expected, "{method} {bits} {dim} {count} {isa:?}");
                }
            }
        }
    }
}

/// ‖x − x̂‖²/‖x‖² of each row.
fn errors(quantizer: &Quantizer, codes: &Codes, x: &[f32]) -> Vec<f64> {
    let dim = quantizer.spec().dim;
    let mut back = vec![0f32; x.len()];
    let isa = Isa::detect();
    quantizer.decode_into(isa, codes.view(), &mut back).unwrap();
    let rows = x.chunks_exact(dim).zip(back.chunks_exact(dim));
    let errors = rows.map(|(x, back)| {
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let error = square(
            &mut x
                .iter()
                .zip(back)
                .map(|(&a, &b)| f64::from(a) - f64::from(b)),
        );
        error / square(&mut x.iter().map(|&a| f64::from(a))).max(f64::MIN_POSITIVE)
    });
    errors.collect()
}

#[test]
fn no_row_has_a_larger_error_and_most_have_a_smaller_one() {
    // Decoded rows are float32: their rounding is some 1e-5 of the errors here.
    const ROUNDING: f64 = 1e-4;
    for (method, bits) in [
        ("eden", 3.0),
        ("eden", 4.0),
        ("eden", 5.0),
        ("blockquant", 4.0),
    ] {
        for dim in [3, 64, 100] {
            let x = [rows(dim), gaussian(200 * dim, 3)].concat();
            let plain = searched(method, "mse", dim, bits, None);
            let mut least = errors(&plain, &encode(&plain, Isa::detect(), &x), &x);
            let mut better = 0;
            // The scales of a number are among those of the next.
            for count in [3, 5, 9] {
                let quantizer = searched(method, "mse", dim, bits, Some(count));
                let codes = encode(&quantizer, Isa::detect(), &x);
                let found = errors(&quantizer, &codes, &x);
                for (row, (found, least)) in found.iter().zip(&mut least).enumerate() {
                    let most = *least * (1.0 + ROUNDING) + 1e-12;
                    assert!(*found <= most, "{method} {bits} {dim} {count} row {row}");
                    better += usize::from(*found < 0.99 * *least);
                    *least = least.min(*found);
                }
            }
            assert!(better > 50, "{method} {bits} {dim}: {better}");
        }
    }
}

#[test]
fn one_scale_is_no_search() {
    for method in methods() {
        let one = Quantizer::new(Spec {
            scale_search: Some(1),
            ..spec(method, 20, 2.0)
        })
        .unwrap();
        let plain = Quantizer::new(spec(method, 20, 2.0)).unwrap();
        assert_eq!(one.spec(), plain.spec(), "{method}");
        let x = gaussian(9 * 20, 4);
        assert_eq!(
            encode(&one, Isa::Scalar, &x),
            encode(&plain, Isa::Scalar, &x),
            "{method}"
        );
    }
}

#[test]
fn codes_are_read_without_the_search() {
    let dim = 33;
    let x = gaussian(50 * dim, 5);
    let y = gaussian(2 * dim, 6);
    let y = Dense::new(&y, dim).unwrap();
    let (with, without) = (
        searched("blockquant", "unbiased", dim, 3.0, Some(9)),
        searched("blockquant", "unbiased", dim, 3.0, None),
    );
    let codes = encode(&with, Isa::detect(), &x);
    assert_ne!(codes, encode(&without, Isa::detect(), &x));
    let read = |quantizer: &Quantizer| {
        let isa = Isa::detect();
        let (mut back, mut products) = (vec![0f32; x.len()], vec![0f32; 100]);
        quantizer.decode_into(isa, codes.view(), &mut back).unwrap();
        quantizer
            .inner_product_into(isa, codes.view(), &y, &mut products)
            .unwrap();
        (back, products)
    };
    assert_eq!(read(&with), read(&without));
}

#[test]
fn bad_numbers_and_methods_are_named() {
    let error = |method: &str, scale: Option<&str>, bits, count| {
        let spec = Spec {
            scale: scale.map(str::to_owned),
            scale_search: Some(count),
            ..Spec::new(method, 8, bits)
        };
        assert_eq!(
            spec.shape().unwrap_err().to_string(),
            Quantizer::new(spec.clone()).unwrap_err().to_string()
        );
        spec.shape().unwrap_err().to_string()
    };
    for count in [0, 2, 8, 35, usize::MAX] {
        assert_eq!(
            error("eden", None, 4.0, count),
            format!(
                "scale_search={count}, expected an odd number of scales from 3 to 33, or 1 for no \
                 search"
            )
        );
    }
    for method in ["turboquant/mse", "turboquant/prod", "rabitq"] {
        assert_eq!(
            error(method, None, 4.0, 9),
            format!("scale_search is not an option of {method}")
        );
    }
    for (method, bits) in [("eden", 2.0), ("blockquant", 2.5)] {
        assert_eq!(
            error(method, None, bits, 9),
            format!(
                "scale_search=9 at bits={bits}, expected at least 3 bits: with fewer, other \
                 scales hardly lower the error"
            )
        );
    }
    assert_eq!(
        error("blockquant", Some("none"), 4.0, 9),
        "scale_search=9 with scale=\"none\", expected another scale rule: without one the nearest \
         codewords are the best ones"
    );
}
