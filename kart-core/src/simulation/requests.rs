//! The store of one process, as `object_store` knows stores.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use super::front::{Front, Request};
use super::objects::Objects;

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Front").field(&self.life()).finish()
    }
}

impl fmt::Display for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated:/")
    }
}

fn flatten(payload: &PutPayload) -> Bytes {
    Bytes::from(
        payload
            .iter()
            .flat_map(|chunk| chunk.iter().copied())
            .collect::<Vec<u8>>(),
    )
}

#[async_trait::async_trait]
impl ObjectStore for Front {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let path = location.to_string();
        let operation = match options.mode {
            PutMode::Create => "create",
            _ => "put",
        };
        let bytes = flatten(&payload);
        let put = move |objects: &mut Objects, request: Request| {
            let now = objects.now;
            objects.put(
                &path,
                bytes,
                &options.mode,
                (request.sent, now, now + request.hidden),
            )
        };
        let (tag, _) = self.request(operation, location.as_ref(), put).await?;
        Ok(PutResult {
            e_tag: Some(tag.to_string()),
            version: None,
            extensions: object_store::Extensions::default(),
        })
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "multipart uploads".to_owned(),
            implementer: "simulated".to_owned(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let path = location.to_string();
        let operation = if options.head { "head" } else { "get" };
        let get = move |objects: &mut Objects, _: Request| {
            let object = objects.get(&path).ok_or_else(|| not_found(&path))?;
            Ok((object.meta(&path), object.bytes.clone()))
        };
        let ((meta, bytes), is_cut) = self.request(operation, location.as_ref(), get).await?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(|error| Error::Generic {
                store: "simulated",
                source: error.into(),
            })?,
            None => 0..meta.size,
        };
        let within = |at| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = bytes.slice(within(range.start)..within(range.end));
        let chunks = if is_cut {
            vec![Ok(bytes.slice(..bytes.len() / 2)), Err(cut_off())]
        } else {
            vec![Ok(bytes)]
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter(chunks).boxed()),
            meta,
            range,
            attributes: Attributes::default(),
            extensions: object_store::Extensions::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let front = self.clone();
        let delete = move |location: Result<Path>| {
            let front = front.clone();
            async move {
                let location = location?;
                let path = location.to_string();
                let delete = move |objects: &mut Objects, request: Request| {
                    objects.delete(&path, request.sent, objects.now);
                    Ok(())
                };
                front.request("delete", location.as_ref(), delete).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let _ = self.list_all(prefix, None).await?;
        Err(Error::NotImplemented {
            operation: "listings of one level".to_owned(),
            implementer: "simulated".to_owned(),
        })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (source, target) = (from.to_string(), to.to_string());
        let mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            CopyMode::Overwrite => PutMode::Overwrite,
        };
        let copy = move |objects: &mut Objects, request: Request| {
            let bytes = objects
                .get(&source)
                .ok_or_else(|| not_found(&source))?
                .bytes
                .clone();
            let now = objects.now;
            objects.put(
                &target,
                bytes,
                &mode,
                (request.sent, now, now + request.hidden),
            )?;
            Ok(())
        };
        self.request("copy", to.as_ref(), copy).await?;
        Ok(())
    }
}

impl Front {
    async fn list_all(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> Result<Vec<ObjectMeta>> {
        let prefix = prefix.map_or_else(String::new, ToString::to_string);
        let (below, after) = (prefix.clone(), after.cloned());
        let list = move |objects: &mut Objects, _: Request| Ok(objects.list(&below, objects.now));
        let (mut listed, is_cut) = self.request("list", &prefix, list).await?;
        if let Some(after) = after {
            listed.retain(|object| object.location > after);
        }
        if is_cut { Err(cut_off()) } else { Ok(listed) }
    }

    fn listed(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (front, prefix, after) = (self.clone(), prefix.cloned(), after.cloned());
        stream::once(async move { front.list_all(prefix.as_ref(), after.as_ref()).await })
            .flat_map(|listed| {
                let listed = match listed {
                    Ok(listed) => listed.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                stream::iter(listed)
            })
            .boxed()
    }
}

fn cut_off() -> Error {
    Error::Generic {
        store: "simulated",
        source: "request or response body error: end of file before message length reached".into(),
    }
}

fn not_found(path: &str) -> Error {
    Error::NotFound {
        path: path.to_owned(),
        source: "there is no such object".into(),
    }
}
