//! The fit of axes: sums that do not depend on how rows are divided, and the model that they give.

use blockquant::axes::Fit;
use blockquant::rng::SeedStream;
use blockquant::{Axes, Dense, Error, Isa, Rows, threads};
use half::{bf16, f16};

mod file;
mod laws;
mod model;

/// Rows whose coordinates have spreads from 1 to 0.01, are correlated, and have a mean.
fn sample(rows: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut stream = SeedStream::new(seed, 77);
    let mut values = Vec::with_capacity(rows * dim);
    for _ in 0..rows {
        let common = stream.gaussian();
        for i in 0..dim {
            let spread = 100f64.powf(-(i as f64) / dim as f64);
            values.push((spread * (stream.gaussian() + common) + 0.3) as f32);
        }
    }
    values
}

fn isa() -> Isa {
    Isa::current().unwrap()
}

/// The fit of rows that come in pieces of so many rows.
fn fitted(isa: Isa, values: &[f32], dim: usize, piece: usize) -> Fit {
    let mut fit = Fit::new(dim).unwrap();
    for values in values.chunks(piece * dim) {
        fit.add(isa, &Dense::new(values, dim).unwrap()).unwrap();
    }
    fit
}

/// Mean and covariance of rows, in two passes.
fn direct(values: &[f32], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (values.len() / dim) as f64;
    let rows = || values.chunks_exact(dim);
    let mean: Vec<f64> = (0..dim)
        .map(|i| rows().map(|x| f64::from(x[i])).sum::<f64>() / n)
        .collect();
    let entry = |i: usize, j: usize| {
        let product = |x: &[f32]| (f64::from(x[i]) - mean[i]) * (f64::from(x[j]) - mean[j]);
        rows().map(product).sum::<f64>() / (n - 1.0).max(1.0)
    };
    let covariance = (0..dim * dim).map(|at| entry(at / dim, at % dim));
    let covariance = covariance.collect();
    (mean, covariance)
}

/// Σ λᵢ vᵢvᵢᵀ, which is the covariance again.
fn rebuilt(axes: &Axes) -> Vec<f64> {
    let dim = axes.dim();
    let mut matrix = vec![0.0; dim * dim];
    for (v, variance) in axes.axes().chunks_exact(dim).zip(axes.variances()) {
        for (row, &left) in matrix.chunks_exact_mut(dim).zip(v) {
            for (entry, &right) in row.iter_mut().zip(v) {
                *entry += variance * f64::from(left) * f64::from(right);
            }
        }
    }
    matrix
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{at}: {a} {b}");
    }
}

fn floats(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn axes_and_variances_rebuild_the_covariance() {
    for (rows, dim) in [
        (300, 20),
        (65, 8),
        (64, 9),
        (5, 24),
        (2, 3),
        (40, 1),
        (1, 7),
    ] {
        let values = sample(rows, dim, 1);
        let axes = fitted(isa(), &values, dim, rows).finish(Some(0.0)).unwrap();
        let (mean, covariance) = direct(&values, dim);
        assert_near(&floats(axes.mean()), &mean, 1e-7);
        assert_near(&rebuilt(&axes), &covariance, 1e-6);
        let trace = (0..dim).map(|i| covariance[i * dim + i]).sum::<f64>();
        assert_near(
            &[axes.variances().iter().sum()],
            &[trace],
            1e-12 * trace.max(1.0),
        );
        // At most rows − 1 axes have a variance.
        let rest = &axes.variances()[dim.min(rows - 1)..];
        assert!(rest.iter().all(|v| *v <= 1e-14), "{rest:?}");
    }
}

#[test]
fn rows_far_from_zero_keep_their_digits() {
    let (rows, dim) = (500, 12);
    let centered = sample(rows, dim, 2);
    let mut far = centered.clone();
    for x in far.chunks_exact_mut(dim) {
        x.iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x += 1e4 * (i as f32 + 1.0));
    }
    // The reference is of the rows as they are rounded.
    let (mean, covariance) = direct(&far, dim);
    let axes = fitted(isa(), &far, dim, 100).finish(Some(0.0)).unwrap();
    assert_near(&rebuilt(&axes), &covariance, 1e-6);
    let worst = axes
        .mean()
        .iter()
        .zip(&mean)
        .map(|(a, b)| (f64::from(*a) / b - 1.0).abs());
    assert!(worst.fold(0.0, f64::max) < 1e-7);
}

