resource "lockstep_warehouse" "shop" {
  name     = "shop"
  interval = "1m"

  git {
    name          = "infra"
    repo          = "https://git.example.com/shop/infra.git"
    branch        = "main"
    include_paths = ["modules/shop"]
    exclude_paths = ["glob:**/*.md"]
  }

  image {
    name        = "api"
    repo        = "registry.example.com/shop/api"
    constraint  = "^1.4"
    ignore_tags = ["-rc"]
    platform    = "linux/amd64"
  }

  image {
    name       = "web"
    repo       = "registry.example.com/shop/web"
    constraint = "^1.4"
  }

  # The newest combination that satisfies this becomes freight.
  freight {
    require = "freight.api.version.minor == freight.web.version.minor"
  }
}
