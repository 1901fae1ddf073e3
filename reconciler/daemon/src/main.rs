//! The loop, the HTTP server and the configuration: the lockstepd binary.

fn main() {}
