//! The frozen designs of the trellis code: what the program that makes them computes again.

use blockquant::codebook::trellis::{LABELS, designs};

#[path = "../../examples/freeze_trellis/training.rs"]
mod training;
#[path = "../../examples/freeze_trellis/viterbi.rs"]
mod viterbi;

/// The generators see the window only, and the highest bit of an index is the sign.
#[test]
fn designs_are_well_formed() {
    for (i, design) in designs().iter().enumerate() {
        let before = &designs()[..i];
        let key = |of: &blockquant::codebook::trellis::Design| (of.states(), of.half_bits());
        assert!(before.iter().all(|other| key(other) < key(design)));
        for (phase, generators) in design.generators.iter().enumerate() {
            let bits = design.memory + u32::from(phase == 0);
            for generator in generators {
                assert!(*generator > 0 && generator >> bits == 0, "{design:?}");
            }
        }
        let words = design.codewords();
        assert_eq!(words.len(), LABELS << design.uncoded);
        for (i, &word) in words.iter().enumerate() {
            assert_eq!(word > 0, i >= words.len() / 2, "{design:?}");
            assert_eq!(word, -words[words.len() - 1 - i], "{design:?}");
        }
    }
}

/// The smallest codes, trained again, have the frozen codewords.
#[test]
fn training_makes_the_frozen_codewords() {
    let (groups, _) = training::rows_for_training();
    let smallest = designs().iter().filter(|design| design.half_bits() <= 2);
    for design in smallest.filter(|design| design.states() == 16) {
        let words = training::train(design.memory, design.generators, design.uncoded, &groups);
        assert_eq!(words, design.codewords(), "{design:?}");
    }
}

/// The codewords of every design have the frozen error.
#[test]
fn designs_have_the_frozen_error() {
    let (_, groups) = training::rows_for_training();
    for design in designs() {
        let words = design.codewords();
        let error = training::distortion(design.memory, design.generators, &words, &groups);
        assert_eq!(error, design.distortion, "{design:?}");
    }
}
