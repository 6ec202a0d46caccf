//! Keys and values as they come in: four axes of float32, float16 or bfloat16 numbers.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::error::{Error, Result, counted};
use crate::rows::Real;

/// The type of the numbers that a cache takes and of the rows that it keeps exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Four bytes per number.
    Float32,
    /// IEEE half precision, two bytes per number.
    Float16,
    /// The upper half of a float32, two bytes per number.
    Bfloat16,
}

impl Dtype {
    /// All types.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Float16, Self::Bfloat16];

    /// `float32`, `float16` or `bfloat16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
        }
    }

    /// The type of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == name);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "dtype={name:?}, expected float32, float16 or bfloat16"
            ))
        })
    }

    /// Bytes per number.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::Bfloat16 => 2,
        }
    }
}

/// Contiguous numbers of one of the types.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// [`Dtype::Float32`].
    Float32(&'a [f32]),
    /// [`Dtype::Float16`].
    Float16(&'a [f16]),
    /// [`Dtype::Bfloat16`].
    Bfloat16(&'a [bf16]),
}

impl<'a> Values<'a> {
    /// The type of the numbers.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::Float32(_) => Dtype::Float32,
            Self::Float16(_) => Dtype::Float16,
            Self::Bfloat16(_) => Dtype::Bfloat16,
        }
    }

    /// How many they are.
    pub fn len(self) -> usize {
        match self {
            Self::Float32(values) => values.len(),
            Self::Float16(values) => values.len(),
            Self::Bfloat16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// `len` of the numbers, from position `from` on.
    pub fn part(self, from: usize, len: usize) -> Self {
        match self {
            Self::Float32(values) => Self::Float32(&values[from..][..len]),
            Self::Float16(values) => Self::Float16(&values[from..][..len]),
            Self::Bfloat16(values) => Self::Bfloat16(&values[from..][..len]),
        }
    }

    /// The numbers as float32. Other types are converted into `buffer`, which has as many places.
    pub fn read(self, buffer: &'a mut [f32]) -> &'a [f32] {
        match self {
            Self::Float32(values) => values,
            Self::Float16(values) => f16::read(values, buffer),
            Self::Bfloat16(values) => bf16::read(values, buffer),
        }
    }

    /// Writes the numbers as float32 into `out`, which has as many places.
    pub fn write(self, out: &mut [f32]) {
        match self {
            Self::Float32(values) => out.copy_from_slice(values),
            Self::Float16(values) => values.convert_to_f32_slice(out),
            Self::Bfloat16(values) => values.convert_to_f32_slice(out),
        }
    }
}

/// Numbers with the axes (sequence, head, token, coordinate). The cache reads them row by row, so
/// they may lie anywhere as long as each row is contiguous.
pub trait Tensor: Sync {
    /// The number of sequences, heads, tokens and coordinates.
    fn shape(&self) -> [usize; 4];
    /// The type of the numbers.
    fn dtype(&self) -> Dtype;
    /// The coordinates of one token.
    fn row(&self, sequence: usize, head: usize, token: usize) -> Values<'_>;
}

/// A tensor whose numbers lie one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Contiguous<'a> {
    values: Values<'a>,
    shape: [usize; 4],
}

impl<'a> Contiguous<'a> {
    /// `values` with this shape.
    ///
    /// # Errors
    /// If the number of values is not the product of the shape.
    pub fn new(values: Values<'a>, shape: [usize; 4]) -> Result<Self> {
        let expected = (shape.iter()).try_fold(1usize, |size, &n| size.checked_mul(n));
        if expected != Some(values.len()) {
            return Err(Error::invalid(format!(
                "{} cannot have the shape {shape:?}",
                counted(values.len(), "value")
            )));
        }
        Ok(Self { values, shape })
    }
}

impl Tensor for Contiguous<'_> {
    fn shape(&self) -> [usize; 4] {
        self.shape
    }

    fn dtype(&self) -> Dtype {
        self.values.dtype()
    }

    fn row(&self, sequence: usize, head: usize, token: usize) -> Values<'_> {
        let [_, heads, tokens, dim] = self.shape;
        let row = (sequence * heads + head) * tokens + token;
        self.values.part(row * dim, dim)
    }
}
