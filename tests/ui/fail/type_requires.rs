use kart::task;

#[task]
async fn number() -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn shape(#[requires(vec![Number])] _x: u32) -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn not_a_task(#[requires(String::from("number"))] _x: u32) -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn output(#[requires(Number)] _x: String) -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn many_outputs(#[requires((0..3).map(|_| Number))] _x: Vec<String>) -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn borrowed(day: &str, #[requires(Labelled { label: day })] _x: u32) -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn labelled(label: String) -> anyhow::Result<u32> {
    Ok(label.len() as u32)
}

fn main() {}
