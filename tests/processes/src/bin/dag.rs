//! The graph of a seed, as a program.

use processes::dag::Dag;

kart::main!(Dag);
