//! Writing a file piece by piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufWriter};

use crate::format::File;

const BUFFER_BYTES: usize = 1 << 20;

/// A [`File`] that is being written; see [`Context::writer`](crate::Context::writer).
#[derive(Debug)]
pub struct Writer {
    file: File,
    writer: BufWriter<tokio::fs::File>,
}

impl Writer {
    pub(super) async fn new(file: File) -> io::Result<Self> {
        let writer = tokio::fs::File::create(file.path()).await?;
        Ok(Writer {
            file,
            writer: BufWriter::with_capacity(BUFFER_BYTES, writer),
        })
    }

    /// The whole file, to be returned.
    ///
    /// # Errors
    ///
    /// The rest could not be written.
    pub async fn finish(mut self) -> io::Result<File> {
        self.writer.shutdown().await?;
        Ok(self.file)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
