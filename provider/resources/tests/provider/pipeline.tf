resource "lockstep_project" "shop" {
  name        = "shop"
  description = "The shop."
  labels      = { team = "shop" }
}

resource "lockstep_warehouse" "shop" {
  project  = lockstep_project.shop.name
  name     = "shop"
  interval = "60s"

  git {
    name          = "infra"
    repo          = "https://git.example.com/infra.git"
    branch        = "main"
    include_paths = ["modules/shop/"]
    exclude_paths = []
  }

  image {
    name       = "api"
    repo       = "registry.example.com/shop/api"
    constraint = "^1.4"
    platform   = "linux/amd64"
  }

  image {
    name            = "web"
    repo            = "registry.example.com/shop/web"
    strict_semver   = false
    allow_tags      = ["^v"]
    ignore_tags     = ["-rc"]
    insecure        = true
    discovery_limit = 5
  }

  freight {
    require = "freight.api.version.major == freight.web.version.major"
  }
}

resource "lockstep_verification" "errors" {
  project       = lockstep_project.shop.name
  name          = "errors"
  initial_delay = "5s"
  measurements  = 3

  http {
    name    = "health"
    url     = "http://{{ args.service }}.example.com/health"
    headers = { Accept = "application/json" }
    success = "response.status == 200"
  }

  prometheus {
    name    = "errors"
    address = "http://prometheus.example.com:9090"
    query   = "sum(rate(errors{service=\"{{ args.service }}\"}[5m]))"
    success = "result.value < 0.01"
  }
}

resource "lockstep_stage" "dev" {
  project = lockstep_project.shop.name
  name    = "dev"
  vars    = { region = "eu-central-1" }

  steps = [
    provider::lockstep::git_clone("src", {
      repo     = "https://git.example.com/infra.git"
      checkout = { infra = { commit = "{{ freight.infra.commit }}" } }
    }),
    provider::lockstep::tf_plan("plan", { dir = "infra", vars = { image = "{{ freight.api.ref }}", size = 2 } }),
    provider::lockstep::tf_apply("apply", { plan = "plan" }),
    { name = "out", uses = "tf_output", config = "{ \"dir\":   \"infra\" }" },
  ]

  request { warehouse = lockstep_warehouse.shop.name }

  verification {
    name     = "errors"
    template = lockstep_verification.errors.name
    args     = { service = "api" }
  }
}

resource "lockstep_stage" "prod" {
  project = lockstep_project.shop.name
  name    = "prod"
  labels  = {}
  choose  = "queue"

  request {
    warehouse = lockstep_warehouse.shop.name
    from      = [lockstep_stage.dev.name]
    match     = "all"
  }
}

resource "lockstep_promotion_policy" "dev" {
  project = lockstep_project.shop.name
  name    = "dev"
  mode    = "automatic"
  stages { names = ["dev"] }
}

resource "lockstep_promotion_policy" "prod" {
  project = lockstep_project.shop.name
  name    = "prod"
  mode    = "gated"
  soak    = "24h"
  settle  = "1m"

  stages { names = ["prod*"] }

  approval {
    group   = "sre"
    count   = 2
    exclude = ["requester", "commit_author"]
  }

  infra {
    forbid      = ["delete", "replace"]
    protect     = ["aws_db_instance.*"]
    max_changes = 20
  }

  rollback { on = ["promotion_failed", "verification_failed"] }

  bypass {
    name   = "fire"
    groups = ["oncall"]
    gates  = ["soak", "approvals"]
  }
}
