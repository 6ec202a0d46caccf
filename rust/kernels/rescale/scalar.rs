//! The definition, which the compiler vectorizes for each instruction set.

use super::{Point, Workspace};

/// 2²⁴: the inverse of the resolution of |u| that makes all sums exact.
const STEPS_PER_UNIT: f64 = 16_777_216.0;
/// Coordinates that are summed side by side.
const LANES: usize = 8;
/// The max_step critical values of an interval that are sorted; more are halved.
const MAX_SORTED: f64 = 64.0;
/// How far below the best score, relatively, an interval's bound must be to drop the interval: far
/// more than the rounding of the bound, far less than a step changes.
const MARGIN: f64 = 1e-9;
/// The best factor for Gaussian rows of unit variance and M + 1 = 2, 4, …, 128 levels per sign (Max
/// 1960).
const GAUSSIAN_FACTORS: [f64; 7] = [1.004, 1.706, 2.983, 5.316, 9.606, 17.57, 32.5];

impl Point {
    /// a²/n: the squared cosine with |u|, up to ‖u‖².
    fn score(self) -> f64 {
        if self.n > 0.0 {
            self.a * self.a / self.n
        } else {
            0.0
        }
    }

    /// n/a − t: positive where further steps raise the score.
    fn gain(self) -> f64 {
        self.n / self.a - self.t
    }

    /// An upper bound of the scores of all grid points strictly between this one and `end`.
    fn bound(self, end: Self) -> f64 {
        let (low, high) = (2.0 * self.t, 2.0 * end.t);
        // Where n₁ + 2t₁(a − a₁) = n₂ − 2t₂(a₂ − a), as an offset from a₁.
        let offset = (self.n - end.n + high * (end.a - self.a)) / (high - low);
        let offset = offset.clamp(0.0, end.a - self.a);
        let a = self.a + offset;
        a * a / (self.n + low * offset)
    }
}

#[inline(always)]
pub fn search(u: &[f32], max_step: u16, work: &mut Workspace, steps: &mut [u16]) {
    assert_eq!(u.len(), steps.len(), "one step count per coordinate");
    let Workspace {
        magnitude: v,
        critical,
        intervals,
        cuts,
    } = work;
    if max_step == 0 {
        steps.fill(0);
        return;
    }
    v.clear();
    v.extend(u.iter().map(|&x| magnitude(x)));
    let (largest, square) = max_and_square_sum(v);
    assert!(square.is_finite(), "the search takes finite values");
    if largest == 0.0 {
        steps.fill(0);
        return;
    }
    let max_step = f64::from(max_step);
    let mut best = Best { score: 0.0, t: 0.0 };
    // No coordinate steps below 1/largest, and all nonzero ones have reached M at 2²⁴·(M + 1).
    let bottom = evaluate(v, 0.5 / largest, max_step, &mut best);
    let top = evaluate(v, STEPS_PER_UNIT * (max_step + 1.0), max_step, &mut best);
    let center = gaussian_factor(max_step) / (square / v.len() as f64).sqrt();
    cut_intervals(v, max_step, center, (bottom.t, top.t), &mut best, cuts);
    intervals.clear();
    let mut from = bottom;
    for &t in &*cuts {
        let to = evaluate(v, t, max_step, &mut best);
        intervals.push((from, to));
        from = to;
    }
    intervals.push((from, top));
    while let Some((start, end)) = intervals.pop() {
        let critical_values = end.steps - start.steps;
        if critical_values == 0.0 || start.bound(end) * (1.0 + MARGIN) < best.score {
            continue;
        }
        let middle = 0.5 * (start.t + end.t);
        if critical_values > MAX_SORTED && middle > start.t && middle < end.t {
            let middle = evaluate(v, middle, max_step, &mut best);
            intervals.push((start, middle));
            intervals.push((middle, end));
        } else {
            walk(v, start, end.t, max_step, critical, &mut best);
        }
    }
    for (slot, &value) in steps.iter_mut().zip(&*v) {
        *slot = step_count(value, best.t, max_step) as u16;
    }
}

/// g: ⌊t·v⌋, at most `max_step`.
#[inline(always)]
fn step_count(v: f64, t: f64, max_step: f64) -> f64 {
    let g = (t * v).floor();
    if g < max_step { g } else { max_step }
}

/// The largest value, and the sum of squares.
#[inline(always)]
fn max_and_square_sum(v: &[f64]) -> (f64, f64) {
    let mut largest = [0f64; LANES];
    let mut square = [0f64; LANES];
    let (body, tail) = v.as_chunks::<LANES>();
    for values in body.iter().map(|body| &body[..]).chain([tail]) {
        for (l, &value) in values.iter().enumerate() {
            largest[l] = if value > largest[l] {
                value
            } else {
                largest[l]
            };
            square[l] = value.mul_add(value, square[l]);
        }
    }
    (
        largest.iter().fold(0.0, |a, &b| a.max(b)),
        square.iter().sum(),
    )
}

