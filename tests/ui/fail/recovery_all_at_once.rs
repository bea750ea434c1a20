use kart::task;

#[task(retires = 1, path = "{x}.txt", version = 0, timeout = "soon")]
async fn clean<T>(#[param(zap)] _a: &mut u8, _: u8, #[requires] _b: Option<&u8>) {}

fn main() {}
