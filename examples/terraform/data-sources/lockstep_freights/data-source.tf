# What is verified in staging and could go to prod, without the pre-releases.
data "lockstep_freights" "next" {
  stage       = "prod"
  verified_in = "staging"

  artifact {
    subscription = "api"
    version      = "^1.4"
  }

  limit = 10
}

output "next_versions" {
  value = data.lockstep_freights.next.freight[*].artifacts["api"].tag
}
