resource "lockstep_promotion" "staging" {
  stage  = "staging"
  newest = true
}

# What it did, and what each gate said.
data "lockstep_promotion" "staging" {
  name = lockstep_promotion.staging.promotion
}

output "steps" {
  value = { for step in data.lockstep_promotion.staging.steps : step.name => step.state }
}
