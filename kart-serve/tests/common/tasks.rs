//! Tasks that wait to be let on.

use std::sync::Arc;

use kart::{BoxError, Context, task};
use tokio::sync::watch;

/// What is made up at random asks for no more.
const MOST: u32 = 5000;

/// Holds bodies until a test lets them on.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    open: Arc<watch::Sender<bool>>,
    begun: Arc<watch::Sender<Vec<String>>>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate {
            open: Arc::new(watch::Sender::new(false)),
            begun: Arc::new(watch::Sender::new(Vec::new())),
        }
    }
}

impl Gate {
    /// Lets everything on, now and later.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// What has begun.
    pub(crate) fn begun(&self) -> Vec<String> {
        self.begun.borrow().clone()
    }

    /// Waits until so many bodies have begun.
    pub(crate) async fn until(&self, count: usize) {
        super::within(
            self.begun
                .subscribe()
                .wait_for(|begun| begun.len() >= count),
        )
        .await
        .unwrap();
    }

    fn note(&self, name: &str) {
        self.begun.send_modify(|begun| begun.push(name.to_owned()));
    }

    async fn pass(&self, name: &str) {
        self.note(name);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// One unit of work; waits until it is let on.
#[task(path = "units/{name}.txt")]
pub(crate) async fn unit(
    name: &str,
    #[resource] gate: &Gate,
    #[context] cx: &Context,
) -> Result<String, BoxError> {
    tokio::select! {
        () = gate.pass(name) => Ok(format!("{name} is done\n")),
        () = cx.stopped() => Err(kart::interrupted().into()),
    }
}

/// Gathers what the units said.
#[task(path = "all-{n}.txt")]
pub(crate) async fn all(
    #[param(default = 3)] n: u32,
    #[requires((0..n.min(MOST)).map(|n| Unit { name: format!("u{n}") }))] units: Vec<String>,
) -> kart::Result<String> {
    Ok(units.concat())
}

/// Ends at once.
#[task(path = "quick-{n}.txt")]
pub(crate) async fn quick(n: i64) -> kart::Result<String> {
    Ok("0123456789".repeat(usize::try_from(n).unwrap_or_default().min(100)))
}

/// Fails, and tells its secret in the error.
#[task]
pub(crate) async fn broken(
    is_permanent: bool,
    #[param(secret, default = "hunter2-secret")] password: &str,
) -> Result<u32, BoxError> {
    let reason = format!("refused with password {password}");
    if is_permanent {
        return Err(kart::permanent(reason).into());
    }
    Err(reason.into())
}

/// Fails, and has a lot to say about it.
#[task]
pub(crate) async fn chatty(n: u32) -> Result<u32, BoxError> {
    Err(format!("no {n}: {}", "x".repeat(20_000)).into())
}

/// Not to be started from outside.
#[task]
pub(crate) async fn hidden() -> kart::Result<u32> {
    Ok(1)
}

/// A parameter that may have no key.
#[task]
pub(crate) async fn rate(rate: f64) -> kart::Result<f64> {
    Ok(rate)
}

/// Asks for another when it runs.
#[task]
pub(crate) async fn asking(n: i64, #[context] cx: &Context) -> Result<usize, BoxError> {
    Ok(cx.get(Quick { n }).await?.len())
}
