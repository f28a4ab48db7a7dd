//! A gRPC codec for frames that are encoded already: one encoding serves all peers that a message goes to.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Sends encoded frames; whatever comes back is skipped.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawFrames;

impl Codec for RawFrames {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = RawFrames;
    type Decoder = RawFrames;

    fn encoder(&mut self) -> RawFrames {
        RawFrames
    }

    fn decoder(&mut self) -> RawFrames {
        RawFrames
    }
}

impl Encoder for RawFrames {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(frame);
        Ok(())
    }
}

impl Decoder for RawFrames {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
