//! The definition.

use super::{Point, Workspace};

/// 2²⁴: the resolution of |u| that makes all sums exact.
const UNIT: f64 = 16_777_216.0;
/// Coordinates that are summed side by side.
const LANES: usize = 8;
/// Few enough critical values to sort.
const FEW: f64 = 64.0;
/// What an interval's bound must stay below the best by, relatively: far more than rounding, far less than a step changes.
const MARGIN: f64 = 1e-9;
/// Best common rescaling of Gaussian rows of unit variance for M + 1 = 2, 4, …, 128 levels a side (Max 1960).
const GAUSSIAN: [f64; 7] = [1.004, 1.706, 2.983, 5.316, 9.606, 17.57, 32.5];

impl Point {
    fn score(self) -> f64 {
        if self.n > 0.0 {
            self.a * self.a / self.n
        } else {
            0.0
        }
    }

    /// n/a − t: positive where steps still gain.
    fn slope(self) -> f64 {
        self.n / self.a - self.t
    }

    /// At least the score of every grid point strictly between two.
    fn bound(self, end: Self) -> f64 {
        let (low, high) = (2.0 * self.t, 2.0 * end.t);
        // Where n₁ + 2t₁(a − a₁) = n₂ − 2t₂(a₂ − a), as an offset from a₁.
        let off = (self.n - end.n + high * (end.a - self.a)) / (high - low);
        let off = off.clamp(0.0, end.a - self.a);
        let a = self.a + off;
        a * a / (self.n + low * off)
    }
}

#[inline(always)]
pub fn search(u: &[f32], most: u16, work: &mut Workspace, steps: &mut [u16]) {
    assert_eq!(u.len(), steps.len(), "one step count a coordinate");
    let Workspace {
        magnitude: v,
        critical,
        intervals,
        cuts,
    } = work;
    if most == 0 {
        steps.fill(0);
        return;
    }
    v.clear();
    v.extend(u.iter().map(|&x| magnitude(x)));
    let (largest, square) = spread(v);
    assert!(square.is_finite(), "the search takes finite values");
    if largest == 0.0 {
        steps.fill(0);
        return;
    }
    let most = f64::from(most);
    let mut best = Best { score: 0.0, t: 0.0 };
    // Nothing steps below 1/largest; beyond UNIT·(M + 1) nothing does either.
    let bottom = evaluate(v, 0.5 / largest, most, &mut best);
    let top = evaluate(v, UNIT * (most + 1.0), most, &mut best);
    let centre = guess(most) / (square / v.len() as f64).sqrt();
    cut(v, most, centre, (bottom.t, top.t), &mut best, cuts);
    intervals.clear();
    let mut from = bottom;
    for &t in &*cuts {
        let to = evaluate(v, t, most, &mut best);
        intervals.push((from, to));
        from = to;
    }
    intervals.push((from, top));
    while let Some((start, end)) = intervals.pop() {
        let inside = end.steps - start.steps;
        if inside == 0.0 || start.bound(end) * (1.0 + MARGIN) < best.score {
            continue;
        }
        let middle = 0.5 * (start.t + end.t);
        if inside > FEW && middle > start.t && middle < end.t {
            let middle = evaluate(v, middle, most, &mut best);
            intervals.push((start, middle));
            intervals.push((middle, end));
        } else {
            sweep(v, start, end.t, most, critical, &mut best);
        }
    }
    for (slot, &value) in steps.iter_mut().zip(&*v) {
        *slot = count(value, best.t, most) as u16;
    }
}

/// g: ⌊t·v⌋, at most `most`.
#[inline(always)]
fn count(v: f64, t: f64, most: f64) -> f64 {
    let g = (t * v).floor();
    if g < most { g } else { most }
}

