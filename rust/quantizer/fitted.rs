//! Rows in fitted axes: what is stored of a row besides the codes of its groups.
//!
//! A row is x = μ + r, and ‖r‖ = N is its scale. A group g of axes has the coordinates z_g = V_g r,
//! and its code is made as that of a row is (`part.rs`): rotated coordinates u_g of unit variance
//! become codewords c_g, with a scalar S_g by the scale rule. The row is decoded to
//!
//! ```text
//! x̂ = μ + N·Σ_g h_g·V_gᵀ R_gᵀ c_g/√d_g        h_g = (‖z_g‖/N)·S_g
//! ⟨x̂, y⟩ = ⟨μ, y⟩ + N·Σ_g h_g·⟨c_g, R_g V_g y⟩/√d_g
//! ```
//!
//! Rows to encode get R_g z_g in fixed point (`rust/kernels/fixed`), with an error far below that
//! of a code. Decoding and queries use the axes in float32.
//!
//! With the scale rule `unbiased` each term of the sum is unbiased over rotations, so the estimate
//! is that of the part of r along axes with bits. What r has along the others is not estimated.
//!
//! | after the codes of the groups | bits | |
//! |---|---|---|
//! | ⟨μ, r⟩/(‖μ‖N) | 16 | a whole number of 1/32767 |
//! | h_g of each group | 12 | q stands for 2^(2 − q/372), and 4095 for 0 |
//! | ‖z_g‖·tan θ_g/N of each group | 12 | with `store_norm`; q stands for 2^(2 − q/186) |
//! | ‖r − Σ_g V_gᵀ z_g‖/N | 12 | with `store_norm`, in the same way |
//!
//! h_g is the nearest one in the logarithm, so it is off by less than .1 %, and deviates by .054 %.
//! That is a sixtieth of the deviation of an estimate at 4 bits and d = 384. A gain below 2⁻⁹ is
//! stored as 0. The others, which intervals need, are rounded up. θ_g is the angle between a group
//! and its code. If its gain is stored as 0, ‖z_g‖/N is stored for the group, without tan θ_g.
//!
//! FROZEN: this layout.

use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::pack;

/// What the bits of fitted axes are given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Criterion {
    /// The nearest rows are found: an axis counts by λ·√q.
    #[default]
    Recall,
    /// The least squared error of decoded rows: an axis counts by its variance λ.
    Reconstruction,
    /// The least squared error of inner products: an axis counts by λ·q, where q is the mean square
    /// of queries along it.
    InnerProduct,
}

impl Criterion {
    const ALL: [Self; 3] = [Self::Recall, Self::Reconstruction, Self::InnerProduct];

    /// `recall`, `reconstruction` or `inner_product`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Reconstruction => "reconstruction",
            Self::InnerProduct => "inner_product",
        }
    }

    /// The criterion of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|known| known.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("criterion={name:?}, expected one of {names}"))
        })
    }
}

/// The most groups of axes. More lower the error by a percent or two, and each costs 12 bits per
/// row and its share of every search.
pub const MAX_GROUPS: usize = 4;

/// Bits of a share.
const WIDTH: u32 = 12;
/// Numbers of a share; the last stands for 0.
const SHARES: usize = 1 << WIDTH;
/// Steps of a gain and of an error per factor of 2, and the logarithm of the largest of both.
const GAIN_STEPS: f64 = 372.0;
const ERROR_STEPS: f64 = 186.0;
const LARGEST: f64 = 2.0;
/// By how much of itself a stored gain is off at most: 2^(1/744) − 1, and its rounding.
pub(super) const GAIN_ERROR: f64 = 9.34e-4;
/// What a cosine of 1 is stored as.
const WHOLE: f64 = 32767.0;

/// The scalars of a row with fitted axes, behind the codes of its groups.
#[derive(Debug, Clone)]
pub(crate) struct GroupScalars {
    /// The first byte of a packed row.
    first: usize,
    groups: usize,
    has_errors: bool,
    gains: Box<[f32]>,
    errors: Box<[f32]>,
}

/// The most shares of a row.
const MOST_SHARES: usize = 2 * MAX_GROUPS + 1;

impl GroupScalars {
    /// The scalars of so many groups from this byte on.
    pub fn new(first: usize, groups: usize, has_errors: bool) -> Self {
        let shares = |steps: f64| {
            let share = |q: usize| match q {
                _ if q + 1 == SHARES => 0.0,
                _ => libm::exp2(LARGEST - q as f64 / steps) as f32,
            };
            (0..SHARES).map(share).collect()
        };
        Self {
            first,
            groups,
            has_errors,
            gains: shares(GAIN_STEPS),
            errors: shares(ERROR_STEPS),
        }
    }

    /// The bytes of the scalars of so many groups.
    pub fn bytes_of(groups: usize, has_errors: bool) -> usize {
        (16 + shares(groups, has_errors) * WIDTH as usize).div_ceil(8)
    }

    /// Whether rows keep the errors of their groups.
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Whether a gain is stored as 0.
    pub fn is_lost(&self, gain: f64) -> bool {
        usize::from(nearest(gain)) + 1 == SHARES
    }

