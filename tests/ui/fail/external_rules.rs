use kart::task;

#[task(external)]
async fn no_path() -> anyhow::Result<u8>;

#[task(external, path = "a.json")]
async fn given(
    #[requires] rows: &u8,
    #[resource] pool: &u8,
    #[context] cx: &u8,
) -> anyhow::Result<u8>;

fn main() {}
