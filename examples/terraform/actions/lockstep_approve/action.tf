variable "promotion" {
  type = string
}

# What was read is what is approved: if the promotion would do something else by now, this fails.
data "lockstep_promotion" "reviewed" {
  name = var.promotion
}

action "lockstep_approve" "reviewed" {
  config {
    promotion = var.promotion
    digest    = data.lockstep_promotion.reviewed.digest
    comment   = "reviewed in the change meeting"
  }
}
