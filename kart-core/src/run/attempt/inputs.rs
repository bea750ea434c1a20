//! The inputs of a body, from the output cache or from the workspace.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::{BoxError, Error};
use crate::model::{
    Erased, Handle, How, Input, LoadError, Loader, NodeId, Stored, StoredOutput, Value, Want,
};
use crate::plan::{Node, Status, describe};
use crate::run::message::AttemptEnd;
use crate::run::output_cache::Cached;
use crate::run::run_context::RunContext;
use crate::workspace::OutputAddress;

/// How many shared outputs one attempt loads at once.
const LOADS: usize = 64;

/// Why an input could not be loaded.
#[derive(Debug)]
pub(crate) enum LoadFailure {
    /// Its task is complete, but the output is gone or has to be made again: its status.
    Vanished(NodeId, Status, Error),
    Failed(BoxError),
}

impl LoadFailure {
    pub(crate) fn into_error(self) -> Error {
        match self {
            LoadFailure::Vanished(_, _, error) => error,
            LoadFailure::Failed(error) => match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => Error::Wire(crate::error::chain(error.as_ref())),
            },
        }
    }
}

impl From<Error> for LoadFailure {
    fn from(error: Error) -> Self {
        LoadFailure::Failed(error.into())
    }
}

impl RunContext {
    /// Loads the arguments for the required parameters of a body.
    pub(crate) async fn load(&self, node: &Node) -> Result<Vec<Option<Input>>, LoadFailure> {
        let mut wants = Vec::new();
        for requirement in &node.requires {
            (requirement.want)(&requirement.req, &mut wants);
        }
        let mut values = self.values(&wants).await?.into_iter();
        node.requires
            .iter()
            .map(|requirement| (requirement.take)(&requirement.req, &mut values).map(Some))
            .collect::<Result<_, BoxError>>()
            .map_err(LoadFailure::Failed)
    }

    /// Returns the wanted values in order. Handles need no load, cached outputs no request, shared outputs may be loading for
    /// other attempts too, and the rest is loaded in bulk.
    async fn values(&self, wants: &[Want]) -> Result<Vec<Value>, LoadFailure> {
        let mut values: Vec<Option<Value>> = Vec::with_capacity(wants.len());
        let mut alone = Vec::new();
        let mut together = Vec::new();
        for (at, want) in wants.iter().enumerate() {
            let is_alone = want.how == How::Owned || self.outputs.has_one_consumer(want.node);
            let cached = match want.how {
                How::Handle => {
                    values.push(Some(Value::Handle(self.handle(want.node)?)));
                    continue;
                }
                How::Owned => self.outputs.take(want.node),
                How::Shared => self.outputs.get(want.node),
            };
            values.push(match cached {
                Some(Cached::Value(value)) => Some(Value::Output(value)),
                Some(Cached::Stored(stored)) if is_alone => {
                    Some(Value::Output(self.decode(want.node, stored).await?))
                }
                _ => {
                    let loads = if is_alone { &mut alone } else { &mut together };
                    loads.push((at, want.node));
                    None
                }
            });
        }
        let shared: Vec<(usize, Erased)> =
            stream::iter(together)
                .map(|(at, node)| async move {
                    Ok::<_, LoadFailure>((at, self.load_shared(node).await?))
                })
                .buffer_unordered(LOADS)
                .try_collect()
                .await?;
        let alone = self.load_all(alone).await?;
        for (at, output) in shared.into_iter().chain(alone) {
            values[at] = Some(Value::Output(output));
        }
        Ok(values.into_iter().flatten().collect())
    }

    /// Loads the output of a complete task.
    pub(crate) async fn output(&self, node: NodeId) -> Result<Erased, LoadFailure> {
        match self.outputs.get(node) {
            Some(Cached::Value(value)) => Ok(value),
            _ => self.load_shared(node).await,
        }
    }

    async fn load_shared(&self, node: NodeId) -> Result<Erased, LoadFailure> {
        let cell = self.outputs.single_flight(node);
        let load = async || {
            let (value, size) = match self.outputs.get(node) {
                Some(Cached::Value(value)) => return Ok(value),
                Some(Cached::Stored(stored)) => {
                    let size = stored.size().unwrap_or_default();
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    (self.decode(node, stored).await?, size)
                }
                None => self.load_one(node).await?,
            };
            self.outputs.share(node, &value, size);
            Ok::<_, LoadFailure>(value)
        };
        let output = cell.get_or_try_init(load).await.cloned();
        self.outputs.end_flight(node);
        output
    }

