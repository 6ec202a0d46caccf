//! The allocation of bits: which group of axes gets which method and rate.
//!
//! The coordinate of axis i has the variance λᵢ. At a rate of r bits it leaves the error wᵢ·D(r),
//! where the weight wᵢ follows from the [`Criterion`] and D(r) from the method, by a measurement on
//! Gaussian rows (`distortion.rs`). An axis without bits leaves wᵢ.
//! Neighboring axes with one rate form a group, of at most [`MAX_GROUPS`] groups:
//!
//! ```text
//! minimise  Σ over groups g: D(r_g)·Σ_{i in g} wᵢ  +  Σ over axes without bits: wᵢ
//! subject to the bytes of a row
//! ```
//!
//! The best groups for a given price of a bit follow by dynamic programming over the ends of the
//! groups, and the price by bisection. Prices reach only some budgets, so a local search then
//! spends what is left: it moves ends and rates, up to two at a time, while the error falls.
//!
//! **Reserve.** Rows that are not like the sample have variance where the sample has none. If they
//! are expected to have a part ρ of it along all axes alike, then (1 − ρ)·λᵢ + ρ·λ̄ takes the place
//! of λᵢ, and so for the variances of queries.
//!
//! **Contract.** The allocation depends on the variances, the criterion, the reserve, the method,
//! the rate and what a row stores, and on nothing else. Files keep it, so a later version may
//! allocate better.

use super::distortion::Distortion;
use super::fitted::{Criterion, GroupScalars, MAX_GROUPS};
use super::groups::Group;
use crate::axes::Axes;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::methods::{self, Bits, Entry, Parameters, ScaleRule};

/// The bytes that a row with fitted axes may have beyond ⌊d·b/8⌋, with all its scalars.
pub const EXTRA_BYTES: usize = 8;

/// Axes are given to groups in units of so many, which are whole bytes at every rate.
const UNIT: usize = 16;
/// The most units, which limits the time of large dimensions.
const MOST_UNITS: usize = 96;
/// The fewest axes of a group, at whole rates and at others: a path of fewer steps takes more time
/// and has more error, and at half rates it takes a step per two axes.
const LEAST_AXES: [usize; 2] = [32, 64];
/// The largest rate.
const MOST_BITS: u32 = 8;

/// Gaussian rows on which D(r) is measured, and their coordinates.
const ROWS: usize = 32;
const COORDINATES: usize = 128;

/// A method and rate that a group can have.
struct Choice {
    entry: &'static Entry,
    bits: f64,
    /// D.
    error: f64,
}

/// The groups of the axes of a model, by falling variance; axes after the last have no bits.
pub(super) struct Allocation<'a> {
    pub axes: &'a Axes,
    pub entry: &'static Entry,
    pub scale: ScaleRule,
    pub states: Option<usize>,
    pub criterion: Criterion,
    /// The part of the variances that counts for all axes alike.
    pub reserve: f64,
    /// Bits per coordinate of the row.
    pub bits: f64,
    /// Whether a row keeps the errors of its groups.
    pub has_errors: bool,
}

/// The end of each group in units, and the place of its choice.
type Plan = Vec<(usize, usize)>;

/// What a plan is judged by.
struct Ledger {
    choices: Vec<Choice>,
    /// Axes of a unit.
    unit: usize,
    /// Σ w over the units before each.
    weights: Vec<f64>,
    /// The axes that can have bits.
    kept: usize,
    has_errors: bool,
    /// The bytes that a row may have.
    most: usize,
}

