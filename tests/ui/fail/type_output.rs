use kart::task;

type Alias = u32;

#[task]
async fn no_result() -> Alias {
    1
}

#[task]
async fn no_error() -> Result<u32, u8> {
    Ok(1)
}

fn main() {}
