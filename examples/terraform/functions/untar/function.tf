locals {
  unpack = provider::lockstep::untar("unpack", {
    from  = "crds.tgz"
    to    = "gitops/crds"
    strip = 1
  })
}
