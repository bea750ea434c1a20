//! The store as one process sees it: every request takes its time and may meet a fault, and a process that was
//! killed is neither heard nor answered any more.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::faults::Kind;
use super::objects::{Objects, Sent};
use super::roll::Roll;
use super::world::World;

/// Whether requests of a process get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Up,
    /// It stands still: neither its requests nor the answers get through for a while.
    Paused,
    Dead,
}

/// What happens to a process at one of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trap {
    /// Which request, from now on.
    pub(super) at: u64,
    /// Whether it happens after the request has taken effect.
    pub(super) after: bool,
}

#[derive(Clone)]
pub(super) struct Front(Arc<Inner>);

struct Inner {
    world: Arc<World>,
    life: usize,
    seed: u64,
    requests: AtomicU64,
    mode: Mutex<Mode>,
    changed: Notify,
    trap: Mutex<Option<Trap>>,
    sprung: Notify,
}

impl Front {
    pub(super) fn new(world: &Arc<World>, life: usize) -> Self {
        Front(Arc::new(Inner {
            world: Arc::clone(world),
            life,
            seed: world.seed_of(life),
            requests: AtomicU64::new(0),
            mode: Mutex::new(Mode::Up),
            changed: Notify::new(),
            trap: Mutex::default(),
            sprung: Notify::new(),
        }))
    }

    pub(super) fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    pub(super) fn life(&self) -> usize {
        self.0.life
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = mode;
        self.0.changed.notify_waiters();
    }

    /// Waits while the process stands still; for ever once it is dead.
    pub(super) async fn up(&self) {
        while *self.0.mode.lock().unwrap() != Mode::Up {
            self.0.changed.notified().await;
        }
    }

    pub(super) fn set_trap(&self, trap: Option<Trap>) {
        *self.0.trap.lock().unwrap() = trap;
    }

    /// Waits until the process has come to its trap.
    pub(super) async fn sprung(&self) {
        self.0.sprung.notified().await;
    }

    /// Springs the trap that is set for this request; the process stands still until it is known what for.
    async fn step(&self, after: bool) {
        let is_due = {
            let mut trap = self.0.trap.lock().unwrap();
            match trap.as_mut() {
                Some(due) if due.after == after && due.at == 0 => trap.take().is_some(),
                Some(due) if due.after == after => {
                    due.at -= 1;
                    false
                }
                _ => false,
            }
        };
        if is_due {
            self.set(Mode::Paused);
            self.0.sprung.notify_one();
        }
        self.up().await;
    }

    /// Sends a request; gives with its answer whether the body of it is cut off.
    async fn request<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        effect: impl FnOnce(&mut Objects, Request) -> Result<T> + Send + 'static,
    ) -> Result<(T, bool)> {
        let world = &self.0.world;
        self.step(false).await;
        let sent = Sent {
            by: self.life(),
            at: world.now(),
        };
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed);
        let roll = Roll::new(self.0.seed, number, world, operation);
        world.request(sent, operation, path, &roll);
        for _ in 0..roll.yields {
            yield_now().await;
        }
        sleep(roll.way).await;
        if roll.is_refused {
            return Err(refusal());
        }
        if roll.has(Kind::LostBefore) {
            return Err(lost());
        }
        let request = Request {
            sent,
            hidden: roll.hidden,
        };
        let answer = if let Some(late) = roll.late {
            let (answer, answered) = oneshot::channel();
            let arriving = world.arriving();
            tokio::spawn(async move {
                sleep(late).await;
                // Whoever sent it may have given up long ago.
                let _ = answer.send(arriving.apply(request, effect));
            });
            answered.await.unwrap_or_else(|_| Err(lost()))
        } else {
            self.up().await;
            world.apply(request, effect)
        };
        self.step(true).await;
        sleep(roll.back).await;
        self.up().await;
        if roll.has(Kind::LostAfter) {
            return Err(lost());
        }
        Ok((answer?, roll.has(Kind::Truncated)))
    }

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
}

/// A request that has come to the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) sent: Sent,
    /// For how long listings do not show what it writes.
    pub(super) hidden: Duration,
}

fn lost() -> Error {
    Error::Generic {
        store: "simulated",
        source: "error sending request: connection reset by peer".into(),
    }
}

fn cut_off() -> Error {
    Error::Generic {
        store: "simulated",
        source: "request or response body error: end of file before message length reached".into(),
    }
}

fn refusal() -> Error {
    Error::Generic {
        store: "simulated",
        source: "Server returned non-2xx status code: 503 Service Unavailable: SlowDown".into(),
    }
}

fn not_found(path: &str) -> Error {
    Error::NotFound {
        path: path.to_owned(),
        source: "there is no such object".into(),
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Front").field(&self.0.life).finish()
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
        let (start, end) = (range.start as usize, range.end as usize);
        let bytes = bytes.slice(start..end);
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
