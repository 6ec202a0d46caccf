//! The model: what it refuses, when two are equal, and the first of its axes.

use blockquant::{Axes, Error};

/// A model whose parts tests replace.
type Parts = (Vec<f32>, Vec<f32>, Vec<f64>, Option<Vec<f64>>, u64, f64);

/// What a test does to them.
type Change = fn(&mut Parts);

fn parts() -> Parts {
    let axes = vec![0.6, 0.8, 0.0, 0.8, -0.6, 0.0, 0.0, 0.0, 1.0];
    (
        vec![1.0, 0.0, -2.0],
        axes,
        vec![3.0, 2.0, 0.0],
        Some(vec![1.0, 4.0, 0.0]),
        10,
        0.25,
    )
}

fn model((mean, axes, variances, queries, rows, shrinkage): Parts) -> Result<Axes, Error> {
    Axes::new(mean, axes, variances, queries, rows, shrinkage)
}

#[test]
fn a_model_of_wrong_parts_is_refused() {
    assert!(model(parts()).is_ok());
    let wrong: [(&str, Change); 18] = [
        ("dim=0", |p| p.0.clear()),
        ("axes have 9 values", |p| p.0.truncate(2)),
        ("axes have 8 values", |p| p.1.truncate(8)),
        ("axes have 0 values", |p| p.1.clear()),
        ("axes have 12 values", |p| p.1.extend([0.0; 3])),
        ("variances have 2 values, expected 3", |p| p.2.truncate(2)),
        ("variances[2] is -1", |p| p.2[2] = -1.0),
        ("variances[2] is -0", |p| p.2[2] = -0.0),
        ("variances[1] is above", |p| p.2[1] = 3.5),
        ("variances[0] is inf", |p| p.2[0] = f64::INFINITY),
        ("query_variances[1] is NaN", |p| {
            p.3 = Some(vec![0.0, f64::NAN, 0.0])
        }),
        ("query_variances have 1 value", |p| p.3 = Some(vec![0.0])),
        ("mean have inf", |p| p.0[1] = f32::INFINITY),
        ("axes have NaN", |p| p.1[4] = f32::NAN),
        ("orthonormal", |p| p.1[8] = 1.001),
        ("orthonormal", |p| p.1[2] = 0.001),
        ("rows is 0", |p| p.4 = 0),
        ("shrinkage is 1.5", |p| p.5 = 1.5),
    ];
    for (text, change) in wrong {
        let mut parts = parts();
        change(&mut parts);
        let error = model(parts).expect_err(text).to_string();
        assert!(error.contains(text), "{error:?} has no {text:?}");
    }
}

#[test]
fn models_are_equal_if_their_content_is() {
    let first = model(parts()).unwrap();
    assert!(first == model(parts()).unwrap());
    let changes: [Change; 8] = [
        |p| p.0[1] = -0.0,
        |p| p.1[2] = 1e-9,
        |p| p.1.truncate(6),
        |p| p.2[0] = 3.5,
        |p| p.3 = None,
        |p| p.3 = Some(vec![1.0, 4.0, 1.0]),
        |p| p.4 = 11,
        |p| p.5 = 0.5,
    ];
    for change in changes {
        let mut parts = parts();
        change(&mut parts);
        let other = model(parts).unwrap();
        assert!(other != first && other.digest() != first.digest());
    }
    assert!(format!("{first:?}").contains("dim: 3"));
}

#[test]
fn the_first_axes_are_kept() {
    let all = model(parts()).unwrap();
    let two = all.first(2);
    assert_eq!(
        (two.kept(), two.dim(), two.axes()),
        (2, 3, &all.axes()[..6])
    );
    assert_eq!((two.variances(), two.mean()), (all.variances(), all.mean()));
    assert!(all.first(3) == all && all.first(9) == all && all.first(0).kept() == 1);
    assert!(two != all && two.digest() != all.digest());
}