#[test]
fn an_enormous_first_row_costs_the_others_no_digits() {
    let (rows, dim) = (400, 6);
    let mut values = sample(rows, dim, 3);
    values[..dim].fill(0.0);
    values[2] = 1e8;
    let without = fitted(isa(), &values[dim..], dim, 64)
        .finish(Some(0.0))
        .unwrap();
    let axes = fitted(isa(), &values, dim, 64).finish(Some(0.0)).unwrap();
    // The first axis is that coordinate, and the others are those of the other coordinates.
    assert_eq!(axes.axes()[2], 1.0);
    assert!((axes.variances()[0] / (1e16 / rows as f64) - 1.0).abs() < 1e-6);
    let own: f64 = without.variances().iter().sum::<f64>();
    let rest: f64 = axes.variances()[1..].iter().sum::<f64>();
    assert!(rest > 0.5 * own && rest < own, "{rest} {own}");
}

#[test]
fn pieces_threads_and_instruction_sets_give_the_same_bits() {
    for (rows, dim) in [(1000, 37), (130, 100), (63, 16), (64, 1)] {
        let values = sample(rows, dim, 4);
        let expected = fitted(Isa::Scalar, &values, dim, rows);
        let model = expected.finish(None).unwrap();
        for isa in Isa::available() {
            for piece in [1, 7, 63, 64, 65, 200] {
                assert!(
                    fitted(isa, &values, dim, piece) == expected,
                    "{isa:?} {piece}"
                );
            }
        }
        for count in [1, 2, 3] {
            let before = threads::num_threads();
            threads::set_num_threads(count).unwrap();
            let found = fitted(isa(), &values, dim, 300);
            let same = found == expected && found.finish(None).unwrap() == model;
            threads::set_num_threads(before).unwrap();
            assert!(same, "{count} threads");
        }
    }
}

#[test]
fn a_round_has_whole_batches() {
    // More coordinates than are read at once.
    let (rows, dim) = (700, 1100);
    let values = sample(rows, dim, 5);
    let expected = fitted(isa(), &values, dim, 50);
    assert!(fitted(isa(), &values, dim, rows) == expected);
}

#[test]
fn merged_fits_equal_one_fit_to_within_rounding() {
    let (rows, dim) = (500, 20);
    let mut values = sample(rows, dim, 6);
    // The second half is elsewhere, and so is its origin.
    values[250 * dim..]
        .iter_mut()
        .for_each(|x| *x = 3.0 * *x - 2.0);
    let whole = fitted(isa(), &values, dim, rows);
    for at in [1, 30, 64, 250, 499] {
        let (first, second) = values.split_at(at * dim);
        let mut merged = fitted(isa(), first, dim, 100);
        merged.merge(&fitted(isa(), second, dim, 100)).unwrap();
        assert_eq!(merged.rows(), rows as u64);
        let (a, b) = (merged.finish(None).unwrap(), whole.finish(None).unwrap());
        assert_near(a.variances(), b.variances(), 1e-13 * b.variances()[0]);
        assert_near(&rebuilt(&a), &rebuilt(&b), 1e-5);
        assert_near(&floats(a.mean()), &floats(b.mean()), 1e-6);
        assert!((a.shrinkage() - b.shrinkage()).abs() < 1e-12);
    }
}

#[test]
fn merging_with_nothing_changes_nothing() {
    let fit = fitted(isa(), &sample(100, 5, 7), 5, 100);
    let none = Fit::new(5).unwrap();
    let (mut left, mut right) = (fit.clone(), none.clone());
    left.merge(&none).unwrap();
    right.merge(&fit).unwrap();
    assert!(left == fit && right == fit);
    assert!(left.merge(&Fit::new(6).unwrap()).is_err());
    assert!(left == fit);
}

