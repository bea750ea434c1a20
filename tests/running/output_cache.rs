//! How values come from producers to consumers: in memory, or from the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use kart::format::{Format, Json};
use kart::{Artifact, BoxError, Context, Runner, TaskExt, task};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::common::{Hooked, memory};

/// How often each of the formats below has decoded.
static DECODED: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// JSON that counts; each test has its own.
struct Counted<const TEST: usize>;

impl<const TEST: usize, T: Serialize + DeserializeOwned> Format<T> for Counted<TEST> {
    const EXTENSION: &'static str = "json";

    fn encode(value: &T) -> Result<Bytes, BoxError> {
        Json::encode(value)
    }

    fn decode(bytes: Bytes) -> Result<T, BoxError> {
        DECODED[TEST].fetch_add(1, Ordering::SeqCst);
        Json::decode(bytes)
    }
}

fn decoded(test: usize) -> usize {
    DECODED[test].load(Ordering::SeqCst)
}

/// A value that nobody can copy.
#[derive(Debug, Serialize, Deserialize)]
struct Coin(u32);

#[task(format = Counted<0>)]
async fn mint() -> kart::Result<Coin> {
    Ok(Coin(5))
}

#[task]
async fn spend(#[requires(Mint)] mut coin: Coin) -> kart::Result<u32> {
    coin.0 += 1;
    Ok(coin.0)
}

#[tokio::test]
async fn an_owned_value_is_decoded_once_from_memory() {
    let workspace = memory();
    assert_eq!(*kart::build(Spend, &workspace).await.unwrap(), 6);
    assert_eq!((decoded(0), workspace.requests().read), (1, 0));
    assert_eq!(Mint.load(&workspace).await.unwrap().0, 5);
}

#[task]
async fn base() -> kart::Result<String> {
    Ok("base".to_owned())
}

#[task]
async fn side(n: u32, #[requires(Base)] base: &str) -> kart::Result<String> {
    Ok(format!("{base} {n}"))
}

#[task]
async fn both(
    #[requires((Side { n: 1 }, Side { n: 2 }))] sides: (String, String),
) -> kart::Result<String> {
    Ok(format!("{}, {}", sides.0, sides.1))
}

#[tokio::test]
async fn within_the_budget_nothing_is_read_back_from_the_store() {
    let workspace = memory();
    Runner::new(&workspace)
        .run_log(false)
        .run(Both)
        .await
        .unwrap();
    assert_eq!(workspace.requests().read, 0);
    assert_eq!(Both.load(&workspace).await.unwrap(), "base 1, base 2");
}

#[tokio::test]
async fn without_a_budget_everything_is_read_from_the_store() {
    let workspace = memory();
    Runner::new(&workspace)
        .run_log(false)
        .workers(1)
        .memory_budget(0)
        .run(Both)
        .await
        .unwrap();
    // Each side reads the base, and the root reads both sides.
    assert_eq!(workspace.requests().read, 4);
    assert_eq!(Both.load(&workspace).await.unwrap(), "base 1, base 2");
}

#[tokio::test]
async fn a_budget_counts_encoded_bytes_and_is_given_back() {
    #[task]
    async fn link(
        n: u32,
        #[requires((n > 0).then(|| Link { n: n - 1 }))] below: Option<String>,
    ) -> kart::Result<String> {
        Ok(below.unwrap_or_else(|| "x".repeat(98)))
    }
    for (budget, reads) in [(100, 0), (99, 9)] {
        let workspace = memory();
        let runner = Runner::new(&workspace)
            .run_log(false)
            .workers(1)
            .memory_budget(budget);
        runner.run(Link { n: 9 }).await.unwrap();
        assert_eq!(workspace.requests().read, reads, "a budget of {budget}");
    }
}

#[tokio::test]
async fn what_was_kept_for_a_task_that_is_blocked_later_does_not_use_up_the_budget() {
    #[task(priority = 9)]
    async fn kept() -> kart::Result<String> {
        Ok("x".repeat(98))
    }
    #[task(priority = 8)]
    async fn fails() -> anyhow::Result<u32> {
        anyhow::bail!("no")
    }
    #[task]
    async fn blocked(#[requires((Kept, Fails))] all: (String, u32)) -> kart::Result<u32> {
        Ok(all.1)
    }
    #[task]
    async fn made() -> kart::Result<String> {
        Ok("y".repeat(98))
    }
    #[task]
    async fn taken(#[requires(Made)] made: String) -> kart::Result<usize> {
        Ok(made.len())
    }
    #[task]
    async fn all(#[requires((Blocked, Taken))] all: (u32, usize)) -> kart::Result<usize> {
        Ok(all.1)
    }
    let workspace = memory();
    let runner = Runner::new(&workspace)
        .run_log(false)
        .workers(1)
        .memory_budget(100);
    runner.run(All).await.unwrap_err();
    assert!(Taken.is_complete(&workspace).await.unwrap());
    assert_eq!(workspace.requests().read, 0);
}

