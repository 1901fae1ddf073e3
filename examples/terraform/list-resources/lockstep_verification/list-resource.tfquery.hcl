# The verifications of a project, with all that they hold.
list "lockstep_verification" "shop" {
  provider         = lockstep
  include_resource = true

  config {
    project = "shop"
  }
}
