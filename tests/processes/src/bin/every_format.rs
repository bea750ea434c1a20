//! Outputs of every format and of many sizes, and bodies that save as they go: what `tests/power-cut` cuts off. What each
//! task returns follows from its parameters alone, so that two runs are compared byte by byte.

use std::time::Duration;

use kart::format::{self, Zstd};
use kart::{Context, Error, File, task};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    score: Option<f64>,
    count: i64,
}

/// Waits as long as `KART_TEST_PAUSE_MS` says, which is no parameter: a run that resumes need not wait.
async fn pause() {
    let millis = std::env::var("KART_TEST_PAUSE_MS").ok();
    let millis = millis.and_then(|text| text.parse().ok()).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn rows(n: u32) -> kart::Result<Vec<Row>> {
    pause().await;
    let row = |count: i64| Row {
        name: format!("röw {count} of {n}"),
        score: (count % 3 > 0).then_some(0.5),
        count,
    };
    // From less than a page to a few hundred kilobytes.
    Ok((0..10 << (n % 5 * 2)).map(row).collect())
}

#[task(path = "{n}/rows.json")]
async fn json(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/rows.jsonl")]
async fn json_lines(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/rows.msgpack")]
async fn msg_pack(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/rows.csv")]
async fn csv(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/rows.arrow")]
async fn arrow(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/rows.parquet")]
async fn parquet(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/rows.json.zst", format = Zstd<format::Json>)]
async fn squeezed(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/rows.msgpack.zst", format = Zstd<format::MessagePack>)]
async fn packed(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

#[task(path = "{n}/text.txt")]
async fn text(n: u32) -> kart::Result<String> {
    pause().await;
    Ok(format!("line {n}\n").repeat(n as usize + 1))
}

#[task(path = "{n}/raw.bin")]
async fn raw(n: u32) -> kart::Result<Vec<u8>> {
    pause().await;
    let bytes = n.to_le_bytes().into_iter().cycle();
    Ok(bytes.take(5000 * n as usize).collect())
}

/// A path that holds the key.
#[task]
async fn keyed(n: u32) -> kart::Result<Vec<Row>> {
    rows(n).await
}

/// A file that grows piece by piece, of a few megabytes.
#[task(path = "{n}/written.txt")]
async fn written(n: u32, #[context] cx: &Context) -> std::io::Result<File> {
    let mut writer = cx.writer().await?;
    for line in 0..=50_000 * (n % 3) {
        let line = format!("line {line} of {n}, written piece by piece\n");
        writer.write_all(line.as_bytes()).await?;
    }
    pause().await;
    writer.finish().await
}

/// Steps that are saved, each once.
#[task(path = "{n}/steps.json")]
async fn steps(n: u32, #[context] cx: &Context) -> kart::Result<Vec<String>> {
    let mut all = Vec::new();
    for step in 0..6_u8 {
        let work = async {
            pause().await;
            Ok::<_, Error>(format!("step {step} of {n}"))
        };
        all.push(cx.step(&format!("step {step}"), work).await?);
    }
    Ok(all)
}

/// A state that moves forward.
#[task(path = "{n}/state.json")]
async fn state(n: u32, #[context] cx: &Context) -> kart::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = cx.restore("numbers").await?.unwrap_or_default();
    while let Some(next) = u32::try_from(numbers.len()).ok().filter(|next| *next < 6) {
        pause().await;
        numbers.push(n * 1000 + next);
        cx.save("numbers", &numbers).await?;
    }
    Ok(numbers)
}

/// A loop whose finished items are saved.
#[task(path = "{n}/loop.json")]
async fn looped(n: u32, #[context] cx: &Context) -> kart::Result<Vec<String>> {
    cx.map(0..20_u8, |item| async move {
        pause().await;
        Ok::<_, Error>(format!("item {item} of {n}"))
    })
    .concurrency(2)
    .save_interval(Duration::from_millis(100))
    .await
}

/// All of one number.
#[expect(clippy::too_many_arguments, reason = "all formats at once")]
#[task(path = "{n}/sum.txt")]
async fn sum(
    n: u32,
    #[requires(Json { n })] json: Vec<Row>,
    #[requires(JsonLines { n })] json_lines: Vec<Row>,
    #[requires(MsgPack { n })] message_pack: Vec<Row>,
    #[requires(Csv { n })] csv: Vec<Row>,
    #[requires(Arrow { n })] arrow: Vec<Row>,
    #[requires(Parquet { n })] parquet: Vec<Row>,
    #[requires(Squeezed { n })] squeezed: Vec<Row>,
    #[requires(Packed { n })] packed: Vec<Row>,
    #[requires(Keyed { n })] keyed: Vec<Row>,
    #[requires(Text { n })] text: String,
    #[requires(Raw { n })] raw: Vec<u8>,
    #[requires(Written { n })] written: &File,
    #[requires(Steps { n })] steps: Vec<String>,
    #[requires(State { n })] state: Vec<u32>,
    #[requires(Looped { n })] looped: Vec<String>,
) -> std::io::Result<String> {
    let tables = [
        json,
        json_lines,
        message_pack,
        csv,
        arrow,
        parquet,
        squeezed,
        packed,
        keyed,
    ];
    let rows: usize = tables.iter().map(Vec::len).sum();
    let state: u32 = state.iter().sum();
    Ok(format!(
        "{rows} rows, {} and {} bytes, {} in a file; {} steps, {state}, {} items\n",
        text.len(),
        raw.len(),
        written.size()?,
        steps.len(),
        looped.len(),
    ))
}

/// All of all numbers.
#[task(path = "all.txt")]
async fn everything(
    #[param(default = 5)] numbers: u32,
    #[requires((0..numbers).map(|n| Sum { n }))] sums: Vec<String>,
) -> kart::Result<String> {
    Ok(sums.concat())
}

kart::main!(Everything);
