# Looks by itself whether it has happened: the key is the same each time.
locals {
  migrate = provider::lockstep::run_effect("migrate", {
    command  = ["python3", "migrate.py", "--to", "{{ freight.api.tag }}"]
    undo     = ["python3", "migrate.py", "--back"]
    dir      = "app/migrations"
    delivery = "at_least_once"
    network  = "egress"
    secrets  = { API_TOKEN = "migrations/token" }
    outputs  = "stdout" # one JSON object
  })
}
