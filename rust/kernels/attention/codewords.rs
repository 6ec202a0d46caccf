//! Integer codewords in the places that a packed row names.

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

/// The codewords of a quantizer as integers: how a packed row becomes a row of integers.
#[derive(Debug, Clone)]
pub struct Codewords<T> {
    parts: Vec<Part<T>>,
    row_bytes: usize,
    stride: usize,
}

impl<T> Codewords<T> {
    /// Takes the parts of a row of `row_bytes` bytes, in order.
    ///
    /// # Panics
    /// If a part does not have 2^width words, or lies beyond the end of a row.
    pub fn new(parts: Vec<Part<T>>, row_bytes: usize) -> Self {
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
            parts,
            row_bytes,
            stride: padded(length),
        }
    }

    /// The parts of a row, in order.
    pub fn parts(&self) -> &[Part<T>] {
        &self.parts
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
