//! What is subtracted from keys before they are coded: a mean or centroids, with or without the
//! rotary embedding.
//!
//! **Estimation.** Each sequence estimates its own vectors when its first page is coded, for each
//! head from the tokens [sinks, min(sinks + 64 + window, sinks + 256)), which are all exact at that
//! time. x_j is the key of token j, with a rotary center without its embedding: x_j = R_jᵀ k_j. The
//! mean is Σ x_j/count in float64, in token order, rounded to float32.
//!
//! **Centroids.** C vectors take the place of the mean, C at most the number of tokens. They start
//! at tokens ⌊i·count/C⌋. Each of ten rounds assigns every x_j to its nearest centroid and replaces
//! each centroid by the mean of its tokens; one without tokens keeps its place. Distances and sums
//! are float64 and ties go to the lowest index; at the end the centroids are rounded to float32.
//! With fewer tokens than centroids the last centroids repeat the last one that was estimated, so
//! that none of them is nearer than it.
//!
//! FROZEN: the bytes of saved caches depend on it.

use super::PAGE_TOKENS;
use super::angles::{Angles, Rotary};
use super::spec::CacheSpec;
use super::tensor::Values;

/// The most tokens that a center is estimated from.
const MOST_TOKENS: usize = 256;
/// Rounds of k-means.
const ROUNDS: usize = 10;
/// Lanes of the sum of a squared distance.
const LANES: usize = 8;

/// The number of tokens that a center is estimated from.
pub(super) fn sample_tokens(spec: &CacheSpec) -> usize {
    (PAGE_TOKENS + spec.window).min(MOST_TOKENS)
}

/// Estimates the vectors of a head. `key(i)` is the key of the i-th token after the sinks.
pub(super) fn estimate<'a>(
    spec: &CacheSpec,
    rotary: Option<&Rotary>,
    key: impl Fn(usize) -> Values<'a>,
) -> Vec<f32> {
    let (dim, count) = (spec.dim, sample_tokens(spec));
    let mut points = vec![0.0; count * dim];
    let mut buffer = vec![0.0; dim];
    for (page, points) in points.chunks_mut(PAGE_TOKENS * dim).enumerate() {
        let first = page * PAGE_TOKENS;
        let angles = rotary.map(|rotary| rotary.angles(spec.sinks + first, points.len() / dim));
        for (i, point) in points.chunks_exact_mut(dim).enumerate() {
            unturned(angles.as_ref(), i, key(first + i).read(&mut buffer), point);
        }
    }
    let vectors = match spec.centroids {
        0 => mean(&points, dim),
        centroids => k_means(&points, dim, centroids),
    };
    vectors.into_iter().map(|value| value as f32).collect()
}

/// x of a key: without its embedding, if there are angles.
pub(super) fn unturned(angles: Option<&Angles>, i: usize, key: &[f32], out: &mut [f64]) {
    match angles {
        Some(angles) => angles.turn_back(i, key, out),
        None => {
            for (out, &key) in out.iter_mut().zip(key) {
                *out = key.into();
            }
        }
    }
}

fn mean(points: &[f64], dim: usize) -> Vec<f64> {
    let mut sum = vec![0.0; dim];
    for point in points.chunks_exact(dim) {
        add(&mut sum, point);
    }
    let count = (points.len() / dim) as f64;
    sum.into_iter().map(|sum| sum / count).collect()
}

fn add(sum: &mut [f64], point: &[f64]) {
    for (sum, point) in sum.iter_mut().zip(point) {
        *sum += point;
    }
}

fn k_means(points: &[f64], dim: usize, wanted: usize) -> Vec<f64> {
    let count = points.len() / dim;
    let centroids = wanted.min(count);
    let start = |i: usize| &points[i * count / centroids * dim..][..dim];
    let mut vectors: Vec<f64> = (0..centroids).flat_map(start).copied().collect();
    for _ in 0..ROUNDS {
        let mut sums = vec![0.0; centroids * dim];
        let mut sizes = vec![0usize; centroids];
        for point in points.chunks_exact(dim) {
            let nearest = nearest(point, vectors.chunks_exact(dim));
            sizes[nearest] += 1;
            add(&mut sums[nearest * dim..][..dim], point);
        }
        let places = vectors.chunks_exact_mut(dim).zip(sums.chunks_exact(dim));
        for ((vector, sum), size) in places.zip(sizes).filter(|(_, size)| *size > 0) {
            for (vector, sum) in vector.iter_mut().zip(sum) {
                *vector = sum / size as f64;
            }
        }
    }
    let last = vectors[(centroids - 1) * dim..].to_vec();
    for _ in centroids..wanted {
        vectors.extend_from_slice(&last);
    }
    vectors
}

/// The position of the nearest vector, the lowest among equals.
pub(super) fn nearest<'a, T: Copy + Into<f64> + 'a>(
    point: &[f64],
    vectors: impl Iterator<Item = &'a [T]>,
) -> usize {
    let mut best = (0, f64::INFINITY);
    for (i, vector) in vectors.enumerate() {
        let distance = squared_distance(point, vector);
        if distance < best.1 {
            best = (i, distance);
        }
    }
    best.0
}

/// Element i goes to lane i mod [`LANES`], and the lanes are added in order.
fn squared_distance<T: Copy + Into<f64>>(a: &[f64], b: &[T]) -> f64 {
    let mut lanes = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            let difference = a - b.into();
            *lane += difference * difference;
        }
    }
    lanes.iter().sum()
}
