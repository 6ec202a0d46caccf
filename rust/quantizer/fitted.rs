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
//! With the scale rule `unbiased` each term of the sum is unbiased over rotations, so the estimate
//! is that of the part of r along axes with bits. What r has along the others is not estimated.
//!
//! | after the codes of the groups | bits | |
//! |---|---|---|
//! | ⟨μ, r⟩/(‖μ‖N) | 16 | a whole number of 1/32767 |
//! | h_g of each group | 12 | q stands for 2^(2 − q/372), and 4095 for 0 |
//! | ‖z_g‖/N of each group | 12 | with `store_norm`, in the same way |
//!
//! q is the nearest one in the logarithm, so h_g is off by less than .1 %, and deviates by .054 %.
//! That is a sixtieth of the deviation of an estimate at 4 bits and d = 384.
//!
//! FROZEN: this layout.

use crate::codes::Field;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::pack;

/// What the bits of fitted axes are given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// The nearest rows are found: an axis counts by λ·√q.
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
/// Steps of a share per factor of 2, and the logarithm of the largest.
const STEPS: f64 = 372.0;
const LARGEST: f64 = 2.0;
/// What a cosine of 1 is stored as.
const WHOLE: f64 = 32767.0;

/// The scalars of a row with fitted axes, behind the codes of its groups.
#[derive(Debug, Clone)]
pub(crate) struct GroupScalars {
    /// The first byte of a packed row.
    first: usize,
    groups: usize,
    has_norms: bool,
    shares: Box<[f32]>,
}

impl GroupScalars {
    /// The scalars of so many groups from this byte on.
    pub fn new(first: usize, groups: usize, has_norms: bool) -> Self {
        let share = |q: usize| match q {
            _ if q + 1 == SHARES => 0.0,
            _ => libm::exp2(LARGEST - q as f64 / STEPS) as f32,
        };
        Self {
            first,
            groups,
            has_norms,
            shares: (0..SHARES).map(share).collect(),
        }
    }

    /// The bytes of the scalars of so many groups.
    pub fn bytes_of(groups: usize, has_norms: bool) -> usize {
        let shares = groups * if has_norms { 2 } else { 1 };
        (16 + shares * WIDTH as usize).div_ceil(8)
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether rows keep the norms of their groups.
    pub fn has_norms(&self) -> bool {
        self.has_norms
    }

    fn field(&self) -> Field {
        Field {
            count: self.groups * if self.has_norms { 2 } else { 1 },
            width: WIDTH,
        }
    }

    /// Writes the scalars of a row: ⟨μ, r⟩/(‖μ‖N), h and, if they are kept, ‖z‖/N of each group.
    pub fn write(&self, isa: Isa, row: &mut [u8], cosine: f64, gains: &[f64], norms: &[f64]) {
        let row = &mut row[self.first..];
        row.fill(0);
        let cosine = (cosine.clamp(-1.0, 1.0) * WHOLE).round() as i16;
        row[..2].copy_from_slice(&cosine.to_le_bytes());
        let norms = if self.has_norms { norms } else { &[] };
        let shares: Vec<u16> = gains.iter().chain(norms).map(|&h| nearest(h)).collect();
        pack::pack(isa, &shares, WIDTH, 0, &mut row[2..]);
    }

    /// ⟨μ, r⟩/(‖μ‖N) of a packed row.
    pub fn cosine(&self, row: &[u8]) -> f64 {
        let bytes = [row[self.first], row[self.first + 1]];
        f64::from(i16::from_le_bytes(bytes)) / WHOLE
    }

    /// h of each group of a packed row.
    pub fn gains(&self, isa: Isa, row: &[u8], out: &mut [f32]) {
        self.read(isa, row, 0, out);
    }

    /// ‖z‖/N of each group of a packed row, if they are kept.
    pub fn norms(&self, isa: Isa, row: &[u8], out: &mut [f32]) {
        self.read(isa, row, self.groups, out);
    }

    fn read(&self, isa: Isa, row: &[u8], from: usize, out: &mut [f32]) {
        let mut shares = [0; 2 * MAX_GROUPS];
        let shares = &mut shares[..self.field().count];
        pack::unpack(isa, &row[self.first + 2..], WIDTH, 0, shares);
        for (out, &q) in out.iter_mut().zip(&shares[from..]) {
            *out = self.shares[usize::from(q)];
        }
    }
}

/// The number of the nearest share.
fn nearest(share: f64) -> u16 {
    let last = SHARES - 1;
    if share <= 0.0 {
        return last as u16;
    }
    let q = ((LARGEST - libm::log2(share)) * STEPS).round();
    // Below half of the least share, 0 is nearer.
    if q > (last - 1) as f64 + STEPS {
        last as u16
    } else {
        q.clamp(0.0, (last - 1) as f64) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_come_back_to_within_their_rounding() {
        for (groups, has_norms) in [(1, false), (2, true), (3, false), (4, true)] {
            let scalars = GroupScalars::new(3, groups, has_norms);
            let mut row = vec![7; 3 + GroupScalars::bytes_of(groups, has_norms)];
            let gains = [1.7, 0.031, 0.0, 0.4];
            let norms = [1.0, 0.002, 0.0, 0.25];
            let (gains, norms) = (&gains[..groups], &norms[..groups]);
            scalars.write(Isa::Scalar, &mut row, -0.123, gains, norms);
            assert_eq!(row[..3], [7; 3]);
            assert!((scalars.cosine(&row) + 0.123).abs() < 2e-5);
            let near = |found: &[f32], wanted: &[f64]| {
                for (&found, &wanted) in found.iter().zip(wanted) {
                    let error = (f64::from(found) - wanted).abs();
                    assert!(error <= 0.00094 * wanted.max(0.002), "{found} for {wanted}");
                }
            };
            let mut out = vec![9.0; groups];
            scalars.gains(Isa::Scalar, &row, &mut out);
            near(&out, gains);
            if has_norms {
                scalars.norms(Isa::Scalar, &row, &mut out);
                near(&out, norms);
            }
        }
    }

    #[test]
    fn shares_beyond_the_range_become_the_nearest_one() {
        let scalars = GroupScalars::new(0, 1, false);
        let of = |share: f64| scalars.shares[usize::from(nearest(share))];
        assert_eq!((of(9.0), of(4.0)), (4.0, 4.0));
        assert_eq!((of(0.0), of(1e-9), of(-1.0)), (0.0, 0.0, 0.0));
        assert!(of(1.5e-3) > 0.0);
        assert_eq!(of(1.0), 1.0);
    }
}
