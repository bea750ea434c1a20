//! What stands for telemetry where the feature `otel` is off: nothing.

use kart_core::Event;

use crate::logging::Extra;

/// Nothing is sent.
#[derive(Debug)]
pub(crate) struct Telemetry;

#[expect(clippy::unused_self, reason = "as with the feature")]
impl Telemetry {
    pub(crate) fn new() -> Self {
        Telemetry
    }

    pub(crate) fn layer(&self) -> Option<Extra> {
        None
    }

    pub(crate) fn event(&self, _: &Event<'_>) {}

    pub(crate) fn finish(&self) {}
}
