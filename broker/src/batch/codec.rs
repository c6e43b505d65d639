//! Codecs: what the records of a batch are compressed with. The feature `codecs` brings them; without it
//! compressed batches are passed on as they are, and nobody looks into them.
//!
//! | codec | form |
//! |---|---|
//! | gzip | members, one after the other |
//! | snappy | a block, or blocks in the frames of Java's `snappy-java`; written as those, which every client reads |
//! | lz4 | LZ4 frames, blocks of 64 KiB |
//! | zstd | frames |

use super::{BatchError, Compression, HEADER_BYTES};

/// Packs a batch that was built plain; its place and its meaning stay as they are.
///
/// # Errors
/// [`BatchError::Compressed`] for a codec that this build lacks.
pub fn pack_batch(plain: Vec<u8>, codec: Compression) -> Result<Vec<u8>, BatchError> {
    if codec == Compression::None {
        return Ok(plain);
    }
    let records = pack(codec, &plain[HEADER_BYTES..])?;
    Ok(super::header::repack(&plain, &records, codec))
}

#[cfg(not(feature = "codecs"))]
pub(super) fn unpack(_codec: Compression, _packed: &[u8], _room: &mut Vec<u8>) -> Result<(), BatchError> {
    Err(BatchError::Compressed)
}

#[cfg(not(feature = "codecs"))]
fn pack(_codec: Compression, _records: &[u8]) -> Result<Vec<u8>, BatchError> {
    Err(BatchError::Compressed)
}

#[cfg(feature = "codecs")]
pub(super) use real::unpack;

#[cfg(feature = "codecs")]
use real::pack;

#[cfg(feature = "codecs")]
mod real {
    use std::io::{self, Read, Write};

    use super::{BatchError, Compression};

    /// What a batch may hold when it is unpacked: a batch of a megabyte of nothing would else be a gigabyte.
    const UNPACKED_MOST: u64 = 64 << 20;
    /// The window that Kafka's clients write at most, and its own reader takes.
    const ZSTD_WINDOW_LOG_MOST: u32 = 27;
    /// How the frames of `snappy-java` begin: magic, version, oldest version that can read it.
    const SNAPPY_JAVA: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
    /// The part of it that says what it is.
    const SNAPPY_MAGIC_BYTES: usize = 8;
    /// What `snappy-java` puts into a block.
    const SNAPPY_BLOCK_BYTES: usize = 32 << 10;

    /// Unpacks the records of a batch.
    pub(in crate::batch) fn unpack(
        codec: Compression,
        packed: &[u8],
        room: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        room.clear();
        let unpacked = match codec {
            Compression::None => room.write_all(packed),
            Compression::Gzip => read_all(flate2::read::MultiGzDecoder::new(packed), room),
            Compression::Snappy => unpack_snappy(packed, room),
            Compression::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(packed), room),
            Compression::Zstd => zstd::Decoder::with_buffer(packed).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MOST)?;
                read_all(decoder, room)
            }),
            Compression::Unknown => return Err(BatchError::Compressed),
        };
        unpacked.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => BatchError::TooLarge,
            _ => BatchError::MalformedRecord,
        })
    }

    fn read_all(from: impl Read, room: &mut Vec<u8>) -> io::Result<()> {
        from.take(UNPACKED_MOST + 1).read_to_end(room)?;
        if room.len() as u64 > UNPACKED_MOST { Err(too_large()) } else { Ok(()) }
    }

    fn too_large() -> io::Error {
        io::ErrorKind::FileTooLarge.into()
    }

    fn unpack_snappy(packed: &[u8], room: &mut Vec<u8>) -> io::Result<()> {
        if !packed.starts_with(&SNAPPY_JAVA[..SNAPPY_MAGIC_BYTES]) {
            return unpack_snappy_block(packed, room);
        }
        let mut rest = packed.get(SNAPPY_JAVA.len()..).ok_or(io::ErrorKind::UnexpectedEof)?;
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*len) as usize;
            let (block, after) = after.split_at_checked(len).ok_or(io::ErrorKind::UnexpectedEof)?;
            unpack_snappy_block(block, room)?;
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn unpack_snappy_block(block: &[u8], room: &mut Vec<u8>) -> io::Result<()> {
        // What the block says of itself is believed only as far as there may be room.
        let from = room.len();
        let len = snap::raw::decompress_len(block)?;
        if (from + len) as u64 > UNPACKED_MOST {
            return Err(too_large());
        }
        room.resize(from + len, 0);
        snap::raw::Decoder::new().decompress(block, &mut room[from..])?;
        Ok(())
    }

    /// Packs the records of a batch.
    pub(super) fn pack(codec: Compression, records: &[u8]) -> Result<Vec<u8>, BatchError> {
        let packed = match codec {
            Compression::None => Ok(records.to_vec()),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(records).and_then(|()| encoder.finish())
            }
            Compression::Snappy => pack_snappy(records),
            Compression::Lz4 => {
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max64KB)
                    .block_mode(lz4_flex::frame::BlockMode::Independent);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(records).and_then(|()| encoder.finish().map_err(io::Error::other))
            }
            Compression::Zstd => zstd::encode_all(records, zstd::DEFAULT_COMPRESSION_LEVEL),
            Compression::Unknown => return Err(BatchError::Compressed),
        };
        packed.map_err(|_| BatchError::MalformedRecord)
    }

    fn pack_snappy(records: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = SNAPPY_JAVA.to_vec();
        for part in records.chunks(SNAPPY_BLOCK_BYTES) {
            let block = snap::raw::Encoder::new().compress_vec(part)?;
            let len = u32::try_from(block.len()).map_err(io::Error::other)?;
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(&block);
        }
        Ok(out)
    }

    #[cfg(test)]
    mod tests {
        use super::{Compression, UNPACKED_MOST, pack, unpack};

        const ALL: [Compression; 4] =
            [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

        fn unpacked(codec: Compression, packed: &[u8]) -> Option<Vec<u8>> {
            let mut room = b"what was there before".to_vec();
            unpack(codec, packed, &mut room).is_ok().then_some(room)
        }

        #[test]
        fn what_was_packed_comes_back() {
            let long: Vec<u8> = (0..200_000_u32).map(|i| (i.wrapping_mul(i) % 251) as u8).collect();
            for codec in ALL {
                for records in [&b""[..], b"x", b"a few bytes", &long] {
                    let packed = pack(codec, records).unwrap();
                    assert_eq!(unpacked(codec, &packed).as_deref(), Some(records), "{codec:?}");
                }
            }
            let block = snap::raw::Encoder::new().compress_vec(&long).unwrap();
            assert_eq!(unpacked(Compression::Snappy, &block), Some(long), "a block without frames");
        }

        #[test]
        fn garbage_is_refused() {
            for codec in ALL {
                let packed = pack(codec, &[7; 1_000]).unwrap();
                assert_eq!(unpacked(codec, b"no such thing"), None, "{codec:?}");
                assert_eq!(unpacked(codec, &packed[..packed.len() / 2]), None, "{codec:?}");
            }
        }

        #[test]
        fn bombs_are_refused() {
            let most = usize::try_from(UNPACKED_MOST).unwrap();
            for codec in ALL {
                let bomb = pack(codec, &vec![0; most + 1]).unwrap();
                assert_eq!(unpacked(codec, &bomb), None, "{codec:?}");
            }
            let liar = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
            assert_eq!(unpacked(Compression::Snappy, &liar), None, "a block that says that it is 4 GiB");
        }
    }
}
