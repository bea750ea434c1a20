use kart::task;

#[task]
struct Table;

#[task]
mod inner {}

fn main() {}
