locals {
  release = provider::lockstep::task("release", {
    task   = "release"
    inputs = { cluster = "eu", replicas = 6 }
  })
}
