//! Lockstep's resources, data sources and functions: the terraform-provider-lockstep binary.

fn main() {}
