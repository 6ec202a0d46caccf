//! Products in fixed point against their sums in whole numbers.

use blockquant::Isa;
use blockquant::kernels::convert::{scaled_to_fixed, to_fixed};
use blockquant::kernels::fixed::{DEVIATION, MAX_DIM, ONE, Panels, products, row_len};
use blockquant::rng::SeedStream;
use proptest::prelude::*;

use crate::common::values;

/// Vectors that lie one after the other, each divided by its norm; a zero vector stays one.
fn unit(x: &[f32], dim: usize) -> Vec<f32> {
    let norm = |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    x.chunks(dim)
        .flat_map(|x| {
            let norm = norm(x).max(1e-30);
            x.iter().map(move |&v| (f64::from(v) / norm) as f32)
        })
        .collect()
}

fn panels(axes: &[f32], dim: usize) -> Panels {
    let mut panels = Panels::new(dim, axes.len() / dim);
    for coordinate in 0..dim {
        let column: Vec<f32> = axes.iter().skip(coordinate).step_by(dim).copied().collect();
        // In two pieces, as groups of axes are set.
        let (first, others) = column.split_at(column.len() / 2);
        panels.set(coordinate, 0, first);
        panels.set(coordinate, first.len(), others);
    }
    panels
}

fn rows(isa: Isa, x: &[f32], dim: usize) -> Vec<i16> {
    let mut fixed = vec![9; x.len() / dim * row_len(dim)];
    for (x, fixed) in x.chunks(dim).zip(fixed.chunks_mut(row_len(dim))) {
        scaled_to_fixed(isa, x, ONE, fixed);
    }
    fixed
}

/// The sums in 64 bits, as the definition of the products rounds them.
fn expected(axes: &[f32], dim: usize, x: &[f32]) -> Vec<u32> {
    let fixed = |v: f32| f64::from(v * 32767.0).round_ties_even() as i64;
    x.chunks(dim)
        .flat_map(|x| {
            axes.chunks(dim).map(move |a| {
                let sum: i64 = x.iter().zip(a).map(|(&x, &a)| fixed(x) * fixed(a)).sum();
                assert!(sum.abs() < 1 << 31);
                (sum as f32 * (1.0 / (32767.0f64 * 32767.0)) as f32).to_bits()
            })
        })
        .collect()
}

fn check(axes: &[f32], dim: usize, x: &[f32]) {
    let (panels, expected) = (panels(axes, dim), expected(axes, dim, x));
    for isa in Isa::available() {
        let mut out = vec![9.0; expected.len()];
        products(isa, &panels, &rows(isa, x, dim), &mut out);
        let out: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
        assert_eq!(out, expected, "{isa:?}, {dim} coordinates");
    }
}

proptest! {
    #[test]
    fn equal_their_sums((dim, axes, x) in (1usize..80, 1usize..70, 0usize..20).prop_flat_map(|(d, a, n)| {
        (Just(d), values(a * d), values(n * d))
    })) {
        check(&unit(&axes, dim), dim, &unit(&x, dim));
    }

    #[test]
    fn rounds_to_the_nearest(x in values(37), factor in prop_oneof![
        -30f64..30.0, Just(0.0), Just(1e-31), Just(1e31), Just(32767.0)
    ], beyond in 0usize..3) {
        let moderate = (1e-30..=1e30).contains(&factor.abs());
        let expected = x.iter().map(|&v| {
            let scaled = if moderate { v * factor as f32 } else { (f64::from(v) * factor) as f32 };
            scaled.clamp(-32767.0, 32767.0).round_ties_even() as i16
        });
        let expected: Vec<i16> = expected.chain(std::iter::repeat_n(0, beyond)).collect();
        for isa in Isa::available() {
            let mut out = vec![9; x.len() + beyond];
            scaled_to_fixed(isa, &x, factor, &mut out);
            prop_assert_eq!(&out, &expected, "{:?}", isa);
        }
    }
}

#[test]
fn ties_go_to_even_numbers() {
    let halves = [
        0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 32766.5, -32766.5, 32767.4, 1e9,
    ];
    let expected = [0, 2, 2, 0, -2, -2, 32766, -32766, 32767, 32767];
    assert_eq!(halves.map(to_fixed), expected);
}

/// Sums that are as large as they can be: equal vectors with one coordinate, or with all alike.
#[test]
fn no_sum_overflows() {
    for dim in [1, 2, 3, 1537, MAX_DIM] {
        for signs in [1.0f32, -1.0] {
            let mut one = vec![0.0; dim];
            one[dim / 2] = signs;
            let same = vec![signs / (dim as f32).sqrt(); dim];
            let axes = [&*one, &same].concat();
            check(&axes, dim, &axes);
        }
    }
}

#[test]
fn deviate_as_little_as_they_say() {
    let (dim, count) = (384, 64);
    let mut stream = SeedStream::new(0, 0);
    let mut rows_of = |n: usize| {
        let x: Vec<f32> = (0..n * dim).map(|_| stream.gaussian() as f32).collect();
        unit(&x, dim)
    };
    let (axes, x) = (rows_of(count), rows_of(count));
    let mut out = vec![0.0; count * count];
    products(
        Isa::Scalar,
        &panels(&axes, dim),
        &rows(Isa::Scalar, &x, dim),
        &mut out,
    );
    let exact = x.chunks(dim).flat_map(|x| {
        axes.chunks(dim).map(move |a| {
            x.iter()
                .zip(a)
                .map(|(&x, &a)| f64::from(x) * f64::from(a))
                .sum::<f64>()
        })
    });
    let square: f64 = out
        .iter()
        .zip(exact)
        .map(|(&z, exact)| (f64::from(z) - exact).powi(2))
        .sum();
    let deviation = (square / (count * count) as f64).sqrt();
    assert!((0.9..1.1).contains(&(deviation / DEVIATION)), "{deviation}");
}
