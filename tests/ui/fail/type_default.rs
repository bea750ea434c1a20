use kart::task;

#[task]
async fn defaults(#[param(default = "x")] _x: u32, #[param(default = String::new())] _y: &str) -> anyhow::Result<u32> {
    Ok(1)
}

fn main() {}
