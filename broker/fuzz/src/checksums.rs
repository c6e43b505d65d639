//! Checksums that fit: a fuzzer does not guess them, and what lies behind them has to bear anything as well.

use headwater_broker::batch::HEADER_BYTES;

/// Where the checksum of a batch stands, and from where on it counts.
const BATCH_CRC: std::ops::Range<usize> = 17..21;

/// Of whatever looks like a batch.
pub fn mend_batches(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + HEADER_BYTES) {
        let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let end = usize::try_from(length).map_or(0, |length| at + 12 + length);
        if head[16] == 2 && end >= at + HEADER_BYTES && end <= bytes.len() {
            let crc = crc32c::crc32c(&bytes[at + BATCH_CRC.end..end]);
            bytes[at + BATCH_CRC.start..at + BATCH_CRC.end].copy_from_slice(&crc.to_be_bytes());
            at = end;
        } else {
            at += 1;
        }
    }
}

/// Of the entries of a journal, up to the first that is cut.
pub fn mend_entries(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(entry) = bytes.get(at + 8..at + 8 + length) else { break };
        let crc = crc32c::crc32c(entry);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_be_bytes());
        at += 8 + length;
    }
}

/// Of a file that begins with it.
pub fn mend_first(bytes: &mut [u8]) {
    if let Some((crc, content)) = bytes.split_first_chunk_mut::<4>() {
        *crc = crc32c::crc32c(content).to_be_bytes();
    }
}

/// Of a file that ends with it.
pub fn mend_last(bytes: &mut [u8]) {
    if let Some((content, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32c::crc32c(content).to_be_bytes();
    }
}

/// Of a file of lines whose last one it is.
pub fn mend_lines(bytes: &mut Vec<u8>) {
    let word = b"crc: ";
    if let Some(at) = bytes.windows(word.len()).rposition(|part| part == word) {
        bytes.truncate(at);
        let crc = crc32c::crc32c(bytes);
        bytes.extend_from_slice(format!("crc: {crc:08x}\n").as_bytes());
    }
}