impl Allocation<'_> {
    /// The groups.
    ///
    /// # Errors
    /// If the bytes do not suffice for any group.
    pub fn groups(&self) -> Result<Vec<Group>> {
        let dim = self.axes.dim();
        let most = (dim as f64 * self.bits / 8.0).floor() as usize + EXTRA_BYTES;
        let unit = UNIT.max((dim / MOST_UNITS).next_multiple_of(UNIT));
        let kept = self.axes.kept();
        let axis_weights = self.weights();
        let mut weights = vec![0.0];
        for some in axis_weights.chunks(unit) {
            weights.push(weights[weights.len() - 1] + some.iter().sum::<f64>());
        }
        let ledger = Ledger {
            choices: self.choices()?,
            unit,
            weights,
            kept,
            has_errors: self.has_errors,
            most,
        };
        let plan = ledger.best().ok_or_else(|| {
            Error::invalid(format!(
                "bits={} for dim={dim} with axes are {most} bytes per row, too few for a group of \
                 axes and its scalars: give more bits, or no axes",
                self.bits
            ))
        })?;
        let mut from = 0;
        let group = |&(end, choice): &(usize, usize)| {
            let to = (end * unit).min(kept);
            let axes = to - from;
            from = to;
            Group {
                axes,
                method: ledger.choices[choice].entry.name.to_owned(),
                bits: ledger.choices[choice].bits,
            }
        };
        Ok(plan.iter().map(group).collect())
    }

    /// w of each axis.
    fn weights(&self) -> Vec<f64> {
        let rows = self.reserved(self.axes.variances());
        let queries = self.axes.query_variances();
        let queries = queries.map_or_else(|| rows.clone(), |queries| self.reserved(queries));
        let weight = |(&row, &query): (&f64, &f64)| match self.criterion {
            Criterion::Reconstruction => row,
            Criterion::InnerProduct => row * query,
            Criterion::Recall => row * query.sqrt(),
        };
        let weights: Vec<f64> = rows.iter().zip(&queries).map(weight).collect();
        // A sample without variance says nothing of the axes.
        if weights.iter().any(|&weight| weight > 0.0) {
            weights
        } else {
            vec![1.0; weights.len()]
        }
    }

    /// Variances of which a part is divided among all axes.
    fn reserved(&self, variances: &[f64]) -> Vec<f64> {
        let mean = variances.iter().sum::<f64>() / variances.len() as f64;
        let moved = variances
            .iter()
            .map(|v| (1.0 - self.reserve) * v + self.reserve * mean);
        moved.collect()
    }

    /// The methods and rates, by rising rate.
    fn choices(&self) -> Result<Vec<Choice>> {
        let (step, most) = match self.entry.bits {
            Bits::Whole { most } => (1.0, most),
            Bits::Halves { most } => (0.5, most),
            Bits::Any { most } => (1.0, most),
        };
        let most_own = self.entry.most_in_groups.unwrap_or(MOST_BITS).min(most);
        let own = |i: u32| (self.entry, f64::from(i) * step);
        let mut rates: Vec<_> = (1..=(f64::from(most_own.min(MOST_BITS)) / step) as u32)
            .map(own)
            .collect();
        if let Some(name) = self.entry.beyond {
            let other = methods::find(name)?;
            rates.extend((most + 1..=MOST_BITS).map(|bits| (other, f64::from(bits))));
        }
        rates
            .into_iter()
            .map(|(entry, bits)| {
                let error = self.measured(entry, bits)?;
                Ok(Choice { entry, bits, error })
            })
            .collect()
    }

    /// D of a method at a rate.
    fn measured(&self, entry: &'static Entry, bits: f64) -> Result<f64> {
        let parameters = Parameters {
            dim: COORDINATES,
            bits,
            block: None,
            states: self.states.filter(|_| entry.has_states),
            seed: 0,
        };
        let method = entry.build(parameters)?;
        let indices = entry.shape(parameters)?.layout.indices();
        // Every instruction set gives the same bits.
        let (isa, rule) = (Isa::Scalar, (&*method, self.scale));
        Ok(Distortion::measured(isa, rule, (COORDINATES, indices), ROWS).error)
    }
}

impl Ledger {
    /// The number of units.
    fn units(&self) -> usize {
        self.kept.div_ceil(self.unit)
    }

    /// The number of axes of the units in a range.
    fn axes(&self, from: usize, to: usize) -> usize {
        (to * self.unit).min(self.kept) - from * self.unit
    }

    /// Whether a group of so many axes can have this choice.
    fn can_have(&self, axes: usize, choice: &Choice) -> bool {
        let least = LEAST_AXES[usize::from(choice.bits.fract() != 0.0)];
        axes >= least.min(self.kept)
    }

    /// The error that a plan leaves; none if it is not one.
    fn error(&self, plan: &[(usize, usize)]) -> Option<f64> {
        let (mut from, mut sum) = (0, 0.0);
        for &(end, choice) in plan {
            if end <= from || end > self.units() {
                return None;
            }
            let choice = self.choices.get(choice)?;
            if !self.can_have(self.axes(from, end), choice) {
                return None;
            }
            sum += (self.weights[end] - self.weights[from]) * choice.error;
            from = end;
        }
        Some(sum + self.weights[self.weights.len() - 1] - self.weights[from])
    }

