//! What another room keeps with a workspace, for as long as the workspace is open.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::Workspace;

/// One value of a type that only its own room knows.
#[derive(Debug, Default)]
pub(super) struct Extension(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Workspace {
    /// Returns the value that all clones of this workspace share; the first call makes it.
    pub(crate) fn extension<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let Extension(value) = &self.inner.extension;
        let value = value.get_or_init(|| Arc::new(T::default()));
        // One room has one type.
        Arc::clone(value).downcast().unwrap_or_default()
    }
}