#[test]
fn queries_have_their_second_moments_about_the_mean_of_the_rows() {
    let (dim, rows, queries) = (11, sample(300, 11, 8), sample(90, 11, 9));
    let mut fit = fitted(isa(), &rows, dim, 300);
    assert_eq!(fit.finish(None).unwrap().query_variances(), None);
    fit.add_queries(isa(), &Dense::new(&queries, dim).unwrap())
        .unwrap();
    let axes = fit.finish(None).unwrap();
    let expected: Vec<f64> = axes
        .axes()
        .chunks_exact(dim)
        .map(|v| {
            let square = |y: &[f32]| {
                let terms = y.iter().zip(axes.mean()).zip(v);
                let product: f64 = terms
                    .map(|((y, m), v)| (f64::from(*y) - f64::from(*m)) * f64::from(*v))
                    .sum();
                product * product
            };
            queries.chunks_exact(dim).map(square).sum::<f64>() / 90.0
        })
        .collect();
    assert_near(axes.query_variances().unwrap(), &expected, 1e-6);
    // In two halves that are merged, and the rows as their own queries.
    let (first, second) = queries.split_at(40 * dim);
    let mut halves = fitted(isa(), &rows, dim, 300);
    let mut other = Fit::new(dim).unwrap();
    halves
        .add_queries(isa(), &Dense::new(first, dim).unwrap())
        .unwrap();
    other
        .add_queries(isa(), &Dense::new(second, dim).unwrap())
        .unwrap();
    halves.merge(&other).unwrap();
    assert_eq!((halves.rows(), halves.queries()), (300, 90));
    assert_near(
        halves.finish(None).unwrap().query_variances().unwrap(),
        &expected,
        1e-6,
    );
    let mut own = fitted(isa(), &rows, dim, 300);
    own.add_queries(isa(), &Dense::new(&rows, dim).unwrap())
        .unwrap();
    let axes = own.finish(Some(0.0)).unwrap();
    let scaled: Vec<f64> = axes.variances().iter().map(|v| v * 299.0 / 300.0).collect();
    assert_near(axes.query_variances().unwrap(), &scaled, 1e-9);
}

#[test]
fn the_mean_of_the_variances_stays_and_shrinkage_moves_them_towards_it() {
    let fit = fitted(isa(), &sample(60, 30, 10), 30, 60);
    let own = fit.finish(Some(0.0)).unwrap();
    let mean = own.variances().iter().sum::<f64>() / 30.0;
    for rho in [0.25, 1.0] {
        let moved = fit.finish(Some(rho)).unwrap();
        let expected: Vec<f64> = own
            .variances()
            .iter()
            .map(|v| v + rho * (mean - v))
            .collect();
        assert_near(moved.variances(), &expected, 1e-14);
        assert_eq!((moved.axes(), moved.shrinkage()), (own.axes(), rho));
    }
    let chosen = fit.finish(None).unwrap().shrinkage();
    assert!((0.001..0.5).contains(&chosen), "{chosen}");
    for wrong in [-0.1, 1.1, f64::NAN, -0.0] {
        assert!(fit.finish(Some(wrong)).is_err());
    }
}

#[test]
fn constant_rows_have_no_variance() {
    for rows in [1, 2, 64, 200] {
        let values = [2.5f32, -1.0, 1e30].repeat(rows);
        let axes = fitted(isa(), &values, 3, 50).finish(None).unwrap();
        assert_eq!(
            (axes.mean(), axes.variances()),
            (&[2.5f32, -1.0, 1e30][..], &[0.0; 3][..])
        );
        assert_eq!(
            (axes.rows(), axes.shrinkage(), axes.kept()),
            (rows as u64, 1.0, 3)
        );
    }
}

#[test]
fn the_largest_and_the_smallest_rows_fit() {
    for scale in [1e-45f32, 1e-30, 1e30, 1e38] {
        let values: Vec<f32> = (0..300)
            .map(|i| scale * [1.0, -1.0, 2.0][i % 7 % 3])
            .collect();
        let axes = fitted(isa(), &values, 3, 100).finish(None).unwrap();
        assert!(axes.variances()[0] > 0.0 && axes.variances()[0].is_finite());
    }
}

