//! Which rows are tried first: those that a bound is made from.

use crate::kernels::fast_scan::ROWS_PER_GROUP;

/// How many rows are tried, about, for the bound of the `count` best.
pub(super) fn seeds_for(count: usize) -> usize {
    2 * count + ROWS_PER_GROUP / 2
}

/// Groups whose maxima are looked at together first.
const TOGETHER: usize = 16;

/// What about `seeds` rows reach, by the maxima of their groups; −∞ where all groups are needed.
///
/// Of G groups of rows in no order, G·(1 − e^(−λ)) have one of λG rows. λ/(1 + λ/2) is a little more.
pub(super) fn limit(maxima: &[f32], seeds: usize) -> f32 {
    let groups = maxima.len();
    let wanted = (seeds * groups).div_ceil((groups + seeds / 2).max(1));
    if wanted == 0 || wanted >= groups {
        return f32::NEG_INFINITY;
    }
    // Those that are among the greatest are above this.
    let mut tops: Vec<f32> = (maxima.chunks(TOGETHER))
        .map(|maxima| maxima.iter().copied().fold(f32::NEG_INFINITY, f32::max))
        .collect();
    let least = if wanted <= tops.len() {
        nth(&mut tops, wanted)
    } else {
        f32::NEG_INFINITY
    };
    let mut above: Vec<f32> = maxima
        .iter()
        .copied()
        .filter(|&most| most >= least)
        .collect();
    nth(&mut above, wanted)
}

/// The n-th greatest.
fn nth(values: &mut [f32], n: usize) -> f32 {
    *(values
        .select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a))
        .1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_all_in_order() {
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
                assert_eq!(limit(&maxima, seeds), expected, "{groups} {seeds}");
            }
        }
        assert_eq!(limit(&[], 36), f32::NEG_INFINITY);
    }
}
