//! Codes: the packed bits and the scalars of each row, in parallel arrays. This module defines the
//! layout of the bytes and the bytes per row.
//!
//! | part of a row | bytes | present |
//! |---|---|---|
//! | `packed`: the method's fields one after the other, bit k of a row in bit k mod 8 of byte k div 8, zero bits to the byte's end | ⌈bits/8⌉ | always |
//! | `scale`: s = ‖x‖·S, float32 | 4 | always |
//! | `norm`: ‖x‖, float32 | 4 | with `store_norm` and no center |
//! | `residual_norm`: γ in units of u, float32 | 4 | TurboQuant `prod` |
//! | `residual_norm`: ‖r‖, float32 | 4 | every other method, with a center and `store_norm` |
//! | `center_product`: ⟨μ, r⟩, float32 | 4 | with a center μ, where estimates are unbiased or `store_norm` is set |
//!
//! With a center μ the residual r = x − μ is quantized, and s = ‖r‖·S. The center itself belongs to
//! the quantizer and is not stored here. Each computation needs these scalars of a row
//! besides the code and s:
//!
//! | with a center | scalars | bytes with s |
//! |---|---|---|
//! | decode | none | 4 |
//! | inner products | ⟨μ, r⟩ (scale `unbiased`, and `prod`; none with `mse` and `none`) | 8 |
//! | search by `l2` | ‖r‖ | 8 |
//! | intervals | ‖r‖ and ⟨μ, r⟩ | 12 |
//! | search by `cosine` | ‖r‖ and ⟨μ, r⟩, which give ‖x‖² = ‖μ‖² + 2⟨μ, r⟩ + ‖r‖² | 12 |
//!
//! So with a center a row has 8 bytes of scalars without `store_norm` (4 with `mse` and `none`),
//! and 12 with it. (`prod`, whose s is ‖r‖ already and which adds γ, has 12 in both cases.) ⟨μ, r⟩
//! is stored and ‖x‖ is derived, not the other way around: from two norms in float32, ⟨μ, r⟩ =
//! (‖x‖² − ‖μ‖² − ‖r‖²)/2 has an error of 2⁻²⁴·‖x‖², and estimates would multiply it by ⟨y,
//! μ⟩/‖μ‖². With a center of length 10⁻⁴·‖x‖ the result is an error of 6·10⁻⁴·‖x‖‖y‖, which is more
//! than that of an 8-bit code. With the mean of rows that are centered already the error is
//! unbounded.
//!
//! | method | fields of `packed` (count × width) |
//! |---|---|
//! | BlockQuant, block p of w bits | ⌊d/p⌋ × w, and for a tail of t = d mod p > 0 coordinates 1 × ⌈t·w/p + ¼⌉ |
//! | EDEN, TurboQuant `mse`, RaBitQ, b bits | d × b |
//! | TurboQuant `prod`, b bits | d × (b − 1), then d × 1 signs (1 is ≥ 0) |
//! | any method, along fitted axes | the bytes of one group of axes after the other, each as a row of its method, then the scalars of `quantizer/fitted.rs`; `scale` is ‖r‖, and no other scalar is stored |
//! | Trellis, b bits | a string of bits in pieces of 16: those of the path, d or at half rates ⌈d/2⌉, then ⌈b⌉ − 1 planes of d uncoded bits |
//!
//! FROZEN: this layout never changes; `tests/golden` pins it.

use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::pack;

/// `count` indexes of `width` bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Number of indexes.
    pub count: usize,
    /// Bits of each, 1 to 16.
    pub width: u32,
}

/// The fields of one row of packed bits, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    fields: Vec<Field>,
}

