//! What a model of fitted axes predicts: the measured errors of rows of its law, the same bits on
//! every instruction set, the drift of other rows, and corner cases.

use std::sync::Arc;

use blockquant::axes::Axes;
use blockquant::quantizer::Criterion;
use blockquant::{Codes, Isa, Quantizer, Spec};

use crate::common::{encode, gaussian, model};
use crate::fitted::{of, rows, spec};

fn square(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// E‖x − x̂‖²/E‖x‖².
fn measured(quantizer: &Quantizer, codes: &Codes, x: &[f32]) -> f64 {
    let mut decoded = vec![0.0; x.len()];
    let isa = Isa::current().unwrap();
    quantizer
        .decode_into(isa, codes.view(), &mut decoded)
        .unwrap();
    decoded.iter_mut().zip(x).for_each(|(d, x)| *d -= x);
    square(&decoded) / square(x)
}

#[test]
fn rows_of_the_law_have_the_predicted_error_and_no_drift() {
    let axes = model(96, 5);
    let x = rows(&axes, 2000, 6);
    for (method, bits) in [("trellis", 1.0), ("trellis", 4.0), ("eden", 2.0)] {
        for scale in ["unbiased", "mse"] {
            let quantizer = of(Spec {
                scale: Some(scale.into()),
                criterion: Some(Criterion::Reconstruction),
                ..spec(method, bits, &axes)
            });
            let codes = quantizer.encode(&x).unwrap();
            let predicted = quantizer.predicted().unwrap().unwrap();
            let ratio = measured(&quantizer, &codes, &x) / predicted.nmse;
            assert!((ratio - 1.0).abs() < 0.03, "{method}, {bits} bits: {ratio}");
            let drift = quantizer.drift(codes.view()).unwrap().unwrap();
            // The first axis has a quarter of the variance, and one rotation decides its code.
            assert!((drift - 1.0).abs() < 0.08, "{method}, {bits} bits: {drift}");
            let shares = |share: fn(&_) -> f64| predicted.groups.iter().map(share).sum::<f64>();
            assert!((shares(|group| group.variance) - 1.0).abs() < 1e-12);
            assert!((shares(|group| group.error) - 1.0).abs() < 1e-12);
            let axes = predicted
                .groups
                .iter()
                .map(|group| group.axes)
                .sum::<usize>();
            assert_eq!(axes, 96);
        }
    }
}

#[test]
fn drift_is_the_same_on_every_instruction_set() {
    let axes = model(128, 8);
    let x = rows(&axes, 60, 9);
    let quantizer = of(spec("trellis", 2.0, &axes));
    let drifts: Vec<_> = Isa::available()
        .into_iter()
        .map(|isa| quantizer.drift(encode(&quantizer, isa, &x).view()).unwrap())
        .collect();
    assert!(drifts.iter().all(|drift| *drift == drifts[0]));
}

#[test]
fn rows_along_axes_without_bits_have_the_error_that_drift_tells() {
    let axes = model(96, 5);
    let quantizer = of(spec("trellis", 1.0, &axes));
    let predicted = quantizer.predicted().unwrap().unwrap();
    let rest = predicted.groups.last().unwrap();
    assert_eq!((rest.method.as_deref(), rest.bits), (None, 0.0));
    // A row on each of the axes without bits, which is decoded to the mean.
    let mut x = Vec::new();
    for axis in axes.axes().chunks_exact(96).skip(96 - rest.axes) {
        x.extend(axis.iter().zip(axes.mean()).map(|(v, m)| 3.0 * v + m));
    }
    let codes = quantizer.encode(&x).unwrap();
    let drift = quantizer.drift(codes.view()).unwrap().unwrap();
    let found = measured(&quantizer, &codes, &x);
    assert!(drift > 5.0 && (found / predicted.nmse / drift - 1.0).abs() < 0.02);
}

#[test]
fn corner_cases_have_no_errors_or_drift() {
    let plain = of(Spec::new("trellis", 64, 2.0));
    let codes = plain.encode(&gaussian(128, 1)).unwrap();
    assert_eq!(plain.predicted().unwrap(), None);
    assert_eq!(plain.drift(codes.view()).unwrap(), None);
    let mut unit = vec![0.0; 64 * 64];
    (0..64).for_each(|i| unit[i * 64 + i] = 1.0);
    let still = Axes::new(vec![0.0; 64], unit, vec![0.0; 64], None, 1, 1.0).unwrap();
    let quantizer = of(spec("eden", 2.0, &Arc::new(still)));
    let predicted = quantizer.predicted().unwrap().unwrap();
    assert_eq!((predicted.nmse, predicted.ip_error), (0.0, 0.0));
    let drift = |x: &[f32]| {
        let codes = quantizer.encode(x).unwrap();
        quantizer.drift(codes.view()).unwrap().unwrap()
    };
    assert_eq!(drift(&gaussian(64, 1)), f64::INFINITY);
    assert!(drift(&[]).is_nan() && drift(&[0.0; 64]).is_nan());
    let other = of(spec("eden", 4.0, &model(64, 1)));
    let codes = other.encode(&gaussian(64, 1)).unwrap();
    assert!(quantizer.drift(codes.view()).is_err());
}

#[test]
fn a_reserve_gives_bits_to_more_axes_and_is_kept_as_groups() {
    let axes = model(256, 3);
    let with = |reserve| {
        of(Spec {
            reserve,
            criterion: Some(Criterion::Reconstruction),
            ..spec("trellis", 1.0, &axes)
        })
    };
    let coded = |quantizer: &Quantizer| {
        let groups = quantizer.spec().groups.as_ref().unwrap();
        groups.iter().map(|group| group.axes).sum::<usize>()
    };
    assert_eq!(with(None).spec(), with(Some(0.0)).spec());
    let counts = [0.0, 0.1, 0.5, 1.0].map(|reserve| coded(&with(Some(reserve))));
    assert!(counts.is_sorted() && counts[0] < counts[3], "{counts:?}");
    // Along all axes alike, one rate is best.
    let all = with(Some(1.0));
    assert_eq!(all.spec().groups.as_ref().map(Vec::len), Some(1));
    assert_eq!(all.spec().reserve, None);
    // Rows of the law are predicted to have more error, and rows of another one have less.
    let nmse = |quantizer: &Quantizer| quantizer.predicted().unwrap().unwrap().nmse;
    assert!(nmse(&with(None)) < nmse(&with(Some(0.5))));
    let x = gaussian(256 * 300, 4);
    let loss = |quantizer: &Quantizer| {
        let codes = quantizer.encode(&x).unwrap();
        measured(quantizer, &codes, &x)
    };
    assert!(loss(&with(Some(0.5))) < loss(&with(None)));
}

#[test]
fn a_reserve_that_is_no_part_is_refused() {
    let refused = |spec: Spec| Quantizer::new(spec).unwrap_err().to_string();
    let axes = model(96, 3);
    for reserve in [-0.1, 1.5, f64::NAN, f64::INFINITY] {
        let error = refused(Spec {
            reserve: Some(reserve),
            ..spec("trellis", 1.0, &axes)
        });
        assert_eq!(error, format!("reserve is {reserve}, expected 0 to 1"));
    }
    let groups = of(spec("trellis", 1.0, &axes)).spec().groups.clone();
    let error = refused(Spec {
        reserve: Some(0.1),
        groups,
        ..spec("trellis", 1.0, &axes)
    });
    assert_eq!(
        error,
        "reserve is not an option beside groups, which follow from it"
    );
    let error = refused(Spec {
        reserve: Some(0.1),
        ..Spec::new("trellis", 96, 1.0)
    });
    assert_eq!(error, "reserve is an option of fitted axes");
}
