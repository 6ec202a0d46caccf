//! Tables of the first field in the order in which vectors look them up.

use super::field::FieldTable;
use crate::aligned::Aligned;

/// Bytes of a vector that is looked up in one table, and entries of such a table.
pub(super) const TABLE: usize = 64;

/// The entries of a table, at the beginning of a cache line, so that they are read at once.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Table(pub [u8; TABLE]);

impl Table {
    const EMPTY: Self = Self([0; TABLE]);
}

/// How vectors read the first field.
#[derive(Debug)]
pub(super) enum Shape {
    /// Byte by byte: a byte holds whole indexes and 1, 2, 4 or 8 coordinates.
    Bytes(Box<Bytes>),
    /// Levels of 3, 5, 6 or 7 bits, and nothing after them.
    Levels(Box<Levels>),
    /// Index by index.
    Words,
    /// Indexes of a path.
    Path(Box<Path>),
}

/// In which order a query stands in [`IntQuery::planes`](super::IntQuery::planes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Not at all: only its values are used.
    None,
    /// Coordinates of the same place in 64 bytes of as many coordinates.
    Bytes(usize),
    /// Coordinates of the same place in the groups of a block of a path.
    Path,
}

/// The first field seen as bytes.
#[derive(Debug)]
pub(super) struct Bytes {
    /// Bytes of a row that hold indexes of this field only.
    pub count: usize,
    /// Coordinates of a byte: 1, 2, 4 or 8.
    pub coordinates: usize,
    /// The indexes of these bytes; the others are read one by one.
    pub indexes: usize,
    /// \[byte\]\[coordinate\]: word7.
    pub words: Aligned<u8>,
    /// \[byte\]: the magnitude from bit 0 on, the square from bit 24 on, and the signs from bit 56
    /// on.
    pub sizes: Aligned<u64>,
    /// The same by the halves of a byte or by whole bytes.
    pub parts: Parts,
}

/// What of a byte is looked up at once.
#[derive(Debug)]
pub(super) enum Parts {
    /// The low and the high half, where each has whole indexes.
    Nibbles(Nibbles),
    /// The byte. Only AVX-512 has registers for its tables.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Whole(Box<Whole>),
}

/// Tables of the half of a byte, which has half of the coordinates.
#[derive(Debug)]
pub(super) struct Nibbles {
    /// \[coordinate of the half\]: word7.
    pub planes: [[u8; 16]; 4],
    /// Of the low and of the high half: the signs at their places in the byte.
    pub signs: [[u8; 16]; 2],
    /// The sums of the magnitudes and of the squares.
    pub sizes: [[u8; 16]; 2],
}

/// Tables of whole bytes, in pieces of 64 entries.
#[derive(Debug)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) struct Whole {
    /// \[coordinate\]\[byte\]: word7.
    pub planes: Aligned<u8>,
    /// The signs; of a single coordinate in the highest bit.
    pub signs: [Table; 4],
    /// The magnitudes and the squares.
    pub sizes: [[Table; 4]; 2],
}

/// Tables of levels. The index of an entry may have any bits above those of the level.
#[derive(Debug)]
pub(super) struct Levels {
    pub width: u32,
    /// word7.
    pub words: [Table; 2],
    /// The sign in the highest bit.
    pub signs: [Table; 2],
    /// The magnitudes and the squares.
    pub sizes: [[Table; 2]; 2],
}

impl Shape {
    /// The shape of the first of these fields.
    pub fn new(fields: &[FieldTable]) -> Self {
        let field = &fields[0];
        let (width, p) = (field.width as usize, field.coordinates);
        if 8 % width == 0 {
            let indexes = 8 / width;
            let count = field.count / indexes;
            if matches!(indexes * p, 1 | 2 | 4 | 8) && count > 0 {
                return Self::Bytes(Box::new(Bytes::new(field, count)));
            }
        } else if p == 1 && width < 8 && fields.len() == 1 {
            return Self::Levels(Box::new(Levels::new(field)));
        }
        Self::Words
    }

    /// The shape of a field whose indexes come from a path.
    pub fn of_path(field: &FieldTable) -> Self {
        Self::Path(Box::new(Path::new(field)))
    }

    /// The order in which vectors want a query.
    pub fn order(&self) -> Order {
        match self {
            Self::Bytes(bytes) => Order::Bytes(bytes.coordinates),
            Self::Levels(_) | Self::Words => Order::None,
            Self::Path(_) => Order::Path,
        }
    }
}

/// Tables of the indexes of a path, which vectors look up by label for each choice of uncoded bits.
#[derive(Debug)]
pub(super) struct Path {
    /// \[index\]: the magnitude.
    pub magnitudes: Vec<u8>,
    /// \[index\]: the sign in the highest bit.
    pub signs: Vec<u8>,
    pub sign: Sign,
}

