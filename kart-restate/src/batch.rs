//! Orders that travel together. Nothing of their identity is in it: each is skipped, stored and answered by itself.

use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kart_core::{Answer, BoxError, Order, permanent};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::ingress::Ingress;
use crate::wire;

/// How long an order waits for others to go with.
const WAIT: Duration = Duration::from_millis(10);

type Reply = oneshot::Sender<Result<Answer, BoxError>>;

/// Collects orders, and sends them together.
#[derive(Debug)]
pub(crate) struct Batches {
    shared: Arc<Shared>,
    size: usize,
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
    orders: Vec<(Order, Reply)>,
    /// Sends what there is after a while.
    timer: Option<AbortHandle>,
}

impl Batches {
    pub(crate) fn new(ingress: Arc<Ingress>, size: usize, nonce: String) -> Self {
        let shared = Shared {
            ingress,
            nonce,
            sent: AtomicU64::new(0),
            waiting: Mutex::default(),
        };
        Batches {
            shared: Arc::new(shared),
            size,
        }
    }

    pub(crate) async fn attempt(&self, order: Order) -> Result<Answer, BoxError> {
        let (reply, answer) = oneshot::channel();
        self.add(order, reply);
        answer.await?
    }

    fn add(&self, order: Order, reply: Reply) {
        let mut waiting = self.shared.lock();
        waiting.orders.push((order, reply));
        if waiting.orders.len() >= self.size {
            self.shared.send(&mut waiting);
        } else if waiting.timer.is_none() {
            let shared = Arc::clone(&self.shared);
            let timer = tokio::spawn(async move {
                sleep(WAIT).await;
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
        let orders = std::mem::take(&mut waiting.orders);
        if !orders.is_empty() {
            let shared = Arc::clone(self);
            tokio::spawn(async move { shared.call(orders).await });
        }
    }

    async fn call(&self, orders: Vec<(Order, Reply)>) {
        let (orders, replies): (Vec<Order>, Vec<Reply>) = orders.into_iter().unzip();
        // No two batches are the same, so that none is found again but by the request that is repeated.
        let key = format!(
            "{}-{}",
            self.nonce,
            self.sent.fetch_add(1, Ordering::Relaxed)
        );
        let answers: Result<Vec<Answer>, BoxError> =
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
