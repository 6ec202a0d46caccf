//! Pruning tables: for each cell of a grid over a block's values, the few codewords that can be
//! nearest there. With them [`nearest::pruned`] finds the same
//! codeword as a search through all of them, in a fraction of the time.
//!
//! **Proof that a word can be left out.** The score of word k is s_k(u) = ⟨u, c_k⟩ − ‖c_k‖²/2, and
//! the nearest word has the highest score. Word k can be left out of a box if some word j has
//! s_j > s_k everywhere in the box. The difference is linear in u, so its maximum over a box with
//! center m and half widths h has a closed form:
//!
//! ```text
//! max (s_k − s_j) = ⟨c_k − c_j, m⟩ + ⟨|c_k − c_j|, h⟩ − (‖c_k‖² − ‖c_j‖²)/2
//! ```
//!
//! The kernel compares rounded scores, so this maximum must be below −(e_k + e_j), where e bounds
//! the rounding of a score. To first order e is (p + 1)·2⁻²⁴·(‖c‖²/2 + Σ|cᵢ||uᵢ|); the code takes
//! 2⁻¹⁹ for the factor, which covers all higher orders for p ≤ 8. Word j need not be a candidate
//! itself, because a strict order is transitive. Each box is widened by 2⁻¹⁰ of a bin, which covers
//! the rounding of the kernel's bins (less than 2⁻¹² of a bin, since a coordinate has at most 2⁹
//! bins). The proof needs words below 10⁶ and at least one coordinate beyond 10⁻³, so that nothing
//! overflows and no product is subnormal.
//!
//! **Cells.** The whole grid is one box. Boxes are halved, one coordinate after the other, and each
//! half inherits the candidates of the whole. A box is not halved further when it has few enough
//! candidates or is a single cell. Sets of at most eight candidates are then packed into few groups
//! of eight: a set goes into a group that holds it already or has room for it. If too much of the
//! law falls into cells that no group can hold, each cell gets a list of groups of the codebook's
//! own order instead; module `word_order` makes these groups compact.
//!
//! **Cost.** Small tables matter more than tight ones, because they share the second-level cache
//! with the row. The tables change the speed of encoding only, never a code.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::kernels::nearest::{self, ALL_WORDS, Grid, Groups, Lists, Plan, Words};
use crate::threads;

use super::word_order::WORDS_PER_GROUP;

/// The kernel scores one frozen group of words per vector.
const _: () = assert!(WORDS_PER_GROUP == nearest::WORDS_PER_GROUP);

/// With fewer words than this the kernel scores all of them: a grid saves nothing.
const MIN_WORDS: usize = 24;
/// For p = 1 to 4: the bins per coordinate of cells with one group, and the most words for which
/// such cells are worth trying.
const SINGLE_GROUP_BINS_AND_MAX_WORDS: [(usize, usize); 4] =
    [(512, 512), (64, 1024), (32, 512), (16, 256)];
/// For p = 1 to 6: the bins per coordinate of cells with a list of groups.
const LIST_BINS: [usize; 6] = [512, 64, 24, 16, 7, 5];
/// For p ≥ 5 the kernel scores all words if there are fewer than this: half of them would be
/// candidates in every cell.
const MIN_WORDS_OF_LARGE_BLOCK: usize = 512;
/// The largest probability of all cells without a group.
const MAX_ESCAPED_MASS: f64 = 0.02;
/// Where the bins of equal width end, as a fraction of the largest coordinate of a word. The value
/// gives the fewest candidates on average at d = 1536 for K = 256 and 4096.
const REACH_FRACTION: f32 = 0.72;
/// How far the outermost bins extend beyond the others, in units of u. A coordinate of unit
/// variance lies outside once in 10⁷ times.
const OUTER_BIN_WIDTH: f32 = 4.0;

