use kart::task;

struct Table;

impl Table {
    #[task]
    async fn method(&self, x: u8) -> anyhow::Result<u8> {
        Ok(x)
    }

    #[task]
    async fn associated(table: Self) -> anyhow::Result<u8> {
        let _ = table;
        Ok(1)
    }
}

fn main() {
    let _ = Table;
}