    /// The bytes of a row, its scale included.
    fn bytes(&self, plan: &[(usize, usize)]) -> usize {
        let mut from = 0;
        let codes = plan.iter().map(|&(end, choice)| {
            let bits = self.axes(from, end) as f64 * self.choices[choice].bits;
            from = end;
            (bits / 8.0).ceil() as usize
        });
        codes.sum::<usize>()
            + GroupScalars::bytes_of(plan.len(), self.has_errors)
            + size_of::<f32>()
    }

    /// The best plan within the bytes that was found.
    fn best(&self) -> Option<Plan> {
        let all = self.weights[self.weights.len() - 1];
        let (mut low, mut high) = (0.0f64, 1.0f64);
        let mut best: Option<Plan> = None;
        // The price is a share of all weights per bit, between 2⁻⁶⁰ and 1.
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            let plan = self.at_price(all * libm::exp2(-60.0 * middle));
            if plan.is_empty() || self.bytes(&plan) <= self.most {
                low = middle;
                if !plan.is_empty() {
                    best = Some(plan);
                }
            } else {
                high = middle;
            }
        }
        let smallest = || {
            let ends = 1..=self.units();
            let mut plans =
                ends.flat_map(|end| (0..self.choices.len()).map(move |c| vec![(end, c)]));
            plans.find(|plan| self.error(plan).is_some() && self.bytes(plan) <= self.most)
        };
        let plan = best.or_else(smallest)?;
        Some(self.improved(plan))
    }

    /// The plan of the least error plus the price of its bits.
    fn at_price(&self, price: f64) -> Plan {
        let (units, groups) = (self.units(), MAX_GROUPS);
        let each = price * 12.0 * if self.has_errors { 2.0 } else { 1.0 };
        // cost[g][end]: the least cost of g groups that end at a unit, and how the last begins.
        let mut cost = vec![vec![f64::INFINITY; units + 1]; groups + 1];
        let mut last = vec![vec![(0, 0); units + 1]; groups + 1];
        cost[0][0] = 0.0;
        for g in 1..=groups {
            for end in 1..=units {
                for from in 0..end {
                    let (before, axes) = (cost[g - 1][from], self.axes(from, end));
                    if before.is_infinite() {
                        continue;
                    }
                    let weight = self.weights[end] - self.weights[from];
                    for (place, choice) in self.choices.iter().enumerate() {
                        if !self.can_have(axes, choice) {
                            continue;
                        }
                        let bits = axes as f64 * choice.bits;
                        let found = before + weight * choice.error + price * bits + each;
                        if found < cost[g][end] {
                            cost[g][end] = found;
                            last[g][end] = (from, place);
                        }
                    }
                }
            }
        }
        let rest = |end: usize| self.weights[self.weights.len() - 1] - self.weights[end];
        let (mut best, mut at) = (rest(0), (0, 0));
        for (g, cost) in cost.iter().enumerate().skip(1) {
            for (end, cost) in cost.iter().enumerate() {
                if cost + rest(end) < best {
                    (best, at) = (cost + rest(end), (g, end));
                }
            }
        }
        let mut plan = Vec::new();
        let (mut g, mut end) = at;
        while g > 0 {
            let (from, choice) = last[g][end];
            plan.push((end, choice));
            (g, end) = (g - 1, from);
        }
        plan.reverse();
        plan
    }

    /// The plan after moves of ends and rates, up to two at a time, that lower the error.
    fn improved(&self, mut plan: Plan) -> Plan {
        let mut error = self.error(&plan).unwrap_or(f64::INFINITY);
        loop {
            let mut better: Option<(f64, Plan)> = None;
            for first in self.moves(&plan) {
                for second in std::iter::once(first.clone()).chain(self.moves(&first)) {
                    let Some(found) = self.error(&second) else {
                        continue;
                    };
                    let least = better.as_ref().map_or(error, |(least, _)| *least);
                    if found < least && self.bytes(&second) <= self.most {
                        better = Some((found, second));
                    }
                }
            }
            match better {
                Some((found, next)) => (error, plan) = (found, next),
                None => return plan,
            }
        }
    }

    /// The plans that differ in one end or one rate. They may have groups that are too small.
    fn moves(&self, plan: &[(usize, usize)]) -> Vec<Plan> {
        let mut out = Vec::new();
        for i in 0..plan.len() {
            let mut push = |end: usize, choice: usize| {
                let mut next = plan.to_vec();
                next[i] = (end, choice);
                out.push(next);
            };
            let (end, choice) = plan[i];
            push(end + 1, choice);
            push(end - 1, choice);
            if choice + 1 < self.choices.len() {
                push(end, choice + 1);
            }
            if choice > 0 {
                push(end, choice - 1);
            }
        }
        out
    }
}
