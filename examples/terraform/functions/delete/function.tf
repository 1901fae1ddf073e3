locals {
  clear = provider::lockstep::delete("clear", {
    paths = ["gitops/apps/shop/generated", "gitops/apps/shop/OLD.md"]
  })
}
