//! The command line that `kart::main!` gives to a binary.
