locals {
  config = provider::lockstep::template("config", {
    path   = "src/deploy/config.tmpl"
    to     = "gitops/apps/shop/config.ini"
    values = { tag = "{{ freight.api.tag }}", region = "{{ vars.region }}" }
  })
}
