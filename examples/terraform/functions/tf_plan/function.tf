locals {
  plan = provider::lockstep::tf_plan("plan", {
    dir          = "infra/live/{{ stage.name }}"
    vars         = { image = "{{ freight.api.ref }}", replicas = 3 }
    var_files    = ["common.tfvars"]
    lock_timeout = "2m"
  })
}
