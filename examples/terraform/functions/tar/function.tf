locals {
  pack = provider::lockstep::tar("pack", {
    from = "infra/modules/shop"
    to   = "shop.tgz"
  })
}
