data "lockstep_stage" "prod" {
  name = "prod"
}

output "why_nothing_moves" {
  value = data.lockstep_stage.prod.waiting[*].message
}
