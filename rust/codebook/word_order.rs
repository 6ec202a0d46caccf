//! The order of the codewords of a block: each eight in a row are close to each other. So the words
//! that can be nearest to a block lie in few groups of eight, and a search reads few groups.
//!
//! The words are sorted along the coordinate of greatest variance (the first of equal ones) and
//! halved, the halves again, until each part is one group. Sorting is stable.
//!
//! FROZEN: an index of a code is the place of its codeword in this order, so another order would
//! decode existing codes to other words. How the pruning tables are made is free; this is not.

/// Words per group.
///
/// FROZEN, although it is also the width of the kernels' vectors.
pub const WORDS_PER_GROUP: usize = 8;

/// Puts the words, each of `block` coordinates, into the frozen order.
pub fn order_words(words: &mut [f32], block: usize) {
    let count = words.len() / block;
    if count <= WORDS_PER_GROUP {
        return;
    }
    let mut rows: Vec<&[f32]> = words.chunks_exact(block).collect();
    halve(&mut rows, block);
    let ordered = rows.concat();
    words.copy_from_slice(&ordered);
}

/// Sorts and halves the words until each part is one group.
fn halve(rows: &mut [&[f32]], block: usize) {
    if rows.len() <= WORDS_PER_GROUP {
        return;
    }
    let count = rows.len() as f64;
    let variance = |j: usize| {
        let mean = rows.iter().map(|row| f64::from(row[j])).sum::<f64>() / count;
        rows.iter()
            .map(|row| (f64::from(row[j]) - mean).powi(2))
            .sum::<f64>()
    };
    // The first coordinate of equal variances, so `max_by`, which takes the last, does not do.
    let mut widest = (f64::NEG_INFINITY, 0);
    for j in 0..block {
        let variance = variance(j);
        if variance > widest.0 {
            widest = (variance, j);
        }
    }
    rows.sort_by(|a, b| a[widest.1].total_cmp(&b[widest.1]));
    // The left part has whole groups, so that groups start at multiples of their size.
    let middle = (rows.len() / 2).next_multiple_of(WORDS_PER_GROUP);
    let (left, right) = rows.split_at_mut(middle.min(rows.len()));
    halve(left, block);
    halve(right, block);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(words: impl Iterator<Item = [f32; 2]>) -> Vec<[f32; 2]> {
        let mut words: Vec<f32> = words.flatten().collect();
        order_words(&mut words, 2);
        words.as_chunks().0.to_vec()
    }

    /// The sort is along the long side first, and then along the side that is longer in each half.
    #[test]
    fn halves_are_sorted_along_their_longest_side() {
        let drawn = (0..32).map(|k| [(k * 5 % 16) as f32, if k < 16 { 0.0 } else { 9.0 }]);
        let groups = [(0, 0.0), (0, 9.0), (8, 0.0), (8, 9.0)];
        let expected =
            groups.map(|(from, y)| [0, 1, 2, 3, 4, 5, 6, 7].map(|i| [(from + i) as f32, y]));
        assert_eq!(ordered(drawn), expected.as_flattened());
    }

    #[test]
    fn equal_variances_take_the_first_coordinate_and_equal_values_keep_their_order() {
        let drawn = (0..16).map(|k| [(k % 4) as f32, (k / 4) as f32]);
        let expected: Vec<[f32; 2]> = (0..16).map(|k| [(k / 4) as f32, (k % 4) as f32]).collect();
        assert_eq!(ordered(drawn), expected);
    }

    #[test]
    fn only_the_last_group_can_be_short() {
        let drawn = (0..20).map(|k| [(k * 7 % 20) as f32, 0.0]);
        let expected: Vec<[f32; 2]> = (0..20).map(|k| [k as f32, 0.0]).collect();
        // 16 words go left and 4, a short group in the order of the whole, go right.
        assert_eq!(ordered(drawn), expected);
        let few = [[2.0, 0.0], [1.0, 0.0]];
        assert_eq!(ordered(few.into_iter()), few, "one group keeps its order");
    }
}
