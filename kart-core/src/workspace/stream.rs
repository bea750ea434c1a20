//! A reader over a stream of chunks: the one shape that all stores' objects are read in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{
    StreamExt as _,
    stream::{BoxStream, Fuse},
};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

pub(super) struct StreamReader {
    chunks: Fuse<BoxStream<'static, io::Result<Bytes>>>,
    chunk: Bytes,
}

impl StreamReader {
    pub(super) fn new(chunks: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self {
            chunks: chunks.fuse(),
            chunk: Bytes::new(),
        }
    }
}

impl AsyncBufRead for StreamReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.chunk.is_empty() {
            match ready!(this.chunks.poll_next_unpin(cx)) {
                Some(chunk) => this.chunk = chunk?,
                None => break,
            }
        }
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().chunk.advance(amount);
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let chunk = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = chunk.len().min(buffer.remaining());
        buffer.put_slice(&chunk[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}
