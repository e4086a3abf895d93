//! ZIP as in PKWARE's APPNOTE 6.3.10: stored, each file followed by its checksum, with the 64-bit
//! fields where a size or an offset needs them.

use bytes::{BufMut, Bytes};
use jiggablend_raft::TimestampMs;
use time::OffsetDateTime;

use super::{Entry, Layout};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DATA_DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END_OF_CENTRAL: u32 = 0x0605_4b50;
const END_OF_CENTRAL_64: u32 = 0x0606_4b50;
const END_LOCATOR_64: u32 = 0x0706_4b50;
/// Of the zip64 record, what follows its size field.
const END_OF_CENTRAL_64_BYTES: u64 = 44;
const EXTRA_64: u16 = 0x0001;

/// Bit 3: checksum and sizes follow the bytes. Bit 11: names are UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const STORED: u16 = 0;
const NEEDS_PLAIN: u16 = 20;
const NEEDS_64: u16 = 45;
/// Made on Unix, whose permissions stand in the external attributes.
const MADE_BY: u16 = 3 << 8 | NEEDS_64;
const REGULAR_FILE: u32 = 0o100_644 << 16;

#[derive(Default)]
pub(super) struct Zip {
    offset: u64,
    current: Option<Open>,
    done: Vec<Done>,
}

struct Open {
    entry: Entry,
    offset: u64,
    crc: crc32fast::Hasher,
}

struct Done {
    entry: Entry,
    offset: u64,
    crc: u32,
}

fn needs_64(size: u64) -> bool {
    size >= u64::from(u32::MAX)
}

/// All ones where the true value stands in the 64-bit fields.
fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn put_common(out: &mut Vec<u8>, entry: &Entry, is_64: bool) {
    let (date, time) = dos_time(entry.modified_at);
    out.put_u16_le(if is_64 { NEEDS_64 } else { NEEDS_PLAIN });
    out.put_u16_le(FLAGS);
    out.put_u16_le(STORED);
    out.put_u16_le(time);
    out.put_u16_le(date);
}

impl Layout for Zip {
    fn before(&mut self, entry: &Entry) -> Bytes {
        let is_64 = needs_64(entry.size_bytes);
        let mut out = Vec::new();
        out.put_u32_le(LOCAL_HEADER);
        put_common(&mut out, entry, is_64);
        out.put_u32_le(0);
        let size = if is_64 { u32::MAX } else { 0 };
        out.put_u32_le(size);
        out.put_u32_le(size);
        out.put_u16_le(name_length(entry));
        out.put_u16_le(if is_64 { 20 } else { 0 });
        out.put_slice(entry.name.as_bytes());
        if is_64 {
            out.put_u16_le(EXTRA_64);
            out.put_u16_le(16);
            out.put_u64_le(0);
            out.put_u64_le(0);
        }
        self.current = Some(Open {
            entry: entry.clone(),
            offset: self.offset,
            crc: crc32fast::Hasher::new(),
        });
        self.offset += out.len() as u64 + entry.size_bytes;
        out.into()
    }

    fn take(&mut self, bytes: &[u8]) {
        if let Some(current) = &mut self.current {
            current.crc.update(bytes);
        }
    }

    fn after(&mut self) -> Bytes {
        let Some(Open { entry, offset, crc }) = self.current.take() else {
            return Bytes::new();
        };
        let crc = crc.finalize();
        let mut out = Vec::new();
        out.put_u32_le(DATA_DESCRIPTOR);
        out.put_u32_le(crc);
        for _compressed_and_not in 0..2 {
            match needs_64(entry.size_bytes) {
                true => out.put_u64_le(entry.size_bytes),
                false => out.put_u32_le(low(entry.size_bytes)),
            }
        }
        self.offset += out.len() as u64;
        self.done.push(Done { entry, offset, crc });
        out.into()
    }

    fn end(&mut self) -> Bytes {
        let mut out = Vec::new();
        for done in &self.done {
            put_central(&mut out, done);
        }
        let (start, length) = (self.offset, out.len() as u64);
        let count = self.done.len() as u64;
        let is_64 = needs_64(start) || needs_64(length) || count >= u64::from(u16::MAX);
        if is_64 {
            out.put_u32_le(END_OF_CENTRAL_64);
            out.put_u64_le(END_OF_CENTRAL_64_BYTES);
            out.put_u16_le(MADE_BY);
            out.put_u16_le(NEEDS_64);
            // This disk, and the disk of the central directory.
            out.put_u32_le(0);
            out.put_u32_le(0);
            out.put_u64_le(count);
            out.put_u64_le(count);
            out.put_u64_le(length);
            out.put_u64_le(start);
            out.put_u32_le(END_LOCATOR_64);
            out.put_u32_le(0);
            out.put_u64_le(start + length);
            // Disks in all.
            out.put_u32_le(1);
        }
        let low_count = u16::try_from(count).unwrap_or(u16::MAX);
        out.put_u32_le(END_OF_CENTRAL);
        out.put_u16_le(0);
        out.put_u16_le(0);
        out.put_u16_le(low_count);
        out.put_u16_le(low_count);
        out.put_u32_le(low(length));
        out.put_u32_le(low(start));
        // No comment.
        out.put_u16_le(0);
        out.into()
    }
}

