//! The definition of the elementwise steps.

use super::{Centered, is_moderate, to_fixed};
use super::{Score, USABLE};

#[inline(always)]
pub fn scaled(x: &[f32], factor: f64, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "lengths of a row");
    if is_moderate(factor) {
        let factor = factor as f32;
        for (out, value) in out.iter_mut().zip(x) {
            *out = value * factor;
        }
    } else {
        for (out, &value) in out.iter_mut().zip(x) {
            *out = (f64::from(value) * factor) as f32;
        }
    }
}

#[inline(always)]
pub fn scale(x: &mut [f32], factor: f64) {
    if is_moderate(factor) {
        let factor = factor as f32;
        for value in x {
            *value *= factor;
        }
    } else {
        for value in x {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
}

#[inline(always)]
pub fn scaled_to_fixed(x: &[f32], factor: f64, out: &mut [i16]) {
    let (out, beyond) = out.split_at_mut(x.len());
    beyond.fill(0);
    if is_moderate(factor) {
        let factor = factor as f32;
        for (out, value) in out.iter_mut().zip(x) {
            *out = to_fixed(value * factor);
        }
    } else {
        for (out, &value) in out.iter_mut().zip(x) {
            *out = to_fixed((f64::from(value) * factor) as f32);
        }
    }
}

#[inline(always)]
pub fn subtract(x: &[f32], y: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "lengths of a row");
    assert_eq!(x.len(), y.len(), "lengths of a row");
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        *out = x - y;
    }
}

#[inline(always)]
pub fn subtract_scaled(x: &[f32], y: &[f32], factor: f64, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "lengths of a row");
    assert_eq!(x.len(), y.len(), "lengths of a row");
    for ((out, &x), &y) in out.iter_mut().zip(x).zip(y) {
        *out = (f64::from(x) - factor * f64::from(y)) as f32;
    }
}

#[inline(always)]
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "lengths of a row");
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

#[inline(always)]
pub fn estimates(dots: &[f32], scale: &[f32], factor: f64, offset: f64, out: &mut [f32]) {
    assert!(
        dots.len() == out.len() && scale.len() == out.len(),
        "one scale and one product per row"
    );
    for ((out, &dot), &scale) in out.iter_mut().zip(dots).zip(scale) {
        *out = (f64::from(dot) * f64::from(scale) * factor + offset) as f32;
    }
}

#[inline(always)]
pub fn centered_estimates(
    dots: &[f32],
    scale: &[f32],
    products: &[f32],
    query: Centered,
    out: &mut [f32],
) {
    assert!(
        [dots.len(), scale.len(), products.len()] == [out.len(); 3],
        "one scale and two products per row"
    );
    let rows = dots.iter().zip(scale).zip(products);
    for (out, ((&dot, &scale), &product)) in out.iter_mut().zip(rows) {
        let base = query.offset + query.along * f64::from(product);
        *out = (f64::from(dot) * f64::from(scale) * query.factor + base) as f32;
    }
}

#[inline(always)]
pub fn scores(
    dots: &[f32],
    scale: &[f32],
    products: Option<&[f32]>,
    query: Centered,
    score: Score<'_>,
    out: &mut [f32],
) {
    let rows = out.len();
    assert!(
        dots.len() == rows
            && scale.len() == rows
            && products.is_none_or(|products| products.len() == rows),
        "one scale and one product per row"
    );
    let estimate = |i: usize| {
        let base = products.map_or(query.offset, |products| {
            query.offset + query.along * f64::from(products[i])
        });
        f64::from(dots[i]) * f64::from(scale[i]) * query.factor + base
    };
    match score {
        Score::Product => {
            for (i, out) in out.iter_mut().enumerate() {
                // Adding zero turns −0 into 0, so that the two tie.
                *out = estimate(i) as f32 + 0.0;
            }
        }
        Score::MinusDistance { own, norm } => {
            assert_eq!(own.len(), rows, "one norm per row");
            for (i, out) in out.iter_mut().enumerate() {
                let own = f64::from(own[i]);
                let distance = own * own + norm * norm - 2.0 * estimate(i);
                *out = -(if distance < 0.0 { 0.0 } else { distance } as f32);
            }
        }
        Score::Cosine { own, norm } => {
            assert_eq!(own.len(), rows, "one norm per row");
            for (i, out) in out.iter_mut().enumerate() {
                let by = f64::from(own[i]) * norm;
                *out = if by > 0.0 { estimate(i) / by } else { 0.0 } as f32 + 0.0;
            }
        }
    }
}

#[inline(always)]
pub fn scale_columns(
    alpha: &[f32],
    factor: &[f32],
    spread: &[f32],
    scaled_factor: &mut [f32],
    scaled_spread: &mut [f32],
) -> f32 {
    let rows = alpha.len();
    let lengths = [
        factor.len(),
        spread.len(),
        scaled_factor.len(),
        scaled_spread.len(),
    ];
    assert_eq!(lengths, [rows; 4], "one number per row in each column");
    const LANES: usize = 16;
    assert!(rows.is_multiple_of(LANES), "a multiple of {LANES} rows");
    let mut most = [0f32; LANES];
    let (alpha, factor, spread) = (
        alpha.as_chunks().0,
        factor.as_chunks().0,
        spread.as_chunks().0,
    );
    let scaled = scaled_factor.as_chunks_mut().0.iter_mut();
    let scaled = scaled.zip(scaled_spread.as_chunks_mut().0);
    for (((alpha, factor), spread), (scaled_factor, scaled_spread)) in
        alpha.iter().zip(factor).zip(spread).zip(scaled)
    {
        let (alpha, factor, spread): (&[f32; LANES], &[f32; LANES], &[f32; LANES]) =
            (alpha, factor, spread);
        let (scaled_factor, scaled_spread): (&mut [f32; LANES], &mut [f32; LANES]) =
            (scaled_factor, scaled_spread);
        for i in 0..LANES {
            // Without branches, which the compiler would not turn into vectors.
            let alpha = alpha[i];
            #[allow(clippy::manual_range_contains)]
            let usable = (alpha >= USABLE.start) & (alpha < USABLE.end);
            let product = alpha * spread[i];
            let unusable = if alpha == 0.0 { 0.0 } else { f32::INFINITY };
            scaled_factor[i] = if usable { alpha * factor[i] } else { 0.0 };
            scaled_spread[i] = if usable { product } else { unusable };
            let own = if usable { alpha } else { 0.0 };
            most[i] = if own > most[i] { own } else { most[i] };
        }
    }
    most.into_iter().fold(0.0, f32::max)
}
