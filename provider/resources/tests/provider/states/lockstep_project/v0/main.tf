resource "lockstep_project" "it" {
  name                = "blog"
  description         = "The blog."
  labels              = { team = "shop" }
  deletion_protection = true
}
