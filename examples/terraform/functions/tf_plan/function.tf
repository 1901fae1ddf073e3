locals {
  plan = provider::lockstep::tf_plan("plan", {
    dir          = "infra/live/{{ stage.name }}"
    vars         = { image = "{{ freight.api.ref }}", replicas = 3 }
    var_files    = ["common.tfvars"]
    lock_timeout = "2m"
  })
}

# A module with a backend of its own, which is told where the state is and with which password.
locals {
  live = provider::lockstep::tf_plan("live", {
    dir       = "infra/live"
    tool      = "terraform"
    version   = "~> 1.8"
    workspace = "{{ stage.name }}"
    lock_file = "readonly"
    targets   = ["module.shop"]
    backend_config = {
      address  = "https://states.example/shop"
      username = "lockstep"
      password = "{{ secret(\"states\", \"password\") }}"
    }
    env     = { AWS_REGION = "eu-central-1" }
    secrets = { TF_VAR_database_password = "database/password" }
  })
}
