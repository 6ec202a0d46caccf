//! Slices of numbers that begin at a cache line.
//!
//! A load that crosses the border of two cache lines costs two loads. Large blocks of the allocator
//! begin 16 bytes after such a border, so that every second load of 32 bytes would cross one, and
//! every load of 64 bytes.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, on x86-64 and on most AArch64.
pub const CACHE_LINE_BYTES: usize = 64;

/// A slice whose first value is at the beginning of a cache line.
#[derive(Debug, Default)]
pub struct Aligned<T> {
    values: Vec<T>,
    /// Where the slice begins in `values`.
    from: usize,
    length: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Makes a slice of `length` zeros.
    pub fn new(length: usize) -> Self {
        let mut values = Vec::new();
        let from = reserve(&mut values, length);
        Self {
            values,
            from,
            length,
        }
    }

    /// Makes the slice `length` values long, all zeros if it had another length.
    pub fn resize(&mut self, length: usize) {
        if self.length != length {
            *self = Self::new(length);
        }
    }
}

/// Makes room for `length` values from a cache line on, and returns where they begin.
fn reserve<T: Copy + Default>(values: &mut Vec<T>, length: usize) -> usize {
    let room = length + CACHE_LINE_BYTES / size_of::<T>();
    if values.len() < room {
        values.resize(room, T::default());
    }
    // An interpreter (Miri) may not know addresses; it finds no aligned one, and the slice then
    // begins anywhere.
    let from = values.as_ptr().align_offset(CACHE_LINE_BYTES);
    if from + length <= values.len() {
        from
    } else {
        0
    }
}

/// `length` values of `values`, which grows as needed, from a cache line on.
pub fn aligned_part<T: Copy + Default>(values: &mut Vec<T>, length: usize) -> &mut [T] {
    let from = reserve(values, length);
    &mut values[from..][..length]
}

impl<T: Copy + Default> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut aligned = Self::new(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.from..][..self.length]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.from..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_cache_line() {
        for length in [0, 1, 100, 1 << 16] {
            let numbers = Aligned::<f32>::new(length);
            assert_eq!(numbers.len(), length);
            assert_eq!(numbers.as_ptr().addr() % CACHE_LINE_BYTES, 0);
        }
        let bytes = Aligned::from(&[1u8, 2, 3][..]).clone();
        assert_eq!(*bytes, [1, 2, 3]);
        assert_eq!(bytes.as_ptr().addr() % CACHE_LINE_BYTES, 0);
    }
}
