//! What workers and runs know of each other: the names of the services, and of what is in flight.

use kart_core::AttemptRequest;

/// Where one attempt is ordered.
pub(crate) fn task(order: &AttemptRequest) -> String {
    format!("kart/{}/run", order.key)
}

/// Where many are ordered together.
pub(crate) const BATCHES: &str = "kart-batch/run";

/// Where a run is left to the workers.
pub(crate) fn detached(name: &str) -> String {
    format!("kart-runs/{name}/run/send")
}

/// By what a run that is under way is found again.
pub(crate) const DETACHED: &str = "run";

/// By what an attempt that is in flight is found again. It is the same for all who order it, so that a run that was
/// killed waits, when it is started again, for what it had ordered. The number of the attempt is in it, so that none is
/// taken for the one before; the engine forgets it with the end of the attempt, so that no end is taken for another's.
/// A rerun waits for nobody's attempt but its own.
pub(crate) fn idempotency(order: &AttemptRequest, nonce: &str) -> String {
    if order.replaces {
        return format!("{}-{nonce}", order.attempt);
    }
    order.attempt.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(attempt: u32, replaces: bool) -> AttemptRequest {
        let order = json!({
            "task": {"task": "Clean", "params": {}},
            "key": "0123456789abcdef0123456789abcdef",
            "path": "clean.json",
            "workspace": "gs://bucket",
            "attempt": attempt,
            "replaces": replaces,
            "code": "",
            "build": "",
        });
        serde_json::from_value(order).unwrap()
    }

    #[test]
    fn all_who_order_an_attempt_name_it_alike_and_no_two_attempts_are() {
        assert_eq!(
            idempotency(&order(1, false), "a"),
            idempotency(&order(1, false), "b")
        );
        assert_ne!(
            idempotency(&order(1, false), "a"),
            idempotency(&order(2, false), "a")
        );
        assert_ne!(
            idempotency(&order(1, true), "a"),
            idempotency(&order(1, true), "b")
        );
        assert_ne!(
            idempotency(&order(1, true), "a"),
            idempotency(&order(1, false), "a")
        );
    }

    #[test]
    fn a_task_is_an_object_by_its_key() {
        assert_eq!(
            task(&order(1, false)),
            "kart/0123456789abcdef0123456789abcdef/run"
        );
    }
}