impl Layout {
    /// The layout of these fields. Fields without bits are left out.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        let fields = fields
            .into_iter()
            .filter(|f| f.count > 0 && f.width > 0)
            .collect();
        Self { fields }
    }

    /// The fields in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The number of indexes of a row.
    pub fn indices(&self) -> usize {
        self.fields.iter().map(|field| field.count).sum()
    }

    /// The number of packed bytes of a row.
    pub fn row_bytes(&self) -> usize {
        let bits: usize = self.fields.iter().map(|f| f.count * f.width as usize).sum();
        bits.div_ceil(8)
    }

    /// Packs the indexes of a row into `row`. Every byte is written.
    pub fn pack(&self, isa: Isa, indices: &[u16], row: &mut [u8]) {
        row.fill(0);
        let (mut at, mut bit) = (0, 0);
        for field in &self.fields {
            pack::pack(isa, &indices[at..at + field.count], field.width, bit, row);
            at += field.count;
            bit += field.count * field.width as usize;
        }
    }

    /// Unpacks the indexes of a row.
    pub fn unpack(&self, isa: Isa, row: &[u8], indices: &mut [u16]) {
        let (mut at, mut bit) = (0, 0);
        for field in &self.fields {
            let out = &mut indices[at..at + field.count];
            pack::unpack(isa, row, field.width, bit, out);
            at += field.count;
            bit += field.count * field.width as usize;
        }
    }
}

/// The scalars of a row besides its scale, and whether they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scalars {
    /// [`Codes::norm`].
    pub norm: bool,
    /// [`Codes::residual_norm`].
    pub residual_norm: bool,
    /// [`Codes::center_product`].
    pub center_product: bool,
}

impl Scalars {
    /// Bytes of a row's scalars, including the scale.
    pub fn bytes(self) -> usize {
        let optional = [self.norm, self.residual_norm, self.center_product];
        (1 + optional.into_iter().filter(|&stored| stored).count()) * size_of::<f32>()
    }
}

/// The codes of a batch: parallel arrays with one entry per row (`row_bytes` entries in `packed`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Codes {
    /// Bytes of a row in `packed`.
    pub row_bytes: usize,
    /// Packed indexes.
    pub packed: Vec<u8>,
    /// s = ‖x‖·S.
    pub scale: Vec<f32>,
    /// ‖x‖, with `store_norm` and without a center.
    pub norm: Option<Vec<f32>>,
    /// γ, if the method stores it; otherwise ‖r‖, r = x − μ, with a center μ and `store_norm`.
    pub residual_norm: Option<Vec<f32>>,
    /// ⟨μ, r⟩, if there is a center and something needs it.
    pub center_product: Option<Vec<f32>>,
}

impl Codes {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.scale.len()
    }

    /// Whether the number of rows is 0.
    pub fn is_empty(&self) -> bool {
        self.scale.is_empty()
    }

    /// The number of stored bytes.
    pub fn bytes(&self) -> usize {
        let optional = [&self.norm, &self.residual_norm, &self.center_product];
        let floats: usize = optional.into_iter().flatten().map(Vec::len).sum();
        self.packed.len() + 4 * (self.scale.len() + floats)
    }

    /// The number of stored bits divided by n·d.
    pub fn bits_per_dimension(&self, dim: usize) -> f64 {
        8.0 * self.bytes() as f64 / (self.len() * dim) as f64
    }

    /// The rows at these positions, in this order.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.len()) {
            return Err(Error::invalid(format!(
                "row {row} of codes of {}",
                counted(self.len(), "row")
            )));
        }
        let pick = |values: &Vec<f32>| rows.iter().map(|&row| values[row]).collect();
        let bytes = |&row: &usize| &self.packed[row * self.row_bytes..][..self.row_bytes];
        Ok(Self {
            row_bytes: self.row_bytes,
            packed: rows.iter().flat_map(bytes).copied().collect(),
            scale: pick(&self.scale),
            norm: self.norm.as_ref().map(pick),
            residual_norm: self.residual_norm.as_ref().map(pick),
            center_product: self.center_product.as_ref().map(pick),
        })
    }

    /// Appends the rows of another batch of the same quantizer.
    pub fn extend(&mut self, other: &Self) -> Result<()> {
        let same = self.row_bytes == other.row_bytes
            && self.norm.is_some() == other.norm.is_some()
            && self.residual_norm.is_some() == other.residual_norm.is_some()
            && self.center_product.is_some() == other.center_product.is_some();
        if !same {
            return Err(Error::invalid(
                "codes of different layouts cannot be joined",
            ));
        }
        self.packed.extend_from_slice(&other.packed);
        self.scale.extend_from_slice(&other.scale);
        for (mine, theirs) in [
            (&mut self.norm, &other.norm),
            (&mut self.residual_norm, &other.residual_norm),
            (&mut self.center_product, &other.center_product),
        ] {
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                mine.extend_from_slice(theirs);
            }
        }
        Ok(())
    }

    /// The same codes as references.
    pub fn view(&self) -> CodesRef<'_> {
        CodesRef {
            row_bytes: self.row_bytes,
            packed: &self.packed,
            scale: &self.scale,
            norm: self.norm.as_deref(),
            residual_norm: self.residual_norm.as_deref(),
            center_product: self.center_product.as_deref(),
        }
    }
}