#[test]
fn rows_of_any_type_fit_like_their_float32() {
    let dim = 10;
    let half: Vec<f16> = sample(90, dim, 11).into_iter().map(f16::from_f32).collect();
    let wide: Vec<f32> = half.iter().map(|x| x.to_f32()).collect();
    let double: Vec<f64> = wide.iter().copied().map(f64::from).collect();
    let brain: Vec<bf16> = wide.iter().copied().map(bf16::from_f32).collect();
    let brain_wide: Vec<f32> = brain.iter().map(|x| x.to_f32()).collect();
    let expected = fitted(isa(), &wide, dim, 90);
    let add = |rows: &dyn Rows| {
        let mut fit = Fit::new(dim).unwrap();
        fit.add(isa(), rows).unwrap();
        fit
    };
    assert!(add(&Dense::new(&half, dim).unwrap()) == expected);
    assert!(add(&Dense::new(&double, dim).unwrap()) == expected);
    let brain = add(&Dense::new(&brain, dim).unwrap());
    assert!(brain == fitted(isa(), &brain_wide, dim, 90));
}

#[test]
fn a_failed_call_adds_nothing_and_names_the_value() {
    let dim = 4;
    let mut values = sample(200, dim, 12);
    let mut fit = fitted(isa(), &values[..70 * dim], dim, 70);
    let before = fit.clone();
    for (row, value) in [
        (0, f32::NAN),
        (150, f32::INFINITY),
        (199, f32::NEG_INFINITY),
    ] {
        let good = std::mem::replace(&mut values[row * dim + 3], value);
        let rows = Dense::new(&values, dim).unwrap();
        for failed in [fit.add(isa(), &rows), fit.add_queries(isa(), &rows)] {
            let text = failed.unwrap_err().to_string();
            assert!(
                text.starts_with(&format!("row {row}, column 3 is ")),
                "{text}"
            );
        }
        assert!(fit == before);
        values[row * dim + 3] = good;
    }
    let other = Dense::new(&values, 2 * dim).unwrap();
    assert!(fit.add(isa(), &other).is_err() && fit.add_queries(isa(), &other).is_err());
    let stop = || threads::Answer::Stop;
    let rows = Dense::new(&values, dim).unwrap();
    let stopped = threads::interruptible(stop, || {
        std::thread::sleep(std::time::Duration::from_millis(60));
        fit.add(isa(), &rows)
    });
    assert_eq!(stopped, Err(Error::Interrupted));
    assert!(fit == before);
}

#[test]
fn a_fit_needs_rows_and_a_dimension() {
    assert!(Fit::new(0).is_err() && Fit::new(blockquant::axes::MAX_DIM + 1).is_err());
    let mut fit = Fit::new(3).unwrap();
    fit.add_queries(isa(), &Dense::new(&[1.0f32; 6], 3).unwrap())
        .unwrap();
    let text = fit.finish(None).unwrap_err().to_string();
    assert!(text.contains("at least 1"), "{text}");
}

#[test]
fn a_fit_goes_on_from_its_bytes() {
    let dim = 9;
    let values = sample(200, dim, 13);
    for rows in [0, 3, 64, 100] {
        let (first, second) = values.split_at(rows * dim);
        let mut fit = fitted(isa(), first, dim, 50);
        let queries = Dense::new(&second[..70 * dim], dim).unwrap();
        fit.add_queries(isa(), &queries).unwrap();
        let bytes = fit.to_bytes();
        let mut back = Fit::from_bytes(&bytes).unwrap();
        assert!(back == fit);
        let rest = Dense::new(second, dim).unwrap();
        fit.add(isa(), &rest).unwrap();
        back.add(isa(), &rest).unwrap();
        assert!(back == fit);
        for length in (0..bytes.len()).step_by(13) {
            assert!(Fit::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Fit::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        for at in 0..bytes.len().min(32) {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x80;
            let _ = Fit::from_bytes(&wrong); // Any result, but no panic and no memory without end.
        }
    }
}
