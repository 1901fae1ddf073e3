terraform import lockstep_warehouse.shop shop/shop
