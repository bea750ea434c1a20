//! Orders that travel together. Nothing of their identity is in it: each is skipped, stored and answered by itself.
//!
//! Each is written once, as soon as it comes: so it is known how large they are together, and the engine, which takes
//! no request of more than 32 MiB, never refuses many where it would take each.

use std::error::Error as StdError;
use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kart_core::{AttemptRequest, AttemptResponse, BoxError, permanent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::ingress::Ingress;
use crate::wire;

/// Which tasks travel together: whoever comes first waits for others, until they are so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Batch {
    /// How many go together at most.
    pub size: NonZero<usize>,
    /// How long the first waits.
    pub wait: Duration,
}

impl Batch {
    /// As many as that, or what has come 10 ms after the first.
    #[must_use]
    pub fn of(size: NonZero<usize>) -> Self {
        Batch {
            size,
            wait: Duration::from_millis(10),
        }
    }

    /// What comes within that time, and a hundred at most, so that all workers have some.
    #[must_use]
    pub fn within(wait: Duration) -> Self {
        Batch {
            size: NonZero::new(100).unwrap_or(NonZero::<usize>::MIN),
            wait,
        }
    }
}

/// A batch that has as many bytes goes at once.
const LARGE_BYTES: usize = 1 << 20;

type Reply = oneshot::Sender<Result<AttemptResponse, BoxError>>;

/// Collects orders, and sends them together.
#[derive(Debug)]
pub(crate) struct Batches {
    shared: Arc<Shared>,
    batch: Batch,
}

#[derive(Debug)]
struct Shared {
    ingress: Arc<Ingress>,
    nonce: String,
    sent: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: Vec<Box<RawValue>>,
    replies: Vec<Reply>,
    bytes: usize,
    /// Sends what there is after a while.
    timer: Option<AbortHandle>,
}

impl Batches {
    pub(crate) fn new(ingress: Arc<Ingress>, batch: Batch, nonce: String) -> Self {
        let shared = Shared {
            ingress,
            nonce,
            sent: AtomicU64::new(0),
            waiting: Mutex::default(),
        };
        Batches {
            shared: Arc::new(shared),
            batch,
        }
    }

    pub(crate) async fn attempt(
        &self,
        order: &AttemptRequest,
    ) -> Result<AttemptResponse, BoxError> {
        let order = serde_json::value::to_raw_value(order).map_err(permanent)?;
        let (reply, answer) = oneshot::channel();
        self.add(order, reply);
        answer.await?
    }

    fn add(&self, order: Box<RawValue>, reply: Reply) {
        let mut waiting = self.shared.lock();
        let bytes = order.get().len();
        if waiting.bytes + bytes > LARGE_BYTES {
            self.shared.send(&mut waiting);
        }
        waiting.bytes += bytes;
        waiting.orders.push(order);
        waiting.replies.push(reply);
        if waiting.orders.len() >= self.batch.size.get() {
            self.shared.send(&mut waiting);
        } else if waiting.timer.is_none() {
            let shared = Arc::clone(&self.shared);
            let wait = self.batch.wait;
            let timer = tokio::spawn(async move {
                sleep(wait).await;
                let mut waiting = shared.lock();
                shared.send(&mut waiting);
            });
            waiting.timer = Some(timer.abort_handle());
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends all that wait.
    fn send(self: &Arc<Self>, waiting: &mut Waiting) {
        if let Some(timer) = waiting.timer.take() {
            timer.abort();
        }
        let Waiting {
            orders, replies, ..
        } = std::mem::take(waiting);
        if !orders.is_empty() {
            let shared = Arc::clone(self);
            tokio::spawn(async move { shared.call(orders, replies).await });
        }
    }

    async fn call(&self, orders: Vec<Box<RawValue>>, replies: Vec<Reply>) {
        // No two batches are the same, so that none is found again but by the request that is repeated.
        let key = format!(
            "{}-{}",
            self.nonce,
            self.sent.fetch_add(1, Ordering::Relaxed)
        );
        let answers: Result<Vec<AttemptResponse>, BoxError> =
            self.ingress.call(wire::BATCHES, &key, &orders).await;
        let answers = answers.and_then(|answers| {
            if answers.len() == replies.len() {
                return Ok(answers);
            }
            Err(permanent("the worker has not answered all that it was asked").into())
        });
        match answers {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // Who waits no longer takes no answer.
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for reply in replies {
                    let _ = reply.send(Err(Common(Arc::clone(&error)).into()));
                }
            }
        }
    }
}

/// The error of a whole batch, for each order of it.
#[derive(Clone, Debug)]
struct Common(Arc<BoxError>);

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Common {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
