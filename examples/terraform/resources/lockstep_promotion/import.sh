terraform import lockstep_promotion.prod shop/prod.12
