//! `Dep<T>`: tasks that the caller of a task chose, for a value of type `T`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use super::params::Params;
use super::requires::{Intern, NodeId, Req, Requires, TakeFns, TakenFrom};
use super::task::{DynTask, Task};
use crate::key::{Key, KeyHasher};

/// What gives a task its value of type `P`: another task, or a collection of them, chosen by
/// whoever builds the task.
///
/// A task converts with `.into()`; [`dep`] takes whatever `#[requires(EXPR)]` takes.
/// Cloning is cheap, and what is cloned is shared.
pub struct Dep<P> {
    chosen: Arc<Chosen>,
    fns: TakeFns<P>,
}

struct Chosen {
    /// Its places are indices into `tasks`.
    req: Req,
    tasks: Vec<Arc<dyn DynTask>>,
    fingerprint: Key,
    /// Why the choice makes no sense; told when it is planned.
    refused: Option<String>,
}

/// What a required parameter of type `P` is made from, as a value: a task, an iterable of tasks, an
/// `Option`, an iterable of pairs, a tuple, and nestings.
///
/// # Examples
///
/// ```
/// use kart::task;
///
/// #[task]
/// async fn clean(part: u32) -> kart::Result<String> {
///     Ok(format!("part {part}"))
/// }
///
/// #[task]
/// async fn train(#[requires] parts: &[String], rate: f64) -> kart::Result<f64> {
///     Ok(rate * parts.len() as f64)
/// }
///
/// let train = Train { parts: kart::dep((0..3).map(|part| Clean { part })), rate: 0.1 };
/// ```
pub fn dep<P, M, X>(requirement: X) -> Dep<P>
where
    X: Requires<P, M>,
{
    let mut tasks = Tasks::default();
    let req = requirement.expand(&mut tasks);
    Dep::new(req, tasks, TakeFns::of::<X, M>())
}

#[derive(Default)]
struct Tasks {
    tasks: Vec<Arc<dyn DynTask>>,
    refused: Option<String>,
}

impl Intern for Tasks {
    fn intern(&mut self, task: Arc<dyn DynTask>) -> NodeId {
        self.tasks.push(task);
        // More than `u32::MAX` tasks do not fit into memory: each is at least a fat pointer.
        NodeId(u32::try_from(self.tasks.len() - 1).unwrap_or(u32::MAX))
    }

    fn refuse(&mut self, reason: String) {
        self.refused.get_or_insert(reason);
    }
}

impl<P> Dep<P> {
    fn new(req: Req, Tasks { tasks, refused }: Tasks, fns: TakeFns<P>) -> Self {
        let fingerprint = fingerprint(&req, &tasks);
        Dep {
            chosen: Arc::new(Chosen {
                req,
                tasks,
                fingerprint,
                refused,
            }),
            fns,
        }
    }

    pub(crate) fn req(&self) -> &Req {
        &self.chosen.req
    }

    pub(crate) fn tasks(&self) -> &[Arc<dyn DynTask>] {
        &self.chosen.tasks
    }

    pub(crate) fn refused(&self) -> Option<&String> {
        self.chosen.refused.as_ref()
    }

    pub(crate) fn take_fns(&self) -> TakeFns<P> {
        self.fns
    }

    pub(crate) fn fingerprint(&self) -> Key {
        self.chosen.fingerprint
    }
}

/// Tells one choice of tasks from another. Found as the choice is made, from the fingerprints of
/// the choices within, so that it never descends. A task whose parameters have no canonical form
/// has the fingerprint of nothing; planning reports it.
fn fingerprint(req: &Req, tasks: &[Arc<dyn DynTask>]) -> Key {
    let mut hasher = KeyHasher::default();
    let mut params = Params::default();
    hash_shape(req, &mut hasher);
    for task in tasks {
        if params.read(task.as_ref()).is_ok() {
            hasher.update(params.fingerprint(task.spec().name).as_bytes());
        } else {
            hasher.update(&[0]);
        }
    }
    hasher.finish()
}

fn hash_shape(req: &Req, hasher: &mut KeyHasher) {
    match req {
        Req::Task(_) => {
            hasher.update(b"t");
        }
        Req::Null => {
            hasher.update(b"n");
        }
        Req::List(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| hash_shape(item, hasher));
            hasher.update(b"]");
        }
        Req::Map(map) => {
            hasher.update(b"{");
            for (name, item) in map.names.iter().zip(&map.values) {
                hasher.update(&(name.len() as u64).to_le_bytes());
                hasher.update(name.as_bytes());
                hash_shape(item, hasher);
            }
            hasher.update(b"}");
        }
        Req::Chosen(chosen) => hash_shape(&chosen.req, hasher),
    }
}

impl<P: Send + Sync + 'static> Dep<P> {
    /// One task whose output is an `O`.
    pub(crate) fn from_dyn<O>(task: Arc<dyn DynTask>) -> Self
    where
        P: TakenFrom<O>,
    {
        let tasks = Tasks {
            tasks: vec![task],
            refused: None,
        };
        Dep::new(Req::Task(NodeId(0)), tasks, TakeFns::one::<O>())
    }
}

impl<T, P> From<T> for Dep<P>
where
    T: Task,
    P: TakenFrom<T::Output> + Send + Sync + 'static,
{
    fn from(task: T) -> Self {
        Dep::from_dyn::<T::Output>(Arc::new(task))
    }
}

impl<P> Clone for Dep<P> {
    fn clone(&self) -> Self {
        Dep {
            chosen: Arc::clone(&self.chosen),
            fns: self.fns,
        }
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static GRAVES: RefCell<Option<Vec<Arc<dyn DynTask>>>> = const { RefCell::new(None) };
}

/// How many tasks within tasks are shown.
const SHOWN_DEPTH: u32 = 3;
/// How many tasks of one choice are shown.
const SHOWN_WIDTH: usize = 3;

impl<P> fmt::Debug for Dep<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.tasks();
        let depth = DEPTH.get();
        if depth >= SHOWN_DEPTH {
            return f.write_str("…");
        }
        DEPTH.set(depth + 1);
        let mut result = match (self.req(), tasks) {
            (Req::Task(_), [task]) => task.fmt(f),
            _ => f
                .debug_list()
                .entries(tasks.iter().take(SHOWN_WIDTH))
                .finish(),
        };
        DEPTH.set(depth);
        if tasks.len() > SHOWN_WIDTH {
            result = result.and_then(|()| write!(f, " and {} more", tasks.len() - SHOWN_WIDTH));
        }
        result
    }
}

impl Drop for Chosen {
    /// Drops tasks within tasks one after another: nested drops of a long chain would overflow the
    /// stack. The outermost drop on a thread opens the queue, those within it only add to it.
    fn drop(&mut self) {
        let mut tasks = std::mem::take(&mut self.tasks);
        let is_outermost = GRAVES.try_with(|graves| {
            let mut graves = graves.borrow_mut();
            if let Some(queue) = graves.as_mut() {
                queue.append(&mut tasks);
                return false;
            }
            *graves = Some(Vec::new());
            true
        });
        if is_outermost != Ok(true) {
            return;
        }
        while let Some(task) = tasks.pop() {
            drop(task);
            let _ = GRAVES.try_with(|graves| {
                if let Some(queue) = graves.borrow_mut().as_mut() {
                    tasks.append(queue);
                }
            });
        }
        let _ = GRAVES.try_with(|graves| graves.borrow_mut().take());
    }
}
