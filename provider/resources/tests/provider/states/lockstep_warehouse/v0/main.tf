resource "lockstep_warehouse" "it" {
  name     = "main"
  interval = "60s"

  git {
    name          = "infra"
    repo          = "https://git.example.com/infra.git"
    branch        = "main"
    include_paths = ["modules/shop/"]
    exclude_paths = []
  }

  image {
    name            = "web"
    repo            = "registry.example.com/shop/web"
    constraint      = "^1.4"
    strict_semver   = false
    allow_tags      = ["^v"]
    ignore_tags     = ["-rc"]
    platform        = "linux/amd64"
    insecure        = true
    discovery_limit = 5
  }

  freight {
    require = "freight.web.version.major == 1"
  }
}