/// The best factor for Gaussian values of unit variance.
fn gaussian_factor(max_step: f64) -> f64 {
    GAUSSIAN_FACTORS[(max_step + 1.0).log2().clamp(1.0, 7.0) as usize - 1]
}

/// |x| rounded to a multiple of 2⁻²⁴.
#[inline(always)]
fn magnitude(x: f32) -> f64 {
    (f64::from(x.abs()) * STEPS_PER_UNIT).round_ties_even() / STEPS_PER_UNIT
}

/// The best score so far, and the smallest t that has it.
struct Best {
    score: f64,
    t: f64,
}

impl Best {
    /// Keeps the better of two scores; of equal ones that of the smaller t.
    fn consider(&mut self, score: f64, t: f64) {
        if score > self.score || (score == self.score && t < self.t) {
            *self = Self { score, t };
        }
    }
}

/// Computes the grid point of t and considers it.
#[inline(always)]
fn evaluate(v: &[f64], t: f64, max_step: f64, best: &mut Best) -> Point {
    let mut a = [0f64; LANES];
    let mut n = [0f64; LANES];
    let mut steps = [0f64; LANES];
    let (body, tail) = v.as_chunks::<LANES>();
    for values in body {
        for l in 0..LANES {
            let g = step_count(values[l], t, max_step);
            let level = g + 0.5;
            steps[l] += g;
            a[l] = values[l].mul_add(level, a[l]);
            n[l] = level.mul_add(level, n[l]);
        }
    }
    for (l, value) in tail.iter().enumerate() {
        let g = step_count(*value, t, max_step);
        let level = g + 0.5;
        steps[l] += g;
        a[l] += value * level;
        n[l] += level * level;
    }
    // All these sums are exact, in any order.
    let point = Point {
        t,
        a: a.iter().sum(),
        n: n.iter().sum(),
        steps: steps.iter().sum(),
    };
    best.consider(point.score(), t);
    point
}

/// Chooses where to cut (bottom, top), ascending: closely around the presumed optimum, then at
/// geometrically growing distances.
#[inline(always)]
fn cut_intervals(
    v: &[f64],
    max_step: f64,
    guess: f64,
    (bottom, top): (f64, f64),
    best: &mut Best,
    cuts: &mut Vec<f64>,
) {
    cuts.clear();
    let mut previous = evaluate(v, guess, max_step, best);
    let mut now = evaluate(v, guess * 1.02, max_step, best);
    let density = ((now.steps - previous.steps) / (now.t - previous.t)).max(1.0);
    for _ in 0..2 {
        let root = now.t - now.gain() * (now.t - previous.t) / (now.gain() - previous.gain());
        if !(root > 0.8 * guess && root < 1.25 * guess) || root == now.t {
            break;
        }
        previous = now;
        now = evaluate(v, root, max_step, best);
    }
    let center = now.t;
    let mut distance = 0.5 * MAX_SORTED / density;
    while distance < 8.0 * center {
        cuts.extend(
            [center - distance, center + distance]
                .iter()
                .filter(|&&t| t > bottom && t < top),
        );
        distance *= 2.5;
    }
    cuts.sort_unstable_by(f64::total_cmp);
}

/// Walks the critical values after `start` up to `end` in order, and considers the grid point after
/// each distinct one.
#[inline(always)]
fn walk(
    v: &[f64],
    start: Point,
    end: f64,
    max_step: f64,
    critical: &mut Vec<(f64, f64)>,
    best: &mut Best,
) {
    critical.clear();
    for values in v.chunks(LANES) {
        // Most coordinates do not step between the two.
        let mut unchanged = true;
        for &value in values {
            unchanged &= step_count(value, start.t, max_step) == step_count(value, end, max_step);
        }
        if unchanged {
            continue;
        }
        for &value in values {
            let mut k = step_count(value, start.t, max_step);
            let last = step_count(value, end, max_step);
            while k < last {
                k += 1.0;
                critical.push((first_reaching(k, value), value));
            }
        }
    }
    critical.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)));
    let mut now = start;
    for (i, &(t, value)) in critical.iter().enumerate() {
        now.a += value;
        // The step from k − ½ to k + ½ adds 2k to n, and k = t·v to the nearest whole number.
        now.n += 2.0 * (t * value).round();
        if critical.get(i + 1).is_none_or(|next| next.0 > t) {
            best.consider(now.score(), t);
        }
    }
}

/// The smallest t with ⌊t·v⌋ ≥ k: the quotient k/v or a neighbor of it.
fn first_reaching(k: f64, v: f64) -> f64 {
    let mut t = k / v;
    while t * v < k {
        t = t.next_up();
    }
    while t.next_down() * v >= k {
        t = t.next_down();
    }
    t
}
