# The policies of a project, with all that they hold.
list "lockstep_promotion_policy" "shop" {
  provider         = lockstep
  include_resource = true

  config {
    project = "shop"
  }
}
