//! A store in memory that does as a test says before each request.

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use kart::Workspace;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

type Hook = Arc<dyn Fn(&'static str, String) -> BoxFuture<'static, ()> + Send + Sync>;

/// Awaits the hook with each request (`create`, `put`, `get`, `head`, `delete`, `list`) and its path.
#[derive(Clone)]
pub(crate) struct Hooked {
    inner: Arc<InMemory>,
    hook: Hook,
}

impl Hooked {
    pub(crate) fn workspace(
        inner: &Arc<InMemory>,
        hook: impl Fn(&'static str, String) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Workspace {
        let (inner, hook) = (Arc::clone(inner), Arc::new(hook));
        Workspace::from_store(Arc::new(Hooked { inner, hook }), "")
    }

    async fn before(&self, operation: &'static str, path: Option<&Path>) {
        (self.hook)(operation, path.map(Path::to_string).unwrap_or_default()).await;
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl fmt::Display for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hooked:/")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Hooked {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let operation = match options.mode {
            PutMode::Create => "create",
            _ => "put",
        };
        self.before(operation, Some(location)).await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { "head" } else { "get" };
        self.before(operation, Some(location)).await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let hooked = self.clone();
        locations
            .then(move |location| {
                let hooked = hooked.clone();
                async move {
                    let location = location?;
                    hooked.before("delete", Some(&location)).await;
                    ObjectStoreExt::delete(&*hooked.inner, &location).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (hooked, prefix) = (self.clone(), prefix.cloned());
        let listing = async move {
            hooked.before("list", prefix.as_ref()).await;
            hooked.inner.list(prefix.as_ref())
        };
        stream::once(listing).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.before("list", prefix).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