/// The words with the grid for coordinates of unit variance, or without one where it does not pay.
pub fn plan(words: &[f32], block: usize) -> Plan {
    let words = Words::new(words, block);
    let bounded = words.words().iter().all(|c| c.abs() < 1e6);
    // The bound on the rounding is relative, so it holds only if no product is subnormal.
    let normal = words.words().iter().any(|c| c.abs() > 1e-3);
    let large =
        block > SINGLE_GROUP_BINS_AND_MAX_WORDS.len() && words.count() < MIN_WORDS_OF_LARGE_BLOCK;
    if words.count() < MIN_WORDS || large || !bounded || !normal {
        return Plan::new(words, None);
    }
    let single = SINGLE_GROUP_BINS_AND_MAX_WORDS
        .get(block - 1)
        .filter(|(_, most)| words.count() <= *most)
        .and_then(|&(bins, _)| single_group_grid(&words, bins));
    let grid = single.or_else(|| Some(list_grid(&words, *LIST_BINS.get(block - 1)?)));
    Plan::new(words, grid)
}

/// A grid whose cells have one group each; `None` if too much of the law falls into cells without.
fn single_group_grid(words: &Words, bins: usize) -> Option<Grid> {
    let mut cells = Cells::new(words, bins);
    cells.split(|candidates| candidates.len() <= WORDS_PER_GROUP);
    let escaped: f64 = cells
        .boxes
        .iter()
        .filter(|(_, candidates)| candidates.len() > WORDS_PER_GROUP)
        .map(|(bins, _)| cells.mass(bins))
        .sum();
    if escaped > MAX_ESCAPED_MASS {
        return None;
    }
    let sets: Vec<&[u16]> = cells
        .boxes
        .iter()
        .map(|(_, candidates)| candidates.as_slice())
        .collect();
    let (packed, group_of) = pack_sets(&sets, words.count());
    let mut groups = Groups::new(words.block());
    for set in packed {
        groups.push(words, &set);
    }
    Some(cells.grid(&group_of, Lists::One(groups)))
}

/// A grid whose cells have lists of groups of the codebook's own order.
fn list_grid(words: &Words, bins: usize) -> Grid {
    let mut cells = Cells::new(words, bins);
    cells.split(|candidates| candidates.len() <= WORDS_PER_GROUP / 2);
    let mut known: HashMap<Vec<u16>, u16> = HashMap::new();
    let (mut ends, mut groups) = (Vec::new(), Vec::new());
    let values: Vec<u16> = cells
        .boxes
        .iter()
        .map(|(_, candidates)| {
            let mut list: Vec<u16> = candidates
                .iter()
                .map(|k| k / WORDS_PER_GROUP as u16)
                .collect();
            list.dedup();
            if list.len() % 2 == 1 {
                // The kernel takes two groups at a time. Fewer lengths are mispredicted less often.
                list.extend(list.last().copied());
            }
            *known.entry(list).or_insert_with_key(|list| {
                groups.extend_from_slice(list);
                ends.push(groups.len() as u32);
                (ends.len() - 1) as u16
            })
        })
        .collect();
    cells.grid(&values, Lists::Many { ends, groups })
}

/// A box of cells: for each coordinate the first bin and the one after the last.
type Bins = Vec<(usize, usize)>;

/// The cells of a grid, divided into boxes that share their candidates.
struct Cells<'a> {
    words: &'a Words,
    /// Bins per coordinate.
    bins: usize,
    /// The bins of equal width cover −reach to reach.
    reach: f32,
    /// The outermost bins end at −limit and limit.
    limit: f32,
    /// The boxes that are not halved further, with their candidates in ascending order.
    boxes: Vec<(Bins, Vec<u16>)>,
}

impl<'a> Cells<'a> {
    fn new(words: &'a Words, bins: usize) -> Self {
        let largest = words.words().iter().fold(0f32, |a, c| a.max(c.abs()));
        let reach = if largest > 0.0 {
            REACH_FRACTION * largest
        } else {
            1.0
        };
        Self {
            words,
            bins,
            reach,
            limit: reach + OUTER_BIN_WIDTH,
            boxes: Vec::new(),
        }
    }

