//! What a body is handed, and what becomes of its result.

use std::any::{TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use super::context::Context;
use super::requires::Input;
use super::task::{Body, Erased, Task};
use crate::error::BoxError;

/// What the runner was given to hand to bodies, by type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources(HashMap<TypeId, Erased>);

impl Resources {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, resource: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(resource));
    }

    pub(crate) fn contains(&self, type_id: TypeId) -> bool {
        self.0.contains_key(&type_id)
    }
}

/// Everything one attempt of a body is handed.
#[derive(Debug)]
pub struct Call {
    inputs: Vec<Option<Input>>,
    resources: Arc<Resources>,
    context: Context,
}

impl Call {
    pub(crate) fn new(
        inputs: Vec<Option<Input>>,
        resources: Arc<Resources>,
        context: Context,
    ) -> Self {
        Call {
            inputs,
            resources,
            context,
        }
    }

    /// The required parameter at `index` in the order of names.
    ///
    /// # Errors
    ///
    /// If there is none of that type: a bug in kart.
    pub fn input<V: 'static>(&mut self, index: usize) -> Result<V, BoxError> {
        self.inputs
            .get_mut(index)
            .and_then(Option::take)
            .and_then(|input| input.downcast().ok())
            .map(|input| *input)
            .ok_or_else(|| "a required parameter was not loaded: a bug in kart".into())
    }

    /// The resource of type `T`.
    ///
    /// # Errors
    ///
    /// If the runner was given none.
    pub fn resource<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, BoxError> {
        self.resources
            .0
            .get(&TypeId::of::<T>())
            .and_then(|resource| Arc::clone(resource).downcast().ok())
            .ok_or_else(|| {
                format!("the runner has no resource of type `{}`", type_name::<T>()).into()
            })
    }

    /// This attempt.
    pub fn context(&self) -> Context {
        self.context.clone()
    }
}

/// What a function returned, without its types.
///
/// # Errors
///
/// What the function failed with.
pub fn finish<T: Task, E: Into<BoxError>>(
    result: Result<T::Output, E>,
) -> Result<Erased, BoxError> {
    match result {
        Ok(output) => Ok(Arc::new(output)),
        Err(error) => Err(error.into()),
    }
}

/// The body of a task that something else makes: there is none.
pub fn external(call: Call) -> Body {
    Body::Async(Box::pin(async move {
        let path = call.context().path().to_owned();
        Err(crate::error::permanent(format!(
            "`{path}` is made by something else, and it is not there"
        ))
        .into())
    }))
}
