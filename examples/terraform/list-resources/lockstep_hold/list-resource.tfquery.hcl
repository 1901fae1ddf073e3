# The holds of a project, with all that they hold.
list "lockstep_hold" "shop" {
  provider         = lockstep
  include_resource = true

  config {
    project = "shop"
  }
}