    /// The ends of a range of bins, widened for the rounding of the kernel's bins.
    fn range(&self, (from, to): (usize, usize)) -> (f64, f64) {
        let width = 2.0 * f64::from(self.reach) / self.bins as f64;
        let (reach, limit) = (f64::from(self.reach), f64::from(self.limit));
        let slack = width / 1024.0;
        let low = if from == 0 {
            -limit
        } else {
            from as f64 * width - reach
        };
        let high = if to == self.bins {
            limit
        } else {
            to as f64 * width - reach
        };
        (low - slack, high + slack)
    }

    /// The probability of a box under N(0, I).
    fn mass(&self, bins: &Bins) -> f64 {
        let below = |x: f64| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
        bins.iter()
            .map(|&range| self.range(range))
            .map(|(low, high)| below(high) - below(low))
            .product()
    }

    /// Halves boxes until `is_small` holds for their candidates or they are single cells.
    fn split(&mut self, is_small: impl Fn(&[u16]) -> bool) {
        let whole: Bins = vec![(0, self.bins); self.words.block()];
        let every: Vec<u16> = (0..self.words.count()).map(|k| k as u16).collect();
        let mut open = vec![(whole, every, 0)];
        while let Some((bins, candidates, turn)) = open.pop() {
            threads::check();
            let candidates = self.candidates(&bins, &candidates);
            let widest = (0..bins.len())
                .map(|i| (turn + i) % bins.len())
                .max_by_key(|&j| {
                    (
                        bins[j].1 - bins[j].0,
                        Reverse((j + bins.len() - turn) % bins.len()),
                    )
                });
            let Some(j) = widest.filter(|&j| bins[j].1 - bins[j].0 > 1 && !is_small(&candidates))
            else {
                self.boxes.push((bins, candidates));
                continue;
            };
            let (from, to) = bins[j];
            let middle = (from + to) / 2;
            for half in [(middle, to), (from, middle)] {
                let mut part = bins.clone();
                part[j] = half;
                open.push((part, candidates.clone(), (j + 1) % bins.len()));
            }
        }
    }

    /// The words of `among` that can be nearest somewhere in the box.
    fn candidates(&self, bins: &Bins, among: &[u16]) -> Vec<u16> {
        /// 2⁻¹⁹.
        const ROUNDING: f64 = 1.0 / 524_288.0;
        /// Words that the others are compared with.
        const PIVOTS: usize = 8;
        let p = self.words.block();
        let ranges: Vec<(f64, f64)> = bins.iter().map(|&range| self.range(range)).collect();
        let word = |k: u16| &self.words.words()[usize::from(k) * p..][..p];
        let half_norm = |k: u16| f64::from(self.words.half_norms()[usize::from(k)]);
        let error: Vec<f64> = among
            .iter()
            .map(|&k| {
                let reach = |(c, (low, high)): (&f32, &(f64, f64))| {
                    f64::from(c.abs()) * low.abs().max(high.abs())
                };
                let most: f64 = word(k).iter().zip(&ranges).map(reach).sum();
                ROUNDING * (half_norm(k) + most)
            })
            .collect();
        // The words with the highest scores at the center of the box exclude the most others. What
        // lies beyond `reach` does not count for the center.
        let reach = f64::from(self.reach);
        let center: Vec<f64> = ranges
            .iter()
            .map(|(low, high)| 0.5 * (low.max(-reach) + high.min(reach)))
            .collect();
        let mut order: Vec<(f64, usize)> = among
            .iter()
            .map(|&k| {
                let product: f64 = word(k)
                    .iter()
                    .zip(&center)
                    .map(|(&c, m)| f64::from(c) * m)
                    .sum();
                product - half_norm(k)
            })
            .zip(0..)
            .collect();
        let pivots = order.len().min(PIVOTS);
        if pivots < order.len() {
            order.select_nth_unstable_by(pivots, |a, b| b.0.total_cmp(&a.0));
        }
        order.truncate(pivots);
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut kept: Vec<(u16, f64)> = among.iter().copied().zip(error).collect();
        let pivots: Vec<(u16, f64)> = order.iter().map(|&(_, i)| kept[i]).collect();
        for (j, error_j) in pivots {
            let other = word(j);
            let norm = half_norm(j);
            kept.retain(|&(k, error_k)| {
                let mut most = norm - half_norm(k);
                for ((&a, &b), &(low, high)) in word(k).iter().zip(other).zip(&ranges) {
                    let off = f64::from(a) - f64::from(b);
                    most += (off * low).max(off * high);
                }
                k == j || most >= -(error_k + error_j)
            });
        }
        kept.into_iter().map(|(k, _)| k).collect()
    }

