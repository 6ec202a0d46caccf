//! Integer codewords in the places that a packed row names.

use crate::aligned::Aligned;
use crate::kernels::trellis::Code;

/// Values of a row of codewords are padded with zeros to a multiple of this, the lanes of a vector
/// of 16-bit integers.
pub const PADDING: usize = 16;

/// The length of a row of `length` values with its padding.
pub fn padded(length: usize) -> usize {
    length.next_multiple_of(PADDING)
}

/// The words that some indexes of a row choose from.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// The first bit of the first index in a row.
    pub first: usize,
    /// Bits per index, 1 to 16.
    pub width: u32,
    /// The number of indexes.
    pub count: usize,
    /// Coordinates per word.
    pub block: usize,
    /// 2^width words, one after the other.
    pub words: Vec<T>,
}

/// A coordinate of an integer codeword.
pub trait Integer: Copy + Default + Into<i32> {
    /// Bytes of a coordinate.
    const BYTES: usize;

    /// The coordinate as an unsigned number.
    fn to_bits(self) -> u64;

    /// Writes 8/BYTES coordinates, the first of which has the lowest bits.
    fn write(bits: u64, out: &mut [Self]);
}

impl Integer for i8 {
    const BYTES: usize = 1;

    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(self as u8)
    }

    #[inline(always)]
    fn write(bits: u64, out: &mut [Self]) {
        out.copy_from_slice(&bits.to_le_bytes().map(|byte| byte as i8));
    }
}

impl Integer for i16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(self as u16)
    }

    #[inline(always)]
    fn write(bits: u64, out: &mut [Self]) {
        let shorts = [bits, bits >> 16, bits >> 32, bits >> 48];
        out.copy_from_slice(&shorts.map(|short| short as i16));
    }
}

/// The coordinates of a number of a [`Composite`], in its low bytes.
pub(super) trait Entry: Copy {
    /// Bytes of an entry: 2, 4 or 8.
    const BYTES: usize;

    /// The entry as eight bytes.
    fn to_u64(self) -> u64;
}

macro_rules! entry {
    ($($ty:ty),*) => {$(
        impl Entry for $ty {
            const BYTES: usize = size_of::<$ty>();

            #[inline(always)]
            fn to_u64(self) -> u64 {
                self as u64
            }
        }
    )*};
}
entry!(u16, u32, u64);

/// The entries of a [`Composite`].
#[derive(Debug, Clone)]
pub(super) enum Entries {
    Two(Aligned<u16>),
    Four(Aligned<u32>),
    Eight(Aligned<u64>),
}

/// A table for several indexes of the first part at a time: a row is read as numbers of 8 or 12
/// bits, each of which names the codewords of its indexes, one after the other. Entries are
/// numbers, which are put together and written eight bytes at a time.
#[derive(Debug, Clone)]
pub(super) struct Composite {
    /// Bits per number.
    pub bits: usize,
    /// Indexes per number.
    pub indexes: usize,
    /// The codewords of each number.
    pub entries: Entries,
    /// The coordinates of numbers of 8 bits with four bytes, as float32.
    pub floats: Option<Aligned<f32>>,
}

/// These values, from a cache line on.
fn aligned<T: Copy + Default>(values: impl Iterator<Item = T>) -> Aligned<T> {
    Aligned::from(&*values.collect::<Vec<_>>())
}

