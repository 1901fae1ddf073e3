terraform {
  required_providers {
    lockstep = { source = "lockstep/lockstep" }
  }
}

provider "lockstep" {
  endpoint   = "https://lockstep.example.com"
  token_file = "/run/secrets/lockstep-token" # or LOCKSTEP_TOKEN in the environment
  project    = "shop"                        # of everything that names none itself
}
