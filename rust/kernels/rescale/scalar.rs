//! The definition.

use super::Workspace;

const UNIT: f64 = 16_777_216.0; // 2²⁴: the resolution of |u| that makes all sums exact.

/// a = Σ v(g + ½) and n = Σ (g + ½)².
#[derive(Clone, Copy)]
struct Sums {
    a: f64,
    n: f64,
}

impl Sums {
    fn score(self) -> f64 {
        if self.n > 0.0 {
            self.a * self.a / self.n
        } else {
            0.0
        }
    }
}

#[inline(always)]
pub fn search(u: &[f32], most: u16, work: &mut Workspace, steps: &mut [u16]) {
    assert_eq!(u.len(), steps.len(), "one step count a coordinate");
    let Workspace {
        magnitude: v,
        low,
        high,
        critical,
        intervals,
    } = work;
    v.clear();
    v.extend(
        u.iter()
            .map(|&x| (f64::from(x.abs()) * UNIT).round() / UNIT),
    );
    low.resize(u.len(), 0);
    high.resize(u.len(), 0);
    let largest = v.iter().fold(0.0, |a: f64, &b| a.max(b));
    if most == 0 || largest == 0.0 {
        steps.fill(0);
        return;
    }
    let mut best = (counts(v, 0.0, most, low).score(), 0.0);
    intervals.clear();
    let mut from = 0.0;
    for factor in [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0] {
        let to = factor * f64::from(most) / largest;
        consider(&mut best, counts(v, to, most, low).score(), to);
        intervals.push((from, to));
        from = to;
    }
    intervals.push((from, f64::INFINITY));
    let few = 32.max(u.len() as u64 / 8);
    while let Some((t1, t2)) = intervals.pop() {
        let start = counts(v, t1, most, low);
        let end = counts(v, t2, most, high);
        let bound = end.a * end.a / (start.n + 2.0 * t1 * (end.a - start.a));
        if bound.max(start.score()) * (1.0 + 1e-12) < best.0 {
            continue;
        }
        let inside: u64 = low
            .iter()
            .zip(&*high)
            .map(|(&a, &b)| u64::from(b - a))
            .sum();
        let middle = if t2.is_finite() {
            0.5 * (t1 + t2)
        } else {
            2.0 * t1
        };
        if inside > few && middle > t1 && middle < t2 {
            consider(&mut best, counts(v, middle, most, low).score(), middle);
            intervals.push((t1, middle));
            intervals.push((middle, t2));
        } else {
            sweep(v, low, high, start, critical, &mut best);
        }
    }
    counts(v, best.1, most, steps);
}

fn consider(best: &mut (f64, f64), score: f64, t: f64) {
    if score > best.0 || (score == best.0 && t < best.1) {
        *best = (score, t);
    }
}

/// Walks the critical values between two step counts in order; evaluates after each distinct one.
fn sweep(
    v: &[f64],
    low: &[u16],
    high: &[u16],
    start: Sums,
    critical: &mut Vec<(f64, u32)>,
    best: &mut (f64, f64),
) {
    critical.clear();
    for (i, (&a, &b)) in low.iter().zip(high).enumerate() {
        critical.extend((a + 1..=b).map(|k| (f64::from(k) / v[i], i as u32)));
    }
    critical.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));
    let mut now = start;
    for (place, &(t, i)) in critical.iter().enumerate() {
        let value = v[i as usize];
        now.a += value;
        // The step from k − ½ to k + ½ adds 2k to n, and k = t·v to the nearest whole number.
        now.n += 2.0 * (t * value).round();
        if critical.get(place + 1).is_none_or(|next| next.0 > t) {
            consider(best, now.score(), t);
        }
    }
}

/// g(t) into `out`, and its sums.
#[inline(always)]
fn counts(v: &[f64], t: f64, most: u16, out: &mut [u16]) -> Sums {
    let mut sums = Sums { a: 0.0, n: 0.0 };
    for (&value, slot) in v.iter().zip(out) {
        let g = count(value, t, most);
        *slot = g;
        let level = f64::from(g) + 0.5;
        sums.a += value * level;
        sums.n += level * level;
    }
    sums
}

/// min(most, the number of k ≥ 1 with k/value ≤ t), with k/value as float64 rounds it.
#[inline(always)]
fn count(value: f64, t: f64, most: u16) -> u16 {
    if value == 0.0 {
        return 0;
    }
    let product = t * value;
    if product >= f64::from(most) + 0.5 {
        return most;
    }
    let near = (product + 0.5) as u16;
    if near == 0 {
        return 0;
    }
    // Only the whole number nearest to the product can be in doubt, and the quotient decides it.
    if f64::from(near) / value <= t {
        near.min(most)
    } else {
        near - 1
    }
}
