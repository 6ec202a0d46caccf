//! Which codewords can be nearest in a cell: the grid of [`nearest::pruned`](crate::kernels::nearest::pruned), with its proof.
//!
//! With s_k(u) = ⟨u, c_k⟩ − ‖c_k‖²/2 the word k can be left out of a box B if some word j has s_j > s_k on all of B. The difference is linear, so
//! its maximum over a box with centre m and half widths h is closed: ⟨c_k − c_j, m⟩ + ⟨|c_k − c_j|, h⟩ − (‖c_k‖² − ‖c_j‖²)/2. The kernel compares rounded scores,
//! so it must be below −(e_k + e_j), where e bounds the rounding of a score, (p + 1)·2⁻²⁴·(‖c‖²/2 + Σ|cᵢ||uᵢ|) to first order; 2⁻¹⁹ stands
//! for the factor and all higher orders (p ≤ 8). A word is left out against words that may be left out too: strict order is transitive.
//! Boxes are widened by 2⁻¹⁰ of a bin, for the rounding of the kernel's bins (B ≤ 2⁹ bins: below 2⁻¹² of a bin); words are below 10⁶, and one beyond 10⁻³, so that nothing overflows or is subnormal.
//!
//! **The cells.** Boxes are halved from the whole grid down, one coordinate after the other, each half inheriting the candidates of the whole, until the candidates
//! fit one group of eight, or the box is one cell. Candidates of cells are then packed into few groups: a set goes into a group that
//! holds it, or that it fills up to at most eight. Codebooks for which too much of the law falls into cells that no group holds get lists
//! of groups of the codebook's own order, which [`in_groups`] makes local. Small tables matter more than tight ones: they share the second-level cache with the row.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::kernels::nearest::{EVERY, Grid, Groups, Lists, Plan, Words};
use crate::kernels::simd::WIDTH;
use crate::threads;

/// Fewer words than this are tried one by one.
const FEWEST: usize = 24;
/// For blocks of 1 to 4: bins of a coordinate for cells of one group, and the most words for which such cells are worth trying.
const ONE: [(usize, usize); 4] = [(512, 512), (64, 1024), (32, 512), (16, 256)];
/// For blocks of 1 to 6: bins of a coordinate for cells of lists.
const MANY: [usize; 6] = [512, 64, 24, 16, 7, 5];
/// In larger blocks fewer words than this are tried one by one: half of them would be candidates anyway.
const FEWEST_IN_LARGE: usize = 512;
/// The share of the law that may fall into cells without a group.
const ESCAPE: f64 = 0.02;
/// Where the bins of equal width end, by the largest coordinate of a word: few candidates on average, at d = 1536 and K = 256 or 4096.
const REACH: f32 = 0.72;
/// How far the outer bins reach; a coordinate of unit variance is beyond once in 10⁷ times.
const BEYOND: f32 = 4.0;

/// The plan of a codebook for coordinates of unit variance.
pub fn plan(words: &[f32], block: usize) -> Plan {
    let words = Words::new(words, block);
    let finite = words.words().iter().all(|c| c.abs() < 1e6);
    // The bound of the rounding is relative: it holds where no product is subnormal.
    let usual = words.words().iter().any(|c| c.abs() > 1e-3);
    let large = block > ONE.len() && words.count() < FEWEST_IN_LARGE;
    if words.count() < FEWEST || large || !finite || !usual {
        return Plan::new(words, None);
    }
    let one = ONE
        .get(block - 1)
        .filter(|(_, most)| words.count() <= *most)
        .and_then(|&(bins, _)| one_group(&words, bins));
    let grid = one.or_else(|| Some(lists(&words, *MANY.get(block - 1)?)));
    Plan::new(words, grid)
}

