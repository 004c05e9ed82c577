//! The framing of every Mesos event stream: `1*DIGIT LF` and then exactly that many bytes.
//!
//! The transport may cut the stream anywhere, so the [`Decoder`] takes pieces of any size and
//! keeps what is not yet whole. It does no I/O.

use std::ops::Range;

/// The longest length line accepted: the digits of the largest 64-bit number.
const MAX_LENGTH_DIGITS: usize = 20;

/// Half-used buffers above this size are given back once a large record is out.
const KEEP_CAPACITY: usize = 64 * 1024;

/// The limit of [`Decoder::new`]: 64 MiB. An operator snapshot of a large cluster is far above
/// the few MiB other clients allow.
pub const DEFAULT_MAX_RECORD: usize = 64 * 1024 * 1024;

/// Why a stream cannot be decoded any further. The connection has to be dropped: after such an
/// error nothing tells where the next record begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A byte other than a digit where a record's length was due.
    #[error("the event stream is not RecordIO: expected a record length, found byte {0:#04x}")]
    NotALength(u8),
    /// More digits than any 64-bit length has.
    #[error("the event stream is not RecordIO: a record length has more than {MAX_LENGTH_DIGITS} digits")]
    LengthTooLong,
    /// The record is larger than this decoder accepts.
    #[error("a record of {length} bytes exceeds the limit of {limit} bytes")]
    RecordTooLarge {
        /// The length the stream announced.
        length: u64,
        /// The limit of this decoder.
        limit: usize,
    },
}

/// Cuts a byte stream into records.
///
/// Call [`push`](Decoder::push) with every piece that arrives and then
/// [`next_record`](Decoder::next_record) until it gives `None`. White space before a length and
/// records of length zero are skipped, as other clients of the API do.
///
/// ```
/// use mesos_http::recordio::Decoder;
///
/// let mut decoder = Decoder::new();
/// decoder.push(b"5\nhel");
/// assert_eq!(decoder.next_record()?, None);
/// decoder.push(b"lo3\nyou");
/// assert_eq!(decoder.next_record()?.as_deref(), Some(&b"hello"[..]));
/// assert_eq!(decoder.next_record()?.as_deref(), Some(&b"you"[..]));
/// # Ok::<(), mesos_http::recordio::FramingError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are already handed out.
    consumed: usize,
    /// How far the search for the end of the length line has come.
    state: State,
    max_record: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Length { value: u64, digits: usize },
    Body { length: usize },
}

const AT_LENGTH: State = State::Length { value: 0, digits: 0 };

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder that accepts records up to [`DEFAULT_MAX_RECORD`].
    pub fn new() -> Decoder {
        Decoder::with_max_record(DEFAULT_MAX_RECORD)
    }

    /// A decoder that accepts records up to `max_record` bytes.
    pub fn with_max_record(max_record: usize) -> Decoder {
        Decoder {
            buffer: Vec::new(),
            consumed: 0,
            state: AT_LENGTH,
            max_record,
        }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.consumed == self.buffer.len() {
            self.buffer.clear();
            self.consumed = 0;
            if self.buffer.capacity() > KEEP_CAPACITY {
                self.buffer.shrink_to(KEEP_CAPACITY);
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// [`FramingError`]: the stream is not RecordIO, or a record is too large. Every later call
    /// gives the same error.
    pub fn next_record(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        loop {
            match self.state {
                State::Length { value, digits } => {
                    let Some(&byte) = self.buffer.get(self.consumed) else {
                        return Ok(None);
                    };
                    match byte {
                        b'0'..=b'9' => {
                            if digits == MAX_LENGTH_DIGITS {
                                return Err(FramingError::LengthTooLong);
                            }
                            let value = value
                                .checked_mul(10)
                                .and_then(|v| v.checked_add(u64::from(byte - b'0')))
                                .ok_or(FramingError::LengthTooLong)?;
                            self.state = State::Length {
                                value,
                                digits: digits + 1,
                            };
                        }
                        b'\n' if digits > 0 => {
                            let length = usize::try_from(value).unwrap_or(usize::MAX);
                            if length > self.max_record {
                                let limit = self.max_record;
                                return Err(FramingError::RecordTooLarge { length: value, limit });
                            }
                            self.state = if length == 0 { AT_LENGTH } else { State::Body { length } };
                        }
                        b' ' | b'\t' | b'\r' | b'\n' if digits == 0 => {}
                        other => return Err(FramingError::NotALength(other)),
                    }
                    self.consumed += 1;
                }
                State::Body { length } => {
                    if self.buffer.len() - self.consumed < length {
                        return Ok(None);
                    }
                    let body: Range<usize> = self.consumed..self.consumed + length;
                    let record = self.buffer[body].to_vec();
                    self.consumed += length;
                    self.state = AT_LENGTH;
                    return Ok(Some(record));
                }
            }
        }
    }

    /// Whether the stream stands between two records: an end of the stream here loses nothing.
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Length { digits: 0, .. }) && self.consumed == self.buffer.len()
    }
}

/// One record as it goes over the wire.
pub fn encode(record: &[u8]) -> Vec<u8> {
    let mut framed = record.len().to_string().into_bytes();
    framed.push(b'\n');
    framed.extend_from_slice(record);
    framed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, FramingError> {
        let mut decoder = Decoder::with_max_record(1000);
        let mut records = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(record) = decoder.next_record()? {
                records.push(record);
            }
        }
        assert!(decoder.is_at_boundary());
        Ok(records)
    }

    #[test]
    fn every_split_into_three_pieces_gives_the_same_records() {
        let records: Vec<Vec<u8>> = vec![b"{\"type\":\"A\"}".to_vec(), vec![b'\n'; 11], b"7\n7".to_vec()];
        let stream: Vec<u8> = records.iter().flat_map(|r| encode(r)).collect();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(decode(&pieces).unwrap(), records, "split at {first} and {second}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_records_survive_any_split(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|r| encode(r)).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            pieces.push(&stream[from..]);
            prop_assert_eq!(decode(&pieces).unwrap(), records);
        }

        #[test]
        fn garbage_never_panics_and_never_hangs(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::with_max_record(100);
            decoder.push(&bytes);
            while let Ok(Some(record)) = decoder.next_record() {
                prop_assert!(!record.is_empty());
            }
        }
    }

    #[test]
    fn white_space_before_a_length_and_empty_records_are_skipped() {
        assert_eq!(
            decode(&[b"\n 2\nab", b"0\n", b"\r\n1\nc"]).unwrap(),
            [b"ab".to_vec(), b"c".to_vec()]
        );
    }

    #[test]
    fn what_is_not_a_length_is_named() {
        assert_eq!(decode(&[b"<html>"]), Err(FramingError::NotALength(b'<')));
        assert_eq!(decode(&[b"12 \n"]), Err(FramingError::NotALength(b' ')));
        assert_eq!(decode(&[b"000000000000000000001\n"]), Err(FramingError::LengthTooLong));
        assert_eq!(decode(&[b"99999999999999999999\n"]), Err(FramingError::LengthTooLong));
        let too_large = FramingError::RecordTooLarge {
            length: 1001,
            limit: 1000,
        };
        assert_eq!(decode(&[b"1001\n"]), Err(too_large));
    }

    #[test]
    fn an_error_stays() {
        let mut decoder = Decoder::new();
        decoder.push(b"x1\na");
        assert!(decoder.next_record().is_err());
        assert!(decoder.next_record().is_err());
    }
}
