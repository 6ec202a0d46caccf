//! The definition: indexes one by one, through a buffer of 32 bits.

#[inline(always)]
pub fn pack(indices: &[u16], width: u32, first: usize, row: &mut [u8]) {
    assert!(
        (1..=16).contains(&width),
        "indexes of {width} bits, expected 1 to 16"
    );
    let mut byte = first / 8;
    let mut filled = (first % 8) as u32;
    let mut bits = 0u32;
    for &index in indices {
        bits |= u32::from(index) << filled;
        filled += width;
        while filled >= 8 {
            row[byte] |= bits as u8;
            byte += 1;
            bits >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 && bits != 0 {
        row[byte] |= bits as u8;
    }
}

#[inline(always)]
pub fn unpack(row: &[u8], width: u32, first: usize, out: &mut [u16]) {
    assert!(
        (1..=16).contains(&width),
        "indexes of {width} bits, expected 1 to 16"
    );
    let mask = (1u32 << width) - 1;
    let mut byte = first / 8;
    let skip = (first % 8) as u32;
    let mut bits = 0u32;
    let mut filled = 0u32;
    if skip > 0 && !out.is_empty() {
        bits = u32::from(row[byte]) >> skip;
        filled = 8 - skip;
        byte += 1;
    }
    for index in out {
        while filled < width {
            bits |= u32::from(row[byte]) << filled;
            byte += 1;
            filled += 8;
        }
        *index = (bits & mask) as u16;
        bits >>= width;
        filled -= width;
    }
}
