# A generator of the repository, in a sandbox: it sees its directory and nothing else.
locals {
  dashboards = provider::lockstep::run("dashboards", {
    command = ["jsonnet", "--multi", "out", "main.jsonnet"]
    dir     = "gitops/dashboards"
    env     = { STAGE = "{{ stage.name }}" }
    timeout = "2m"
  })
}
