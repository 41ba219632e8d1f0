SELECT id, applied FROM destroyed_list WHERE one = 1;
