//! Reading an object piece by piece, where a body that is cut off is asked for again from there on.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, TryStreamExt as _};
use object_store::{Error, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, path::Path};

use super::retry::Backoff;

/// One version of an object, on its way.
pub(super) struct Body {
    store: Arc<dyn ObjectStore>,
    path: Path,
    meta: ObjectMeta,
    /// How many bytes have arrived.
    at: u64,
    chunks: Option<BoxStream<'static, Result<Bytes, Error>>>,
    backoff: Backoff,
}

impl Body {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        path: Path,
        object: GetResult,
        backoff: Backoff,
    ) -> Self {
        Body {
            store,
            path,
            meta: object.meta.clone(),
            at: 0,
            chunks: Some(object.into_stream()),
            backoff,
        }
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, io::Result<Bytes>> {
        stream::unfold(Some(self), |body| async {
            let mut body = body?;
            match body.next().await {
                Ok(chunk) => chunk.map(|chunk| (Ok(chunk), Some(body))),
                Err(error) => Some((Err(io::Error::other(error)), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.chunk().await {
                Ok(chunk) => {
                    self.at += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                    self.backoff.reset();
                    return Ok(chunk);
                }
                Err(error) => {
                    self.chunks = None;
                    self.backoff.pause(error).await?;
                }
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let chunks = if let Some(chunks) = &mut self.chunks {
            chunks
        } else {
            let rest = self.rest().await?;
            self.chunks.insert(rest)
        };
        match chunks.try_next().await? {
            None if self.at < self.meta.size => Err(cut_off(self.at, self.meta.size)),
            chunk => Ok(chunk),
        }
    }

    async fn rest(&mut self) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let options = GetOptions::new()
            .with_range(Some(GetRange::Offset(self.at)))
            .with_if_match(self.meta.e_tag.clone());
        let object = self.store.get_opts(&self.path, options).await?;
        let is_same = |meta: &ObjectMeta| {
            (meta.size, meta.last_modified) == (self.meta.size, self.meta.last_modified)
        };
        if !is_same(&object.meta) {
            return Err(Error::Precondition {
                path: self.path.to_string(),
                source: "the object was replaced while it was read".into(),
            });
        }
        Ok(object.into_stream())
    }
}

/// The error of a body that ends before its time.
pub(super) fn cut_off(at: u64, size: u64) -> Error {
    let text = format!("the body was cut off after {at} of {size} bytes");
    Error::Generic {
        store: "answering",
        source: io::Error::new(io::ErrorKind::UnexpectedEof, text).into(),
    }
}
