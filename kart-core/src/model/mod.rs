//! What a task is: the trait behind `#[task]`, its requirements, what it is handed, and the
//! registry of the tasks linked into the program. It plans nothing and runs nothing.

mod any;
mod artifact;
mod call;
mod context;
mod dep;
mod given;
mod params;
mod requires;
mod secrets;
mod spec;
mod stop_token;
mod stored;
mod stored_output;
mod task;
mod type_change;
mod verify;
pub mod wire;

pub(crate) use any::shown_params;
pub use any::{AnyTask, show};
pub use artifact::Artifact;
pub(crate) use call::Resources;
pub use call::{Call, external, finish};
pub(crate) use context::{AttemptScope, OutputFuture, RunApi, SaveScope, StepStore};
pub use context::{Command, Context, Map, Writer};
pub use dep::{Dep, dep};
pub use given::{Given, ParamError, build};
pub use params::{Param, Params, assert_param};
pub use requires::{Requirements, Requires};
pub use secrets::Redactor;
pub use spec::{
    ParamKind, ParamSpec, Registration, ResourceSpec, TaskSpec, name_bytes, name_len, name_str,
};
pub use stop_token::StopToken;
pub use stored_output::StoredOutput;
pub use task::{AsyncBody, BlockingBody, Body, DynTask, Erased, Fallible, Task};
pub use type_change::OnTypeChange;
pub use verify::Verify;

pub(crate) use artifact::Handle;
pub(crate) use requires::{How, Input, Intern, NodeId, Req, Requirement, Value, Want};
pub(crate) use stored::{LARGE_BYTES, LoadError, Loader, Stored};
pub(crate) use type_change::TypeChanges;
pub(crate) use verify::{Verifier, hash_of_stored};
pub(crate) use wire::linked;
