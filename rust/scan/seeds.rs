//! The choice of the seeds of a search: the rows that are estimated first. The k-th best of them
//! gives the bound by which all other rows are pruned.

use crate::kernels::fast_scan::ROWS_PER_GROUP;

/// About how many seeds give the bound of the `count` best rows.
pub(super) fn seed_count(count: usize) -> usize {
    2 * count + ROWS_PER_GROUP / 2
}

/// Groups whose maxima are reduced to one value before the selection.
const GROUPS_PER_BLOCK: usize = 16;

/// The threshold that about `seeds` rows reach, from the maxima of all groups; −∞ if every group is
/// needed.
///
/// If λG rows lie at random in G groups, then G·(1 − e^(−λ)) groups have at least one of them. The
/// code takes λ/(1 + λ/2), which is slightly less than λ and slightly more than 1 − e^(−λ).
pub(super) fn threshold(maxima: &[f32], seeds: usize) -> f32 {
    let groups = maxima.len();
    let wanted = (seeds * groups).div_ceil((groups + seeds / 2).max(1));
    if wanted == 0 || wanted >= groups {
        return f32::NEG_INFINITY;
    }
    // All of the largest maxima are at least this value, so the others need no selection.
    let mut tops: Vec<f32> = (maxima.chunks(GROUPS_PER_BLOCK))
        .map(|maxima| maxima.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        .collect();
    let least = if wanted <= tops.len() {
        nth_largest(&mut tops, wanted)
    } else {
        f32::NEG_INFINITY
    };
    let mut above: Vec<f32> = maxima
        .iter()
        .copied()
        .filter(|&most| most >= least)
        .collect();
    nth_largest(&mut above, wanted)
}

/// The n-th largest value.
fn nth_largest(values: &mut [f32], n: usize) -> f32 {
    *(values
        .select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a))
        .1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_that_of_all_maxima_sorted() {
        let mut stream = crate::rng::SeedStream::new(3, 3);
        for groups in [1usize, 5, 40, 1000] {
            let maxima: Vec<f32> = (0..groups).map(|_| stream.gaussian() as f32).collect();
            let mut sorted = maxima.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for seeds in [18usize, 36, 216] {
                let wanted = (seeds * groups).div_ceil(groups + seeds / 2);
                let expected = if wanted < groups {
                    sorted[wanted - 1]
                } else {
                    f32::NEG_INFINITY
                };
                assert_eq!(threshold(&maxima, seeds), expected, "{groups} {seeds}");
            }
        }
        assert_eq!(threshold(&[], 36), f32::NEG_INFINITY);
    }
}