    /// Writes the scalars of a row: ⟨μ, r⟩/(‖μ‖N), the gains h and, if they are kept, the errors.
    pub fn write(&self, isa: Isa, row: &mut [u8], cosine: f64, gains: &[f64], errors: &[f64]) {
        let row = &mut row[self.first..];
        row.fill(0);
        let cosine = (cosine.clamp(-1.0, 1.0) * WHOLE).round() as i16;
        row[..2].copy_from_slice(&cosine.to_le_bytes());
        let mut shares = [0u16; MOST_SHARES];
        let gains = gains.iter().map(|&gain| nearest(gain));
        let errors = errors.iter().filter(|_| self.has_errors);
        let errors = errors.map(|&error| self.above(error));
        for (share, value) in shares.iter_mut().zip(gains.chain(errors)) {
            *share = value;
        }
        let count = self::shares(self.groups, self.has_errors);
        pack::pack(isa, &shares[..count], WIDTH, 0, &mut row[2..]);
    }

    /// ⟨μ, r⟩/(‖μ‖N) of a packed row.
    pub fn cosine(&self, row: &[u8]) -> f64 {
        let bytes = [row[self.first], row[self.first + 1]];
        f64::from(i16::from_le_bytes(bytes)) / WHOLE
    }

    /// h of each group of a packed row.
    pub fn gains(&self, row: &[u8], out: &mut [f32]) {
        let row = &row[self.first + 2..];
        for (i, out) in out.iter_mut().enumerate().take(self.groups) {
            *out = self.gains[share(row, i)];
        }
    }

    /// ‖z‖·tan θ/N of each group of a packed row, and what lies along no group, if they are kept.
    pub fn errors(&self, row: &[u8], out: &mut [f32]) {
        let row = &row[self.first + 2..];
        let count = shares(self.groups, self.has_errors) - self.groups;
        for (i, out) in out.iter_mut().enumerate().take(count) {
            *out = self.errors[share(row, self.groups + i)];
        }
    }

    /// The number of the least error that is not below this one.
    fn above(&self, error: f64) -> u16 {
        let last = (SHARES - 1) as u16;
        if error <= 0.0 {
            return last;
        }
        let q = ((LARGEST - libm::log2(error)) * ERROR_STEPS).floor();
        let q = q.clamp(0.0, f64::from(last - 1)) as u16;
        // The logarithm or the table may have rounded the other way.
        q - u16::from(q > 0 && f64::from(self.errors[usize::from(q)]) < error)
    }
}

/// The shares of a row.
fn shares(groups: usize, has_errors: bool) -> usize {
    groups + if has_errors { groups + 1 } else { 0 }
}

/// The number of share i. Searches read the gains of many rows, and a share is part of two bytes.
fn share(shares: &[u8], i: usize) -> usize {
    let bit = WIDTH as usize * i;
    let bytes = [shares[bit / 8], shares[bit / 8 + 1]];
    usize::from(u16::from_le_bytes(bytes)) >> (bit % 8) & (SHARES - 1)
}

/// The number of the nearest gain; that of 0 for a gain below all others.
fn nearest(gain: f64) -> u16 {
    let last = (SHARES - 1) as u16;
    if gain <= 0.0 {
        return last;
    }
    // The conversion truncates, and takes a number beyond the range of u16 to its nearest one.
    last.min(((LARGEST - libm::log2(gain)) * GAIN_STEPS + 0.5) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_come_back_to_within_their_rounding() {
        for (groups, has_errors) in [(1, false), (2, true), (3, false), (4, true)] {
            let scalars = GroupScalars::new(3, groups, has_errors);
            let mut row = vec![7; 3 + GroupScalars::bytes_of(groups, has_errors)];
            let (gains, errors) = ([1.7, 0.031, 0.0, 0.4], [1.0, 0.0002, 0.0, 0.25, 1e-5]);
            let (gains, errors) = (&gains[..groups], &errors[..groups + 1]);
            scalars.write(Isa::Scalar, &mut row, -0.123, gains, errors);
            assert_eq!(row[..3], [7; 3]);
            assert!((scalars.cosine(&row) + 0.123).abs() < 2e-5);
            let mut out = vec![9.0; groups + 1];
            scalars.gains(&row, &mut out);
            for (&found, &gain) in out.iter().zip(gains) {
                assert!(
                    (f64::from(found) - gain).abs() <= GAIN_ERROR * gain,
                    "{gain}"
                );
            }
            if has_errors {
                scalars.errors(&row, &mut out);
                for (&found, &error) in out.iter().zip(errors) {
                    let found = f64::from(found);
                    assert!(found >= error && found <= 1.004 * error, "{error}");
                }
            }
        }
    }

    #[test]
    fn shares_beyond_the_range_become_the_nearest_one() {
        let scalars = GroupScalars::new(0, 1, true);
        let gain = |share: f64| scalars.gains[usize::from(nearest(share))];
        assert_eq!((gain(9.0), gain(4.0), gain(1.0)), (4.0, 4.0, 1.0));
        assert_eq!((gain(0.0), gain(1e-9), gain(-1.0)), (0.0, 0.0, 0.0));
        assert_eq!((gain(1.9e-3), gain(2e-3) > 0.0), (0.0, true));
        let error = |share: f64| f64::from(scalars.errors[usize::from(scalars.above(share))]);
        assert_eq!((error(0.0), error(1.0), error(9.0)), (0.0, 1.0, 4.0));
        for power in 0..2000 {
            let share = 4.0 * 0.993f64.powi(power);
            assert!(error(share) >= share, "{share}");
        }
    }
}
