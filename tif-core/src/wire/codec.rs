//! Frames: a little-endian `u32` length, then MessagePack.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::FRAME_LEN_MAX;

/// Why bytes are not a message. The connection they came on is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The length is out of bounds.
    #[error("a frame of {got} bytes; at most {} are allowed", FRAME_LEN_MAX)]
    TooLong {
        /// The length that was said.
        got: usize,
    },
    /// The bytes are not MessagePack of this message.
    #[error("bytes that are no message")]
    Decode(#[source] rmp_serde::decode::Error),
    /// The message cannot be written; only for want of memory or for a bug.
    #[error("a message that cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// Appends a frame to `out`. On an error `out` is as it was.
///
/// # Errors
/// If the message is longer than a frame may be.
pub fn encode<M: Serialize>(message: &M, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut writer = rmp_serde::Serializer::new(&mut *out);
    let result = message.serialize(&mut writer);
    let len = out.len() - start - 4;
    if let Err(e) = result {
        out.truncate(start);
        return Err(CodecError::Encode(e));
    }
    if len > FRAME_LEN_MAX {
        out.truncate(start);
        return Err(CodecError::TooLong { got: len });
    }
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(())
}

/// Reads the message of one frame's body.
///
/// # Errors
/// If the bytes are none. Nothing is kept.
pub fn decode<M: DeserializeOwned>(body: &[u8]) -> Result<M, CodecError> {
    rmp_serde::from_slice(body).map_err(CodecError::Decode)
}

/// Room that a reader keeps while nothing waits in it: there are many readers, and most get small messages only.
const KEPT: usize = 4 << 10;
/// Room beyond which it is given back. More than one reading from a socket brings, so that a busy reader keeps what it needs.
const MUCH: usize = 128 << 10;

/// Cuts a stream of bytes into frames. Holds at most one frame and what came with it; the room of a long one is given back when it is through.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameReader {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame's message; none if it has not come yet.
    ///
    /// # Errors
    /// If the bytes are none: the stream is of no further use.
    #[expect(clippy::should_implement_trait, reason = "the type of the message is the caller's choice")]
    pub fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, CodecError> {
        self.give_back();
        let rest = &self.buffer[self.start..];
        let Some(head) = rest.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_le_bytes(*head) as usize;
        if len > FRAME_LEN_MAX {
            return Err(CodecError::TooLong { got: len });
        }
        let Some(body) = rest.get(4..4 + len) else { return Ok(None) };
        let message = decode(body)?;
        self.start += 4 + len;
        Ok(Some(message))
    }

    // spec: SEC-2
    fn give_back(&mut self) {
        if self.buffer.capacity() > MUCH && self.pending() <= KEPT {
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.shrink_to(KEPT);
        }
    }

    /// How many bytes wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Key;
    use crate::wire::{Envelope, ToAgent, ToProcess};
    use proptest::prelude::*;

    proptest! {
        // spec: SEC-2
        #[test]
        fn no_bytes_make_the_reader_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next::<Envelope<ToAgent>>() {}
            let _ = decode::<Envelope<ToAgent>>(&bytes);
            let _ = decode::<Envelope<ToProcess>>(&bytes);
            prop_assert!(reader.pending() <= bytes.len());
        }

        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(nonces in prop::collection::vec(any::<u64>(), 1..20), cut in 1usize..17) {
            let mut stream = Vec::new();
            for nonce in &nonces {
                encode(&Envelope { from: Key::NONE, to: Key::NONE, body: ToAgent::Pong { nonce: *nonce } }, &mut stream).unwrap();
            }
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            for part in stream.chunks(cut) {
                reader.push(part);
                while let Some(e) = reader.next::<Envelope<ToAgent>>().unwrap() {
                    if let ToAgent::Pong { nonce } = e.body { got.push(nonce) }
                }
            }
            prop_assert_eq!(got, nonces);
        }
    }

    // spec: SEC-2
    #[test]
    fn the_room_of_a_long_frame_is_given_back_when_it_is_through() {
        let pong = |nonce| Envelope { from: Key::NONE, to: Key::NONE, body: ToAgent::Pong { nonce } };
        let mut reader = FrameReader::default();
        for rest in [0, 1, 3] {
            let mut long = Vec::new();
            encode(&vec![pong(u64::MAX); 100_000], &mut long).unwrap();
            assert!(long.len() > MUCH);
            let mut next = Vec::new();
            encode(&pong(7), &mut next).unwrap();
            let (begun, end) = next.split_at(rest);
            reader.push(&long);
            reader.push(begun);
            assert!(reader.next::<Vec<Envelope<ToAgent>>>().unwrap().is_some());
            assert!(reader.next::<Envelope<ToAgent>>().unwrap().is_none());
            assert!(reader.buffer.capacity() <= MUCH, "{} bytes with {rest} bytes waiting", reader.buffer.capacity());
            reader.push(end);
            assert_eq!(reader.next::<Envelope<ToAgent>>().unwrap(), Some(pong(7)), "nothing is lost by it");
        }
    }

    #[test]
    fn a_frame_that_says_it_is_too_long_is_refused_before_it_comes() {
        let mut reader = FrameReader::default();
        reader.push(&u32::MAX.to_le_bytes());
        assert!(matches!(reader.next::<Envelope<ToAgent>>(), Err(CodecError::TooLong { .. })));
    }

    #[test]
    fn a_subscription_that_coarsens_only_in_time_comes_out_as_it_went_in() {
        // Structs travel as lists of their fields: one that is left out would shift all behind it.
        use crate::model::{Coarsen, Pattern};
        let coarsen = Coarsen { deadband: None, at_most_every: Some(std::time::Duration::from_secs(1)) };
        let body = ToAgent::Subscribe { subscription: 1, pattern: Pattern::all(), coarsen };
        let sent = Envelope { from: Key::NONE, to: Key::NONE, body };
        let mut frame = Vec::new();
        encode(&sent, &mut frame).unwrap();
        assert_eq!(decode::<Envelope<ToAgent>>(&frame[4..]).unwrap(), sent);
    }
}