    /// The grid in which every cell of box i has the value `values[i]`.
    fn grid(self, values: &[u16], lists: Lists) -> Grid {
        let mut cells = vec![0; self.bins.pow(self.words.block() as u32)];
        for ((bins, _), &value) in self.boxes.iter().zip(values) {
            self.fill(&mut cells, bins, 0, value);
        }
        Grid {
            bins: self.bins,
            reach: self.reach,
            limit: self.limit,
            cells,
            lists,
        }
    }

    /// Writes `value` to the cells of a box; `from` is the index given by the coordinates before.
    fn fill(&self, cells: &mut [u16], bins: &[(usize, usize)], from: usize, value: u16) {
        match bins {
            [] => cells[from] = value,
            [(low, high), rest @ ..] => {
                for bin in *low..*high {
                    self.fill(cells, rest, from * self.bins + bin, value);
                }
            }
        }
    }
}

/// Few groups of at most eight words such that each of `sets` with at most eight words lies in one.
/// Returns the groups, and for each set the index of its group ([`ALL_WORDS`] for larger sets).
///
/// The largest sets come first. Each goes to the group with which it shares the most words, among
/// those that have room for the rest of it.
fn pack_sets(sets: &[&[u16]], words: usize) -> (Vec<Vec<u16>>, Vec<u16>) {
    let mut packed: Vec<Vec<u16>> = Vec::new();
    let mut holding: Vec<Vec<u16>> = vec![Vec::new(); words];
    // How many words each group has in common with the set, and the groups that have any.
    let mut shared: Vec<usize> = Vec::new();
    let mut touched: Vec<u16> = Vec::new();
    let mut place = vec![ALL_WORDS; sets.len()];
    let mut known: HashMap<&[u16], u16> = HashMap::new();
    let mut order: Vec<usize> = (0..sets.len())
        .filter(|&i| sets[i].len() <= WORDS_PER_GROUP)
        .collect();
    order.sort_by_key(|&i| Reverse(sets[i].len()));
    for i in order {
        threads::check();
        let set = sets[i];
        if let Some(&group) = known.get(set) {
            place[i] = group;
            continue;
        }
        touched.clear();
        for &k in set {
            for &group in &holding[usize::from(k)] {
                if shared[usize::from(group)] == 0 {
                    touched.push(group);
                }
                shared[usize::from(group)] += 1;
            }
        }
        let mut best = None;
        for &group in &touched {
            let common = std::mem::take(&mut shared[usize::from(group)]);
            let size = packed[usize::from(group)].len();
            if size + set.len() - common <= WORDS_PER_GROUP {
                best = best.max(Some((common, size, Reverse(group))));
            }
        }
        let group = match best {
            Some((_, _, Reverse(group))) => usize::from(group),
            None if packed.len() < usize::from(ALL_WORDS) => {
                packed.push(Vec::new());
                shared.push(0);
                packed.len() - 1
            }
            None => continue,
        };
        for &k in set {
            let own = &mut packed[group];
            if let Err(at) = own.binary_search(&k) {
                own.insert(at, k);
                holding[usize::from(k)].push(group as u16);
            }
        }
        place[i] = group as u16;
        known.insert(set, group as u16);
    }
    (packed, place)
}
