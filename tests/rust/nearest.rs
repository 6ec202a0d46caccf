//! The search for the nearest codeword, on each instruction set of this machine and by every plan,
//! against brute force that is written here.

use blockquant::Isa;
use blockquant::codebook::{block_codebook, pruning};
use blockquant::kernels::nearest::{self, Plan, Words};
use blockquant::rng::SeedStream;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// Codewords that are too small for the proof of the grid are searched without a grid.
#[test]
fn tiny_words_are_searched_exactly() {
    let mut stream = SeedStream::new(5, 0);
    for size in [1e-2, 1e-4, 1e-30, 1e-36, 1e-38] {
        let mut draw =
            |n: usize| -> Vec<f32> { (0..n).map(|_| (stream.gaussian() * size) as f32).collect() };
        let (words, u) = (draw(4 * 256), draw(4 * 500));
        check_nearest(&words, 4, &u).unwrap();
    }
}

/// Values that are not finite, that are out of the reach of a screen and that tie with others.
#[test]
fn odd_values_are_searched_as_by_brute_force() {
    let words = block_codebook(384, 8, 8).unwrap().words.clone();
    // Each word twice, so that every block ties.
    let twice: Vec<f32> = (words.as_chunks::<8>().0[..128].iter())
        .flat_map(|word| [*word, *word])
        .flatten()
        .collect();
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -0.0, 4.0];
    let mut stream = SeedStream::new(7, 0);
    let u: Vec<f32> = (0..8 * 70)
        .map(|i| match i % 11 {
            0 => odd[i / 11 % odd.len()],
            _ => stream.gaussian() as f32,
        })
        .collect();
    for words in [&words, &twice] {
        let plan = Plan::new(Words::new(words, 8), None);
        let mut expected = vec![9u16; 70];
        nearest::brute_force(Isa::Scalar, &u, plan.words(), &mut expected);
        for isa in Isa::available() {
            let mut got = vec![9u16; 70];
            nearest::pruned(isa, &u, &plan, &mut got);
            assert_eq!(got, expected, "{isa:?}");
        }
    }
}

/// Checks brute force, the search by the plan of the words, that without a grid, and the gathering
/// of the codewords that they find.
fn check_nearest(words: &[f32], block: usize, u: &[f32]) -> Result<(), TestCaseError> {
    let half: Vec<f32> = words
        .chunks(block)
        .map(|c| 0.5 * c.iter().map(|v| v * v).sum::<f32>())
        .collect();
    let m = u.len() / block;
    let expected: Vec<u16> = (0..m)
        .map(|i| {
            let mut best = (f32::NEG_INFINITY, 0);
            for (k, word) in words.chunks(block).enumerate() {
                let score = word
                    .iter()
                    .enumerate()
                    .fold(-half[k], |s, (j, &c)| u[i + j * m].mul_add(c, s));
                if score > best.0 {
                    best = (score, k as u16);
                }
            }
            best.1
        })
        .collect();
    let plans = [
        pruning::plan(words, block),
        Plan::new(Words::new(words, block), None),
    ];
    for isa in Isa::available() {
        let mut got = vec![7u16; m];
        nearest::brute_force(isa, u, plans[0].words(), &mut got);
        prop_assert_eq!(&got, &expected, "{:?}", isa);
        for plan in &plans {
            let mut got = vec![7u16; m];
            nearest::pruned(isa, u, plan, &mut got);
            prop_assert_eq!(
                &got,
                &expected,
                "{:?} {:?}",
                isa,
                plan.grid().map(|g| g.bins)
            );
        }
        let mut c = vec![0f32; u.len()];
        nearest::gather(isa, &got, plans[0].words(), &mut c);
        for (i, &k) in got.iter().enumerate() {
            for j in 0..block {
                prop_assert_eq!(c[i + j * m], words[usize::from(k) * block + j]);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nearest_block_equals_brute_force((block, words, u) in (1usize..12, 1usize..300, 0usize..150).prop_flat_map(|(p, k, m)| {
        (Just(p), prop::collection::vec(-2i8..3, p * k), prop::collection::vec(-10i8..11, p * m))
    }), far in prop_oneof![9 => Just(1f32), 1 => Just(1e10f32)]) {
        // Small integers make many exact ties; a few blocks lie far outside of every grid.
        let words: Vec<f32> = words.iter().map(|&v| f32::from(v)).collect();
        let u: Vec<f32> = u.iter().enumerate().map(|(i, &v)| f32::from(v) * 0.25 * if i == 40 { far } else { 1.0 }).collect();
        check_nearest(&words, block, &u)?;
    }

    #[test]
    fn nearest_block_equals_brute_force_on_real_codebooks(
        shape in prop_oneof![Just((1, 6)), Just((1, 10)), Just((2, 3)), Just((2, 5)), Just((2, 8)), Just((2, 10)), Just((3, 6)), Just((3, 9)), Just((4, 7)),
            Just((4, 8)), Just((4, 10)), Just((5, 8)), Just((7, 8)), Just((8, 7)), Just((8, 8))],
        blocks in 1usize..200, seed in any::<u64>(), spread in 0.01f64..2.0,
    ) {
        let (block, width) = shape;
        let codebook = block_codebook(384, block, width).unwrap();
        let mut stream = SeedStream::new(seed, 0);
        let u: Vec<f32> = (0..block * blocks).map(|_| (stream.gaussian() * spread) as f32).collect();
        check_nearest(&codebook.words, block, &u)?;
    }
}
