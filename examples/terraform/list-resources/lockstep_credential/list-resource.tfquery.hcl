# The credentials of a project; their secrets are nowhere to be read.
list "lockstep_credential" "shop" {
  provider = lockstep

  config {
    project = "shop"
  }
}
