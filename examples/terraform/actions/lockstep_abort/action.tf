variable "promotion" {
  type = string
}

action "lockstep_abort" "it" {
  config {
    promotion = var.promotion
    reason    = "the region is down"
  }
}