/// Cells of one group; none if too much of the law escapes.
fn one_group(words: &Words, bins: usize) -> Option<Grid> {
    let mut cells = Cells::new(words, bins);
    cells.split(|candidates| candidates.len() <= WIDTH);
    let escaped: f64 = cells
        .boxes
        .iter()
        .filter(|(_, candidates)| candidates.len() > WIDTH)
        .map(|(bins, _)| cells.mass(bins))
        .sum();
    if escaped > ESCAPE {
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

fn lists(words: &Words, bins: usize) -> Grid {
    let mut cells = Cells::new(words, bins);
    cells.split(|candidates| candidates.len() <= WIDTH / 2);
    let mut known: HashMap<Vec<u16>, u16> = HashMap::new();
    let (mut ends, mut groups) = (Vec::new(), Vec::new());
    let values: Vec<u16> = cells
        .boxes
        .iter()
        .map(|(_, candidates)| {
            let mut list: Vec<u16> = candidates.iter().map(|k| k / WIDTH as u16).collect();
            list.dedup();
            if list.len() % 2 == 1 {
                // The kernel takes two at a time: fewer lengths are fewer mispredictions.
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

/// A box of cells: the first bin and the one after the last, for each coordinate.
type Bins = Vec<(usize, usize)>;

struct Cells<'a> {
    words: &'a Words,
    bins: usize,
    reach: f32,
    limit: f32,
    /// Boxes that are not split further, with their candidates, ascending.
    boxes: Vec<(Bins, Vec<u16>)>,
}

impl<'a> Cells<'a> {
    fn new(words: &'a Words, bins: usize) -> Self {
        let largest = words.words().iter().fold(0f32, |a, c| a.max(c.abs()));
        let reach = if largest > 0.0 { REACH * largest } else { 1.0 };
        Self {
            words,
            bins,
            reach,
            limit: reach + BEYOND,
            boxes: Vec::new(),
        }
    }

    /// The ends of a range of bins, widened.
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

    /// Halves boxes until `enough` of their candidates, or down to cells.
    fn split(&mut self, enough: impl Fn(&[u16]) -> bool) {
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
            let Some(j) = widest.filter(|&j| bins[j].1 - bins[j].0 > 1 && !enough(&candidates))
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

    /// Those of `among` that can be nearest in the box.
    fn candidates(&self, bins: &Bins, among: &[u16]) -> Vec<u16> {
        const ROUNDING: f64 = 1.0 / 524_288.0;
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
        // The words with the greatest scores at the centre (of what lies within the grid) leave out most.
        let reach = f64::from(self.reach);
        let centre: Vec<f64> = ranges
            .iter()
            .map(|(low, high)| 0.5 * (low.max(-reach) + high.min(reach)))
            .collect();
        let mut order: Vec<(f64, usize)> = among
            .iter()
            .map(|&k| {
                let product: f64 = word(k)
                    .iter()
                    .zip(&centre)
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

    /// The grid in which box i has `values[i]`.
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

/// Few sets of at most eight that hold all `sets` of at most eight, and for each the one that holds it ([`EVERY`] for larger sets).
///
/// The largest first, each goes where it shares most words of a set with room for the others.
fn pack_sets(sets: &[&[u16]], words: usize) -> (Vec<Vec<u16>>, Vec<u16>) {
    let mut packed: Vec<Vec<u16>> = Vec::new();
    let mut holding: Vec<Vec<u16>> = vec![Vec::new(); words];
    // Words that each group has in common with the set, and the groups that have any.
    let mut shared: Vec<usize> = Vec::new();
    let mut touched: Vec<u16> = Vec::new();
    let mut place = vec![EVERY; sets.len()];
    let mut known: HashMap<&[u16], u16> = HashMap::new();
    let mut order: Vec<usize> = (0..sets.len())
        .filter(|&i| sets[i].len() <= WIDTH)
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
            if size + set.len() - common <= WIDTH {
                best = best.max(Some((common, size, Reverse(group))));
            }
        }
        let group = match best {
            Some((_, _, Reverse(group))) => usize::from(group),
            None if packed.len() < usize::from(EVERY) => {
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

/// Reorders words so that each eight in a row are close together: halved along the coordinate of greatest variance, down to eights.
pub fn in_groups(words: &mut [f32], block: usize) {
    let count = words.len() / block;
    if count <= WIDTH {
        return;
    }
    let mut rows: Vec<&[f32]> = words.chunks_exact(block).collect();
    halve(&mut rows, block);
    let ordered = rows.concat();
    words.copy_from_slice(&ordered);
}

fn halve(rows: &mut [&[f32]], block: usize) {
    if rows.len() <= WIDTH {
        return;
    }
    threads::check();
    let count = rows.len() as f64;
    let variance = |j: usize| {
        let mean = rows.iter().map(|row| f64::from(row[j])).sum::<f64>() / count;
        rows.iter()
            .map(|row| (f64::from(row[j]) - mean).powi(2))
            .sum::<f64>()
    };
    let mut widest = (f64::NEG_INFINITY, 0);
    for j in 0..block {
        let variance = variance(j);
        if variance > widest.0 {
            widest = (variance, j);
        }
    }
    rows.sort_by(|a, b| a[widest.1].total_cmp(&b[widest.1]));
    // Whole eights on the left.
    let middle = (rows.len() / 2).next_multiple_of(WIDTH);
    let (left, right) = rows.split_at_mut(middle.min(rows.len()));
    halve(left, block);
    halve(right, block);
}
