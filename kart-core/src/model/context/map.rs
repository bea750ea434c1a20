//! `cx.map`: a long loop in pieces that survive.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{self, FuturesOrdered, FuturesUnordered, Stream, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Context;
use super::chunks::{Chunks, ItemKey};
use crate::error::{BoxError, Error, interrupted};
use crate::key::{Key, canonical};

/// How many items run at once by default.
const CONCURRENCY: usize = 8;
/// How often finished items are written by default.
const SAVE_INTERVAL: Duration = Duration::from_secs(30);
/// How much of an item an error shows.
const SHOWN_CHARS: usize = 200;

/// A long loop over items, made by [`Context::map`]: await it for all results in the order of the items, or
/// [`stream`](Self::stream) them.
#[must_use = "a loop does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Map<'a, I, F> {
    context: &'a Context,
    items: I,
    body: F,
    name: String,
    concurrency: usize,
    save_interval: Duration,
}

impl Context {
    /// Does a long loop in pieces that survive: finished items are saved every 30 seconds, in chunks, and
    /// none of them runs again, whatever happens to the machine.
    ///
    /// An item is known by its content (as canonical JSON, like a parameter): another process, another
    /// interval or a longer list makes no finished item run again. Of equal items each runs. Up to 8 items
    /// run at once, on the body's own thread: put CPU-heavy work in its own tasks.
    ///
    /// When the run is stopping, no new item starts, those under way are waited for, and the loop ends as
    /// [interrupted](crate::interrupted) with all finished items saved. What was saved is deleted when the
    /// task's output is published. A loop that takes less than the interval in all saves nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Item`] names the first item that failed; the others that had finished are steps.
    /// [`Error::Saved`] and [`Error::Store`] when they could not be, or could not be restored.
    ///
    /// # Examples
    ///
    /// ```
    /// use kart::{Context, task};
    ///
    /// #[task]
    /// async fn fetch(pages: u32, #[context] cx: &Context) -> kart::Result<Vec<String>> {
    ///     cx.map(0..pages, |page| async move { std::io::Result::Ok(format!("page {page}")) })
    ///         .concurrency(32)
    ///         .await
    /// }
    /// ```
    pub fn map<I, F, Fut, R, E>(&self, items: I, body: F) -> Map<'_, I, F>
    where
        I: IntoIterator,
        F: Fn(I::Item) -> Fut,
        Fut: Future<Output = Result<R, E>>,
    {
        Map {
            context: self,
            items,
            body,
            name: "map".to_owned(),
            concurrency: CONCURRENCY,
            save_interval: SAVE_INTERVAL,
        }
    }
}

/// An item that is to run.
struct Item<T> {
    index: usize,
    key: ItemKey,
    content: T,
}

impl<'a, I, F> Map<'a, I, F> {
    /// Tells the loop from others of the same body; `map` unless it is said.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many items run at once; at least 1.
    pub fn concurrency(mut self, items: usize) -> Self {
        self.concurrency = items.max(1);
        self
    }

    /// Sets how often finished items are written; every 30 seconds by default.
    pub fn save_interval(mut self, interval: Duration) -> Self {
        self.save_interval = interval;
        self
    }

    /// The results in the order of the items, one after the other, for those that do not fit in memory. Held
    /// at once are the results of one interval (or 8 MiB of them), those of the chunk that is being read,
    /// and of as many items as run at once; of the items themselves and of their keys, all.
    pub fn stream<T, R, E, Fut>(self) -> impl Stream<Item = Result<R, Error>> + Send + 'a
    where
        I: IntoIterator<Item = T> + Send + 'a,
        T: Serialize + Send + 'a,
        R: Serialize + DeserializeOwned + Send + 'a,
        E: Into<BoxError> + Send + 'a,
        F: Fn(T) -> Fut + Send + Sync + 'a,
        Fut: Future<Output = Result<R, E>> + Send + 'a,
    {
        let (context, body) = (self.context, self.body);
        let (concurrency, save_interval) = (self.concurrency, self.save_interval);
        let items = keyed(self.items);
        let name = self.name;
        streamed(move |results| {
            Box::pin(async move {
                let steps = context.steps();
                let directory = steps.path(&name, "map")?;
                let _name = steps.begin(&directory)?;
                let mut chunks = Chunks::new(steps, directory);
                let index = chunks.index().await?;
                let mut read: (Option<usize>, HashMap<ItemKey, R>) = (None, HashMap::new());
                let mut items = items?.into_iter();
                let mut running = FuturesOrdered::new();
                let mut due = Instant::now() + save_interval;
                loop {
                    while running.len() < concurrency && !context.is_stopping() {
                        let Some(item) = items.next() else { break };
                        let chunk = index.at.get(&item.key).copied();
                        let (at, key) = (item.index, item.key);
                        let work = chunk
                            .is_none()
                            .then(|| (shown(&item.content), body(item.content)));
                        running.push_back(async move {
                            match work {
                                Some((shown, work)) => (at, key, chunk, Some((shown, work.await))),
                                None => (at, key, chunk, None),
                            }
                        });
                    }
                    let Some((at, key, chunk, result)) = running.next().await else {
                        break;
                    };
                    let result = match (result, chunk) {
                        (Some((_, Ok(result))), _) => {
                            if chunks.note(&key, &result)?
                                || Instant::now() >= due
                                || context.is_stopping()
                            {
                                chunks.flush().await?;
                                due = Instant::now() + save_interval;
                            }
                            result
                        }
                        (Some((shown, Err(error))), _) => {
                            chunks.flush().await?;
                            return Err(failed(at, shown, error));
                        }
                        (None, Some(chunk)) => {
                            if read.0 != Some(chunk) {
                                read = (Some(chunk), chunks.read(&index.chunks[chunk]).await?);
                            }
                            match read.1.remove(&key) {
                                Some(result) => result,
                                None => {
                                    return Err(gone(
                                        steps.workspace.display_url(&index.chunks[chunk]),
                                    ));
                                }
                            }
                        }
                        (None, None) => continue,
                    };
                    if results.send(result).await.is_err() {
                        return Ok(());
                    }
                }
                if items.next().is_some() {
                    chunks.flush().await?;
                    return Err(interrupted().into());
                }
                chunks.finish().await
            })
        })
    }

