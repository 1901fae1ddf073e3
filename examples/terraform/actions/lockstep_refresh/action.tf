# Whoever has just pushed an image need not wait until the warehouse asks by itself.
action "lockstep_refresh" "shop" {
  config {
    warehouse = "shop"
  }
}
