//! The scale rules: the scalar S that takes a codeword vector to the length of its row.

/// The scalar S by which the codeword vector is multiplied, with ρ = ⟨u, c⟩/d and ‖c‖² divided by
/// d.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleRule {
    /// S = 1.
    None,
    /// S = ρ/‖c‖²: least squares.
    Mse,
    /// S = 1/ρ: the inner product with the row itself is exact, with every other vector unbiased.
    Unbiased,
}

impl ScaleRule {
    /// `none`, `mse` or `unbiased`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mse => "mse",
            Self::Unbiased => "unbiased",
        }
    }

    /// S; 0 where c is 0 or points away from u, so that such a row decodes to zeros.
    pub fn scale(self, rho: f64, squared_norm: f64) -> f64 {
        match self {
            Self::None => 1.0,
            _ if rho <= 0.0 || squared_norm <= 0.0 => 0.0,
            Self::Mse => rho / squared_norm,
            Self::Unbiased => 1.0 / rho,
        }
    }
}

/// The scale rules of a method.
#[derive(Debug, Clone, Copy)]
pub enum Scales {
    /// Any of these; the first is the default.
    Choice(&'static [ScaleRule]),
    /// A rule of its own with S = 1, by its name.
    Own(&'static str),
}

impl Scales {
    /// The rules that a caller can choose from, the default first.
    pub fn choice(self) -> &'static [ScaleRule] {
        match self {
            Self::Choice(rules) => rules,
            Self::Own(_) => &[],
        }
    }
}
