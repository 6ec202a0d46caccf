//! The definition: row by row.

use super::{
    Columns, Cut, LEAST_VARIANCE, MAX_ENTRY, Picked, ROWS_PER_GROUP, SectionColumns, SectionsCut,
    SignQuery, UNIT_STEP, check_columns, check_sections, group_bytes, rows, sign_bytes, slot,
};
use crate::aligned::Aligned;
use crate::kernels::SUM_LANES;
use crate::kernels::reduce::scalar::{squared_norm, sum_lanes};

pub fn query(y: &[f32]) -> SignQuery {
    let mut weights = Aligned::new(sign_bytes(y.len()) * 8);
    let mut total = 0f32;
    let mut widest = 0f32;
    for y in y.chunks(4) {
        let [a, b, c, d] = padded(y).map(f32::abs);
        let sum = (a + b) + (c + d);
        total += sum;
        widest = if sum > widest { sum } else { widest };
    }
    let Some(mut unit) = first_unit(total, widest) else {
        return without_weights(y, sign_bytes(y.len()) * 32);
    };
    while !fill_weights(y, 2.0 / unit, &mut weights) {
        unit *= UNIT_STEP;
    }
    let moments = moments(y, 2.0 / unit, &weights).map(sum_lanes);
    let mut lut = Aligned::new(weights.len() * 4);
    let sum = fill_lut(&weights, &mut lut);
    finish(y.len(), unit, moments, lut, sum)
}

/// Up to N values, then zeros.
#[inline(always)]
pub fn padded<const N: usize>(y: &[f32]) -> [f32; N] {
    let mut padded = [0f32; N];
    padded[..y.len()].copy_from_slice(y);
    padded
}

/// The first unit to try, for the sum of all magnitudes and the largest sum of four; None for a
/// query without weights.
#[inline(always)]
pub fn first_unit(total: f32, widest: f32) -> Option<f32> {
    let unit = 2.0 * widest / MAX_ENTRY as f32;
    let has_weights = unit > 0.0 && unit.is_finite() && (2.0 / unit).is_finite();
    // A NaN is in the total, but not in the maximum.
    (has_weights && !total.is_nan()).then_some(unit)
}

/// A group of four whose sum is at most this part of the largest one never raises the unit.
///
/// Rounding adds at most two to the sum of four magnitudes: a group whose sum is below 13.9 units
/// stays below 16 for this and all larger units.
pub const NEAR: f32 = 13.9 / MAX_ENTRY as f32;

/// The first unit from `unit` on for which these four coordinates have no sum that is too large.
///
/// Larger units have no larger weights, so the unit of a query is that of its worst group, which
/// one group after the other raises.
#[inline(always)]
pub fn raise_unit(four: &[f32], mut unit: f32) -> f32 {
    let weight = |y: &f32, unit: f32| y.abs().mul_add(2.0 / unit, 0.5) as i32;
    while four.iter().map(|y| weight(y, unit)).sum::<i32>() > MAX_ENTRY {
        unit *= UNIT_STEP;
    }
    unit
}

/// Writes the weights, and says whether no four of them have too large a sum.
#[inline(always)]
fn fill_weights(y: &[f32], per_unit: f32, weights: &mut [i8]) -> bool {
    let mut largest = 0;
    for (y, weights) in y.chunks(4).zip(weights.chunks_exact_mut(4)) {
        let mut sum = 0;
        for (&y, weight) in y.iter().zip(weights) {
            let magnitude = y.abs().mul_add(per_unit, 0.5) as i32;
            *weight = if y < 0.0 { -magnitude } else { magnitude } as i8;
            sum += magnitude;
        }
        largest = largest.max(sum);
    }
    largest <= MAX_ENTRY
}

/// Σe², Σz² and Σz⁴, where z = y·2/unit and e = z − q.
#[inline(always)]
fn moments(y: &[f32], per_unit: f32, weights: &[i8]) -> [[f32; SUM_LANES]; 3] {
    let [mut errors, mut squares, mut fourths] = [[0f32; SUM_LANES]; 3];
    for (y, weights) in y.chunks(SUM_LANES).zip(weights.as_chunks::<SUM_LANES>().0) {
        let y = padded::<SUM_LANES>(y);
        for l in 0..SUM_LANES {
            let error = y[l].mul_add(per_unit, -f32::from(weights[l]));
            let z = y[l] * per_unit;
            let square = z * z;
            errors[l] = error.mul_add(error, errors[l]);
            squares[l] += square;
            fourths[l] = square.mul_add(square, fourths[l]);
        }
    }
    [errors, squares, fourths]
}

