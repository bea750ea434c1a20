//! kart: checkpointed tasks from plain functions.

pub use kart_core::{
    BoxError, Commit, Error, Permanent, Reader, Requests, Result, StoreError, Workspace, format,
    permanent,
};