/// The codes of a batch in borrowed arrays, for example of NumPy or of a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct CodesRef<'a> {
    /// Bytes of a row in `packed`.
    pub row_bytes: usize,
    /// Packed indexes.
    pub packed: &'a [u8],
    /// s = ‖x‖·S.
    pub scale: &'a [f32],
    /// ‖x‖, with `store_norm` and without a center.
    pub norm: Option<&'a [f32]>,
    /// γ, if the method stores it; otherwise ‖r‖, r = x − μ, with a center μ and `store_norm`.
    pub residual_norm: Option<&'a [f32]>,
    /// ⟨μ, r⟩, if there is a center and something needs it.
    pub center_product: Option<&'a [f32]>,
}

impl<'a> CodesRef<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.scale.len()
    }

    /// Whether the number of rows is 0.
    pub fn is_empty(&self) -> bool {
        self.scale.is_empty()
    }

    /// The packed bytes of a row.
    pub fn row(&self, row: usize) -> &'a [u8] {
        &self.packed[row * self.row_bytes..][..self.row_bytes]
    }

    /// The rows from this one on.
    pub fn from_row(&self, first: usize) -> Self {
        let from = |values: Option<&'a [f32]>| values.map(|values| &values[first..]);
        Self {
            row_bytes: self.row_bytes,
            packed: &self.packed[first * self.row_bytes..],
            scale: &self.scale[first..],
            norm: from(self.norm),
            residual_norm: from(self.residual_norm),
            center_product: from(self.center_product),
        }
    }

    /// Checks that these arrays are codes of so many bytes per row with these scalars. A missing
    /// `norm` is not an error here: decoding does not need it.
    pub fn check(&self, expected: usize, scalars: Scalars) -> Result<()> {
        let rows = self.len();
        if self.row_bytes != expected || self.packed.len() != rows * expected {
            return Err(Error::invalid(format!(
                "packed codes have {} in rows of {}, expected {} of {expected}",
                counted(self.packed.len(), "byte"),
                self.row_bytes,
                counted(rows, "row"),
            )));
        }
        let parts = [
            ("residual_norm", self.residual_norm, scalars.residual_norm),
            (
                "center_product",
                self.center_product,
                scalars.center_product,
            ),
        ];
        for (name, values, expected) in parts {
            let problem = match (values, expected) {
                (Some(values), true) if values.len() != rows => {
                    let found = counted(values.len(), "value");
                    format!("{name} has {found}, expected {rows}, one per row")
                }
                (None, true) => format!("{name} is missing, expected one per row"),
                (Some(_), false) => format!("{name} is given for a quantizer that stores none"),
                _ => continue,
            };
            return Err(Error::invalid(problem));
        }
        Ok(())
    }
}