/// Makes the query of its [`moments`], its LUT, and of the sum of all its magnitudes.
#[inline(always)]
pub fn finish(dim: usize, unit: f32, moments: [f32; 3], lut: Aligned<u8>, sum: i32) -> SignQuery {
    let [errors, squares, fourths] = moments.map(f64::from);
    let half = f64::from(unit) / 2.0;
    SignQuery {
        lut,
        unit,
        offset: (-half * f64::from(sum)) as f32,
        error: (half * errors.sqrt()) as f32,
        norm: (half * squares.sqrt()) as f32,
        kurtosis: (dim as f64 * fourths / (squares * squares)) as f32,
    }
}

/// Writes the sums of each four weights and returns the sum of all magnitudes.
///
/// An entry is a byte and no sum leaves it, so that one multiplication adds a weight to the entries
/// with its sign among eight.
#[inline(always)]
pub fn fill_lut(weights: &[i8], lut: &mut [u8]) -> i32 {
    const ALL: u64 = 0x0101_0101_0101_0101;
    /// The entries 0 to 7 in which sign j is set.
    const SET: [u64; 3] = [
        0x0100_0100_0100_0100,
        0x0101_0000_0101_0000,
        0x0101_0101_0000_0000,
    ];
    let mut total = 0;
    for (weights, lut) in weights
        .as_chunks::<4>()
        .0
        .iter()
        .zip(lut.as_chunks_mut::<16>().0)
    {
        let mut eight = 0;
        for (&weight, set) in weights.iter().zip(SET) {
            let entries = if weight < 0 { ALL ^ set } else { set };
            eight += u64::from(weight.unsigned_abs()) * entries;
        }
        let last = weights[3];
        let low = eight + u64::from((-last).max(0) as u8) * ALL;
        let high = eight + u64::from(last.max(0) as u8) * ALL;
        lut[..8].copy_from_slice(&low.to_le_bytes());
        lut[8..].copy_from_slice(&high.to_le_bytes());
        total += weights
            .iter()
            .map(|&weight| i32::from(weight).abs())
            .sum::<i32>();
    }
    total
}

/// The query that is zero, not finite, too small or too large; its LUT has this many zeros.
#[cold]
pub fn without_weights(y: &[f32], lut_bytes: usize) -> SignQuery {
    let norm = squared_norm(y).sqrt() as f32;
    let norm = if norm.is_finite() {
        norm
    } else {
        f32::INFINITY
    };
    SignQuery {
        lut: Aligned::new(lut_bytes),
        unit: 1.0,
        offset: 0.0,
        error: norm,
        norm,
        kurtosis: f32::INFINITY,
    }
}

pub fn sums(groups: &[u8], dim: usize, luts: &[&[u8]], out: &mut [u16]) {
    let rows = rows(groups, dim, luts, sign_bytes(dim) * 32, out);
    out.fill(0);
    for (lut, out) in luts.iter().zip(out.chunks_exact_mut(rows.max(1))) {
        let groups = groups.chunks_exact(group_bytes(dim).max(1));
        for (group, out) in groups.zip(out.as_chunks_mut::<ROWS_PER_GROUP>().0) {
            let codes = group.as_chunks::<ROWS_PER_GROUP>().0;
            for (codes, lut) in codes.iter().zip(lut.as_chunks::<32>().0) {
                for (row, sum) in out.iter_mut().enumerate() {
                    let code = codes[slot(row)];
                    let low = lut[usize::from(code & 15)];
                    let high = lut[16 + usize::from(code >> 4)];
                    *sum += u16::from(low) + u16::from(high);
                }
            }
        }
    }
}

pub fn sums_reach(sums: &[u16], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    check_columns(sums.len(), columns, masks);
    reach(|row| f32::from(sums[row]), columns, cut, masks);
}

