//! Tasks whose types are not known to the caller.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::given::{Given, ParamError};
use super::secrets::{HIDDEN, Redactor};
use super::spec::{ParamKind, TaskSpec};
use super::task::{DynTask, Erased, Task};
use super::wire::{self, WireTask};
use crate::error::{Error, catch_panic};
use crate::format::UnknownFields;

/// A task of any type: one that was read from JSON, or chosen by its name at run time.
///
/// # Examples
///
/// ```
/// use kart::AnyTask;
/// use serde_json::json;
///
/// #[kart::task(name = "maths/Square")]
/// async fn square(n: u64) -> kart::Result<u64> {
///     Ok(n * n)
/// }
///
/// let task = AnyTask::from(Square { n: 3 });
/// let wire = task.to_json()?;
/// assert_eq!(wire, json!({"task": "maths/Square", "params": {"n": 3}}));
/// assert_eq!(AnyTask::from_json(wire)?.try_key()?, task.try_key()?);
/// # Ok::<(), kart::Error>(())
/// ```
#[derive(Clone)]
pub struct AnyTask(Arc<dyn DynTask>);

impl AnyTask {
    /// The task of that stable name, linked into this program, with these parameters, a JSON object; those that are
    /// left out have their defaults.
    ///
    /// # Errors
    ///
    /// [`Error::Wire`] says what does not fit: no such task, or which parameter.
    pub fn named(name: &str, params: Json) -> Result<Self, Error> {
        wire::named(name, params).map(AnyTask).map_err(Error::Wire)
    }

    /// The task of that stable name with parameters that somebody has written; those that are left out have their
    /// defaults.
    ///
    /// # Errors
    ///
    /// What does not fit, by the name of the parameter.
    pub fn given(name: &str, params: Vec<(String, Given)>) -> Result<Self, ParamError> {
        wire::given(name, params).map(AnyTask)
    }

    /// The task of this wire form, `{"task": "…", "params": {…}}`.
    ///
    /// # Errors
    ///
    /// [`Error::Wire`] says what does not fit: no such task, or which parameter.
    pub fn from_json(json: Json) -> Result<Self, Error> {
        wire::read(json).map(AnyTask).map_err(Error::Wire)
    }

    /// The wire form. It holds secret parameters as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Wire`] if a parameter cannot be written as JSON.
    pub fn to_json(&self) -> Result<Json, Error> {
        catch_panic(|| serde_json::to_value(WireTask(self.0.as_ref())))
            .and_then(|json| json.map_err(|error| error.to_string()))
            .map_err(|reason| Error::Wire(Redactor::of(self.as_dyn()).redact(reason)))
    }

    /// The wire form with `***` for what is secret, in it and in the tasks that it holds.
    ///
    /// # Errors
    ///
    /// [`Error::Wire`] if a parameter cannot be written as JSON.
    pub fn to_shown_json(&self) -> Result<Json, Error> {
        let mut json = self.to_json()?;
        mask(&mut json);
        Ok(json)
    }

    /// What is known of the task apart from its parameters' values.
    #[must_use]
    pub fn spec(&self) -> &'static TaskSpec {
        self.0.spec()
    }

    /// An output of this task that is stored as these bytes, as JSON: what its type serializes to, or else its
    /// `Debug` as a string; `None` for a type that has neither.
    ///
    /// # Errors
    ///
    /// The bytes cannot be decoded, or the type of the output lacks one of their fields.
    pub fn show(&self, bytes: bytes::Bytes) -> Result<Option<Json>, crate::error::BoxError> {
        let entry = wire::registered(self.spec().name);
        let show = || {
            let mut unknown = UnknownFields::default();
            let output: Erased = self.0.decoder()(bytes, &mut unknown)?;
            if let Some(field) = unknown.iter().next()
                && !self.spec().external
            {
                return Err(format!("its type does not have the stored field `{field}`").into());
            }
            Ok(entry.and_then(|entry| (entry.show)(&output)))
        };
        catch_panic(show).unwrap_or_else(|panic| Err(panic.into()))
    }

    pub(crate) fn new(task: Arc<dyn DynTask>) -> Self {
        AnyTask(task)
    }

    pub(crate) fn as_dyn(&self) -> &dyn DynTask {
        self.0.as_ref()
    }

    pub(crate) fn into_dyn(self) -> Arc<dyn DynTask> {
        self.0
    }
}

