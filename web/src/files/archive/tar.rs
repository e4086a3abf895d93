//! tar as POSIX.1-2001 has it: ustar headers, and pax records before those that need more.

use bytes::{BufMut, Bytes};

use super::{Entry, Layout};

const BLOCK_BYTES: usize = 512;
const MAX_NAME_BYTES: usize = 100;
/// Eleven octal digits.
const MAX_SIZE_BYTES: u64 = 8 << 30;
const REGULAR_FILE: u8 = b'0';
const PAX_RECORDS: u8 = b'x';
const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Remembers how much fills the last block of the current file.
#[derive(Default)]
pub(super) struct Tar {
    padding_bytes: usize,
}

impl Layout for Tar {
    fn before(&mut self, entry: &Entry) -> Bytes {
        let name = entry.name.as_bytes();
        let is_plain = name.is_ascii() && name.len() <= MAX_NAME_BYTES;
        let mut records = Vec::new();
        if !is_plain {
            put_record(&mut records, "path", &entry.name);
        }
        if entry.size_bytes >= MAX_SIZE_BYTES {
            put_record(&mut records, "size", &entry.size_bytes.to_string());
        }
        let modified_s = entry.modified_at.0 / 1000;
        let mut out = Vec::new();
        if !records.is_empty() {
            let length = records.len() as u64;
            out.put_slice(&header(b"pax", PAX_RECORDS, length, modified_s));
            out.put_slice(&records);
            out.put_bytes(0, padding_bytes(length));
        }
        let plain_name = if is_plain { name } else { b"file" };
        let size = entry.size_bytes.min(MAX_SIZE_BYTES - 1);
        out.put_slice(&header(plain_name, REGULAR_FILE, size, modified_s));
        self.padding_bytes = padding_bytes(entry.size_bytes);
        out.into()
    }

    fn take(&mut self, _bytes: &[u8]) {}

    fn after(&mut self) -> Bytes {
        Bytes::from_static(&END[..std::mem::take(&mut self.padding_bytes)])
    }

    fn end(&mut self) -> Bytes {
        Bytes::from_static(&END)
    }
}

fn padding_bytes(length: u64) -> usize {
    let over = (length % BLOCK_BYTES as u64) as usize;
    (BLOCK_BYTES - over) % BLOCK_BYTES
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn put_record(out: &mut Vec<u8>, key: &str, value: &str) {
    let without_digits = key.len() + value.len() + 3;
    let mut length = without_digits + 1;
    while without_digits + length.to_string().len() != length {
        length = without_digits + length.to_string().len();
    }
    out.put_slice(format!("{length} {key}={value}\n").as_bytes());
}

fn header(name: &[u8], kind: u8, size_bytes: u64, modified_s: u64) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, b"0000644\0");
    // User and group 0.
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size_bytes:011o}\0").as_bytes());
    put(
        136,
        format!("{:011o}\0", modified_s.min((1 << 33) - 1)).as_bytes(),
    );
    // The checksum is taken with spaces in its own place.
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        let record = |value: &str| {
            let mut out = Vec::new();
            put_record(&mut out, "path", value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(record("a"), "9 path=a\n");
        assert_eq!(record("aa"), "11 path=aa\n");
        for length in [1, 88, 89, 90, 91, 92, 980, 989, 990, 991, 992] {
            let text = record(&"x".repeat(length));
            let (count, _) = text.split_once(' ').unwrap();
            assert_eq!(count.parse(), Ok(text.len()), "{length}");
        }
    }
}