    async fn decode(&self, id: NodeId, stored: Stored) -> Result<Erased, LoadFailure> {
        let node = self.graph.node(id);
        let value = stored.value(node.task.as_ref()).await;
        self.check(id, &node.path()?, value)
    }

    async fn load_one(&self, id: NodeId) -> Result<(Erased, usize), LoadFailure> {
        let node = self.graph.node(id);
        let address = node.address()?;
        let loaded = Loader::of(node.task.as_ref());
        let loaded = loaded.load(&self.workspace, &address, &self.verifier);
        let (loaded, size) = match loaded.await {
            Ok((output, size)) => (Ok(output), size),
            Err(error) => (Err(error), 0),
        };
        Ok((self.check(id, &address.path, loaded)?, size))
    }

    fn failed(&self, id: NodeId, path: &str, error: LoadError) -> LoadFailure {
        let status = match &error {
            LoadError::Torn { .. } => Status::Torn,
            LoadError::Pending => Status::OutOfDate,
            LoadError::TypeChanged { .. } if self.type_changes.reruns() => Status::TypeChanged,
            error if error.is_missing() => Status::Missing,
            _ => Status::Complete,
        };
        let task = describe(self.graph.node(id).task.as_ref());
        let error = error.of(task, self.workspace.display_url(path));
        if status.runs() {
            LoadFailure::Vanished(id, status, error)
        } else {
            error.into()
        }
    }

    /// Gives a loaded output, unless the type of the task has changed since.
    fn check(
        &self,
        id: NodeId,
        path: &str,
        loaded: Result<Erased, LoadError>,
    ) -> Result<Erased, LoadFailure> {
        let name = self.graph.node(id).task.spec().name;
        let checked = self.type_changes.check(name, path, loaded);
        checked.map_err(|error| self.failed(id, path, error))
    }

    async fn load_all(
        &self,
        wanted: Vec<(usize, NodeId)>,
    ) -> Result<Vec<(usize, Erased)>, LoadFailure> {
        let is_file = |wanted: &(usize, NodeId)| self.graph.node(wanted.1).task.is_file();
        let (files, wanted): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_file);
        let mut loaded = Vec::with_capacity(files.len() + wanted.len());
        for (at, node) in files {
            loaded.push((at, self.load_one(node).await?.0));
        }
        let addresses = wanted
            .iter()
            .map(|&(_, node)| self.graph.node(node).address())
            .collect::<Result<Vec<OutputAddress>, Error>>()?;
        let read = OutputAddress::read_many(&addresses, &self.workspace, &self.verifier);
        let read = read.await;
        for ((&(at, node), address), fetched) in wanted.iter().zip(&addresses).zip(read) {
            let decoded = match fetched {
                Ok(fetched) => fetched.decode(self.graph.node(node).task.decoder()).await,
                Err(error) => Err(error),
            };
            loaded.push((at, self.check(node, &address.path, decoded)?));
        }
        Ok(loaded)
    }

    /// Returns how the attempt ended, unless the body of `node` has failed with this error: it could not read an artifact whose
    /// output has to be made again.
    pub(super) fn end_unless_failed(
        &self,
        node: &Node,
        error: BoxError,
    ) -> Result<AttemptEnd, BoxError> {
        let mut inputs = Vec::new();
        node.for_each_requirement(|input| inputs.push(input));
        for input in inputs {
            let path = self.graph.node(input).path()?;
            if self.type_changes.take_refused(&path) {
                return Ok(AttemptEnd::InputVanished(input, Status::TypeChanged, error));
            }
        }
        Err(error)
    }

    fn handle(&self, id: NodeId) -> Result<Handle, Error> {
        let node = self.graph.node(id);
        Ok(Handle {
            output: StoredOutput {
                workspace: self.workspace.clone(),
                task: node.task.spec().name.into(),
                address: node.address()?,
                verifier: Arc::clone(&self.verifier),
            },
            loader: Loader::of(node.task.as_ref()),
            name: node.task.spec().name,
            type_changes: Arc::clone(&self.type_changes),
        })
    }
}
