locals {
  rest = provider::lockstep::wait("rest", { duration = "10m" })
}