    async fn collect<T, R, E, Fut>(self) -> Result<Vec<R>, Error>
    where
        I: IntoIterator<Item = T> + Send + 'a,
        T: Serialize + Send + 'a,
        R: Serialize + DeserializeOwned + Send + 'a,
        E: Into<BoxError> + Send + 'a,
        F: Fn(T) -> Fut + Send + Sync + 'a,
        Fut: Future<Output = Result<R, E>> + Send + 'a,
    {
        let (context, body) = (self.context, self.body);
        let steps = context.steps();
        let directory = steps.path(&self.name, "map")?;
        let _name = steps.begin(&directory)?;
        let items = keyed(self.items)?;
        let mut chunks = Chunks::new(steps, directory);
        let mut finished = chunks.results::<R>().await?;
        let mut results: Vec<Option<R>> = Vec::with_capacity(items.len());
        let mut missing = Vec::new();
        for item in items {
            let result = finished.remove(&item.key);
            if result.is_none() {
                missing.push(item);
            }
            results.push(result);
        }
        let mut missing = missing.into_iter();
        let mut running = FuturesUnordered::new();
        let mut due = Instant::now() + self.save_interval;
        loop {
            while running.len() < self.concurrency && !context.is_stopping() {
                let Some(item) = missing.next() else { break };
                let (at, key, shown) = (item.index, item.key, shown(&item.content));
                let work = body(item.content);
                running.push(async move { (at, key, shown, work.await) });
            }
            let next = tokio::select! {
                biased;
                next = running.next() => next,
                () = sleep_until(due), if !running.is_empty() => {
                    chunks.flush().await?;
                    due = Instant::now() + self.save_interval;
                    continue;
                }
                () = context.stopped(), if !running.is_empty() && !context.is_stopping() => {
                    chunks.flush().await?;
                    continue;
                }
            };
            match next {
                None => break,
                Some((at, key, _, Ok(result))) => {
                    if chunks.note(&key, &result)? || context.is_stopping() {
                        chunks.flush().await?;
                    }
                    results[at] = Some(result);
                }
                Some((at, _, shown, Err(error))) => {
                    chunks.flush().await?;
                    return Err(failed(at, shown, error));
                }
            }
        }
        if missing.next().is_some() {
            chunks.flush().await?;
            return Err(interrupted().into());
        }
        chunks.finish().await?;
        Ok(results.into_iter().flatten().collect())
    }
}

/// The items with what they are known by.
fn keyed<T: Serialize>(items: impl IntoIterator<Item = T>) -> Result<Vec<Item<T>>, Error> {
    let mut copies: HashMap<Key, u32> = HashMap::new();
    let mut keyed = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let content = canonical::to_vec(&item).map_err(|error| Error::Item {
            index,
            item: "no key".to_owned(),
            source: error.into(),
        })?;
        let content = Key::of(&content);
        let copies = copies.entry(content).or_default();
        let key = ItemKey {
            content,
            copy: *copies,
        };
        *copies += 1;
        keyed.push(Item {
            index,
            key,
            content: item,
        });
    }
    Ok(keyed)
}

/// An item as an error shows it.
fn shown<T: Serialize>(item: &T) -> String {
    let mut text = serde_json::to_string(item).unwrap_or_default();
    if let Some((cut, _)) = text.char_indices().nth(SHOWN_CHARS) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn failed(index: usize, item: String, error: impl Into<BoxError>) -> Error {
    Error::Item {
        index,
        item,
        source: error.into(),
    }
}

fn gone(location: String) -> Error {
    Error::Saved {
        operation: "read",
        location,
        hint: "it was there when the loop began: run again",
        source: "the object is gone".into(),
    }
}

/// What `make` sends, as a stream that it is driven by; its error comes last.
fn streamed<'a, R: Send + 'a>(
    make: impl FnOnce(mpsc::Sender<R>) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>,
) -> impl Stream<Item = Result<R, Error>> + Send + 'a {
    let (sender, mut results) = mpsc::channel(1);
    let mut driver = Some(make(sender));
    let mut error = None;
    stream::poll_fn(move |cx| {
        loop {
            match results.poll_recv(cx) {
                Poll::Ready(Some(result)) => return Poll::Ready(Some(Ok(result))),
                Poll::Ready(None) => return Poll::Ready(error.take().map(Err)),
                Poll::Pending => {}
            }
            // Without its driver the channel is closed, and above it has been found so.
            let Some(driving) = &mut driver else {
                return Poll::Pending;
            };
            match driving.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    error = result.err();
                    driver = None;
                }
                Poll::Pending => match results.poll_recv(cx) {
                    Poll::Ready(Some(result)) => return Poll::Ready(Some(Ok(result))),
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    })
}

impl<'a, I, T, R, E, F, Fut> IntoFuture for Map<'a, I, F>
where
    I: IntoIterator<Item = T> + Send + 'a,
    T: Serialize + Send + 'a,
    R: Serialize + DeserializeOwned + Send + 'a,
    E: Into<BoxError> + Send + 'a,
    F: Fn(T) -> Fut + Send + Sync + 'a,
    Fut: Future<Output = Result<R, E>> + Send + 'a,
{
    type Output = Result<Vec<R>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.collect())
    }
}