#[task(format = Counted<1>)]
async fn shared() -> kart::Result<Vec<u32>> {
    Ok(vec![1, 2, 3])
}

#[task]
async fn consumer(
    n: u32,
    #[requires(Shared)] by_reference: &[u32],
    #[requires(Shared)] counted: Arc<Vec<u32>>,
) -> kart::Result<u32> {
    Ok(n + by_reference[0] + counted[0])
}

#[tokio::test(start_paused = true)]
async fn a_shared_value_is_decoded_once_for_all_its_consumers() {
    #[task]
    async fn all(#[requires((0..50).map(|n| Consumer { n }))] all: Vec<u32>) -> kart::Result<u32> {
        Ok(all.iter().sum())
    }
    // A read takes its time, so that the others ask meanwhile.
    let workspace = Hooked::workspace(&Arc::default(), |operation, _| {
        let time = u64::from(operation == "get");
        sleep(Duration::from_secs(time)).boxed()
    });
    Runner::new(&workspace)
        .run_log(false)
        .run(Shared)
        .await
        .unwrap();
    let before = workspace.requests().read;
    Runner::new(&workspace)
        .run_log(false)
        .workers(8)
        .run(All)
        .await
        .unwrap();
    assert_eq!(decoded(1), 1);
    assert_eq!(workspace.requests().read - before, 1);
}

#[task(format = Counted<2>)]
async fn for_two() -> kart::Result<Coin> {
    Ok(Coin(5))
}

#[tokio::test]
async fn two_consumers_that_want_a_value_for_themselves_each_get_one() {
    #[task]
    async fn consumes(n: u32, #[requires(ForTwo)] mut coin: Coin) -> kart::Result<u32> {
        coin.0 += n;
        Ok(coin.0)
    }
    #[task]
    async fn all(
        #[requires((0..2).map(|n| Consumes { n }))] all: Vec<u32>,
    ) -> kart::Result<Vec<u32>> {
        Ok(all)
    }
    let workspace = memory();
    Runner::new(&workspace)
        .run_log(false)
        .workers(1)
        .run(All)
        .await
        .unwrap();
    assert_eq!(All.load(&workspace).await.unwrap(), [5, 6]);
    assert_eq!(decoded(2), 2, "each has it decoded afresh");
    assert_eq!(workspace.requests().read, 1, "that of the assertion above");
}

#[task(format = Counted<3>)]
async fn once() -> kart::Result<Coin> {
    Ok(Coin(5))
}

#[tokio::test(start_paused = true)]
async fn a_retry_gets_the_value_anew() {
    #[task(retries = 1)]
    async fn retries(#[requires(Once)] coin: Coin, #[context] cx: &Context) -> anyhow::Result<u32> {
        anyhow::ensure!(cx.attempt() == 2, "not yet");
        Ok(coin.0)
    }
    assert_eq!(*kart::build(Retries, &memory()).await.unwrap(), 5);
    assert_eq!(decoded(3), 2);
}

#[task]
async fn leaf(n: u64) -> kart::Result<u64> {
    Ok(n)
}

#[tokio::test]
async fn a_wide_fan_in_is_gathered_in_order() {
    #[task]
    async fn gather(#[requires((0..2000).map(|n| Leaf { n }))] all: Vec<u64>) -> kart::Result<u64> {
        assert!(all.iter().copied().eq(0..2000));
        Ok(all.iter().sum())
    }
    for budget in [0, 1 << 20] {
        let workspace = memory();
        let runner = Runner::new(&workspace).run_log(false).memory_budget(budget);
        runner.run(Gather).await.unwrap();
        assert_eq!(Gather.load(&workspace).await.unwrap(), 1_999_000);
    }
}

#[tokio::test]
async fn handles_load_nothing_until_asked() {
    #[task]
    async fn pick(
        #[requires((0..2000).map(|n| Leaf { n }))] all: Vec<Artifact<u64>>,
    ) -> kart::Result<u64> {
        all[1234].load().await
    }
    let workspace = memory();
    Runner::new(&workspace)
        .run_log(false)
        .run(Pick)
        .await
        .unwrap();
    assert_eq!(workspace.requests().read, 1);
    assert_eq!(Pick.load(&workspace).await.unwrap(), 1234);
}
