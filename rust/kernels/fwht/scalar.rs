//! The definition: butterflies at strides 1, 2, 4, ….

use super::{RUN, Runs, check};

pub fn forward(runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    check(runs, factors, x);
    read(runs, x);
    multiply(x, factors);
    transform(x);
}

pub fn backward(runs: Option<Runs<'_>>, factors: &[f32], x: &mut [f32]) {
    check(runs, factors, x);
    read(runs, x);
    transform(x);
    multiply(x, factors);
}

fn read(runs: Option<Runs<'_>>, x: &mut [f32]) {
    if let Some(Runs { values, order }) = runs {
        for (run, &from) in x.chunks_exact_mut(RUN).zip(order) {
            run.copy_from_slice(&values[from as usize * RUN..][..RUN]);
        }
    }
}

fn multiply(x: &mut [f32], factors: &[f32]) {
    for (value, factor) in x.iter_mut().zip(factors) {
        *value *= factor;
    }
}

fn transform(x: &mut [f32]) {
    let mut stride = 1;
    while stride < x.len() {
        for piece in x.chunks_exact_mut(2 * stride) {
            let (low, high) = piece.split_at_mut(stride);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        stride *= 2;
    }
}