impl<T: Task> From<T> for AnyTask {
    fn from(task: T) -> Self {
        AnyTask(Arc::new(task))
    }
}

/// The task with its parameters; those that are secret are `***`.
impl fmt::Debug for AnyTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task's parameters as JSON, as they may be shown: secrets are `***`, and those that are tasks are left out.
pub(crate) fn shown_params(task: &dyn DynTask) -> serde_json::Map<String, Json> {
    let Ok(Ok(Json::Object(mut params))) = catch_panic(|| task.to_json()) else {
        return serde_json::Map::new();
    };
    for param in task.spec().params {
        match param.kind {
            ParamKind::Secret => {
                params.insert(param.name.to_owned(), HIDDEN.into());
            }
            ParamKind::Dependency => {
                params.remove(param.name);
            }
            ParamKind::Significant | ParamKind::Insignificant => {}
        }
    }
    params
}

/// Hides what is secret in whatever holds tasks in their wire form.
pub(super) fn mask(json: &mut Json) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(mask),
        Json::Object(members) => {
            let spec = members
                .get("task")
                .and_then(Json::as_str)
                .and_then(wire::registered);
            for (name, member) in members.iter_mut() {
                if let (Some(entry), "params", Json::Object(params)) =
                    (spec, name.as_str(), &mut *member)
                {
                    for (name, value) in params.iter_mut() {
                        let is_secret = |param: &&super::spec::ParamSpec| {
                            param.name == name && param.kind == ParamKind::Secret
                        };
                        if entry.spec.params.iter().any(|param| is_secret(&param)) {
                            *value = HIDDEN.into();
                        }
                    }
                }
                mask(member);
            }
        }
        _ => {}
    }
}

/// How the outputs of one type are shown: by `Serialize`, else by `Debug`, else not at all. The compiler finds the
/// first that fits, if the traits are in scope and the call has exactly the form of the generated code.
pub mod show {
    use super::{Any, Json};
    use std::fmt::Debug;
    use std::marker::PhantomData;

    use crate::model::Erased;

    /// Where autoref specialization starts.
    #[derive(Debug)]
    pub struct Show<R>(PhantomData<fn() -> R>);

    impl<R> Show<R> {
        /// For the outputs of a function that returns `R`.
        #[must_use]
        #[expect(clippy::new_without_default, reason = "only generated code makes one")]
        pub fn new() -> Self {
            Show(PhantomData)
        }
    }

    /// Shows nothing; the last resort.
    pub trait ViaNothing {
        /// The output as JSON.
        fn show(&self, output: &Erased) -> Option<Json>;
    }

    /// Shows what `Debug` writes.
    pub trait ViaDebug {
        /// The output as JSON.
        fn show(&self, output: &Erased) -> Option<Json>;
    }

    /// Shows what the output serializes to.
    pub trait ViaSerialize {
        /// The output as JSON.
        fn show(&self, output: &Erased) -> Option<Json>;
    }

    impl<R> ViaNothing for Show<R> {
        fn show(&self, _: &Erased) -> Option<Json> {
            None
        }
    }

    impl<T: Any + Debug, E> ViaDebug for &Show<Result<T, E>> {
        fn show(&self, output: &Erased) -> Option<Json> {
            let output = output.downcast_ref::<T>()?;
            Some(Json::String(format!("{output:#?}")))
        }
    }

    impl<T: Any + serde::Serialize, E> ViaSerialize for &&Show<Result<T, E>> {
        fn show(&self, output: &Erased) -> Option<Json> {
            serde_json::to_value(output.downcast_ref::<T>()?).ok()
        }
    }
}
