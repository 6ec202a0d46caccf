//! What moving, scaling and permuting rows does to their axes.

use proptest::prelude::*;

use super::{assert_near, fitted, floats, isa, rebuilt, sample};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Moving rows moves the mean alone; scaling them scales it and squares for variances.
    #[test]
    fn translations_and_scales((rows, dim, seed) in (2usize..150, 1usize..12, 0u64..99)) {
        // Few bits each, so that moved and scaled values are exact.
        let values: Vec<f32> = sample(rows, dim, seed).iter().map(|x| (x * 64.0).round()).collect();
        let own = fitted(isa(), &values, dim, rows).finish(None).unwrap();
        let moved: Vec<f32> = values.iter().map(|x| x + 4096.0).collect();
        let moved = fitted(isa(), &moved, dim, rows).finish(None).unwrap();
        assert_near(moved.variances(), own.variances(), 1e-9 * own.variances()[0]);
        for (a, b) in moved.mean().iter().zip(own.mean()) {
            prop_assert!((a - b - 4096.0).abs() < 1e-3);
        }
        let scaled: Vec<f32> = values.iter().map(|x| x * 0.25).collect();
        let scaled = fitted(isa(), &scaled, dim, rows).finish(None).unwrap();
        // A power of two changes no rounding.
        prop_assert_eq!(scaled.axes(), own.axes());
        let expected: Vec<f64> = own.variances().iter().map(|v| v / 16.0).collect();
        prop_assert_eq!(scaled.variances(), &expected[..]);
        prop_assert_eq!(scaled.shrinkage(), own.shrinkage());
    }

    /// Another order of the rows changes rounding alone.
    #[test]
    fn permutations((rows, dim, seed) in (2usize..150, 1usize..12, 0u64..99)) {
        let values = sample(rows, dim, seed);
        let own = fitted(isa(), &values, dim, rows).finish(None).unwrap();
        let reversed: Vec<f32> = values.rchunks(dim).flatten().copied().collect();
        let reversed = fitted(isa(), &reversed, dim, rows).finish(None).unwrap();
        assert_near(reversed.variances(), own.variances(), 1e-12 * own.variances()[0]);
        assert_near(&floats(reversed.mean()), &floats(own.mean()), 1e-6);
        assert_near(&rebuilt(&reversed), &rebuilt(&own), 1e-5);
    }
}
