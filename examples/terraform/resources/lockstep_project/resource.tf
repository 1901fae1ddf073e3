resource "lockstep_project" "shop" {
  name        = "shop"
  description = "The shop: its infrastructure and its application."
  labels      = { team = "storefront" }
}
