locals {
  rest = provider::lockstep::wait("rest", { duration = "10m" })

  # Until the canary stage vouches for the same freight.
  canary = provider::lockstep::wait("canary", {
    condition = "in_stage('canary').verified"
    timeout   = "4h"
  })
}
