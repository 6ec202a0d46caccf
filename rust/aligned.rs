//! Slices of numbers that begin at a cache line.
//!
//! A load of 32 bytes that crosses the border of two cache lines costs two loads. Large blocks of
//! the allocator begin 16 bytes after such a border, so that every second load would cross one.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, on x86-64 and on most AArch64.
pub const CACHE_LINE_BYTES: usize = 64;

/// A slice whose first value is at the beginning of a cache line.
#[derive(Debug)]
pub struct Aligned<T> {
    values: Vec<T>,
    /// Where the slice begins in `values`.
    from: usize,
    length: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Makes a slice of `length` zeros.
    pub fn new(length: usize) -> Self {
        let values = vec![T::default(); length + CACHE_LINE_BYTES / size_of::<T>()];
        // An interpreter (Miri) may not know addresses; it finds no aligned one, and the slice
        // then begins anywhere.
        let from = values.as_ptr().align_offset(CACHE_LINE_BYTES);
        let from = if from + length <= values.len() {
            from
        } else {
            0
        };
        Self {
            values,
            from,
            length,
        }
    }
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