pub fn ints_reach(dots: &[i32], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    check_columns(dots.len(), columns, masks);
    reach(|row| dots[row] as f32, columns, cut, masks);
}

#[inline(always)]
fn reach(product: impl Fn(usize) -> f32, columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    for (group, mask) in masks.iter_mut().enumerate() {
        *mask = 0;
        for bit in 0..ROWS_PER_GROUP {
            let row = group * ROWS_PER_GROUP + bit;
            let [_, bound] = bound(row, product(row), columns, cut);
            let below = bound < cut.threshold;
            *mask |= u64::from(!below) << bit;
        }
    }
}

/// The key of a row by its product, and its bound.
#[inline(always)]
fn bound(row: usize, product: f32, columns: &Columns<'_>, cut: &Cut) -> [f32; 2] {
    let mut key = columns.factor[row] * cut.unit.mul_add(product, cut.offset);
    if let Some(shift) = columns.shift {
        key = cut.weight.mul_add(shift[row], key);
    }
    [key, cut.reach.mul_add(columns.spread[row], key)]
}

/// Makes room for the rows whose bits are set in both masks, and `more`, and returns their number.
#[inline(always)]
pub fn make_room(masks: &[u64], live: &[u64], more: usize, rows: &mut Vec<u32>) -> usize {
    assert_eq!(masks.len(), live.len(), "two masks per group");
    let both = masks.iter().zip(live).map(|(mask, live)| mask & live);
    let count = both.map(|mask| mask.count_ones() as usize).sum();
    rows.resize(count + more, 0);
    count
}

/// Finds the keys and the bounds of the rows that were picked.
#[inline(always)]
pub fn look(sums: &[u16], columns: &Columns<'_>, cut: &Cut, picked: &mut Picked) {
    let Picked { rows, keys, bounds } = picked;
    keys.resize(rows.len(), 0.0);
    bounds.resize(rows.len(), 0.0);
    for ((&row, of_key), of_bound) in rows.iter().zip(keys).zip(bounds) {
        let row = row as usize;
        [*of_key, *of_bound] = bound(row, f32::from(sums[row]), columns, cut);
    }
}

#[inline(always)]
pub fn pick(
    sums: &[u16],
    columns: &Columns<'_>,
    cut: &Cut,
    masks: &[u64],
    live: &[u64],
    picked: &mut Picked,
) {
    check_columns(sums.len(), columns, masks);
    make_room(masks, live, 0, &mut picked.rows);
    let mut rows = picked.rows.iter_mut();
    for (group, (mask, live)) in masks.iter().zip(live).enumerate() {
        let mut mask = mask & live;
        while mask != 0 {
            if let Some(row) = rows.next() {
                *row = (group * ROWS_PER_GROUP) as u32 + mask.trailing_zeros();
            }
            mask &= mask - 1;
        }
    }
    look(sums, columns, cut, picked);
}

pub fn sections_reach(
    ints: &[&[i32]],
    sums: &[&[u16]],
    columns: &SectionColumns<'_>,
    cut: &SectionsCut,
    masks: &mut [u64],
) {
    check_sections(ints, sums, columns, masks);
    let product = |section: usize, row: usize| match ints.get(section) {
        Some(ints) => ints[row] as f32,
        None => f32::from(sums[section - ints.len()][row]),
    };
    for (group, mask) in masks.iter_mut().enumerate() {
        *mask = 0;
        for bit in 0..ROWS_PER_GROUP {
            let row = group * ROWS_PER_GROUP + bit;
            let base = columns.shift.map_or(cut.threshold, |shift| {
                (-cut.weight).mul_add(shift[row], cut.threshold)
            });
            let mut gap = base * columns.inverse[row];
            let mut variance = LEAST_VARIANCE;
            let sections = columns.sections.iter().zip(&cut.sections);
            for (section, ([factor, spread], of)) in sections.enumerate() {
                let value = (-of.unit).mul_add(product(section, row), -of.offset);
                gap = factor[row].mul_add(value, gap);
                let error = of.reach * spread[row];
                variance = error.mul_add(error, variance);
            }
            let below = gap * gap.abs() > variance;
            *mask |= u64::from(!below) << bit;
        }
    }
}