impl Composite {
    /// The table for a part that begins with the row, if there is one.
    fn new<T: Integer>(part: &Part<T>) -> Option<Self> {
        let (width, block) = (part.width as usize, part.block);
        let bytes = |bits: usize| bits / width * block * T::BYTES;
        let fits = |bits: usize| bits.is_multiple_of(width) && matches!(bytes(bits), 2 | 4 | 8);
        if part.first > 0 {
            return None;
        }
        let bits = [8, 12].into_iter().find(|&bits| fits(bits))?;
        let indexes = bits / width;
        let entry = |number: usize| {
            let words = (0..indexes).flat_map(|i| {
                let k = number >> (i * width) & ((1 << width) - 1);
                &part.words[k * block..][..block]
            });
            let places = words.zip((0..).step_by(8 * T::BYTES));
            places.fold(0, |entry, (word, place)| entry | word.to_bits() << place)
        };
        let entries: Vec<u64> = (0..1 << bits).map(entry).collect();
        let bytes_of = |&entry: &u64| (entry as u32).to_le_bytes();
        let floats = entries
            .iter()
            .flat_map(bytes_of)
            .map(|byte| f32::from(byte as i8));
        let has_floats = (bits, bytes(bits), T::BYTES) == (8, 4, 1);
        Some(Self {
            floats: has_floats.then(|| aligned(floats)),
            bits,
            indexes,
            entries: match bytes(bits) {
                2 => Entries::Two(aligned(entries.iter().map(|&e| e as u16))),
                4 => Entries::Four(aligned(entries.iter().map(|&e| e as u32))),
                _ => Entries::Eight(aligned(entries.into_iter())),
            },
        })
    }
}

/// The codewords of a quantizer as integers: how a packed row becomes a row of integers.
#[derive(Debug, Clone)]
pub struct Codewords<T> {
    parts: Vec<Part<T>>,
    composite: Option<Composite>,
    path: Option<Code>,
    row_bytes: usize,
    stride: usize,
}

impl<T: Integer> Codewords<T> {
    /// Takes the parts of a row of `row_bytes` bytes, in order.
    ///
    /// # Panics
    /// If the parts are empty, or one of them does not have 2^width words or lies beyond the end of
    /// a row.
    pub fn new(parts: Vec<Part<T>>, row_bytes: usize) -> Self {
        assert!(!parts.is_empty(), "at least one part");
        for part in &parts {
            assert!((1..=16).contains(&part.width), "bits per index");
            assert_eq!(
                part.words.len(),
                part.block << part.width,
                "one word per index"
            );
            let bits = part.first + part.count * part.width as usize;
            assert!(bits <= 8 * row_bytes, "indexes within the row");
        }
        let length = parts.iter().map(|part| part.count * part.block).sum();
        Self {
            composite: parts.first().and_then(Composite::new),
            path: None,
            parts,
            row_bytes,
            stride: padded(length),
        }
    }

    /// The codewords of rows of `dim` coordinates that are paths of this code.
    ///
    /// # Panics
    /// If there is not one integer for each codeword.
    pub fn of_path(code: &Code, dim: usize, words: Vec<T>) -> Self {
        assert_eq!(words.len(), code.words().len(), "one integer per codeword");
        let part = Part {
            first: 0,
            width: words.len().ilog2(),
            count: dim,
            block: 1,
            words,
        };
        Self {
            parts: vec![part],
            composite: None,
            path: Some(code.clone()),
            row_bytes: code.row_bytes(dim),
            stride: padded(dim),
        }
    }

    /// The code of the path that a row is, and the codewords, if it is one.
    pub(super) fn path(&self) -> Option<(&Code, &Part<T>)> {
        self.path.as_ref().zip(self.parts.first())
    }

    /// The parts of a row, in order. A path is one part, whose indexes have no bits of their own.
    pub fn parts(&self) -> &[Part<T>] {
        &self.parts
    }

    /// The table for several indexes at a time, where there is one.
    pub(super) fn composite(&self) -> Option<&Composite> {
        self.composite.as_ref()
    }

    /// Bytes per packed row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Values per row of codewords, with its padding.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Checks the lengths of packed rows and of room for their codewords.
    pub(super) fn check(&self, packed: &[u8], out: &[T]) {
        assert!(
            self.row_bytes > 0
                && packed.len().is_multiple_of(self.row_bytes)
                && packed.len() / self.row_bytes * self.stride == out.len(),
            "packed rows and room for their codewords"
        );
    }
}

/// The index of `width` bits that begins at bit `bit` of a packed row.
#[inline(always)]
pub(super) fn index_at(row: &[u8], bit: usize, width: u32) -> usize {
    let byte = bit / 8;
    let at = |i: usize| u32::from(row.get(byte + i).copied().unwrap_or(0)) << (8 * i);
    // 16 bits can lie across three bytes.
    let bits = (at(0) | at(1) | at(2)) >> (bit % 8);
    (bits & ((1 << width) - 1)) as usize
}
