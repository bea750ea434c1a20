//! Bodies of plain functions as coroutines: each has a thread of its own, and only one thread of a history ever runs. So a
//! body that waits in `block_on` waits in virtual time, and everything happens in one order.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;

use tokio::runtime::Handle;

use crate::error::BoxError;
use crate::model::{Attempt, Erased};

type Outcome = Result<Erased, BoxError>;
type Body = Box<dyn FnOnce() -> Outcome + Send>;

thread_local! {
    static IS_ACTIVE: Cell<bool> = const { Cell::new(false) };
    /// The threads that wait for a body.
    static IDLE: RefCell<Vec<Hand>> = const { RefCell::new(Vec::new()) };
    /// In the thread of a body: how it waits.
    static TURNS: RefCell<Option<Turns>> = const { RefCell::new(None) };
}

/// What a body's thread is told.
enum Order {
    Begin {
        body: Body,
        runtime: Handle,
        waker: Waker,
        seed: u64,
    },
    GoOn(Waker),
    /// Nobody drives it any more.
    Unwind,
}

/// What a body's thread says when it has had its turn.
enum Said {
    Waits,
    Done(thread::Result<Outcome>),
}

struct Hand {
    orders: Sender<Order>,
    said: Receiver<Said>,
}

struct Turns {
    orders: Receiver<Order>,
    said: Sender<Said>,
    waker: Waker,
}

/// Makes this thread one that simulates, as long as the value lives.
pub(super) struct Active;

impl Active {
    pub(super) fn new() -> Self {
        IS_ACTIVE.set(true);
        Active
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        IS_ACTIVE.set(false);
    }
}

/// Whether this thread simulates: then whatever would have a thread of its own runs within the runtime.
pub(crate) fn is_active() -> bool {
    IS_ACTIVE.get()
}

/// Runs a plain body. Dropped, it lets the body go on to its end, as a thread does.
pub(crate) fn run(body: impl FnOnce() -> Outcome + Send + 'static) -> Attempt {
    let body: Body = Box::new(body);
    Box::pin(async move {
        match tokio::spawn(Coroutine {
            body: Some(body),
            hand: None,
        })
        .await
        {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                Err(error) => Err(error.into()),
            },
        }
    })
}

/// Waits in the thread of a simulated body; gives the future back where this is none.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, F> {
    let Some(turns) = TURNS.take() else {
        return Err(future);
    };
    // They are put back when the body unwinds, too.
    let mut waiting = Waiting(Some(turns));
    Ok(waiting.0.as_mut().expect("they are here").wait(future))
}

struct Waiting(Option<Turns>);

impl Drop for Waiting {
    fn drop(&mut self) {
        TURNS.set(self.0.take());
    }
}

impl Turns {
    fn wait<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&self.waker))
            {
                return output;
            }
            let _ = self.said.send(Said::Waits);
            match self.orders.recv() {
                Ok(Order::GoOn(waker)) => self.waker = waker,
                _ => resume_unwind(Box::new("nobody drives this body any more")),
            }
        }
    }
}

struct Coroutine {
    body: Option<Body>,
    hand: Option<Hand>,
}

impl Future for Coroutine {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let waker = cx.waker().clone();
        let order = match self.body.take() {
            Some(body) => Order::Begin {
                body,
                runtime: Handle::current(),
                waker,
                seed: fastrand::u64(..),
            },
            None => Order::GoOn(waker),
        };
        let hand = self.hand.get_or_insert_with(hand);
        let _ = hand.orders.send(order);
        match hand.said.recv() {
            Ok(Said::Done(outcome)) => {
                self.give_back();
                Poll::Ready(outcome.unwrap_or_else(|payload| resume_unwind(payload)))
            }
            _ => Poll::Pending,
        }
    }
}

impl Coroutine {
    fn give_back(&mut self) {
        if let Some(hand) = self.hand.take() {
            IDLE.with_borrow_mut(|idle| idle.push(hand));
        }
    }
}

impl Drop for Coroutine {
    fn drop(&mut self) {
        if let Some(hand) = &self.hand {
            let _ = hand.orders.send(Order::Unwind);
            while let Ok(Said::Waits) = hand.said.recv() {
                let _ = hand.orders.send(Order::Unwind);
            }
            self.give_back();
        }
    }
}

fn hand() -> Hand {
    if let Some(hand) = IDLE.with_borrow_mut(Vec::pop) {
        return hand;
    }
    let (order, orders) = channel();
    let (say, said) = channel();
    thread::spawn(move || serve(orders, say));
    Hand {
        orders: order,
        said,
    }
}

fn serve(mut orders: Receiver<Order>, mut said: Sender<Said>) {
    while let Ok(order) = orders.recv() {
        let Order::Begin {
            body,
            runtime,
            waker,
            seed,
        } = order
        else {
            continue;
        };
        fastrand::seed(seed);
        TURNS.set(Some(Turns {
            orders,
            said,
            waker,
        }));
        let outcome = {
            let _entered = runtime.enter();
            catch_unwind(AssertUnwindSafe(body))
        };
        let Some(turns) = TURNS.take() else { return };
        (orders, said) = (turns.orders, turns.said);
        let _ = said.send(Said::Done(outcome));
    }
}
