//! Numbers from a cache line on.
//!
//! A load of 32 bytes that crosses a cache line costs two, and the allocator's large blocks begin 16 bytes after one: every second load would cross.

use std::ops::{Deref, DerefMut};

const LINE: usize = 64;

/// A slice whose first value is at the beginning of a cache line.
#[derive(Debug)]
pub struct Aligned<T> {
    values: Vec<T>,
    from: usize,
    length: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// `length` zeros.
    pub fn new(length: usize) -> Self {
        let values = vec![T::default(); length + LINE / size_of::<T>()];
        // No line is found by an interpreter, where all places are alike.
        let from = values.as_ptr().align_offset(LINE);
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
    fn begins_with_a_line() {
        for length in [0, 1, 100, 1 << 16] {
            let numbers = Aligned::<f32>::new(length);
            assert_eq!(numbers.len(), length);
            assert_eq!(numbers.as_ptr().addr() % LINE, 0);
        }
        let bytes = Aligned::from(&[1u8, 2, 3][..]).clone();
        assert_eq!(*bytes, [1, 2, 3]);
        assert_eq!(bytes.as_ptr().addr() % LINE, 0);
    }
}
