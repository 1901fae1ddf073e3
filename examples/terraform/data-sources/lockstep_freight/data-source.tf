# The newest freight that prod could take now.
data "lockstep_freight" "next" {
  stage = "prod"
}

output "next_image" {
  value = data.lockstep_freight.next.artifacts["api"].ref
}