/// The largest value, and the sum of squares.
#[inline(always)]
fn spread(v: &[f64]) -> (f64, f64) {
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

/// The best common rescaling for Gaussian values of unit variance.
fn guess(most: f64) -> f64 {
    GAUSSIAN[(most + 1.0).log2().clamp(1.0, 7.0) as usize - 1]
}

/// |x| to the nearest multiple of 1/UNIT.
#[inline(always)]
fn magnitude(x: f32) -> f64 {
    (f64::from(x.abs()) * UNIT).round_ties_even() / UNIT
}

/// The best score so far, at the least t.
struct Best {
    score: f64,
    t: f64,
}

impl Best {
    fn consider(&mut self, score: f64, t: f64) {
        if score > self.score || (score == self.score && t < self.t) {
            *self = Self { score, t };
        }
    }
}

/// The grid point of t, which is also considered.
#[inline(always)]
fn evaluate(v: &[f64], t: f64, most: f64, best: &mut Best) -> Point {
    let mut a = [0f64; LANES];
    let mut n = [0f64; LANES];
    let mut steps = [0f64; LANES];
    let (body, tail) = v.as_chunks::<LANES>();
    for values in body {
        for l in 0..LANES {
            let g = count(values[l], t, most);
            let level = g + 0.5;
            steps[l] += g;
            a[l] = values[l].mul_add(level, a[l]);
            n[l] = level.mul_add(level, n[l]);
        }
    }
    for (l, value) in tail.iter().enumerate() {
        let g = count(*value, t, most);
        let level = g + 0.5;
        steps[l] += g;
        a[l] += value * level;
        n[l] += level * level;
    }
    // All of these are exact, in any order.
    let point = Point {
        t,
        a: a.iter().sum(),
        n: n.iter().sum(),
        steps: steps.iter().sum(),
    };
    best.consider(point.score(), t);
    point
}

/// Where to cut (bottom, top), ascending: closely around the presumable optimum, then ever more widely.
#[inline(always)]
fn cut(
    v: &[f64],
    most: f64,
    guess: f64,
    (bottom, top): (f64, f64),
    best: &mut Best,
    cuts: &mut Vec<f64>,
) {
    cuts.clear();
    let mut previous = evaluate(v, guess, most, best);
    let mut now = evaluate(v, guess * 1.02, most, best);
    let density = ((now.steps - previous.steps) / (now.t - previous.t)).max(1.0);
    for _ in 0..2 {
        let root = now.t - now.slope() * (now.t - previous.t) / (now.slope() - previous.slope());
        if !(root > 0.8 * guess && root < 1.25 * guess) || root == now.t {
            break;
        }
        previous = now;
        now = evaluate(v, root, most, best);
    }
    let centre = now.t;
    let mut off = 0.5 * FEW / density;
    while off < 8.0 * centre {
        cuts.extend(
            [centre - off, centre + off]
                .iter()
                .filter(|&&t| t > bottom && t < top),
        );
        off *= 2.5;
    }
    cuts.sort_unstable_by(f64::total_cmp);
}

/// Walks the critical values beyond `start` up to `end` in order; considers the grid point after each distinct one.
#[inline(always)]
fn sweep(
    v: &[f64],
    start: Point,
    end: f64,
    most: f64,
    critical: &mut Vec<(f64, f64)>,
    best: &mut Best,
) {
    critical.clear();
    for values in v.chunks(LANES) {
        // Most of them step nowhere between the two.
        let mut still = true;
        for &value in values {
            still &= count(value, start.t, most) == count(value, end, most);
        }
        if still {
            continue;
        }
        for &value in values {
            let mut k = count(value, start.t, most);
            let last = count(value, end, most);
            while k < last {
                k += 1.0;
                critical.push((first_reaching(k, value), value));
            }
        }
    }
    critical.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)));
    let mut now = start;
    for (place, &(t, value)) in critical.iter().enumerate() {
        now.a += value;
        // The step from k − ½ to k + ½ adds 2k to n, and k = t·v to the nearest whole number.
        now.n += 2.0 * (t * value).round();
        if critical.get(place + 1).is_none_or(|next| next.0 > t) {
            best.consider(now.score(), t);
        }
    }
}

/// The least t with ⌊t·v⌋ ≥ k: the quotient or a neighbour of it.
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
