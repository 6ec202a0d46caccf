"""The container of files as the tests take it apart and put it together."""

#: What every header starts with, and what stands before the digits of its checksum.
START = b'{"__metadata__":{"format":"'
MARK = b'"header_checksum":"'


def crc64(data):
    """CRC-64/XZ by its definition: the reflected ECMA-182 polynomial, inverted at both ends."""
    crc = 2**64 - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return f"{crc ^ 2**64 - 1:016x}"


def split(data):
    """The text of the header, and the tensors."""
    end = 8 + int.from_bytes(data[:8], "little")
    return data[8:end].decode(), data[end:]


def join(text, tensors):
    """The file with this header; its checksum is corrected if the header has a place for it."""
    raw = text.encode()
    head = len(raw).to_bytes(8, "little") + raw
    if raw.startswith(START) and MARK in raw:
        at = 8 + raw.index(MARK) + len(MARK)
        head = head[:at] + b"0" * 16 + head[at + 16 :]
        head = head[:at] + crc64(head).encode() + head[at + 16 :]
    return head + tensors
