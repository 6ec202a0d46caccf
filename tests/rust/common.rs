//! What the modules share: specs, rows, codes and the files of the repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blockquant::axes::Axes;
use blockquant::methods::METHODS;
use blockquant::rng::SeedStream;
use blockquant::{Codes, Dense, Isa, Quantizer, Rotation, RotationKind, Spec};
use proptest::prelude::*;

/// The names of all methods.
pub fn methods() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|entry| entry.name)
}

/// A spec that stores norms; everything else is the default.
pub fn spec(method: &str, dim: usize, bits: f64) -> Spec {
    Spec {
        seed: 3,
        store_norm: true,
        ..Spec::new(method, dim, bits)
    }
}

/// Normal values, the same ones for the same seed.
pub fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    let mut stream = SeedStream::new(seed, 77);
    (0..count).map(|_| stream.gaussian() as f32).collect()
}

/// The codes of rows that lie one after the other.
pub fn encode(quantizer: &Quantizer, isa: Isa, x: &[f32]) -> Codes {
    let rows = Dense::new(x, quantizer.spec().dim).unwrap();
    quantizer.encode_rows(isa, &rows).unwrap()
}

/// Axes of a random rotation, with falling variances.
pub fn model(dim: usize, seed: u64) -> Arc<Axes> {
    let mut axes = vec![0.0; dim * dim];
    for i in 0..dim {
        axes[i * dim + i] = 1.0;
    }
    let rotation = Rotation::new(RotationKind::Haar, dim, seed).unwrap();
    rotation.apply(Isa::Scalar, &mut axes, &mut Vec::new());
    let variances = (0..dim).map(|i| 1.0 / (1.0 + i as f64).powf(1.3));
    let mean = gaussian(dim, seed + 1).iter().map(|m| 0.3 * m).collect();
    Arc::new(Axes::new(mean, axes, variances.collect(), None, 1000, 0.0).unwrap())
}

/// Values of moderate size, some of them zeros of either sign or tiny.
pub fn values(n: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(
        prop_oneof![8 => -4f32..4.0, 1 => Just(0.0f32), 1 => Just(-0.0f32), 1 => -1e-30f32..1e-30],
        n,
    )
}

/// A path from the root of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
