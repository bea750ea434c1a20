//! What every task can do by itself.

use std::sync::Arc;

use super::graph::{Graph, describe};
use super::limits::ExpandLimits;
use crate::error::Error;
use crate::key::Key;
use crate::model::{AnyTask, Artifact, Handle, LoadError, Loader, StoredOutput, Task, TaskSpec};
use crate::workspace::{OutputAddress, Provenance, Workspace};

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
            Ok(needs.statuses.iter().all(|(_, need)| need.is_complete()))
        }
    }

    /// The output, read from the workspace.
    ///
    /// # Errors
    ///
    /// Those of [`try_key`](Self::try_key); [`Error::Missing`] if there is no output,
    /// [`Error::Store`] if it cannot be read, [`Error::Decode`] if it cannot be decoded, [`Error::TypeChanged`] if it has a
    /// field that its type does not have.
    fn load(
        &self,
        workspace: &Workspace,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send {
        let output = graph(self).and_then(|graph| output_in(&graph, workspace));
        let loader = Loader::of(self);
        async move {
            let handle = Handle {
                output: output?,
                loader,
                name: Self::__spec().name,
                type_changes: Arc::default(),
            };
            Artifact::new(handle).load().await
        }
    }

    /// Returns the output of the task in a workspace, whether it is there or not.
    ///
    /// # Errors
    ///
    /// Those of [`try_key`](Self::try_key).
    fn stored(&self, workspace: &Workspace) -> Result<StoredOutput, Error> {
        output_in(&graph(self)?, workspace)
    }

    /// Deletes the output and all that the task has saved for its own resumption, so that the task is to be run again;
    /// whether there was an output.
    ///
    /// # Errors
    ///
    /// Those of [`try_key`](Self::try_key), and [`Error::Store`] if it cannot be deleted.
    fn remove(&self, workspace: &Workspace) -> impl Future<Output = Result<bool, Error>> + Send {
        let found =
            graph(self).and_then(|graph| Ok((found_in(&graph)?.0, output_in(&graph, workspace)?)));
        async move {
            let (key, output) = found?;
            remove(key, &output).await
        }
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

    /// Takes what lies at the path for the output of the task from now on, such as one that somebody has edited; returns what
    /// is recorded of it.
    ///
    /// # Errors
    ///
    /// Those of [`TaskExt::try_key`]; [`Error::Missing`] if nothing is there, [`Error::Decode`] if it is no output in the task's
    /// format, [`Error::OtherKey`] if it is the output of another task, [`Error::Store`] if it cannot be recorded.
    pub async fn accept(&self, workspace: &Workspace) -> Result<Provenance, Error> {
        let stored = self.stored(workspace)?;
        if !self.as_dyn().is_file()
            && let Some(bytes) = workspace.read(stored.path()).await?
            && let Err(source) = self.show(bytes)
        {
            return Err(stored.failed(LoadError::Decode(source)));
        }
        stored.accept(self.spec().name).await
    }

    /// Deletes the output and all that the task has saved; whether there was an output. See [`TaskExt::remove`].
    ///
    /// # Errors
    ///
    /// Those of [`TaskExt::remove`].
    pub async fn remove(&self, workspace: &Workspace) -> Result<bool, Error> {
        remove(self.try_key()?, &self.stored(workspace)?).await
    }

    /// Returns the output of the task in a workspace, whether it is there or not.
    ///
    /// # Errors
    ///
    /// Those of [`TaskExt::try_key`].
    pub fn stored(&self, workspace: &Workspace) -> Result<StoredOutput, Error> {
        output_in(&self.graph()?, workspace)
    }

    fn found(&self) -> Result<(Key, OutputAddress), Error> {
        found_in(&self.graph()?)
    }

    fn graph(&self) -> Result<Graph, Error> {
        Graph::expand(vec![self.clone().into_dyn()], &ExpandLimits::default())
    }
}

async fn remove(key: Key, output: &StoredOutput) -> Result<bool, Error> {
    let removed = output.remove().await?;
    output.workspace.remove_saved_state(key).await?;
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

fn output_in(graph: &Graph, workspace: &Workspace) -> Result<StoredOutput, Error> {
    let node = graph.node(graph.roots[0]);
    Ok(StoredOutput {
        workspace: workspace.clone(),
        task: describe(node.task.as_ref()).into(),
        address: node.address()?,
        verifier: Arc::default(),
    })
}
