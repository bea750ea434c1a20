//! The trait behind `#[task]`, and the same without its type.

use std::any::{Any, TypeId};
use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::params::Params;
use super::requires::Requirements;
use super::spec::TaskSpec;
use crate::error::BoxError;
use crate::format::{self, File, Format, UnknownFields};
use crate::key::PathText;

/// An output whose type only its task knows.
pub type Erased = Arc<dyn Any + Send + Sync>;

/// Decodes an output, and reports the stored fields that its type does not have.
pub(super) type Decoder = fn(Bytes, &mut UnknownFields) -> Result<Erased, BoxError>;

/// The body of an `async fn`, with all that it is handed.
pub type AsyncBody = Pin<Box<dyn Future<Output = Result<Erased, BoxError>> + Send>>;

/// The body of a plain `fn`, with all that it is handed.
pub type BlockingBody = Box<dyn FnOnce() -> Result<Erased, BoxError> + Send>;

/// A task's body, to be run once.
pub enum Body {
    /// It is polled.
    Async(AsyncBody),
    /// It is called on a thread of its own.
    Blocking(BlockingBody),
}

impl Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Body::Async(_) => "Async",
            Body::Blocking(_) => "Blocking",
        })
    }
}

/// The checkpointed form of one call of a function; implemented by `#[task]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "a task is the struct that `#[task]` makes beside a function: `#[task] async fn clean(..)` makes `Clean`",
    note = "a `Dep` of a collection of tasks is made by `kart::dep(..)`"
)]
pub trait Task: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the function returns when it succeeds.
    type Output: Send + Sync + 'static;
    /// How the output is stored.
    type Format: Format<Self::Output>;

    #[doc(hidden)]
    fn __spec() -> &'static TaskSpec;
    #[doc(hidden)]
    fn __params(&self, params: &mut Params);
    #[doc(hidden)]
    fn __requires(&self, requires: &mut Requirements<'_>);
    #[doc(hidden)]
    fn __path_param(&self, name: &str) -> PathText;
    #[doc(hidden)]
    fn __run(self: Arc<Self>, call: Call) -> Body;
}

/// What a task's function may return: `Result<T, E>` with `E: Into<BoxError>`.
#[diagnostic::on_unimplemented(
    message = "a task returns `Result<T, E>`, not `{Self}`",
    label = "not a `Result` whose error can become `Box<dyn Error + Send + Sync>`",
    note = "`anyhow::Result<T>`, `std::io::Result<T>`, `kart::Result<T>` and every `Result<T, E>` with `E: std::error::Error + Send + Sync + 'static` will do"
)]
pub trait Fallible {
    /// The output.
    type Ok;
    /// The error.
    type Error: Into<BoxError>;
}

impl<T, E: Into<BoxError>> Fallible for Result<T, E> {
    type Ok = T;
    type Error = E;
}

/// A [`Task`] of any type; implemented for every one of them.
pub trait DynTask: Debug + Send + Sync + 'static {
    #[doc(hidden)]
    fn spec(&self) -> &'static TaskSpec;
    #[doc(hidden)]
    fn output_type(&self) -> TypeId;
    #[doc(hidden)]
    fn params(&self, params: &mut Params);
    #[doc(hidden)]
    fn requires(&self, requires: &mut Requirements<'_>);
    #[doc(hidden)]
    fn path_param(&self, name: &str) -> PathText;
    #[doc(hidden)]
    fn extension(&self) -> &'static str;
    #[doc(hidden)]
    fn encode(&self, output: &Erased) -> Result<Bytes, BoxError>;
    #[doc(hidden)]
    fn decoder(&self) -> Decoder;
    #[doc(hidden)]
    fn is_file(&self) -> bool;
    #[doc(hidden)]
    fn run(self: Arc<Self>, call: Call) -> Body;
    #[doc(hidden)]
    fn to_json(&self) -> Result<serde_json::Value, serde_json::Error>;
}

impl<T: Task> DynTask for T {
    fn spec(&self) -> &'static TaskSpec {
        T::__spec()
    }

    fn output_type(&self) -> TypeId {
        TypeId::of::<T::Output>()
    }

    fn params(&self, params: &mut Params) {
        self.__params(params);
    }

    fn requires(&self, requires: &mut Requirements<'_>) {
        self.__requires(requires);
    }

    fn path_param(&self, name: &str) -> PathText {
        self.__path_param(name)
    }

    fn extension(&self) -> &'static str {
        <T::Format as Format<T::Output>>::EXTENSION
    }

    fn encode(&self, output: &Erased) -> Result<Bytes, BoxError> {
        match output.downcast_ref::<T::Output>() {
            Some(output) => T::Format::encode(output),
            None => Err("the output has another type than its task: a bug in kart".into()),
        }
    }

    fn decoder(&self) -> Decoder {
        |bytes, unknown| {
            let output = format::decode::<T::Format, T::Output>(bytes, unknown)?;
            Ok(Arc::new(output))
        }
    }

    fn is_file(&self) -> bool {
        TypeId::of::<T::Output>() == TypeId::of::<File>()
            && <T::Format as Format<T::Output>>::STORES_FILES
    }

    fn run(self: Arc<Self>, call: Call) -> Body {
        self.__run(call)
    }

    fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::to_value(self)
    }
}
