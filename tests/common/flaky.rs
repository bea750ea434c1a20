//! A bucket whose requests fail where a test says so, before their effect, after it, or in the midst of the answer.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use kart::Workspace;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It has no effect, and its answer is an error with that text.
    Refuse(&'static str),
    /// It has its effect, and the answer is lost.
    LoseAnswer,
    /// It takes that long before it has its effect.
    Delay(Duration),
    /// The answer ends in its midst.
    CutOff,
}

struct Expected {
    operation: &'static str,
    path: &'static str,
    times: usize,
    fault: Fault,
}

#[derive(Clone, Default)]
pub(crate) struct Flaky {
    inner: Arc<InMemory>,
    expected: Arc<Mutex<Vec<Expected>>>,
    requests: Arc<Mutex<Vec<String>>>,
    aged: Arc<Mutex<Option<&'static str>>>,
}

impl Flaky {
    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::from_store(Arc::new(self.clone()), "")
    }

    /// Fails the next requests of that kind (`put`, `get`, `delete`, `list`, `copy`) on paths that begin so.
    pub(crate) fn fail(
        &self,
        operation: &'static str,
        path: &'static str,
        times: usize,
        fault: Fault,
    ) {
        self.expected.lock().unwrap().push(Expected {
            operation,
            path,
            times,
            fault,
        });
    }

    /// Lists objects with paths that begin so as a day older than they are.
    pub(crate) fn age(&self, path: &'static str) {
        *self.aged.lock().unwrap() = Some(path);
    }

    /// Lets every request through from now on.
    pub(crate) fn recover(&self) {
        self.expected.lock().unwrap().clear();
    }

    /// The requests since this was last asked, as `get a/b`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    fn fault(&self, operation: &str, path: &str) -> Option<Fault> {
        let request = format!("{operation} {path}");
        self.requests.lock().unwrap().push(request);
        let mut expected = self.expected.lock().unwrap();
        let found = expected
            .iter_mut()
            .find(|it| it.operation == operation && path.starts_with(it.path) && it.times > 0)?;
        found.times = found.times.saturating_sub(1);
        Some(found.fault)
    }

    async fn pass<T>(
        &self,
        operation: &str,
        path: &Path,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.fault(operation, path.as_ref()) {
            None => request.await,
            Some(Fault::Refuse(text)) => Err(failed(text)),
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                request.await
            }
            Some(Fault::LoseAnswer | Fault::CutOff) => {
                let _ = request.await;
                Err(failed("error sending request: connection reset by peer"))
            }
        }
    }
}

fn failed(text: &'static str) -> Error {
    Error::Generic {
        store: "Flaky",
        source: text.into(),
    }
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky:/")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let put = self.inner.put_opts(location, payload, options);
        self.pass("put", location, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let put = self.inner.put_multipart_opts(location, options);
        self.pass("put", location, put).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.fault("get", location.as_ref());
        if let Some(Fault::Refuse(text)) = fault {
            return Err(failed(text));
        }
        let mut object = self.inner.get_opts(location, options).await?;
        if fault.is_some() {
            let half = (object.range.end - object.range.start) / 2;
            let payload = std::mem::replace(
                &mut object.payload,
                GetResultPayload::Stream(stream::empty().boxed()),
            );
            #[allow(irrefutable_let_patterns, reason = "there are files too with `fs`")]
            let GetResultPayload::Stream(body) = payload else {
                panic!("memory gives a stream");
            };
            let body: Vec<_> = body.try_collect().await?;
            let whole = bytes::Bytes::from(body.concat());
            let half = whole.slice(..usize::try_from(half).unwrap());
            let cut = stream::iter([Ok(half), Err(failed("error decoding response body"))]);
            object.payload = GetResultPayload::Stream(cut.boxed());
        }
        Ok(object)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let flaky = self.clone();
        locations
            .then(move |location| {
                let flaky = flaky.clone();
                async move {
                    let location = location?;
                    let delete = object_store::ObjectStoreExt::delete(&*flaky.inner, &location);
                    flaky.pass("delete", &location, delete).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let aged = *self.aged.lock().unwrap();
        let objects = self.inner.list(prefix).map_ok(move |mut object| {
            if aged.is_some_and(|aged| object.location.as_ref().starts_with(aged)) {
                object.last_modified -= Duration::from_hours(24);
            }
            object
        });
        match self.fault("list", prefix.map_or("", AsRef::as_ref)) {
            None => objects.boxed(),
            Some(Fault::Refuse(text)) => stream::iter([Err(failed(text))]).boxed(),
            Some(_) => objects
                .take(1)
                .chain(stream::iter([Err(failed("error decoding response body"))]))
                .boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = self.inner.copy_opts(from, to, options);
        self.pass("copy", to, copy).await
    }
}
