resource "lockstep_stage" "prod" {
  name = "prod"
  vars = { region = "eu-central-1" }

  request {
    warehouse = lockstep_warehouse.shop.name
    from      = [lockstep_stage.staging.name]
  }

  steps = [
    provider::lockstep::git_clone("src", {
      repo     = "https://git.example.com/shop/infra.git"
      checkout = { infra = { commit = "{{ freight.infra.commit }}" } }
    }),
    provider::lockstep::tf_plan("plan", {
      dir  = "infra/live/prod"
      vars = { image = "{{ freight.api.ref }}", region = "{{ vars.region }}" }
    }),
    provider::lockstep::tf_apply("apply", { plan = "plan" }),

    # The same without functions, for tools that have none.
    { name = "outputs", uses = "tf_output", config = jsonencode({ dir = "infra/live/prod" }) },
  ]

  verification {
    name     = "errors"
    template = lockstep_verification.errors.name
    args     = { service = "api" }
  }

  # Looks whether the infra is still as promotions left it, and holds what would write over what is not.
  drift { every = "6h" }
}

# A stage without steps only passes freight on, here once both of its upstreams vouch for it.
resource "lockstep_stage" "staging" {
  name = "staging"

  request {
    warehouse = lockstep_warehouse.shop.name
    from      = ["staging-eu", "staging-us"]
    match     = "all"
  }
}

# A quorum: two of the three have to vouch for what goes there.
resource "lockstep_stage" "canary" {
  name = "canary"

  request {
    warehouse = lockstep_warehouse.shop.name
    from      = ["dev", "staging-eu", "staging-us"]
    at_least  = 2
  }
}

resource "lockstep_warehouse" "shop" {
  name = "shop"

  git {
    name   = "infra"
    repo   = "https://git.example.com/shop/infra.git"
    branch = "main"
  }

  image {
    name       = "api"
    repo       = "registry.example.com/shop/api"
    constraint = "^1.4"
  }
}

resource "lockstep_verification" "errors" {
  name = "errors"

  prometheus {
    name    = "error-ratio"
    address = "https://prometheus.example.com"
    query   = "sum(rate(http_errors_total{service=\"{{ args.service }}\"}[5m]))"
    success = "result.value < 0.01"
  }
}
