//! Failures of the store and the network, which are not the body's fault.

use std::error::Error as StdError;

use crate::error::{Error, StoreError, causes};
use crate::report::RunError;

/// Returns whether an error comes from a store that failed or could not be reached.
pub(crate) fn is_unavailable(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        let error = match (cause.downcast_ref(), cause.downcast_ref()) {
            (Some(Error::Store(error)), _) | (_, Some(RunError::Store(error))) => Some(error),
            _ => cause.downcast_ref::<StoreError>(),
        };
        error.is_some_and(StoreError::is_transient)
    })
}