/// Where the sign of a coordinate of a path stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It is the highest uncoded bit, and so a plane of the row.
    Stored,
    /// It is the highest bit of the label, where a row has only the bits of its path.
    Label,
    /// It has to be looked up.
    Index,
}

impl Path {
    fn new(field: &FieldTable) -> Self {
        let indexes = || 0..1usize << field.width;
        let sign = |index| field.signs(index)[0] & 1;
        let top = |index: usize| (index >> (field.width - 1)) as u8;
        Self {
            magnitudes: indexes().map(|index| field.sizes(index)[0] as u8).collect(),
            signs: indexes().map(|index| sign(index) << 7).collect(),
            sign: match indexes().all(|index| sign(index) == top(index)) {
                true if field.width > 4 => Sign::Stored,
                true => Sign::Label,
                false => Sign::Index,
            },
        }
    }
}

impl Bytes {
    fn new(field: &FieldTable, count: usize) -> Self {
        let (p, per_byte) = (field.coordinates, 8 / field.width as usize);
        let coordinates = per_byte * p;
        let mut words = Aligned::new(256 * coordinates);
        let mut sizes = Aligned::new(256);
        for (byte, (words, sizes)) in words
            .chunks_exact_mut(coordinates)
            .zip(&mut *sizes)
            .enumerate()
        {
            for (i, word) in words.chunks_exact_mut(p).enumerate() {
                let index = byte >> (i * field.width as usize) & ((1 << field.width) - 1);
                word.copy_from_slice(field.word(index));
                let [magnitude, square] = field.sizes(index).map(u64::from);
                let signs = u64::from(field.signs(index)[0]);
                *sizes += magnitude | square << 24 | signs << (56 + i * p);
            }
        }
        let parts = if field.width == 8 {
            Parts::Whole(Box::new(Whole::new(coordinates, &words, &sizes)))
        } else {
            Parts::Nibbles(Nibbles::new(coordinates, &words, &sizes))
        };
        Self {
            count,
            coordinates,
            indexes: count * per_byte,
            words,
            sizes,
            parts,
        }
    }
}

/// The magnitude, the square and the signs of a byte.
fn split(sizes: u64) -> [u8; 3] {
    [sizes as u8, (sizes >> 24) as u8, (sizes >> 56) as u8]
}

impl Nibbles {
    /// From the tables of whole bytes.
    fn new(coordinates: usize, words: &[u8], sizes: &[u64]) -> Self {
        let half = coordinates / 2;
        let mut tables = Self {
            planes: [[0; 16]; 4],
            signs: [[0; 16]; 2],
            sizes: [[0; 16]; 2],
        };
        // The byte has this nibble twice, so that the sizes of a nibble are half of the byte's.
        for nibble in 0..16 {
            let byte = nibble * 17;
            for (plane, &word) in tables
                .planes
                .iter_mut()
                .zip(&words[byte * coordinates..][..half])
            {
                plane[nibble] = word;
            }
            let [magnitude, square, signs] = split(sizes[byte]);
            tables.signs[0][nibble] = signs & ((1 << half) - 1);
            tables.signs[1][nibble] = signs & !((1 << half) - 1);
            tables.sizes[0][nibble] = magnitude / 2;
            tables.sizes[1][nibble] = square / 2;
        }
        tables
    }
}

impl Whole {
    fn new(coordinates: usize, words: &[u8], sizes: &[u64]) -> Self {
        let mut tables = Self {
            planes: Aligned::new(coordinates * 256),
            signs: [Table::EMPTY; 4],
            sizes: [[Table::EMPTY; 4]; 2],
        };
        for byte in 0..256 {
            let (piece, entry) = (byte / TABLE, byte % TABLE);
            for (j, &word) in words[byte * coordinates..][..coordinates]
                .iter()
                .enumerate()
            {
                tables.planes[j * 256 + byte] = word;
            }
            let [magnitude, square, signs] = split(sizes[byte]);
            tables.signs[piece].0[entry] = if coordinates == 1 { signs << 7 } else { signs };
            tables.sizes[0][piece].0[entry] = magnitude;
            tables.sizes[1][piece].0[entry] = square;
        }
        tables
    }
}

impl Levels {
    fn new(field: &FieldTable) -> Self {
        let mut tables = Self {
            width: field.width,
            words: [Table::EMPTY; 2],
            signs: [Table::EMPTY; 2],
            sizes: [[Table::EMPTY; 2]; 2],
        };
        for entry in 0..2 * TABLE {
            let index = entry & ((1 << field.width) - 1);
            let [magnitude, square] = field.sizes(index).map(|size| size as u8);
            let sign = field.signs(index)[0];
            let (piece, entry) = (entry / TABLE, entry % TABLE);
            tables.words[piece].0[entry] = field.word(index)[0];
            tables.signs[piece].0[entry] = sign << 7;
            tables.sizes[0][piece].0[entry] = magnitude;
            tables.sizes[1][piece].0[entry] = square;
        }
        tables
    }
}
