//! What every task can do by itself.

use std::sync::Arc;

use super::graph::{Graph, describe};
use super::limits::ExpandLimits;
use crate::error::Error;
use crate::key::Key;
use crate::model::{AnyTask, LoadError, Loader, Task, TaskSpec};
use crate::workspace::{OutputAddress, Workspace};

mod sealed {
    pub trait Sealed {}
    impl<T: crate::model::Task> Sealed for T {}
}

/// A task's key, path and output; `use kart::TaskExt;` gives them to every task.
///
/// Finding a key expands everything that the task requires.
///
/// # Examples
///
/// ```
/// use kart::{TaskExt as _, Workspace, task};
///
/// #[task(path = "{day}.txt")]
/// async fn page(day: &str) -> kart::Result<String> {
///     Ok(format!("{day}: fine"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let workspace = Workspace::open("memory://")?;
/// let page = Page { day: "monday".into() };
/// assert_eq!(page.path(), "monday.txt");
/// assert!(!page.is_complete(&workspace).await?);
/// kart::build(page.clone(), &workspace).await?;
/// assert_eq!(page.load(&workspace).await?, "monday: fine");
/// assert!(page.remove(&workspace).await?);
/// # Ok(())
/// # }
/// ```
pub trait TaskExt: Task + sealed::Sealed {
    /// What is known of the task apart from its parameters' values.
    fn spec() -> &'static TaskSpec {
        Self::__spec()
    }

    /// The task's key.
    ///
    /// # Panics
    ///
    /// If there is none; see [`try_key`](Self::try_key).
    fn key(&self) -> Key {
        match self.try_key() {
            Ok(key) => key,
            Err(error) => panic!("{error}"),
        }
    }

    /// The task's key.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if a parameter has no canonical form, such as NaN; [`Error::Cycle`] if the
    /// task requires itself through others.
    fn try_key(&self) -> Result<Key, Error> {
        found(self).map(|(key, _)| key)
    }

    /// Where the output goes, relative to the workspace.
    ///
    /// # Panics
    ///
    /// If the task has no key; see [`try_key`](Self::try_key).
    fn path(&self) -> String {
        match found(self) {
            Ok((_, address)) => address.path.to_string(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether the output is there, and was made by this task.
    ///
    /// # Errors
    ///
    /// Those of [`try_key`](Self::try_key), and [`Error::Store`] if the store does not answer.
    fn is_complete(
        &self,
        workspace: &Workspace,
    ) -> impl Future<Output = Result<bool, Error>> + Send {
        let graph = graph(self);
        async move {
            let graph = graph?;
            let needs =
                super::survey::check_outputs(&graph, graph.roots.clone(), workspace).await?;
            Ok(needs.iter().all(|(_, need)| need.is_complete()))
        }
    }

    /// The output, read from the workspace.
    ///
    /// # Errors
    ///
    /// Those of [`try_key`](Self::try_key); [`Error::Missing`] if there is no output,
    /// [`Error::Store`] if it cannot be read, [`Error::Decode`] if it cannot be decoded.
    fn load(
        &self,
        workspace: &Workspace,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send {
        let found = found(self);
        let task = describe(self);
        let loader = Loader::of(self);
        async move {
            let (_, address) = found?;
            let failed = |error: LoadError| {
                let location = workspace.display_url(&address.path);
                error.of(task.clone(), location)
            };
            let loaded = loader.load(workspace, &address).await;
            let (output, _) = loaded.map_err(failed)?;
            let output = output.downcast().ok().and_then(Arc::into_inner);
            output.ok_or_else(|| {
                let reason = "the value has another type than its task's output: a bug in kart";
                failed(LoadError::Decode(reason.into()))
            })
        }
    }

    /// Deletes the output and all that the task has saved for its own resumption, so that the task is to be run again;
    /// whether there was an output.
    ///
    /// # Errors
    ///
    /// Those of [`try_key`](Self::try_key), and [`Error::Store`] if it cannot be deleted.
    fn remove(&self, workspace: &Workspace) -> impl Future<Output = Result<bool, Error>> + Send {
        let found = found(self);
        let task = describe(self);
        async move { remove(found?, task, workspace).await }
    }
}

impl<T: Task> TaskExt for T {}

impl AnyTask {
    /// The task's key.
    ///
    /// # Errors
    ///
    /// Those of [`TaskExt::try_key`].
    pub fn try_key(&self) -> Result<Key, Error> {
        self.found().map(|(key, _)| key)
    }

    /// Where the output goes, relative to the workspace.
    ///
    /// # Errors
    ///
    /// Those of [`TaskExt::try_key`].
    pub fn try_path(&self) -> Result<String, Error> {
        self.found().map(|(_, address)| address.path.to_string())
    }

    /// Deletes the output and all that the task has saved; whether there was an output. See [`TaskExt::remove`].
    ///
    /// # Errors
    ///
    /// Those of [`TaskExt::remove`].
    pub async fn remove(&self, workspace: &Workspace) -> Result<bool, Error> {
        remove(self.found()?, format!("{self:?}"), workspace).await
    }

    fn found(&self) -> Result<(Key, OutputAddress), Error> {
        let roots = vec![self.clone().into_dyn()];
        found_in(&Graph::expand(roots, &ExpandLimits::default())?)
    }
}

async fn remove(
    (key, address): (Key, OutputAddress),
    task: String,
    workspace: &Workspace,
) -> Result<bool, Error> {
    let removed = address.remove(workspace).await;
    let removed = removed.map_err(|error| error.of(task, workspace.display_url(&address.path)))?;
    workspace.remove_saved_state(key).await?;
    Ok(removed)
}

fn graph<T: Task>(task: &T) -> Result<Graph, Error> {
    Graph::expand(vec![Arc::new(task.clone())], &ExpandLimits::default())
}

fn found<T: Task>(task: &T) -> Result<(Key, OutputAddress), Error> {
    found_in(&graph(task)?)
}

fn found_in(graph: &Graph) -> Result<(Key, OutputAddress), Error> {
    let node = graph.node(graph.roots[0]);
    Ok((node.key, node.address()?))
}
