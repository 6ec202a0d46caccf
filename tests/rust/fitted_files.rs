//! Files of codes along fitted axes, and what is refused by name.

use std::sync::Arc;

use blockquant::axes::Axes;
use blockquant::file::{self, Contents};
use blockquant::quantizer::{Criterion, Group};
use blockquant::{Dense, Isa, Quantizer, Spec};

use crate::common::model;
use crate::fitted::{of, rows, spec};

#[test]
fn files_keep_axes_and_groups() {
    for queries in [false, true] {
        let axes = model(48, 11);
        let given = queries.then(|| (0..48).map(|i| 2.0 - f64::from(i) / 48.0).collect());
        let axes = Axes::new(
            axes.mean().to_vec(),
            axes.axes().to_vec(),
            axes.variances().to_vec(),
            given,
            77,
            0.25,
        );
        let axes = Arc::new(axes.unwrap());
        let quantizer = of(Spec {
            criterion: Some(Criterion::InnerProduct),
            ..spec("trellis", 3.0, &axes)
        });
        let x = rows(&axes, 9, 12);
        let codes = quantizer.encode(&x).unwrap();
        let mut bytes = Vec::new();
        file::write(&mut bytes, &quantizer, codes.view(), None).unwrap();
        let contents = Contents::new(&bytes, true).unwrap();
        assert_eq!(&contents.spec, quantizer.spec());
        assert_eq!(contents.codes(), codes);
        let read = contents.quantizer().unwrap();
        assert_eq!(
            read.decode(codes.view()).unwrap(),
            quantizer.decode(codes.view()).unwrap()
        );
        for at in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(Contents::new(&damaged, true).is_err(), "byte {at}");
        }
        for length in (0..bytes.len()).step_by(101) {
            assert!(
                Contents::new(&bytes[..length], true).is_err(),
                "{length} bytes"
            );
        }
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let axes = model(48, 1);
    let plain = || spec("trellis", 2.0, &axes);
    let group = |axes, method: &str, bits| Group {
        axes,
        method: method.into(),
        bits,
    };
    let error = |spec: Spec| Quantizer::new(spec).unwrap_err().to_string();
    for (text, spec) in [
        ("expected dim=47", Spec { dim: 47, ..plain() }),
        (
            "center is not an option",
            Spec {
                center: Some(vec![0.0; 48]),
                ..plain()
            },
        ),
        (
            "scale_search is not an option",
            Spec {
                scale_search: Some(9),
                ..plain()
            },
        ),
        (
            "it keeps γ",
            Spec {
                method: "turboquant/prod".into(),
                ..plain()
            },
        ),
        (
            "bits=9",
            Spec {
                bits: 9.0,
                ..plain()
            },
        ),
        (
            "too few for a group",
            Spec {
                bits: 0.1,
                ..plain()
            },
        ),
        (
            "states=65",
            Spec {
                states: Some(65),
                ..plain()
            },
        ),
        (
            "0 groups",
            Spec {
                groups: Some(vec![]),
                ..plain()
            },
        ),
        (
            "[48, 1] axes",
            Spec {
                groups: Some(vec![group(48, "eden", 1.0), group(1, "eden", 1.0)]),
                ..plain()
            },
        ),
        (
            "a group cannot have turboquant/prod",
            Spec {
                groups: Some(vec![group(48, "turboquant/prod", 2.0)]),
                ..plain()
            },
        ),
        (
            "criterion is an option of fitted axes",
            Spec {
                axes: None,
                criterion: Some(Criterion::Recall),
                ..plain()
            },
        ),
        (
            "groups is an option of fitted axes",
            Spec {
                axes: None,
                groups: Some(vec![]),
                ..plain()
            },
        ),
    ] {
        let found = error(spec);
        assert!(found.contains(text), "{found:?}, not {text:?}");
    }
    let quantizer = of(Spec {
        store_norm: false,
        ..plain()
    });
    let codes = quantizer.encode(&rows(&axes, 2, 3)).unwrap();
    let y = rows(&axes, 1, 4);
    let y = Dense::new(&y, 48).unwrap();
    let found = quantizer.interval(
        Isa::detect(),
        codes.view(),
        &y,
        0.9,
        &mut [0.0; 2],
        &mut [0.0; 2],
    );
    assert!(found.unwrap_err().to_string().contains("intervals need"));
}
