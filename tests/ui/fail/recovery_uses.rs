//! One error in each task, and none where the tasks are used.
use kart::task;

#[task(verison = 2)]
pub async fn clean(day: &str, #[param(default = 3)] least: usize) -> anyhow::Result<String> {
    Ok(day.repeat(least))
}

#[task]
async fn train(
    #[requires(Clean { day: "x".to_owned(), least: 1 })] text: &str,
    #[param(secrt)] rate: f64,
) -> anyhow::Result<f64> {
    Ok(rate + text.len() as f64)
}

#[task]
async fn report(#[requires(Train { rate: 0.1 })] score: f64) -> anyhow::Result<f64> {
    Ok(score)
}

#[task]
async fn option() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {
    let task = Clean { least: 4, ..Clean::new("monday".to_owned()) };
    let _ = (task.clone(), Train { rate: 0.5 }, Report);
    let _: Option<u8> = Some(1);
    drop(clean("monday", 3));
}
