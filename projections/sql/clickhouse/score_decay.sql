CREATE TEMPORARY TABLE decay (half_life Int64, age Int64, millionths Int64)