fn put_central(out: &mut Vec<u8>, done: &Done) {
    let Done { entry, offset, crc } = done;
    let mut extra = Vec::new();
    if needs_64(entry.size_bytes) {
        extra.put_u64_le(entry.size_bytes);
        extra.put_u64_le(entry.size_bytes);
    }
    if needs_64(*offset) {
        extra.put_u64_le(*offset);
    }
    let extra_length = u16::try_from(extra.len()).expect("three numbers at most");
    out.put_u32_le(CENTRAL_HEADER);
    out.put_u16_le(MADE_BY);
    put_common(out, entry, !extra.is_empty());
    out.put_u32_le(*crc);
    out.put_u32_le(low(entry.size_bytes));
    out.put_u32_le(low(entry.size_bytes));
    out.put_u16_le(name_length(entry));
    out.put_u16_le(match extra_length {
        0 => 0,
        length => length + 4,
    });
    // No comment, the first disk, no internal attributes.
    out.put_u16_le(0);
    out.put_u16_le(0);
    out.put_u16_le(0);
    out.put_u32_le(REGULAR_FILE);
    out.put_u32_le(low(*offset));
    out.put_slice(entry.name.as_bytes());
    if !extra.is_empty() {
        out.put_u16_le(EXTRA_64);
        out.put_u16_le(extra_length);
        out.put_slice(&extra);
    }
}

fn name_length(entry: &Entry) -> u16 {
    u16::try_from(entry.name.len()).expect("names are cut to some hundred bytes")
}

/// Date and time in UTC as MS-DOS has them, to two seconds; 1980 where the time is before that.
fn dos_time(at: TimestampMs) -> (u16, u16) {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let Ok(years) = u16::try_from(at.year() - 1980) else {
        return (1 << 5 | 1, 0);
    };
    let date = years.min(127) << 9 | u16::from(u8::from(at.month())) << 5 | u16::from(at.day());
    let time =
        u16::from(at.hour()) << 11 | u16::from(at.minute()) << 5 | u16::from(at.second() / 2);
    (date, time)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{self, Read, Seek, SeekFrom};

    use jiggablend_raft::FileId;

    use super::*;

    #[test]
    fn times_are_written_as_dos_does() {
        // 2023-11-14 22:13:20 UTC.
        let (date, time) = dos_time(TimestampMs(1_700_000_000_000));
        assert_eq!(date, 43 << 9 | 11 << 5 | 14);
        assert_eq!(time, 22 << 11 | 13 << 5 | 10);
        assert_eq!(dos_time(TimestampMs(0)), (1 << 5 | 1, 0));
    }

    /// An archive whose files' bytes are all zero, without having them.
    struct Sparse {
        parts: Vec<(u64, Bytes)>,
        length: u64,
        position: u64,
    }

    impl Read for Sparse {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let rest = self.length - self.position;
            let end = self.position + rest.min(out.len() as u64);
            let out = &mut out[..(end - self.position) as usize];
            out.fill(0);
            for (start, bytes) in &self.parts {
                for (at, byte) in (*start..).zip(bytes) {
                    if (self.position..end).contains(&at) {
                        out[(at - self.position) as usize] = *byte;
                    }
                }
            }
            self.position = end;
            Ok(out.len())
        }
    }

    impl Seek for Sparse {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.position = match to {
                SeekFrom::Start(at) => at,
                SeekFrom::End(by) => self.length.saturating_add_signed(by),
                SeekFrom::Current(by) => self.position.saturating_add_signed(by),
            };
            Ok(self.position)
        }
    }

    #[test]
    fn files_and_offsets_beyond_4_gib_are_found() {
        let mut zip = Zip::default();
        let mut parts = Vec::new();
        let mut length = 0;
        for (name, size_bytes) in [("large.mp4", 5 << 30), ("small.png", 3), ("last.png", 7)] {
            let entry = Entry {
                file: FileId::new(),
                name: name.into(),
                size_bytes,
                modified_at: TimestampMs(0),
            };
            let head = zip.before(&entry);
            let head_bytes = head.len() as u64;
            parts.push((length, head));
            length += head_bytes + size_bytes;
            let tail = zip.after();
            let tail_bytes = tail.len() as u64;
            parts.push((length, tail));
            length += tail_bytes;
        }
        let end = zip.end();
        let end_bytes = end.len() as u64;
        parts.push((length, end));
        length += end_bytes;
        let sparse = Sparse {
            parts,
            length,
            position: 0,
        };
        let mut archive = ::zip::ZipArchive::new(sparse).unwrap();
        let sizes: Vec<u64> = (0..archive.len())
            .map(|position| archive.by_index_raw(position).unwrap().size())
            .collect();
        assert_eq!(sizes, [5 << 30, 3, 7]);
        let last = archive.by_index_raw(2).unwrap();
        assert_eq!(last.name().unwrap(), "last.png");
        assert!(last.header_start() > 5 << 30);
    }
}
